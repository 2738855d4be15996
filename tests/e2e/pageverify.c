// SPDX-License-Identifier: GPL-2.0-only
/*
 * pageverify: fills more memory than there is, walks through it and looks at
 * every word of every page it touches.
 *
 * Word i of a page is mix(mix(name ^ key) + i * odd), where the name packs
 * process, page and version, the key comes from the seed, and mix() is a
 * bijection of 64 bits. So a page does not compress, no two of its words are
 * equal, and any word found in a wrong place tells whose it was: an old
 * version, another page, or nothing that was ever written. With -Z its last
 * words are zeros, and it compresses so far.
 */
#include <err.h>
#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

#define PAGE_BYTES	4096u
#define PAGE_WORDS	(PAGE_BYTES / sizeof(uint64_t))
#define PAGES_PER_MIB	256u

#define MAX_PROCS	64u
#define MAX_COMPLAINTS	8u	/* pages told per process; all are counted */
#define STALL_NS	10000000u

/* A page may give SIGBUS between any two instructions that touch it. */
#define barrier()	__asm__ __volatile__("" ::: "memory")

struct options {
	unsigned int procs;
	unsigned int mib;		/* per process */
	unsigned int sequential;	/* passes of each kind per round */
	unsigned int random;
	unsigned int write_percent;
	unsigned int seconds;		/* 0: no limit */
	uint64_t page_ins;		/* 0: no limit */
	uint64_t interval_ns;		/* between lines of progress; 0: none */
	uint64_t seed;
	bool huge;
	bool expect_sigbus;
	bool no_check;
	bool send_out;
};

/* What one process counts; only that process writes to it. */
struct counts {
	uint64_t accesses;
	uint64_t writes;
	uint64_t bad;
	uint64_t sigbus;	/* signals, several for a page that stays lost */
	uint64_t eio;		/* pages that were lost at least once */
	uint64_t max_ns;	/* of any access, one that ended in SIGBUS too */
	uint64_t lately_ns;	/* the same, taken away with each line of progress */
	uint64_t stalls;	/* accesses that took more than STALL_NS */
	struct histogram faults;	/* accesses that waited for a page-in */
};

/* Shared by all processes and locked in memory. */
static struct shared {
	volatile bool stop;		/* end the passes, go to the last check */
	volatile unsigned int filled;	/* processes that have filled their memory */
	volatile unsigned int passed;	/* processes that have ended their passes */
	struct counts counts[];
} *counters;

/* ---- what a page holds ------------------------------------------------------ */

#define VERSION_BITS	24
#define PAGE_BITS	32
#define VERSION_MASK	((1u << VERSION_BITS) - 1)
#define PAGE_MASK	((1ull << PAGE_BITS) - 1)

static uint64_t name_of(unsigned int proc, uint64_t page, uint32_t version)
{
	return (uint64_t)proc << (PAGE_BITS + VERSION_BITS) |
	       page << VERSION_BITS | (version & VERSION_MASK);
}

static size_t filled_words = PAGE_WORDS;	/* of each page; zeros follow */

static uint64_t word_of(uint64_t base, size_t i)
{
	return i < filled_words ? mix(base + i * MIX_STEP) : 0;
}

static void page_fill(uint64_t *words, uint64_t name, uint64_t key)
{
	uint64_t base = mix(name ^ key);

	for (size_t i = 0; i < PAGE_WORDS; i++)
		words[i] = word_of(base, i);
}

/* The first wrong word, or PAGE_WORDS. */
static size_t page_check(const uint64_t *words, uint64_t name, uint64_t key)
{
	uint64_t base = mix(name ^ key);

	for (size_t i = 0; i < PAGE_WORDS; i++) {
		if (words[i] != word_of(base, i))
			return i;
	}
	return PAGE_WORDS;
}

/* ---- one process ---------------------------------------------------------- */

struct verifier {
	const struct options *options;
	struct shared *shared;
	struct counts *counts;
	unsigned int proc;
	uint64_t key;
	uint64_t random;	/* state of the generator */
	uint64_t touched_ns;	/* when the present access began */
	uint64_t pages;
	uint32_t *version;	/* of each page, locked in memory */
	uint8_t *state;		/* enum page_state of each page, locked too */
	char *memory;
};

