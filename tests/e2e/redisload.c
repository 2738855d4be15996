// SPDX-License-Identifier: GPL-2.0-only
/*
 * redisload: fills a redis server with values that do not compress (or so far as
 * it is told), reads all of them back, or reads them at random and takes the time.
 *
 * A value follows from the seed and its key alone, so it can be verified
 * without being kept: the program stays small, and locked in memory, on a
 * machine that has no memory to spare.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "measure.h"

#define SECOND_NS	1000000000ull
#define MAX_VALUE	65536u
#define MAX_DEPTH	64u

enum {
	EXIT_WRONG	= 1,	/* values wrong or missing, or an error */
	EXIT_USAGE	= 2,
	EXIT_SILENT	= 3,	/* no answer within the time limit */
};

struct options {
	const char *socket;		/* path; NULL: TCP on loopback */
	uint16_t port;
	uint32_t keys;
	uint32_t value_bytes;		/* a multiple of 8 */
	uint32_t zeros;			/* of these, percent, at the end */
	uint64_t seed;			/* of the values */
	uint64_t order;			/* seed of the random reads */
	unsigned int depth;		/* requests under way: load and verify */
	unsigned int seconds;		/* read: how long; verify: limit, 0 none */
	unsigned int silence;		/* seconds without an answer */
};

struct counts {
	uint64_t done;
	uint64_t bad;
	uint64_t missing;
	struct histogram latency;
};

/* ---- values ------------------------------------------------------------------ */

static uint64_t value_base(const struct options *options, uint32_t key)
{
	return mix(mix(options->seed) ^ key);
}

static uint64_t value_word(const struct options *options, uint64_t base, uint32_t i)
{
	uint32_t words = options->value_bytes / sizeof(uint64_t);

	return i < words * (100 - options->zeros) / 100 ? mix(base + i * MIX_STEP) : 0;
}

static void value_fill(const struct options *options, uint32_t key, uint64_t *value)
{
	uint64_t base = value_base(options, key);

	for (uint32_t i = 0; i < options->value_bytes / sizeof(*value); i++)
		value[i] = value_word(options, base, i);
}

/* @value comes off the wire and need not be aligned. */
static bool value_is(const struct options *options, uint32_t key, const char *value)
{
	uint64_t base = value_base(options, key);
	uint64_t word;

	for (uint32_t i = 0; i < options->value_bytes / sizeof(word); i++) {
		memcpy(&word, value + i * sizeof(word), sizeof(word));
		if (word != value_word(options, base, i))
			return false;
	}
	return true;
}

/* ---- the connection ------------------------------------------------------------ */

/* A whole reply fits, and so does the longest request. */
#define CONN_BUFFER	(MAX_VALUE + 256u)

struct conn {
	int fd;
	unsigned int silence;
	size_t start, end;	/* of what was received and not yet used */
	size_t length;		/* of what is to be sent */
	char in[2 * CONN_BUFFER];
	char out[2 * CONN_BUFFER];
};

static struct conn conn;

static void lost(const char *what)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		errx(EXIT_SILENT, "%s: no answer for %u s", what, conn.silence);
	err(EXIT_WRONG, "%s", what);
}

