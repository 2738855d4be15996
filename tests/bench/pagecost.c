// SPDX-License-Identifier: GPL-2.0-only
/*
 * pagecost: what it costs to swap pages out and in, for a guest whose clock
 * counts instructions (lab up --icount), so that time without idle time is
 * what was executed: by client, donor and all that is between.
 *
 *	pagecost OPERATION PAGES SEED STAT [SAMPLES]
 *
 * STAT is the disk's statistics in sysfs. One line of numbers is printed. With
 * SAMPLES, a file, what ran is written there every few thousand instructions:
 * process, user or kernel, and the addresses on the stack, innermost first.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../e2e/measure.h"

#define PAGE_BYTES	4096u
#define CGROUP		"/sys/fs/cgroup/pagecost"
#define SETTLE_US	50000		/* until what was begun has ended */
#define PERIOD_NS	40009		/* of samples; prime, so that no loop is met in step */
#define RING_PAGES	4096u		/* of samples: 16 MiB */

static unsigned char *memory;
static size_t pages;
static size_t *order;			/* a random one */
static const char *stat_path;

/* ---- what is counted ---------------------------------------------------- */

struct count {
	uint64_t now, idle;		/* ns */
	uint64_t daemon;		/* ns that infiniswapd ran */
	unsigned long long reads, writes;	/* requests of the disk */
	unsigned long long in, out;		/* pages */
};

/* Time without anything to do. /proc/stat has it too, but in steps of 10 ms. */
static uint64_t idle_ns(void)
{
	unsigned long long ns, sum = 0;
	char line[256];
	FILE *file;

	file = fopen("/proc/timer_list", "re");
	if (!file)
		err(1, "/proc/timer_list");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " .idle_sleeptime : %llu", &ns) == 1 ||
		    sscanf(line, " .iowait_sleeptime: %llu", &ns) == 1)
			sum += ns;
	}
	fclose(file);
	return sum;
}

static uint64_t daemon_ns(void)
{
	unsigned long long ns, sum = 0;
	glob_t threads;
	char name[16];
	FILE *file;

	if (glob("/proc/[0-9]*/task/*", 0, NULL, &threads))
		errx(1, "no processes in /proc");
	for (size_t i = 0; i < threads.gl_pathc; i++) {
		char path[320];

		snprintf(path, sizeof(path), "%s/comm", threads.gl_pathv[i]);
		file = fopen(path, "re");
		if (!file)
			continue;	/* it ended */
		if (fscanf(file, "%15s", name) != 1)
			name[0] = '\0';
		fclose(file);
		if (strcmp(name, "infiniswapd") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/schedstat", threads.gl_pathv[i]);
		file = fopen(path, "re");
		if (!file || fscanf(file, "%llu", &ns) != 1)
			err(1, "%s", path);
		fclose(file);
		sum += ns;
	}
	globfree(&threads);
	return sum;
}

static void disk_counts(struct count *c)
{
	FILE *file = fopen(stat_path, "re");

	if (!file || fscanf(file, "%llu %*u %*u %*u %llu", &c->reads, &c->writes) != 2)
		err(1, "%s", stat_path);
	fclose(file);
	c->in = vmstat("pswpin");
	c->out = vmstat("pswpout");
}

static struct count before;

static void begin(void)
{
	disk_counts(&before);
	before.daemon = daemon_ns();
	before.idle = idle_ns();
	before.now = now_ns();
}

static void end(void)
{
	struct count after;

	after.now = now_ns();
	after.idle = idle_ns();
	after.daemon = daemon_ns();
	disk_counts(&after);
	printf("instructions=%llu daemon=%llu reads=%llu pages_in=%llu writes=%llu pages_out=%llu\n",
	       (unsigned long long)(after.now - before.now - (after.idle - before.idle)),
	       (unsigned long long)(after.daemon - before.daemon),
	       after.reads - before.reads, after.in - before.in,
	       after.writes - before.writes, after.out - before.out);
}

/* ---- samples ------------------------------------------------------------ */

static struct perf_event_mmap_page *ring;
static int sampler = -1;

/*
 * Operations of one length and samples of one distance get in step, and then
 * the same instructions are met each time. So no two operations are as far apart.
 */
static void between(void)
{
	static uint64_t state;

	if (sampler < 0)
		return;
	for (volatile uint64_t i = mix(state += MIX_STEP) % 8192; i; i--)
		;
}

static void sample_open(void)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD_NS,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_CALLCHAIN,
		.exclude_callchain_user = 1,
		.disabled = 1,
	};

	sampler = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (sampler < 0)
		err(1, "perf_event_open");
	ring = mmap(NULL, (RING_PAGES + 1) * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		    sampler, 0);
	if (ring == MAP_FAILED)
		err(1, "samples: mmap");
}

