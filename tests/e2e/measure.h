/* SPDX-License-Identifier: GPL-2.0-only */
/* What the test programs in guests share: clock, counters, numbers, mixing, histogram. */
#ifndef E2E_MEASURE_H
#define E2E_MEASURE_H

#include <err.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A counter of the whole system, pswpin for one. */
static inline unsigned long long vmstat(const char *key)
{
	unsigned long long value;
	char name[64];
	FILE *file;

	file = fopen("/proc/vmstat", "re");
	if (!file)
		err(1, "/proc/vmstat");
	while (fscanf(file, "%63s %llu", name, &value) == 2) {
		if (!strcmp(name, key)) {
			fclose(file);
			return value;
		}
	}
	errx(1, "/proc/vmstat has no %s", key);
}

/* An argument on the command line; ends the program with 2 if it is none. */
static inline uint64_t number(const char *arg, uint64_t least, uint64_t most)
{
	unsigned long long value;
	char *end;

	value = strtoull(arg, &end, 10);
	if (end == arg || *end || arg[0] == '-' || value < least || value > most)
		errx(2, "%s: not a number from %llu to %llu", arg,
		     (unsigned long long)least, (unsigned long long)most);
	return value;
}

/* Steps of this length and mix() make a generator (splitmix64). */
#define MIX_STEP	0x9e3779b97f4a7c15u

#define MIX_1		0xff51afd7ed558ccdu
#define MIX_2		0xc4ceb9fe1a85ec53u
#define MIX_1_INVERSE	0x4f74430c22a54005u
#define MIX_2_INVERSE	0x9cb4b2f8129337dbu

/* A bijection of 64 bits: unlike inputs give unlike outputs. */
static inline uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= MIX_1;
	x ^= x >> 33;
	x *= MIX_2;
	return x ^ x >> 33;
}

/* A shift by more than half the width undoes itself. */
static inline uint64_t unmix(uint64_t x)
{
	x ^= x >> 33;
	x *= MIX_2_INVERSE;
	x ^= x >> 33;
	x *= MIX_1_INVERSE;
	return x ^ x >> 33;
}

/* Log-linear: 16 buckets for each power of two of nanoseconds, 6 % wide. */
#define HIST_LOG	4
#define HIST_SUB	(1u << HIST_LOG)
#define HIST_BUCKETS	(64u * HIST_SUB)

struct histogram {
	uint64_t count;
	uint64_t max_ns;
	uint64_t bucket[HIST_BUCKETS];
};

static inline size_t hist_bucket(uint64_t ns)
{
	unsigned int log;

	if (ns < HIST_SUB)
		return ns;
	log = 63u - (unsigned int)__builtin_clzll(ns);
	return (size_t)(log - HIST_LOG + 1) << HIST_LOG |
	       (ns >> (log - HIST_LOG) & (HIST_SUB - 1));
}

static inline void hist_add(struct histogram *hist, uint64_t ns)
{
	hist->count++;
	hist->bucket[hist_bucket(ns)]++;
	if (ns > hist->max_ns)
		hist->max_ns = ns;
}

static inline void hist_merge(struct histogram *sum, const struct histogram *part)
{
	sum->count += part->count;
	if (part->max_ns > sum->max_ns)
		sum->max_ns = part->max_ns;
	for (size_t i = 0; i < HIST_BUCKETS; i++)
		sum->bucket[i] += part->bucket[i];
}

/* The middle of a bucket. */
static inline double hist_bucket_us(size_t bucket)
{
	size_t log = bucket >> HIST_LOG;
	double low = (double)(bucket & (HIST_SUB - 1));

	if (!log)
		return low / 1e3;
	return (low + HIST_SUB + 0.5) * (double)(1ull << (log - 1)) / 1e3;
}

/* The value that a @part (0 to 1) of all lies below, in microseconds. */
static inline double hist_us(const struct histogram *hist, double part)
{
	uint64_t below = (uint64_t)((double)hist->count * part);
	uint64_t seen = 0;

	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		seen += hist->bucket[i];
		if (seen > below)
			return hist_bucket_us(i);
	}
	return 0;
}

#endif
