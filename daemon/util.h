/* SPDX-License-Identifier: GPL-2.0-only */
/* Clock, random numbers and other one-liners that many files need. */
#ifndef DAEMON_UTIL_H
#define DAEMON_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

static inline uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static inline uint64_t now_ms(void)
{
	return now_us() / 1000;
}

/* getrandom() of so many bytes neither fails nor is cut short once booted. */
#define RANDOM_MAX	256

static inline void random_bytes(void *buf, size_t len)
{
	if (getrandom(buf, len, 0) != (ssize_t)len)
		abort();
}

/* Epochs and session numbers: 0 means "none" on the wire. */
static inline uint64_t random_nonzero(void)
{
	uint64_t v = 0;

	while (!v)
		random_bytes(&v, sizeof(v));
	return v;
}

#endif
