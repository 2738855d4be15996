/* SPDX-License-Identifier: GPL-2.0-only */
/* How much memory this host has and could spare, and how much we hold. */
#ifndef DAEMON_MEMINFO_H
#define DAEMON_MEMINFO_H

#include <stdint.h>

struct meminfo {
	uint64_t total;
	uint64_t available;	/* MemAvailable: what could be had without swap */
	uint64_t huge_free;	/* set aside as huge pages, not in available,
				 * and promised to nobody */
};

/* Returns 0 or -errno; logs what is wrong. */
int meminfo_read(struct meminfo *info);

/* Bytes that this process has in ordinary pages; 0 if that is not to be had. */
uint64_t meminfo_own(void);

#endif
