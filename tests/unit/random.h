/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random numbers that repeat: the same seed gives the same test. The seed is
 * fixed unless ISW_SEED is set, and every test that uses one prints it.
 */
#ifndef TESTS_UNIT_RANDOM_H
#define TESTS_UNIT_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct random {
	uint64_t state;
};

static inline struct random random_start(uint64_t seed)
{
	const char *text = getenv("ISW_SEED");

	if (text)
		seed = strtoull(text, NULL, 0);
	printf("# ISW_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return (struct random){ seed };
}

/* splitmix64: every state is used once in 2^64 steps, all bits are good. */
static inline uint64_t random_u64(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline uint32_t random_u32(struct random *r)
{
	return (uint32_t)(random_u64(r) >> 32);
}

/* Below @n, for small @n. */
static inline unsigned int random_below(struct random *r, unsigned int n)
{
	return (unsigned int)(random_u64(r) % n);
}

#endif /* TESTS_UNIT_RANDOM_H */
