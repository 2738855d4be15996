/* SPDX-License-Identifier: GPL-2.0-only */
/* Takes lent memory back in batches: the slabs that are used least. */
#ifndef DAEMON_EVICT_H
#define DAEMON_EVICT_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniswap/wire.h>

struct client;
struct grant;

int evict_init(void);
/*
 * Take back @need bytes of lent memory beyond evict_coming(): as much as that is now,
 * not more than it was. @urgent: without much waiting, for what is under way already
 * as well. @why is for people.
 */
void evict_start(uint64_t need, bool urgent, const char *why);
/* No eviction begins for so little, and one that has begun takes no more. */
void evict_ease(uint64_t need);
/*
 * What is due is chosen or taken, and who could not be told is, after each batch of
 * events: not before what clients have said meanwhile is heard.
 */
void evict_poll(void);
/* The need has gone: what has not been given back stays. */
void evict_call_off(void);
/* Bytes of slabs that are still lent, and have a deadline. */
uint64_t evict_coming(void);

/* ACTIVITY, or ERROR instead of it. */
void evict_answer(const struct client *client, const struct isw_msg *m);
/* @client may not know what of its grants is evicted, and is not: tell it. */
void evict_remind(const struct client *client);
/* Grant @g, which was evicted, is released. */
void evict_released(const struct grant *g);
/* Tell those that had no session before. */
void evict_tick(void);

/* ---- what was done ------------------------------------------------------ */

#define EVICT_EVENTS	16

struct evict_event {
	uint64_t when;		/* now_ms() */
	const char *why;
	bool urgent;
	uint32_t drawn;		/* slabs */
	uint32_t questions;	/* to their owners, answered or not */
	uint32_t answers;
	uint32_t evicted;	/* slabs */
	uint32_t released;	/* by their clients, in time */
	uint32_t revoked;	/* at the deadline */
	uint32_t called_off;
	uint64_t bytes;		/* evicted */
};

/* The @i-th last one, or NULL. */
const struct evict_event *evict_event(unsigned int i);

#endif
