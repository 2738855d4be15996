// SPDX-License-Identifier: GPL-2.0-only
/*
 * swapout: memory is sent to swap at a known moment, and the swap device is
 * read beside the kernel's back: what a slot holds while it is in use, and that
 * nothing is left there when its process has gone.
 *
 * The device must be the only swap. Slot n of it is its page n.
 */
#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define PAGE_BYTES	4096u
#define PAGE_WORDS	(PAGE_BYTES / sizeof(uint64_t))
#define HUGE_BYTES	(2u << 20)

#define PAGEMAP_SWAPPED	(1ull << 62)
#define PAGEMAP_OFFSET(e) ((e) >> 5 & ((1ull << 50) - 1))

/* The swap slots come back late: each CPU collects 64 before it frees them. */
#define FREE_LIMIT_NS	10000000000u

struct shared {
	uint64_t out;		/* pages that were swapped out at once */
	uint64_t bad;		/* pages that came back wrong */
	uint64_t slot[];	/* of each page, 0 if it is in memory: slot 0 is the header */
};

static uint64_t key;

static uint64_t word_of(uint64_t page, size_t i)
{
	return mix(mix(page ^ key) + i * MIX_STEP);
}

static bool holds(const uint64_t *words, uint64_t page)
{
	for (size_t i = 0; i < PAGE_WORDS; i++)
		if (words[i] != word_of(page, i))
			return false;
	return true;
}

static bool zeros(const uint64_t *words)
{
	for (size_t i = 0; i < PAGE_WORDS; i++)
		if (words[i])
			return false;
	return true;
}

static void find_slots(const char *memory, uint64_t pages, struct shared *shared)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;

	if (fd < 0)
		err(1, "/proc/self/pagemap");
	shared->out = 0;
	for (uint64_t p = 0; p < pages; p++) {
		uintptr_t at = (uintptr_t)memory / PAGE_BYTES + p;

		if (pread(fd, &entry, sizeof(entry), (off_t)(at * sizeof(entry))) !=
		    sizeof(entry))
			err(1, "pagemap");
		shared->slot[p] = 0;
		if (!(entry & PAGEMAP_SWAPPED))
			continue;
		shared->slot[p] = PAGEMAP_OFFSET(entry);
		shared->out++;
	}
	close(fd);
}

/* Fill, send out; if told to go on, look at all of it and send it out again. */
static void child(uint64_t pages, bool huge, struct shared *shared, int told,
		  int tell)
{
	size_t bytes = pages * PAGE_BYTES;
	char *memory, c = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memory = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "memory");
	memory += HUGE_BYTES - (uintptr_t)memory % HUGE_BYTES;
	if (madvise(memory, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		err(1, "madvise");
	for (uint64_t p = 0; p < pages; p++)
		for (size_t i = 0; i < PAGE_WORDS; i++)
			((uint64_t *)(memory + p * PAGE_BYTES))[i] = word_of(p, i);

	for (int round = 0; round < 2; round++) {
		if (madvise(memory, bytes, MADV_PAGEOUT))
			err(1, "MADV_PAGEOUT");
		find_slots(memory, pages, shared);
		if (write(tell, &c, 1) != 1 || read(told, &c, 1) != 1)
			exit(1);
		for (uint64_t p = 0; !round && p < pages; p++)
			shared->bad += !holds((uint64_t *)(memory + p * PAGE_BYTES), p);
	}
}

/* How many of the slots hold their page, and how many of the rest hold zeros. */
static void look(int device, const struct shared *shared, uint64_t pages,
		 uint64_t *same, uint64_t *empty)
{
	static uint64_t words[PAGE_WORDS] __attribute__((aligned(PAGE_BYTES)));

	*same = *empty = 0;
	for (uint64_t p = 0; p < pages; p++) {
		if (!shared->slot[p])
			continue;
		if (pread(device, words, PAGE_BYTES,
			  (off_t)(shared->slot[p] * PAGE_BYTES)) != PAGE_BYTES)
			err(1, "slot %llu", (unsigned long long)shared->slot[p]);
		if (holds(words, p))
			++*same;
		else if (zeros(words))
			++*empty;
	}
}

/* The child has sent its pages out, or has ended. */
static bool child_said(int fd)
{
	char c;

	return read(fd, &c, 1) == 1;
}

static int run(int device, uint64_t pages, bool huge)
{
	uint64_t same[2], empty[2], out[2], left, freed, deadline;
	struct shared *shared;
	int up[2], down[2], status;
	pid_t pid;
	char c = 0;

	shared = mmap(NULL, sizeof(*shared) + pages * sizeof(uint64_t),
		      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || mlockall(MCL_CURRENT))
		err(1, "memory");
	if (pipe(up) || pipe(down))
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		close(up[0]);
		child(pages, huge, shared, down[0], up[1]);
		_exit(0);
	}
	close(up[1]);

	for (int round = 0; round < 2; round++) {
		if (!child_said(up[0]))
			errx(1, "the process ended early");
		out[round] = shared->out;
		look(device, shared, pages, &same[round], &empty[round]);
		if (write(down[1], &c, 1) != 1)
			err(1, "pipe");
	}
	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "the process ended with %#x", (unsigned int)status);

	deadline = now_ns() + FREE_LIMIT_NS;
	do {
		look(device, shared, pages, &left, &freed);
	} while (left > 64 && now_ns() < deadline);

	printf("{\"pages\": %llu, \"out\": %llu, \"same\": %llu, \"bad\": %llu, ",
	       (unsigned long long)pages, (unsigned long long)out[0],
	       (unsigned long long)same[0], (unsigned long long)shared->bad);
	printf("\"out_again\": %llu, \"same_again\": %llu, \"left\": %llu, \"freed\": %llu}\n",
	       (unsigned long long)out[1], (unsigned long long)same[1],
	       (unsigned long long)left, (unsigned long long)freed);
	return shared->bad ? 1 : 0;
}

static const char usage[] =
	"Usage: swapout [-H] [-s SEED] DEVICE MIB\n\n"
	"A process fills so much memory (-H: of huge pages) and sends it to swap on\n"
	"DEVICE, looks at all of it, sends it out again and ends. Meanwhile DEVICE\n"
	"is read. One line of JSON:\n\n"
	"  out, out_again    pages that went out\n"
	"  same, same_again  slots of those that held their page\n"
	"  bad               pages that the process found wrong\n"
	"  left, freed       slots that hold a page, or zeros, after its end\n"
	"Exit status: 0 no page was bad, 1 not so, 2 wrong usage.\n";

int main(int argc, char **argv)
{
	bool huge = false;
	int opt, device;

	key = mix(now_ns());
	while ((opt = getopt(argc, argv, "Hs:")) >= 0) {
		switch (opt) {
		case 'H':
			huge = true;
			break;
		case 's':
			key = mix(number(optarg, 0, UINT64_MAX));
			break;
		default:
			return 2;
		}
	}
	if (argc - optind != 2) {
		fputs(usage, stderr);
		return 2;
	}
	device = open(argv[optind], O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (device < 0)
		err(1, "%s", argv[optind]);
	return run(device, number(argv[optind + 1], 2, 1u << 20) * (HUGE_BYTES / 2 / PAGE_BYTES),
		   huge);
}