static void sample(unsigned long what)
{
	if (sampler >= 0 && ioctl(sampler, what, 0))
		err(1, "samples: ioctl");
}

struct sample {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t nr;
	uint64_t ip[];
};

static void process_name(uint32_t pid, char name[16])
{
	char path[64];
	FILE *file;

	snprintf(name, 16, pid ? "%u" : "idle", pid);
	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%15s", name) != 1)
			snprintf(name, 16, "%u", pid);
		fclose(file);
	}
}

static void sample_write(FILE *out, const struct sample *s)
{
	bool user = (s->header.misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_USER;
	char name[16];

	process_name(s->pid, name);
	fprintf(out, "%s %s", name, user ? "user" : "kernel");
	for (uint64_t i = 0; i < s->nr; i++)
		if (s->ip[i] < PERF_CONTEXT_MAX)
			fprintf(out, " %llx", (unsigned long long)s->ip[i]);
	fputc('\n', out);
}

static void sample_save(const char *path)
{
	static uint64_t whole[1024];	/* one that wraps around, in one piece */
	const char *data = (const char *)ring + PAGE_BYTES;
	uint64_t size = RING_PAGES * PAGE_BYTES, at = 0;
	FILE *out;

	out = fopen(path, "we");
	if (!out)
		err(1, "%s", path);
	if (ring->data_head > size)
		errx(1, "samples: more than fit in %llu bytes", (unsigned long long)size);
	while (at < ring->data_head) {
		const struct sample *s = (const void *)(data + at);

		if (s->header.type == PERF_RECORD_LOST)
			errx(1, "samples were lost");
		if (s->header.type == PERF_RECORD_SAMPLE) {
			memcpy(whole, s, s->header.size);
			sample_write(out, (const struct sample *)whole);
		}
		at += s->header.size;
	}
	if (fclose(out))
		err(1, "%s", path);
}

/* ---- pages -------------------------------------------------------------- */

static void fill(size_t page, uint64_t version)
{
	uint64_t *word = (uint64_t *)(memory + page * PAGE_BYTES);

	/* no page of one value: newer kernels do not write those of zeros */
	for (size_t i = 0; i < PAGE_BYTES / sizeof(*word); i++)
		word[i] = mix(page << 24 | version) + i * MIX_STEP;
}

static void map_memory(size_t count)
{
	pages = count;
	memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || madvise(memory, pages * PAGE_BYTES, MADV_NOHUGEPAGE))
		err(1, "memory for %zu pages", pages);
	for (size_t i = 0; i < pages; i++)
		fill(i, 0);
}

static void shuffle(uint64_t seed)
{
	order = realloc(order, pages * sizeof(*order));
	if (!order)
		err(1, "memory for %zu pages' order", pages);
	for (size_t i = 0; i < pages; i++)
		order[i] = i;
	for (size_t i = pages - 1; i; i--) {
		size_t j = mix(seed += MIX_STEP) % (i + 1), other = order[j];

		order[j] = order[i];
		order[i] = other;
	}
}

static void page_out(size_t page)
{
	if (madvise(memory + page * PAGE_BYTES, PAGE_BYTES, MADV_PAGEOUT))
		err(1, "MADV_PAGEOUT");
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s: '%s'", path, text);
	close(fd);
}

/* The kernel's own way to choose and write pages, in batches. */
static void reclaim(size_t count)
{
	char text[32];
	int fd;

	fd = open(CGROUP "/memory.reclaim", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, CGROUP "/memory.reclaim");
	snprintf(text, sizeof(text), "%zu", count * PAGE_BYTES);
	/* less than that, because others are still under way, is as good */
	if (write(fd, text, strlen(text)) < 0 && errno != EAGAIN)
		err(1, "memory.reclaim of %zu pages", count);
	close(fd);
}

