// SPDX-License-Identifier: GPL-2.0-only
/*
 * graphwalk: makes a random graph in memory and walks through it, breadth first,
 * from sources at random. What the walks find follows from the options alone, so with
 * less memory it must be the same.
 *
 * The graph is in the compressed sparse row form: the successors of a vertex are
 * a row, and all rows stand one behind the other in one array, which is nearly all
 * of the memory. A walk reads each row as a whole, and rows in no order. It can end
 * before it has been everywhere, because that would be a page fault for every vertex.
 */
#include <getopt.h>
#include <sys/mman.h>

#include "../e2e/measure.h"

/*
 * A slot of a row holds a successor by its name, or zero, which names none. Small
 * numbers would be zeros in half of their bytes and compress; an odd factor
 * spreads them over all 32 bits, and its inverse leads back.
 */
#define NAME_FACTOR	0x9e3779b1u
#define NAME_INVERSE	0x0e8b2f51u

#define UNSEEN		UINT32_MAX

struct options {
	uint32_t vertices;
	uint32_t slots;		/* of a row, on average */
	uint32_t zeros;		/* of them, percent, at the end: room for more */
	uint32_t walks;
	uint32_t visits;	/* a walk ends after so many */
	uint64_t seed;
};

struct graph {
	uint32_t vertices;
	uint32_t *row;		/* where each begins, and the end of the last */
	uint32_t *slot;
};

struct walker {
	uint32_t *distance;	/* of each vertex from the source, or UNSEEN */
	uint32_t *queue;
};

/* Of all walks. */
struct result {
	uint64_t visited;
	uint64_t edges;
	uint64_t distances;	/* their sum, over visited vertices */
	uint64_t checksum;	/* of the edges, in their order */
};

static uint32_t *numbers(uint64_t count)
{
	size_t bytes = count * sizeof(uint32_t);
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Pages, not huge ones, are what all arms swap. */
	if (p == MAP_FAILED || madvise(p, bytes, MADV_NOHUGEPAGE))
		err(1, "%zu bytes", bytes);
	return p;
}

static uint32_t name_of(uint32_t vertex)
{
	return (vertex + 1) * NAME_FACTOR;
}

static uint32_t vertex_of(uint32_t name)
{
	return name * NAME_INVERSE - 1;
}

/* From half the average to one and a half. */
static uint32_t row_length(const struct options *options, uint32_t vertex)
{
	return options->slots / 2 +
	       (uint32_t)(mix(mix(options->seed) + vertex) % (options->slots + 1));
}

static void row_fill(const struct options *options, const struct graph *graph, uint32_t vertex)
{
	uint32_t length = graph->row[vertex + 1] - graph->row[vertex];
	uint32_t filled = (uint32_t)((uint64_t)length * (100 - options->zeros) / 100);
	uint32_t *slot = graph->slot + graph->row[vertex];
	uint64_t random = mix(~mix(options->seed) + vertex);

	for (uint32_t i = 0; i < filled; i++) {
		random += MIX_STEP;
		slot[i] = name_of((uint32_t)(mix(random) % graph->vertices));
	}
	memset(slot + filled, 0, (length - filled) * sizeof(*slot));
}

static void graph_make(const struct options *options, struct graph *graph)
{
	uint64_t end = 0;

	graph->vertices = options->vertices;
	graph->row = numbers(graph->vertices + 1ull);
	for (uint32_t v = 0; v < graph->vertices; v++) {
		graph->row[v] = (uint32_t)end;
		end += row_length(options, v);
	}
	if (!end || end > UINT32_MAX)
		errx(2, "%llu slots", (unsigned long long)end);
	graph->row[graph->vertices] = (uint32_t)end;
	graph->slot = numbers(end);
	for (uint32_t v = 0; v < graph->vertices; v++)
		row_fill(options, graph, v);
}

static uint32_t successor(const struct graph *graph, uint32_t i)
{
	uint32_t vertex = vertex_of(graph->slot[i]);

	if (vertex >= graph->vertices)
		errx(1, "slot %u holds %08x, the name of no vertex", i, graph->slot[i]);
	return vertex;
}