static int connect_once(const struct options *options)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_in inet = {
		.sin_family = AF_INET,
		.sin_port = htons(options->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr *address = (struct sockaddr *)&inet;
	socklen_t length = sizeof(inet);
	int fd;

	if (options->socket) {
		strncpy(local.sun_path, options->socket, sizeof(local.sun_path) - 1);
		address = (struct sockaddr *)&local;
		length = sizeof(local);
	}
	fd = socket(address->sa_family, SOCK_STREAM, 0);
	if (fd < 0)
		err(EXIT_WRONG, "socket");
	if (!connect(fd, address, length))
		return fd;
	close(fd);
	return -1;
}

/* The server may be about to start. */
static void conn_open(const struct options *options)
{
	struct timeval limit = { .tv_sec = options->silence };
	uint64_t start = now_ns();

	conn.silence = options->silence;
	while ((conn.fd = connect_once(options)) < 0) {
		if (now_ns() - start > options->silence * SECOND_NS)
			err(EXIT_SILENT, "connect");
		usleep(50000);
	}
	if (setsockopt(conn.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    setsockopt(conn.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		err(EXIT_WRONG, "setsockopt");
}

static void conn_flush(void)
{
	size_t sent = 0;
	ssize_t len;

	while (sent < conn.length) {
		len = send(conn.fd, conn.out + sent, conn.length - sent, MSG_NOSIGNAL);
		if (len < 0)
			lost("send");
		sent += (size_t)len;
	}
	conn.length = 0;
}

static void conn_put(const void *data, size_t len)
{
	if (conn.length + len > sizeof(conn.out))
		conn_flush();
	memcpy(conn.out + conn.length, data, len);
	conn.length += len;
}

static void conn_receive(void)
{
	ssize_t len;

	if (conn.start) {
		conn.end -= conn.start;
		memmove(conn.in, conn.in + conn.start, conn.end);
		conn.start = 0;
	}
	if (conn.end == sizeof(conn.in))
		errx(EXIT_WRONG, "reply too long");
	len = recv(conn.fd, conn.in + conn.end, sizeof(conn.in) - conn.end, 0);
	if (len < 0)
		lost("receive");
	if (!len)
		errx(EXIT_WRONG, "the server closed the connection");
	conn.end += (size_t)len;
}

/* The next @len bytes; valid until the next call. */
static const char *conn_get(size_t len)
{
	const char *data;

	while (conn.end - conn.start < len)
		conn_receive();
	data = conn.in + conn.start;
	conn.start += len;
	return data;
}

/* The next line without its end; valid until the next call. */
static const char *conn_line(void)
{
	size_t seen = 0;
	char *line, *end;

	for (;;) {
		line = conn.in + conn.start;
		end = memchr(line + seen, '\n', conn.end - conn.start - seen);
		if (end)
			break;
		seen = conn.end - conn.start;
		conn_receive();
	}
	conn.start += (size_t)(end - line) + 1;
	*end = '\0';
	if (end > line && end[-1] == '\r')
		end[-1] = '\0';
	return line;
}

/* ---- the protocol of redis ------------------------------------------------------ */

#define KEY_FORMAT	"key:%08u"
#define KEY_BYTES	12

static void ask_set(const struct options *options, uint32_t key)
{
	uint64_t value[MAX_VALUE / sizeof(uint64_t)];
	char head[96];
	int len;

	len = snprintf(head, sizeof(head),
		       "*3\r\n$3\r\nSET\r\n$%d\r\n" KEY_FORMAT "\r\n$%u\r\n",
		       KEY_BYTES, key, options->value_bytes);
	value_fill(options, key, value);
	conn_put(head, (size_t)len);
	conn_put(value, options->value_bytes);
	conn_put("\r\n", 2);
}

static void ask_get(const struct options *options, uint32_t key)
{
	char head[64];
	int len;

	(void)options;
	len = snprintf(head, sizeof(head), "*2\r\n$3\r\nGET\r\n$%d\r\n" KEY_FORMAT "\r\n",
		       KEY_BYTES, key);
	conn_put(head, (size_t)len);
}

static void take_ok(const struct options *options, uint32_t key,
		    struct counts *counts)
{
	const char *line = conn_line();

	(void)options;
	if (strcmp(line, "+OK"))
		errx(EXIT_WRONG, "set of key %u: %s", key, line);
	counts->done++;
}

static void take_value(const struct options *options, uint32_t key,
		       struct counts *counts)
{
	const char *line = conn_line();
	unsigned long len;

	counts->done++;
	if (line[0] != '$')
		errx(EXIT_WRONG, "get of key %u: %s", key, line);
	if (line[1] == '-') {
		counts->missing++;
		return;
	}
	len = strtoul(line + 1, NULL, 10);
	if (len > MAX_VALUE)
		errx(EXIT_WRONG, "get of key %u: %lu bytes", key, len);
	line = conn_get(len + 2);
	if (len != options->value_bytes || !value_is(options, key, line)) {
		counts->bad++;
		warnx("key %u: wrong value", key);
	}
}

/* ---- progress and result ---------------------------------------------------------- */

/* One line a second, so that whoever waits sees that there is something to wait for. */
static void progress(const char *verb, uint64_t done, uint64_t of)
{
	static uint64_t last_ns;
	uint64_t now = now_ns();

	if (now - last_ns < SECOND_NS)
		return;
	last_ns = now;
	fprintf(stderr, "%s %llu/%llu\n", verb, (unsigned long long)done,
		(unsigned long long)of);
}

/* ---- the verbs --------------------------------------------------------------------- */

struct verb {
	const char *name;
	void (*ask)(const struct options *options, uint32_t key);
	void (*take)(const struct options *options, uint32_t key,
		     struct counts *counts);
};

static bool time_over(const struct options *options, uint64_t start_ns)
{
	return options->seconds &&
	       now_ns() - start_ns > options->seconds * SECOND_NS;
}

/* All keys in order, @depth requests at a time. */
static void run_all(const struct options *options, const struct verb *verb,
		    struct counts *counts)
{
	uint64_t start_ns = now_ns();
	uint32_t first, key, last;

	for (first = 0; first < options->keys; first = last) {
		if (time_over(options, start_ns))
			return;
		last = first + options->depth;
		if (last > options->keys)
			last = options->keys;
		for (key = first; key < last; key++)
			verb->ask(options, key);
		conn_flush();
		for (key = first; key < last; key++)
			verb->take(options, key, counts);
		progress(verb->name, last, options->keys);
	}
}

/*
 * Until an answer comes, with a sign of life each second. False: the time is
 * over; where a page takes seconds to come, that may be in the middle of one.
 */
static bool answer_comes(const struct options *options, const struct verb *verb,
			 uint64_t start_ns)
{
	struct pollfd poll_in = { .fd = conn.fd, .events = POLLIN };
	uint64_t asked_ns = now_ns();

	while (!poll(&poll_in, 1, 100)) {
		progress(verb->name, (now_ns() - start_ns) / SECOND_NS,
			 options->seconds);
		if (time_over(options, start_ns))
			return false;
		if (now_ns() - asked_ns > options->silence * SECOND_NS)
			errx(EXIT_SILENT, "no answer for %u s", options->silence);
	}
	return true;
}

/*
 * Keys at random, one request at a time; options->order gives which. The last
 * one may be without its answer: it counts in the time, not in the number.
 */
static void run_random(const struct options *options, const struct verb *verb,
		       struct counts *counts)
{
	uint64_t start_ns = now_ns();
	uint64_t state = mix(options->order);
	uint64_t asked_ns;
	uint32_t key;

	while (!time_over(options, start_ns)) {
		state += MIX_STEP;
		key = (uint32_t)(mix(state) % options->keys);
		asked_ns = now_ns();
		verb->ask(options, key);
		conn_flush();
		if (!answer_comes(options, verb, start_ns))
			return;
		verb->take(options, key, counts);
		hist_add(&counts->latency, now_ns() - asked_ns);
		progress(verb->name, (now_ns() - start_ns) / SECOND_NS,
			 options->seconds);
	}
}

static const struct verb verbs[] = {
	{ "load", ask_set, take_ok },
	{ "verify", ask_get, take_value },
	{ "read", ask_get, take_value },
};

#define VERBS	(sizeof(verbs) / sizeof(verbs[0]))

static void print_latency(const struct histogram *latency)
{
	if (!latency->count)
		return;
	printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_ms\": %.1f",
	       hist_us(latency, 0.5), hist_us(latency, 0.99),
	       hist_us(latency, 0.999), (double)latency->max_ns / 1e6);
}

static int run(const struct options *options, const struct verb *verb)
{
	static struct counts counts;
	unsigned long long in, out;
	double seconds;
	uint64_t start_ns;

	conn_open(options);
	in = vmstat("pswpin");
	out = vmstat("pswpout");
	start_ns = now_ns();
	if (!strcmp(verb->name, "read"))
		run_random(options, verb, &counts);
	else
		run_all(options, verb, &counts);
	seconds = (double)(now_ns() - start_ns) / 1e9;

	printf("{\"verb\": \"%s\", \"seed\": %llu, \"keys\": %u, \"value_bytes\": %u, ",
	       verb->name, (unsigned long long)options->seed, options->keys,
	       options->value_bytes);
	printf("\"done\": %llu, \"bad\": %llu, \"missing\": %llu, ",
	       (unsigned long long)counts.done, (unsigned long long)counts.bad,
	       (unsigned long long)counts.missing);
	printf("\"seconds\": %.3f, \"per_s\": %.1f, \"pswpin\": %llu, \"pswpout\": %llu",
	       seconds, (double)counts.done / seconds, vmstat("pswpin") - in,
	       vmstat("pswpout") - out);
	print_latency(&counts.latency);
	puts("}");
	return counts.bad || counts.missing ? EXIT_WRONG : 0;
}

/* ---- options -------------------------------------------------------------------------- */

static const char usage[] =
	"Usage: redisload [OPTIONS] load|verify|read\n\n"
	"  load    set all keys, in order\n"
	"  verify  get all keys, in order, and compare every value\n"
	"  read    get keys at random, one at a time, and compare every value\n\n"
	"  -u PATH   unix socket of the server (TCP on loopback)\n"
	"  -p PORT   port of the server (6379)\n"
	"  -n KEYS   (1000)\n"
	"  -z BYTES  size of a value, a multiple of 8 up to 64 KiB (4080)\n"
	"  -Z PCT    of a value that are zeros (0: it does not compress)\n"
	"  -s SEED   which values (1)\n"
	"  -r SEED   read: in which order (1)\n"
	"  -d N      requests under way for load and verify, up to 64 (16)\n"
	"  -t SEC    read: how long (10); verify: stop after so long\n"
	"  -T SEC    give up after so long without an answer (20)\n"
	"  -h        this text\n\n"
	"One line of JSON at the end, a line of progress each second on stderr.\n"
	"Exit status: 0 all values right, 1 not so or an error, 2 wrong usage,\n"
	"3 no answer.\n";

static void parse(struct options *options, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "u:p:n:z:Z:s:r:d:t:T:h")) >= 0) {
		switch (opt) {
		case 'u':
			options->socket = optarg;
			break;
		case 'p':
			options->port = (uint16_t)number(optarg, 1, UINT16_MAX);
			break;
		case 'n':
			options->keys = (uint32_t)number(optarg, 1, 99999999);
			break;
		case 'z':
			options->value_bytes = (uint32_t)number(optarg, 8, MAX_VALUE);
			if (options->value_bytes % 8)
				errx(EXIT_USAGE, "%s: not a multiple of 8", optarg);
			break;
		case 'Z':
			options->zeros = (uint32_t)number(optarg, 0, 100);
			break;
		case 's':
			options->seed = number(optarg, 0, UINT64_MAX);
			break;
		case 'r':
			options->order = number(optarg, 0, UINT64_MAX);
			break;
		case 'd':
			options->depth = (unsigned int)number(optarg, 1, MAX_DEPTH);
			break;
		case 't':
			options->seconds = (unsigned int)number(optarg, 1, 1000000);
			break;
		case 'T':
			options->silence = (unsigned int)number(optarg, 1, 1000000);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			exit(EXIT_USAGE);
		}
	}
}

static const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < VERBS; i++) {
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	}
	errx(EXIT_USAGE, "%s: expected load, verify or read", name);
}

int main(int argc, char **argv)
{
	struct options options = {
		.port = 6379,
		.keys = 1000,
		.value_bytes = 4080,
		.seed = 1,
		.order = 1,
		.depth = 16,
		.silence = 20,
	};
	const struct verb *verb;

	parse(&options, argc, argv);
	if (argc - optind != 1)
		errx(EXIT_USAGE, "expected load, verify or read");
	verb = verb_find(argv[optind]);
	if (!options.seconds && !strcmp(verb->name, "read"))
		options.seconds = 10;
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		err(EXIT_WRONG, "mlockall");
	return run(&options, verb);
}
