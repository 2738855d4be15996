// SPDX-License-Identifier: GPL-2.0-only
/*
 * swapstorm MIB ZEROS - page-outs and nothing else, as fast as swap takes them,
 * until SIGTERM: so much memory is filled, sent out, dropped, and that again. ZEROS
 * percent of each page are zeros, the rest does not compress. At the end it says
 * how many pages it sent out, and in how long.
 */
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "../e2e/measure.h"

#define PAGE_BYTES	4096u
#define PAGE_WORDS	(PAGE_BYTES / sizeof(uint64_t))
#define BATCH_PAGES	64u		/* sent out at once; between two, SIGTERM is heeded */
#define MIB_BYTES	((size_t)1 << 20)

static volatile bool over;

static void sigterm(int number)
{
	(void)number;
	over = true;
}

static void fill(uint64_t *words, size_t filled, uint64_t name)
{
	uint64_t base = mix(name);

	for (size_t i = 0; i < PAGE_WORDS; i++)
		words[i] = i < filled ? mix(base + i * MIX_STEP) : 0;
}

int main(int argc, char **argv)
{
	uint64_t start = now_ns(), out = 0, name = start;
	size_t bytes, filled;
	char *memory;

	if (argc != 3)
		errx(2, "usage: swapstorm MIB ZEROS");
	bytes = number(argv[1], 1, 1 << 20) * MIB_BYTES;
	filled = PAGE_WORDS * (100 - number(argv[2], 0, 99)) / 100;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || madvise(memory, bytes, MADV_NOHUGEPAGE))
		err(1, "memory");
	signal(SIGTERM, sigterm);
	while (!over) {
		for (size_t at = 0; at < bytes && !over; at += BATCH_PAGES * PAGE_BYTES) {
			for (size_t i = 0; i < BATCH_PAGES; i++)
				fill((uint64_t *)(memory + at + i * PAGE_BYTES), filled, name++);
			if (madvise(memory + at, BATCH_PAGES * PAGE_BYTES, MADV_PAGEOUT))
				err(1, "MADV_PAGEOUT");
			out += BATCH_PAGES;
		}
		if (madvise(memory, bytes, MADV_DONTNEED))
			err(1, "MADV_DONTNEED");
	}
	printf("{\"asked\": %llu, \"seconds\": %.2f}\n", (unsigned long long)out,
	       (double)(now_ns() - start) / 1e9);
	return 0;
}