/* None in memory, nor in the swap cache, where written ones stay for a while. */
static void wait_out(void)
{
	unsigned char *in = malloc(pages);
	size_t left;

	if (!in)
		err(1, "memory for %zu pages' states", pages);
	for (int tries = 0; ; tries++) {
		usleep(SETTLE_US);
		if (mincore(memory, pages * PAGE_BYTES, in))
			err(1, "mincore");
		left = 0;
		for (size_t i = 0; i < pages; i++)
			left += in[i] & 1;
		if (!left)
			break;
		if (tries == 100)
			errx(1, "%zu of %zu pages do not go out", left, pages);
		reclaim(left);
	}
	free(in);
}

/* A request each: no plug holds them back to be merged. */
static void write_out(void)
{
	for (size_t i = 0; i < pages; i++) {
		page_out(order[i]);
		between();
	}
}

/* All swap in use but every other slot, so that no two free ones are neighbours. */
static void fragment(void)
{
	unsigned long long kib = 0;
	char line[256];
	size_t slots;
	FILE *file;

	file = fopen("/proc/swaps", "re");
	if (!file || !fgets(line, sizeof(line), file) ||
	    fscanf(file, "%*s %*s %llu", &kib) != 1)
		errx(1, "/proc/swaps: no swap");
	fclose(file);
	slots = kib * 1024 / PAGE_BYTES;
	map_memory(slots);
	shuffle(0);
	for (size_t i = 0; i < slots; i++)
		order[i] = i;		/* neighbours get neighbouring slots */
	write_out();
	usleep(SETTLE_US);
	for (size_t i = 1; i < slots; i += 2)
		if (madvise(memory + i * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED))
			err(1, "MADV_DONTNEED");
	wait_out();
}

/* ---- operations --------------------------------------------------------- */

static void prepare_in(size_t count, uint64_t seed)
{
	map_memory(count);
	shuffle(seed);
	write_out();
	wait_out();
	shuffle(seed + 1);		/* not in the order of their slots */
}

/* A page fault each, in random order. */
static void run_in(void)
{
	for (size_t i = 0; i < pages; i++) {
		(void)*(volatile unsigned char *)(memory + order[i] * PAGE_BYTES);
		between();
	}
}

static void prepare_out(size_t count, uint64_t seed)
{
	prepare_in(count, seed);
	for (size_t i = 0; i < pages; i++)
		fill(i, 1);
}

static void prepare_merged(size_t count, uint64_t seed)
{
	(void)seed;
	map_memory(2 * count);
}

static void prepare_scattered(size_t count, uint64_t seed)
{
	fragment();
	prepare_merged(count, seed);
}

static void run_reclaim(void)
{
	reclaim(pages / 2);
}

/* What a device costs that nobody uses. */
static void prepare_nothing(size_t count, uint64_t seed)
{
	(void)seed;
	pages = count;
}

static void run_nothing(void)
{
	sleep((unsigned int)pages);
}

static const struct operation {
	const char *name;
	void (*prepare)(size_t count, uint64_t seed);
	void (*run)(void);
} operations[] = {
	{ "page-in", prepare_in, run_in },
	{ "page-out", prepare_out, write_out },
	{ "reclaim-scattered", prepare_scattered, run_reclaim },
	{ "reclaim-merged", prepare_merged, run_reclaim },
	{ "idle", prepare_nothing, run_nothing },	/* PAGES are seconds */
};

int main(int argc, char **argv)
{
	const struct operation *op = operations;
	uint64_t seed;
	size_t count;

	if (argc < 5 || argc > 6)
		errx(2, "usage: pagecost OPERATION PAGES SEED STAT [SAMPLES]");
	while (strcmp(op->name, argv[1]) != 0)
		if (++op == operations + sizeof(operations) / sizeof(*operations))
			errx(2, "%s: no such operation", argv[1]);
	count = number(argv[2], 1, 1 << 20);
	seed = number(argv[3], 0, UINT32_MAX);
	stat_path = argv[4];

	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		err(1, CGROUP);
	write_file(CGROUP "/cgroup.procs", "0");
	op->prepare(count, seed);
	if (argc > 5)
		sample_open();
	begin();
	sample(PERF_EVENT_IOC_ENABLE);
	op->run();
	usleep(SETTLE_US);	/* requests that are under way are part of it */
	sample(PERF_EVENT_IOC_DISABLE);
	end();
	if (argc > 5)
		sample_save(argv[5]);
	return 0;
}
