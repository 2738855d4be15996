// SPDX-License-Identifier: GPL-2.0-only
/*
 * growth MIB MIB_PER_SECOND - a host's own application that needs more memory: so
 * much of it, in steps of 1 MiB, no faster than that. When it has it all it says
 * how long that took and how long the longest step was, and keeps it until killed.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"

#define STEP		((size_t)1 << 20)
#define SECOND_NS	1000000000u

static void sleep_until(uint64_t ns)
{
	const struct timespec t = {
		.tv_sec = (time_t)(ns / SECOND_NS),
		.tv_nsec = (long)(ns % SECOND_NS),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
		;
}

int main(int argc, char **argv)
{
	uint64_t mib, rate, start, longest = 0;
	unsigned char *memory;

	if (argc != 3)
		errx(2, "usage: growth MIB MIB_PER_SECOND");
	mib = number(argv[1], 1, 1 << 20);
	rate = number(argv[2], 1, 1 << 20);
	memory = mmap(NULL, mib * STEP, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	start = now_ns();
	for (uint64_t i = 0; i < mib; i++) {
		uint64_t before, took;

		sleep_until(start + i * SECOND_NS / rate);
		before = now_ns();
		memset(memory + i * STEP, (int)i | 1, STEP);
		took = now_ns() - before;
		if (took > longest)
			longest = took;
	}
	printf("grown by %llu MiB in %.1f s, longest step %.0f ms\n",
	       (unsigned long long)mib, (double)(now_ns() - start) / 1e9,
	       (double)longest / 1e6);
	fflush(stdout);
	for (;;)
		pause();
}