enum page_state {
	PAGE_GOOD,
	PAGE_LOST,	/* gave SIGBUS; must not come back with other contents */
	PAGE_TORN,	/* SIGBUS in the middle of our own write: contents unknown */
};

static sigjmp_buf on_sigbus;

static void sigbus(int number)
{
	(void)number;
	siglongjmp(on_sigbus, 1);
}

static void sigterm(int number)
{
	(void)number;
	counters->stop = true;
}

/* SA_NODEFER: the handler does not return, so nothing would unblock the signal. */
static void catch_sigbus(void)
{
	struct sigaction action = { .sa_handler = sigbus, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &action, NULL);
}

static uint64_t next_random(struct verifier *v)
{
	v->random += MIX_STEP;
	return mix(v->random);
}

static uint64_t *page_at(const struct verifier *v, uint64_t page)
{
	return (uint64_t *)(v->memory + page * PAGE_BYTES);
}

static long major_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_majflt;
}

static void note_time(struct verifier *v, uint64_t ns)
{
	uint64_t lately = __atomic_load_n(&v->counts->lately_ns, __ATOMIC_RELAXED);

	if (ns > v->counts->max_ns)
		v->counts->max_ns = ns;
	if (ns > STALL_NS)
		v->counts->stalls++;
	while (ns > lately &&
	       !__atomic_compare_exchange_n(&v->counts->lately_ns, &lately, ns, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* Brings the page in and takes the time of it. */
static void page_touch(struct verifier *v, const uint64_t *words)
{
	long faults = major_faults();
	uint64_t ns;

	v->touched_ns = now_ns();
	(void)*(const volatile uint64_t *)words;
	ns = now_ns() - v->touched_ns;
	v->counts->accesses++;
	note_time(v, ns);
	if (major_faults() != faults)
		hist_add(&v->counts->faults, ns);
}

/* Says what a wrong word is, if it is one of ours. */
static void explain(const struct verifier *v, uint64_t word, size_t index)
{
	uint64_t name = unmix(unmix(word) - index * MIX_STEP) ^ v->key;
	uint64_t proc = name >> (PAGE_BITS + VERSION_BITS);
	uint64_t page = name >> VERSION_BITS & PAGE_MASK;

	if (!word)
		fprintf(stderr, "zeros\n");
	else if (proc < v->options->procs && page < v->pages)
		fprintf(stderr, "process %llu page %llu version %llu\n",
			(unsigned long long)proc, (unsigned long long)page,
			(unsigned long long)(name & VERSION_MASK));
	else
		fprintf(stderr, "nothing of this run\n");
}

static void complain(const struct verifier *v, uint64_t page, size_t index)
{
	const uint64_t *words = page_at(v, page);
	uint64_t base = mix(name_of(v->proc, page, v->version[page]) ^ v->key);

	if (v->counts->bad > MAX_COMPLAINTS)
		return;
	fprintf(stderr,
		"pageverify: process %u page %llu version %u address %p word %zu: expected %016llx, found %016llx: ",
		v->proc, (unsigned long long)page, v->version[page],
		(const void *)words, index,
		(unsigned long long)word_of(base, index),
		(unsigned long long)words[index]);
	explain(v, words[index], index);
}

static void page_verify(struct verifier *v, uint64_t page)
{
	const uint64_t *words = page_at(v, page);
	size_t wrong;

	page_touch(v, words);
	wrong = page_check(words, name_of(v->proc, page, v->version[page]), v->key);
	if (wrong == PAGE_WORDS)
		return;
	v->counts->bad++;
	complain(v, page, wrong);
	page_fill(page_at(v, page), name_of(v->proc, page, v->version[page]), v->key);
}

/* A page is torn from its first new word to its last. */
static void page_write(struct verifier *v, uint64_t page)
{
	v->state[page] = PAGE_TORN;
	v->version[page] = (v->version[page] + 1) & VERSION_MASK;
	barrier();
	page_fill(page_at(v, page), name_of(v->proc, page, v->version[page]), v->key);
	barrier();
	v->state[page] = PAGE_GOOD;
	v->counts->writes++;
}

static void page_lost(struct verifier *v, uint64_t page)
{
	v->counts->sigbus++;
	note_time(v, now_ns() - v->touched_ns);
	if (v->state[page] == PAGE_LOST)
		return;
	v->counts->eio++;
	if (v->state[page] == PAGE_GOOD)
		v->state[page] = PAGE_LOST;
	if (v->options->expect_sigbus)
		return;
	v->shared->stop = true;
	if (v->counts->eio > MAX_COMPLAINTS)
		return;
	fprintf(stderr, "pageverify: process %u page %llu address %p: SIGBUS\n",
		v->proc, (unsigned long long)page, (void *)page_at(v, page));
}

static void page_access(struct verifier *v, uint64_t page, bool write)
{
	if (sigsetjmp(on_sigbus, 0)) {
		page_lost(v, page);
		return;
	}
	page_verify(v, page);
	if (write)
		page_write(v, page);
}

static bool write_wanted(struct verifier *v)
{
	return next_random(v) % 100 < v->options->write_percent;
}

/* In the passes lost pages are left alone; the last check looks at them again. */
static void pass_access(struct verifier *v, uint64_t page)
{
	if (v->state[page] == PAGE_GOOD)
		page_access(v, page, write_wanted(v));
}

static void pass_sequential(struct verifier *v)
{
	for (uint64_t page = 0; page < v->pages && !v->shared->stop; page++)
		pass_access(v, page);
}

/*
 * Every page once, in an order that differs from pass to pass: steps that are
 * bijections of a power of two, and numbers beyond the last page are left out.
 */
static uint64_t shuffled(uint64_t i, uint64_t mask, unsigned int bits,
			 uint64_t key)
{
	i = (i ^ key) & mask;
	i = i * (mix(key) | 1) & mask;
	i ^= i >> (bits + 1) / 2;
	i = i * (mix(key + 1) | 1) & mask;
	return i ^ i >> (bits + 1) / 2;
}

static void pass_random(struct verifier *v)
{
	uint64_t key = next_random(v);
	unsigned int bits = 1;
	uint64_t mask, page;

	while (1ull << bits < v->pages)
		bits++;
	mask = (1ull << bits) - 1;
	for (uint64_t i = 0; i <= mask && !v->shared->stop; i++) {
		page = shuffled(i, mask, bits, key);
		if (page < v->pages)
			pass_access(v, page);
	}
}

static void run_round(struct verifier *v)
{
	for (unsigned int i = 0; i < v->options->sequential; i++)
		pass_sequential(v);
	for (unsigned int i = 0; i < v->options->random; i++)
		pass_random(v);
}

static void run_passes(struct verifier *v)
{
	bool limited = v->options->seconds || v->options->page_ins;

	do {
		run_round(v);
	} while (limited && !v->shared->stop);
}

static void verify_all(struct verifier *v)
{
	for (uint64_t page = 0; page < v->pages; page++) {
		if (v->state[page] != PAGE_TORN)
			page_access(v, page, false);
	}
}

static void fill_all(struct verifier *v)
{
	volatile uint64_t page;

	for (page = 0; page < v->pages; page++) {
		v->state[page] = PAGE_TORN;
		v->touched_ns = now_ns();
		if (sigsetjmp(on_sigbus, 0)) {
			page_lost(v, page);
			continue;
		}
		page_fill(page_at(v, page), name_of(v->proc, page, 0), v->key);
		barrier();
		v->state[page] = PAGE_GOOD;
	}
}

static void *map(size_t bytes, int flags, const char *what)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		err(1, "%s: %zu bytes", what, bytes);
	return p;
}

/* The tester itself stays in memory: only the pages under test are swapped. */
static void memory_setup(struct verifier *v)
{
	size_t bytes = v->pages * PAGE_BYTES;

	v->version = map(v->pages * sizeof(*v->version), MAP_PRIVATE, "versions");
	v->state = map(v->pages, MAP_PRIVATE, "states");
	if (mlockall(MCL_CURRENT))
		err(1, "mlockall");
	v->memory = map(bytes, MAP_PRIVATE, "memory");
	if (madvise(v->memory, bytes, v->options->huge ? MADV_HUGEPAGE :
							 MADV_NOHUGEPAGE))
		warn("madvise");
}

static void wait_until(volatile unsigned int *count, unsigned int enough,
		       const struct shared *shared)
{
	while (*count < enough && !shared->stop)
		usleep(20000);
}

static void child(const struct options *options, struct shared *shared,
		  unsigned int proc)
{
	struct verifier v = {
		.options = options,
		.shared = shared,
		.counts = &shared->counts[proc],
		.proc = proc,
		.key = mix(options->seed),
		.random = mix(options->seed + proc + 1),
		.pages = (uint64_t)options->mib * PAGES_PER_MIB,
	};

	memory_setup(&v);
	catch_sigbus();
	fill_all(&v);
	if (options->send_out && madvise(v.memory, v.pages * PAGE_BYTES, MADV_PAGEOUT))
		warn("MADV_PAGEOUT");
	__sync_fetch_and_add(&shared->filled, 1);
	wait_until(&shared->filled, options->procs, shared);
	run_passes(&v);
	__sync_fetch_and_add(&shared->passed, 1);
	if (!options->no_check)
		verify_all(&v);
}

/* ---- the parent ------------------------------------------------------------- */

struct report {
	uint64_t start_ns, filled_ns, passed_ns, end_ns;
	uint64_t pswpin, pswpout;	/* at the start, then how many since */
	uint64_t filled_in, filled_out;	/* the same when all memory was filled */
	uint64_t pass_in, pass_out;	/* from then to the end of the passes */
	unsigned int failed;		/* processes that did not end by themselves */
};

/* So many pages since the last line, the longest of them, and how many stalled. */
static void tell_progress(const struct options *options, struct shared *shared,
			  uint64_t now)
{
	static uint64_t told, told_stalls;
	uint64_t pages = 0, stalls = 0, longest = 0, ns;

	for (unsigned int proc = 0; proc < options->procs; proc++) {
		struct counts *counts = &shared->counts[proc];

		pages += __atomic_load_n(&counts->accesses, __ATOMIC_RELAXED);
		stalls += __atomic_load_n(&counts->stalls, __ATOMIC_RELAXED);
		ns = __atomic_exchange_n(&counts->lately_ns, 0, __ATOMIC_RELAXED);
		if (ns > longest)
			longest = ns;
	}
	printf("progress %llu %llu %llu %llu\n", (unsigned long long)now,
	       (unsigned long long)(pages - told), (unsigned long long)longest,
	       (unsigned long long)(stalls - told_stalls));
	fflush(stdout);
	told = pages;
	told_stalls = stalls;
}

/* A tick of 100 ms, or until the next line of progress. */
static void pause_until_due(const struct options *options, struct shared *shared)
{
	static uint64_t due;
	uint64_t now = now_ns();

	if (!options->interval_ns) {
		usleep(100000);
		return;
	}
	if (now < due)
		usleep((unsigned int)((due - now) / 1000));
	now = now_ns();
	if (now >= due) {
		tell_progress(options, shared, now);
		due = now + options->interval_ns;
	}
}

static bool limit_reached(const struct options *options,
			  const struct report *report)
{
	if (options->seconds &&
	    now_ns() - report->filled_ns > options->seconds * 1000000000ull)
		return true;
	return options->page_ins &&
	       vmstat("pswpin") - report->pswpin >= options->page_ins;
}

/* Collects the processes that have ended; returns how many are left. */
static unsigned int reap(unsigned int alive, struct shared *shared,
			 struct report *report)
{
	int status;
	pid_t pid;

	while (alive && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		alive--;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		fprintf(stderr, "pageverify: a process ended with %s %d\n",
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) :
					      WEXITSTATUS(status));
		report->failed++;
		shared->stop = true;
	}
	return alive;
}

static void passes_end(struct report *report)
{
	report->passed_ns = now_ns();
	if (report->filled_ns) {
		report->pass_in = vmstat("pswpin") - report->filled_in;
		report->pass_out = vmstat("pswpout") - report->filled_out;
	}
}

static void watch(const struct options *options, struct shared *shared,
		  struct report *report)
{
	unsigned int alive = options->procs;

	while ((alive = reap(alive, shared, report))) {
		pause_until_due(options, shared);
		if (!report->filled_ns && shared->filled == options->procs) {
			report->filled_ns = now_ns();
			report->filled_in = vmstat("pswpin");
			report->filled_out = vmstat("pswpout");
			fprintf(stderr, "pageverify: filled\n");
		}
		if (!report->passed_ns && shared->passed == options->procs)
			passes_end(report);
		if (report->filled_ns && limit_reached(options, report))
			shared->stop = true;
	}
	if (!report->passed_ns)
		passes_end(report);
	report->end_ns = now_ns();
	if (!report->filled_ns)
		report->filled_ns = report->passed_ns;
}

static void add_counts(struct counts *sum, const struct counts *part)
{
	sum->accesses += part->accesses;
	sum->writes += part->writes;
	sum->bad += part->bad;
	sum->sigbus += part->sigbus;
	sum->eio += part->eio;
	if (part->max_ns > sum->max_ns)
		sum->max_ns = part->max_ns;
	hist_merge(&sum->faults, &part->faults);
}

static double seconds(uint64_t from_ns, uint64_t to_ns)
{
	return (double)(to_ns - from_ns) / 1e9;
}

static void print(const struct options *options, const struct counts *sum,
		  const struct report *report)
{
	printf("{\"seed\": %llu, \"procs\": %u, \"mib\": %u, ",
	       (unsigned long long)options->seed, options->procs, options->mib);
	printf("\"accesses\": %llu, \"writes\": %llu, \"bad\": %llu, ",
	       (unsigned long long)sum->accesses,
	       (unsigned long long)sum->writes, (unsigned long long)sum->bad);
	printf("\"sigbus\": %llu, \"eio\": %llu, \"failed\": %u, ",
	       (unsigned long long)sum->sigbus, (unsigned long long)sum->eio,
	       report->failed);
	printf("\"pswpin\": %llu, \"pswpout\": %llu, ",
	       (unsigned long long)report->pswpin,
	       (unsigned long long)report->pswpout);
	printf("\"pass_in\": %llu, \"pass_out\": %llu, ",
	       (unsigned long long)report->pass_in,
	       (unsigned long long)report->pass_out);
	printf("\"fill_s\": %.2f, \"pass_s\": %.2f, \"verify_s\": %.2f, \"seconds\": %.2f, ",
	       seconds(report->start_ns, report->filled_ns),
	       seconds(report->filled_ns, report->passed_ns),
	       seconds(report->passed_ns, report->end_ns),
	       seconds(report->start_ns, report->end_ns));
	printf("\"faults\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_ms\": %.1f}\n",
	       (unsigned long long)sum->faults.count,
	       hist_us(&sum->faults, 0.5), hist_us(&sum->faults, 0.99),
	       hist_us(&sum->faults, 0.999), (double)sum->max_ns / 1e6);
}

static void start(const struct options *options, struct shared *shared)
{
	pid_t parent = getpid();
	pid_t pid;

	for (unsigned int proc = 0; proc < options->procs; proc++) {
		pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (pid)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		child(options, shared, proc);
		_exit(0);
	}
}

static bool succeeded(const struct options *options, const struct counts *sum,
		      const struct report *report)
{
	return !sum->bad && !report->failed &&
	       (!sum->sigbus || options->expect_sigbus);
}

static int run(const struct options *options)
{
	static char line[1024];	/* stdout's, locked in memory with all else */
	size_t bytes = sizeof(struct shared) +
		       options->procs * sizeof(struct counts);
	struct shared *shared = map(bytes, MAP_SHARED, "counters");
	struct report report = {
		.start_ns = now_ns(),
		.pswpin = vmstat("pswpin"),
		.pswpout = vmstat("pswpout"),
	};
	struct counts sum = { 0 };

	counters = shared;
	signal(SIGTERM, sigterm);
	setvbuf(stdout, line, _IOFBF, sizeof(line));
	fprintf(stderr, "pageverify: seed %llu\n",
		(unsigned long long)options->seed);
	start(options, shared);
	if (mlockall(MCL_CURRENT))
		err(1, "mlockall");
	watch(options, shared, &report);
	report.pswpin = vmstat("pswpin") - report.pswpin;
	report.pswpout = vmstat("pswpout") - report.pswpout;
	for (unsigned int proc = 0; proc < options->procs; proc++)
		add_counts(&sum, &shared->counts[proc]);
	print(options, &sum, &report);
	return succeeded(options, &sum, &report) ? 0 : 1;
}

/* ---- options ---------------------------------------------------------------- */

static const char usage[] =
	"Usage: pageverify [OPTIONS]\n\n"
	"Fill memory, walk through it and verify every page that is touched; at the\n"
	"end verify all of it. With -t or -i the passes are repeated until then, or\n"
	"until SIGTERM.\n\n"
	"  -p N     processes (1)\n"
	"  -m MIB   memory per process (64)\n"
	"  -S N     sequential passes (0)\n"
	"  -R N     random passes (1)\n"
	"  -w PCT   pages rewritten, percent of accesses (30)\n"
	"  -t SEC   stop the passes after so long\n"
	"  -i N     stop the passes after N page-ins of the whole system\n"
	"  -I MS    a line each MS: progress TIME PAGES LONGEST STALLS, times in ns,\n"
	"           TIME of the monotonic clock, LONGEST of one page since the last\n"
	"           line, STALLS those that took more than 10 ms\n"
	"  -s SEED  (taken from the clock, and printed)\n"
	"  -Z PCT   of each page that are zeros (0)\n"
	"  -n       no check of all of it at the end\n"
	"  -O       send all of it out before the passes: reads alone write nothing then\n"
	"  -H       ask for huge pages instead of refusing them\n"
	"  -e       expect lost pages: SIGBUS is counted and is no failure\n"
	"  -h       this text\n\n"
	"One line of JSON at the end. p50_us, p99_us and p999_us are of accesses that\n"
	"waited for a page-in (faults), max_ms of all; bad counts wrong pages, eio\n"
	"lost ones, failed processes that died. pswpin and pswpout are the system's,\n"
	"pass_in and pass_out those of the passes.\n"
	"Exit status: 0 all pages right, 1 not so, 2 wrong usage.\n";

static void parse(struct options *options, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "p:m:S:R:w:t:i:I:s:Z:nOHeh")) >= 0) {
		switch (opt) {
		case 'p':
			options->procs = (unsigned int)number(optarg, 1, MAX_PROCS);
			break;
		case 'm':
			options->mib = (unsigned int)number(optarg, 1, 1u << 20);
			break;
		case 'S':
			options->sequential = (unsigned int)number(optarg, 0, 1000000);
			break;
		case 'R':
			options->random = (unsigned int)number(optarg, 0, 1000000);
			break;
		case 'w':
			options->write_percent = (unsigned int)number(optarg, 0, 100);
			break;
		case 't':
			options->seconds = (unsigned int)number(optarg, 1, 1000000);
			break;
		case 'i':
			options->page_ins = number(optarg, 1, UINT64_MAX);
			break;
		case 'I':
			options->interval_ns = number(optarg, 1, 1000000) * 1000000;
			break;
		case 's':
			options->seed = number(optarg, 0, UINT64_MAX);
			break;
		case 'Z':
			filled_words = PAGE_WORDS * (100 - number(optarg, 0, 99)) / 100;
			break;
		case 'n':
			options->no_check = true;
			break;
		case 'O':
			options->send_out = true;
			break;
		case 'H':
			options->huge = true;
			break;
		case 'e':
			options->expect_sigbus = true;
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
		.procs = 1,
		.mib = 64,
		.random = 1,
		.write_percent = 30,
		.seed = (uint64_t)time(NULL),
	};

	parse(&options, argc, argv);
	return run(&options);
}