static void walk(const struct graph *graph, const struct walker *walker, uint32_t source,
		 uint32_t visits, struct result *result)
{
	uint32_t *distance = walker->distance, *queue = walker->queue;
	uint32_t head = 0, tail = 0;

	memset(distance, 0xff, graph->vertices * sizeof(*distance));
	distance[source] = 0;
	queue[tail++] = source;
	while (head < tail && head < visits) {
		uint32_t vertex = queue[head++];

		result->distances += distance[vertex];
		for (uint32_t i = graph->row[vertex]; i < graph->row[vertex + 1]; i++) {
			uint32_t next;

			if (!graph->slot[i])
				continue;
			next = successor(graph, i);
			result->edges++;
			result->checksum = mix(result->checksum + graph->slot[i]);
			if (distance[next] != UNSEEN)
				continue;
			distance[next] = distance[vertex] + 1;
			queue[tail++] = next;
		}
	}
	result->visited += head;
}

static void run(const struct options *options)
{
	struct result result = { 0 };
	unsigned long long in, out;
	struct walker walker;
	struct graph graph;
	uint64_t start_ns;

	graph_make(options, &graph);
	walker.distance = numbers(graph.vertices);
	walker.queue = numbers(graph.vertices);
	in = vmstat("pswpin");
	out = vmstat("pswpout");
	start_ns = now_ns();
	for (uint32_t i = 0; i < options->walks; i++)
		walk(&graph, &walker, (uint32_t)(mix(options->seed + i) % graph.vertices),
		     options->visits, &result);
	printf("{\"seconds\": %.3f, \"pswpin\": %llu, \"pswpout\": %llu, ",
	       (double)(now_ns() - start_ns) / 1e9, vmstat("pswpin") - in,
	       vmstat("pswpout") - out);
	printf("\"result\": {\"slots\": %u, \"visited\": %llu, \"edges\": %llu, ",
	       graph.row[graph.vertices], (unsigned long long)result.visited,
	       (unsigned long long)result.edges);
	printf("\"distances\": %llu, \"checksum\": %llu}}\n",
	       (unsigned long long)result.distances, (unsigned long long)result.checksum);
}

static const char usage[] =
	"Usage: graphwalk [OPTIONS]\n\n"
	"Make a random graph and walk through it, breadth first.\n\n"
	"  -v N     vertices (65536)\n"
	"  -d N     slots for successors of each, on average (128)\n"
	"  -Z PCT   of the slots that are empty: zeros (0: it does not compress)\n"
	"  -n N     walks, each from a source of its own (4)\n"
	"  -m N     vertices after which a walk ends (all)\n"
	"  -s SEED  of graph and sources (1)\n"
	"  -h       this text\n\n"
	"One line of JSON. Seconds and pages in and out are of the walks alone; the\n"
	"result follows from the options, so it tells whether memory was right.\n"
	"Exit status: 0 done, 1 a successor that is no vertex, or an error, 2 wrong\n"
	"usage.\n";

static void parse(struct options *options, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "v:d:Z:n:m:s:h")) >= 0) {
		switch (opt) {
		case 'v':
			options->vertices = (uint32_t)number(optarg, 1, UINT32_MAX - 1);
			break;
		case 'd':
			options->slots = (uint32_t)number(optarg, 1, 1u << 20);
			break;
		case 'Z':
			options->zeros = (uint32_t)number(optarg, 0, 100);
			break;
		case 'n':
			options->walks = (uint32_t)number(optarg, 1, UINT32_MAX);
			break;
		case 'm':
			options->visits = (uint32_t)number(optarg, 1, UINT32_MAX);
			break;
		case 's':
			options->seed = number(optarg, 0, UINT64_MAX);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			exit(2);
		}
	}
	if (optind < argc)
		errx(2, "%s: takes no argument", argv[optind]);
}

int main(int argc, char **argv)
{
	struct options options = {
		.vertices = 65536,
		.slots = 128,
		.walks = 4,
		.visits = UINT32_MAX,
		.seed = 1,
	};

	parse(&options, argc, argv);
	run(&options);
	return 0;
}
