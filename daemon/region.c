// SPDX-License-Identifier: GPL-2.0-only
/* Map, register, deregister and unmap regions. */
#include <errno.h>
#include <inttypes.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "log.h"
#include "region.h"
#include "util.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

/* A tenth of a second or less, on slow machines too. */
#define POPULATE_STEP	(16ull << 20)

/*
 * Never IBV_ACCESS_RELAXED_ORDERING: a READ that follows a WRITE's completion
 * must return what was written.
 */
#define REGION_ACCESS	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | \
			 IBV_ACCESS_REMOTE_READ)

static uint64_t mapping_bytes;		/* atomic */

static void mapping_is_less(uint64_t bytes)
{
	__atomic_sub_fetch(&mapping_bytes, bytes, __ATOMIC_RELAXED);
}

/* ---- in a worker -------------------------------------------------------- */

static void *map_anonymous(uint64_t length, int flags)
{
	void *p = mmap(NULL, length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * Huge pages that the operator has set aside; NULL when there are too few.
 * They are reserved here (no MAP_NORESERVE), so that no later touch fails.
 */
static void *map_huge(uint64_t length)
{
	if (length % HUGE_SIZE)
		return NULL;
	return map_anonymous(length, MAP_HUGETLB | MAP_HUGE_2MB);
}

/* Ordinary pages, aligned so that the kernel can use huge ones. */
static void *map_aligned(uint64_t length)
{
	char *raw, *start;
	size_t head;

	raw = map_anonymous(length + HUGE_SIZE, MAP_NORESERVE);
	if (!raw)
		return NULL;
	head = (size_t)(-(uintptr_t)raw & (HUGE_SIZE - 1));
	start = raw + head;
	if (head)
		munmap(raw, head);
	munmap(start + length, HUGE_SIZE - head);
	madvise(start, length, MADV_HUGEPAGE);	/* a wish, may fail */
	return start;
}

static int region_map(struct region *r)
{
	void *p = map_huge(r->length);

	r->huge = p;
	if (!p && !r->huge_only)
		p = map_aligned(r->length);
	if (!p)
		return errno;
	/* Clients' pages are nobody's business: keep them out of core dumps. */
	madvise(p, r->length, MADV_DONTDUMP);
	r->addr = p;
	r->populated = 0;
	return 0;
}

/*
 * The next piece. The kernel holds the lock of all our mappings meanwhile: what
 * unmaps waits for it, and so does whoever touches new memory, the loop included.
 */
static int region_populate(struct region *r)
{
	uint64_t left = r->length - r->populated;
	uint64_t len = left < POPULATE_STEP ? left : POPULATE_STEP;

	if (__atomic_load_n(&r->stop, __ATOMIC_RELAXED))
		return ECANCELED;
	if (madvise((char *)r->addr + r->populated, len, MADV_POPULATE_WRITE))
		return errno;
	__atomic_store_n(&r->populated, r->populated + len, __ATOMIC_RELEASE);
	mapping_is_less(len);
	return 0;
}

static void region_unmap(struct region *r)
{
	if (!r->addr)
		return;
	if (munmap(r->addr, r->length))
		log_error("munmap: %s", strerror(errno));
	r->addr = NULL;
}

static int region_register(struct region *r)
{
	r->mr = ibv_reg_mr(r->target->pd, r->addr, r->length, REGION_ACCESS);
	return r->mr ? 0 : errno;
}

/*
 * Deregistering comes before unmapping: pages that an RDMA device may still
 * write to are pinned, and would not go back to the host.
 */
static void region_deregister(struct region *r)
{
	int error;

	if (!r->mr)
		return;
	error = ibv_dereg_mr(r->mr);
	if (error)
		log_error("cannot deregister: %s", strerror(error));
	r->mr = NULL;
}

static bool begins(struct region *r, enum region_step step)
{
	bool is_due = r->left & step;

	r->left &= ~step;
	if (is_due)
		r->failed = step;
	return is_due;
}

static bool region_run(struct job *job)
{
	struct region *r = container_of(job, struct region, job);

	if (begins(r, REGION_DEREG))
		region_deregister(r);
	if (begins(r, REGION_UNMAP))
		region_unmap(r);
	if (begins(r, REGION_MAP))
		r->error = region_map(r);
	if (r->steps & REGION_MAP && !r->error && r->populated < r->length) {
		r->error = region_populate(r);
		if (!r->error && r->populated < r->length)
			return true;
	}
	if (r->steps & REGION_MAP && r->error) {
		mapping_is_less(r->length - r->populated);
		region_unmap(r);
		__atomic_store_n(&r->populated, 0, __ATOMIC_RELEASE);
	}
	if (!r->error && begins(r, REGION_REG))
		r->error = region_register(r);
	return false;
}

/* ---- in the loop -------------------------------------------------------- */

struct region *region_create(uint64_t length)
{
	struct region *r = calloc(1, sizeof(*r));

	if (r)
		r->length = length;
	return r;
}

void region_free(struct region *r)
{
	free(r);
}

static void log_register_error(const struct region *r)
{
	struct rlimit limit;

	log_limited(LOG_ERROR, "cannot register %" PRIu64 " MiB: %s",
		    r->length >> 20, strerror(r->error));
	if (r->error != ENOMEM || getrlimit(RLIMIT_MEMLOCK, &limit) ||
	    limit.rlim_cur == RLIM_INFINITY)
		return;
	log_limited(LOG_ERROR, "locked memory is limited to %" PRIu64
		    " KiB (ulimit -l, LimitMEMLOCK=)",
		    (uint64_t)limit.rlim_cur >> 10);
}

static void region_done(struct job *job)
{
	struct region *r = container_of(job, struct region, job);

	if (r->error && r->failed == REGION_REG)
		log_register_error(r);
	if (r->steps & REGION_DEREG) {
		domain_put(r->domain);
		r->domain = NULL;
	}
	if (r->mr)
		r->domain = r->target ?: r->domain;
	else
		domain_put(r->target);
	r->target = NULL;
	r->done(r);
}

void region_start(struct region *r, unsigned int steps, struct domain *target,
		  void (*done)(struct region *r))
{
	r->steps = steps;
	r->left = steps;
	r->target = target ? domain_get(target) : NULL;
	if (steps & REGION_MAP)
		__atomic_add_fetch(&mapping_bytes, r->length, __ATOMIC_RELAXED);
	r->stop = false;
	r->error = 0;
	r->done = done;
	r->job.kind = steps & REGION_UNMAP ? WORK_GIVE_BACK :
		      steps == REGION_MAP ? WORK_AHEAD : WORK_ASKED;
	r->job.run = region_run;
	r->job.done = region_done;
	work_submit(&r->job);
}

uint64_t region_stop(struct region *r)
{
	uint64_t back;

	__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
	back = __atomic_load_n(&r->populated, __ATOMIC_ACQUIRE);
	/* of one that is all there nothing can be stopped any more */
	return r->length == back || (back && r->huge) ? 0 : back;
}

uint64_t regions_mapping(void)
{
	return __atomic_load_n(&mapping_bytes, __ATOMIC_RELAXED);
}
