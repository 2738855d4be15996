/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A region: memory of the size of a slab, from the kernel's hands to a
 * client's and back. What takes long happens in a worker.
 *
 * A region is never used by a second client: when its grant ends it is
 * unmapped, and each new one is mapped fresh. The kernel gives out zeroed
 * pages alone, and that is what keeps one client's data from the next.
 */
#ifndef DAEMON_REGION_H
#define DAEMON_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniband/verbs.h>

#include "device.h"
#include "work.h"

#define HUGE_SIZE	(2ull << 20)

/* Done in this order. */
enum region_step {
	REGION_DEREG	= 1u << 0,
	REGION_UNMAP	= 1u << 1,
	REGION_MAP	= 1u << 2,
	REGION_REG	= 1u << 3,
};

struct region {
	struct job job;
	uint64_t length;
	void *addr;			/* NULL: not mapped */
	bool huge;			/* in pages set aside: of no use to the host */
	bool huge_only;			/* there is no room for it elsewhere */
	struct ibv_mr *mr;		/* NULL: no client can reach it */
	struct domain *domain;		/* of mr */
	void *owner;			/* a grant, or NULL in the pool */

	struct region *next;		/* pool */
	uint64_t since;			/* pool: when it came in */

	/* The job under way. */
	unsigned int steps;
	unsigned int left;		/* of them */
	uint64_t populated;		/* bytes, from the start; atomic: the worker's */
	bool stop;			/* atomic: see region_stop() */
	struct domain *target;		/* to register in */
	int error;			/* of the first step that failed */
	enum region_step failed;
	void (*done)(struct region *r);
};

struct region *region_create(uint64_t length);
/* Neither mapped nor registered nor in a job. */
void region_free(struct region *r);
/* @target for REGION_REG alone. Then @done(@r) in the loop. */
void region_start(struct region *r, unsigned int steps, struct domain *target,
		  void (*done)(struct region *r));
/*
 * Nobody wants any more what is being mapped: it ends soon, with ECANCELED and
 * nothing mapped, or is through already. Returns the bytes that the host gets back.
 */
uint64_t region_stop(struct region *r);
/* Bytes that jobs are still to take from the host: not missing there yet. */
uint64_t regions_mapping(void);

#endif
