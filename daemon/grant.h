/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of grants: memory lent to clients, one region each. */
#ifndef DAEMON_GRANT_H
#define DAEMON_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniswap/wire.h>

#include "region.h"

struct client;

enum grant_state {
	GRANT_FREE,	/* no region */
	GRANT_MAKING,	/* region mapped and registered, client waits */
	GRANT_LIVE,	/* the client reads and writes it */
	GRANT_RENEWING,	/* registered anew for a resumed session */
	GRANT_FREEING,	/* deregistered and unmapped */
};

/* Whom to answer when the work on a grant is done. Slots: see ctrl.h. */
struct ticket {
	uint64_t session;	/* 0: nobody */
	unsigned int slot;
};

struct grant {
	enum grant_state state;
	bool doomed;		/* free it when the job under way ends */
	bool again;		/* renew it, once more if it is under way */
	bool leaving;		/* counted in grant_leaving() */
	uint32_t index;
	uint32_t generation;	/* goes up each time the place is used */
	struct client *client;
	struct grant *next_own;	/* of the client's */
	struct grant **at_own;	/* what points to this one */
	struct region *region;
	struct ticket ticket;
	uint64_t asked_us;	/* when the client asked for it */
	uint64_t evict_at;	/* taken back then, see evict.c; 0: not evicted */
	bool evict_told;	/* the client was told just that */
	uint64_t evict_warned;	/* the last deadline that it was told; 0: none */
	uint32_t evict_event;
	uint32_t next_free;
};

int grants_init(void);
void grants_exit(void);

/*
 * Both return 0, and answer when the work is done, or the enum isw_error to
 * refuse the request with.
 */
int grant_create(struct client *client, uint64_t length, struct ticket ticket);
int grant_release(struct client *client, const struct isw_grant_id *id,
		  struct ticket ticket);

/* Register all grants of @client in the domain of its new session. */
void grants_renew(struct client *client);
/* Deregister what is registered with @dev; a resumed session renews it. */
void grants_leave(const struct device *dev);
/* The session that has asked for what is being made for @client is gone. */
void grants_abandon(struct client *client);
/* The host needs its memory: refuse what is still being mapped. Bytes that come back. */
uint64_t grants_stop_mapping(void);
/* Take all grants of @client back. */
void grants_drop(struct client *client);

/*
 * Grants that a client may use: of all clients, or of one, each in turn, NULL to
 * start; by place; by place if it is of that generation, or NULL.
 */
struct grant *grant_each(struct grant *g);
struct grant *grant_each_of(const struct client *client, struct grant *g);
struct grant *grant_at(uint32_t index);
struct grant *grant_get(uint32_t index, uint32_t generation);
/* Take @g back: its client gets no answer. */
void grant_revoke(struct grant *g);

/*
 * The first live grants of @client at @from or above, by their places, @max at
 * most. Returns how many.
 */
unsigned int grant_list(const struct client *client, uint32_t from,
			const struct grant **list, unsigned int max);
void grant_info(const struct grant *g, struct isw_grant_info *info);

uint64_t grant_bytes(void);	/* in grants, until they are unmapped */
uint32_t grant_count(void);
uint64_t grant_leaving(void);	/* of them, unmapped now or when their job ends */

#endif
