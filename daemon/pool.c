// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool: up to opt->prepare regions of the slab size lent last, mapped and
 * populated, so that a grant costs a registration only. It takes memory
 * while the host has more than its headroom, one region at a time and at a
 * bounded rate, and is the first to give back.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "grant.h"
#include "log.h"
#include "options.h"
#include "meminfo.h"
#include "memwatch.h"
#include "pool.h"
#include "util.h"

/* A slab size that was in use before is kept so long. */
#define POOL_STALE_MS	10000
/* Bytes prepared in a second, or one region every few: the host has other work. */
#define FILL_RATE	(128ll << 20)

static struct region *ready;
static uint64_t ready_bytes;
static struct region *filling;	/* for the pool, or NULL */
static int64_t fill_budget;	/* bytes; below 0: a large region was begun */
static uint64_t leaving_bytes;	/* in jobs that unmap */
static uint64_t wanted;		/* slab size that was to be had last */
static bool closed;

static void region_gone(struct region *r)
{
	if (!r->huge)
		leaving_bytes -= r->length;
	region_free(r);
}

static void give_back(struct region *r)
{
	if (!r->huge)
		leaving_bytes += r->length;
	region_start(r, REGION_UNMAP, NULL, region_gone);
}

static struct region *unlink_at(struct region **at)
{
	struct region *r = *at;

	*at = r->next;
	r->next = NULL;
	ready_bytes -= r->length;
	return r;
}

/* Give back what @unwanted picks; NULL picks everything. */
static void pool_drop(bool (*unwanted)(const struct region *r))
{
	struct region **at = &ready;

	while (*at) {
		if (!unwanted || unwanted(*at))
			give_back(unlink_at(at));
		else
			at = &(*at)->next;
	}
}

static bool other_size(const struct region *r)
{
	return r->length != wanted;
}

static bool stale(const struct region *r)
{
	return other_size(r) && now_ms() - r->since > POOL_STALE_MS;
}

/* Pages that were set aside for this are no loss to the host. */
static bool huge_are_free(uint64_t length)
{
	struct meminfo info;

	return !(length % HUGE_SIZE) && !meminfo_read(&info) &&
	       info.huge_free >= length + regions_mapping();
}

/* @room: ordinary pages will do. Another may be quicker to take huge ones. */
static bool may_map(struct region *r, bool room)
{
	r->huge_only = !room && huge_are_free(r->length);
	return room || r->huge_only;
}

/* What the host would have of those of another size than @length. */
static uint64_t other_bytes(uint64_t length)
{
	const struct region *r;
	uint64_t bytes = 0;

	for (r = ready; r; r = r->next)
		if (r->length != length && !r->huge)
			bytes += r->length;
	return bytes;
}

bool pool_room(struct region *r)
{
	uint64_t length = r->length + regions_mapping();

	if (may_map(r, memwatch_room(length, 0))) {
		wanted = r->length;
		return true;
	}
	/* Not for this request, but for the next, if that helps it. */
	if (!memwatch_room(length, leaving_bytes) &&
	    memwatch_room(length, other_bytes(r->length) + leaving_bytes)) {
		wanted = r->length;
		pool_drop(other_size);
	}
	return false;
}

static void fill_done(struct region *r)
{
	filling = NULL;
	if (r->error) {
		if (r->error != ECANCELED)
			log_limited(LOG_WARN, "cannot prepare %" PRIu64
				    " MiB: %s", r->length >> 20,
				    strerror(r->error));
		region_free(r);
		return;
	}
	if (closed || (memwatch_level() != ISW_PRESSURE_NONE && !r->huge)) {
		give_back(r);
		return;
	}
	r->since = now_ms();
	r->next = ready;
	ready = r;
	ready_bytes += r->length;
	pool_fill();
}

static unsigned int count_wanted(void)
{
	unsigned int n = filling && filling->length == wanted;
	struct region *r;

	for (r = ready; r; r = r->next)
		n += r->length == wanted;
	return n;
}

void pool_fill(void)
{
	struct region *r;

	/*
	 * One at a time: the host is looked at before each, and no more than
	 * one CPU zeroes memory that nobody has asked for.
	 */
	if (closed || filling || fill_budget <= 0 || count_wanted() >= opt->prepare ||
	    grant_bytes() + ready_bytes + wanted > opt->memory)
		return;
	r = region_create(wanted);
	if (!r)
		return;
	if (!may_map(r, memwatch_ahead(wanted + regions_mapping()))) {
		region_free(r);
		return;
	}
	fill_budget -= (int64_t)wanted;
	filling = r;
	region_start(r, REGION_MAP, NULL, fill_done);
}

uint64_t pool_stop_filling(void)
{
	/* Pages set aside for this are of no use to the host. */
	return filling && !filling->huge_only ? region_stop(filling) : 0;
}

uint64_t pool_shrink(uint64_t need)
{
	struct region **at = &ready;
	uint64_t got = 0;

	while (*at && got < need) {
		if ((*at)->huge) {
			at = &(*at)->next;
		} else {
			got += (*at)->length;
			give_back(unlink_at(at));
		}
	}
	return got;
}

struct region *pool_take(uint64_t length)
{
	struct region **at;

	for (at = &ready; *at; at = &(*at)->next) {
		if ((*at)->length == length) {
			wanted = length;
			return unlink_at(at);
		}
	}
	return NULL;
}

/* Only ever after limits were lowered. */
static bool over_limit(void)
{
	return count_wanted() > opt->prepare ||
	       grant_bytes() + ready_bytes > opt->memory;
}

void pool_tick(void)
{
	if (closed)
		return;
	fill_budget += FILL_RATE;
	if (fill_budget > FILL_RATE)
		fill_budget = FILL_RATE;
	pool_drop(stale);
	if (grant_bytes() + ready_bytes > opt->memory)
		pool_drop(other_size);
	if (ready && over_limit())
		give_back(unlink_at(&ready));
	else
		pool_fill();
}

void pool_init(void)
{
	wanted = opt->slab_size;
	pool_tick();
}

void pool_exit(void)
{
	closed = true;
	if (filling)
		region_stop(filling);
	pool_drop(NULL);
}

uint64_t pool_bytes(void)
{
	return ready_bytes;
}

uint64_t pool_leaving(void)
{
	return leaving_bytes;
}
