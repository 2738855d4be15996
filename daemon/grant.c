// SPDX-License-Identifier: GPL-2.0-only
/*
 * Grants. Each has at most one job under way; what is asked of it meanwhile is
 * noted (doomed, again) and done when the job ends:
 *
 *	FREE -> MAKING -> LIVE -> FREEING -> FREE
 *	                  LIVE -> RENEWING -> LIVE
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "evict.h"
#include "grant.h"
#include "log.h"
#include "msg.h"
#include "options.h"
#include "pool.h"
#include "session.h"
#include "util.h"

/* Each is a mapping of its own: vm.max_map_count is 65530, and others need some. */
#define GRANTS_LIMIT	60000u
#define NO_GRANT	UINT32_MAX

/* Renewals of one client under way: those of its neighbours want their turn. */
#define RENEWALS	2
/* Sessions in a row that grants without a key may cost their client. */
#define RENEWALS_FAILED_MAX	5

static struct grant *grants;
static uint32_t grants_size;	/* places that were ever used */
static uint32_t first_free = NO_GRANT;
static uint32_t used;
static uint64_t used_bytes;
static uint64_t leaving_bytes;	/* of them, on their way back to the host */

static void grant_job_done(struct region *r);

uint64_t grant_bytes(void)
{
	return used_bytes;
}

uint64_t grant_leaving(void)
{
	return leaving_bytes;
}

uint32_t grant_count(void)
{
	return used;
}

/* As many places as there may ever be; what is never used is never touched. */
int grants_init(void)
{
	grants = calloc(GRANTS_LIMIT, sizeof(*grants));
	if (grants)
		return 0;
	log_error("no memory for a table of %u grants", GRANTS_LIMIT);
	return -ENOMEM;
}

void grants_exit(void)
{
	free(grants);
}

/* ---- places in the table ------------------------------------------------ */

/* All that is done for one client is done without a look at those of others. */
static void own(struct client *client, struct grant *g)
{
	g->client = client;
	g->next_own = NULL;
	g->at_own = client->end_grants ?: &client->first_grant;
	*g->at_own = g;
	client->end_grants = &g->next_own;
}

static void disown(struct grant *g)
{
	if (g->client->renew_from == g)
		g->client->renew_from = g->next_own;
	*g->at_own = g->next_own;
	if (g->next_own)
		g->next_own->at_own = g->at_own;
	else
		g->client->end_grants = g->at_own;
	g->client = NULL;
}

static struct grant *place_get(struct client *client, uint64_t length)
{
	struct grant *g;

	if (first_free == NO_GRANT) {
		g = &grants[grants_size];
		g->index = grants_size++;
	} else {
		g = &grants[first_free];
		first_free = g->next_free;
	}
	g->generation++;
	g->doomed = false;
	g->again = false;
	g->leaving = false;
	g->evict_at = 0;
	g->evict_warned = 0;
	own(client, g);
	used++;
	used_bytes += length;
	client->grants++;
	client->bytes += length;
	return g;
}

static void place_put(struct grant *g, uint64_t length)
{
	g->state = GRANT_FREE;
	g->client->grants--;
	g->client->bytes -= length;
	used--;
	used_bytes -= length;
	disown(g);
	g->region = NULL;
	g->next_free = first_free;
	first_free = g->index;
}

static bool in_use(const struct grant *g)
{
	return !g->doomed &&
	       (g->state == GRANT_LIVE || g->state == GRANT_RENEWING);
}

struct grant *grant_each(struct grant *g)
{
	for (g = g ? g + 1 : grants; g < grants + grants_size; g++)
		if (in_use(g))
			return g;
	return NULL;
}

struct grant *grant_each_of(const struct client *client, struct grant *g)
{
	for (g = g ? g->next_own : client->first_grant; g; g = g->next_own)
		if (in_use(g))
			return g;
	return NULL;
}

struct grant *grant_at(uint32_t index)
{
	return &grants[index];
}

struct grant *grant_get(uint32_t index, uint32_t generation)
{
	struct grant *g = &grants[index];

	return index < grants_size && g->generation == generation &&
	       in_use(g) ? g : NULL;
}

static struct grant *grant_find(const struct client *client,
				const struct isw_grant_id *id)
{
	struct grant *g = grant_get(id->index, id->generation);

	return g && g->client == client ? g : NULL;
}

unsigned int grant_list(const struct client *client, uint32_t from,
			const struct grant **list, unsigned int max)
{
	const struct grant *g;
	unsigned int i, n = 0;

	for (g = client->first_grant; g; g = g->next_own) {
		if (g->state != GRANT_LIVE || g->index < from ||
		    (n == max && g->index > list[n - 1]->index))
			continue;
		n += n < max;
		for (i = n - 1; i && list[i - 1]->index > g->index; i--)
			list[i] = list[i - 1];
		list[i] = g;
	}
	return n;
}

void grant_info(const struct grant *g, struct isw_grant_info *info)
{
	*info = (struct isw_grant_info) {
		.id = { g->index, g->generation },
		.addr = (uintptr_t)g->region->addr,
		.length = g->region->length,
		.rkey = g->region->mr->rkey,
	};
}

/* ---- changes of state --------------------------------------------------- */

static void count_leaving(struct grant *g)
{
	/* What could not be mapped does not come back. */
	if (g->leaving || g->region->huge || !g->region->addr)
		return;
	g->leaving = true;
	leaving_bytes += g->region->length;
}

static void grant_free(struct grant *g)
{
	g->state = GRANT_FREEING;
	count_leaving(g);
	region_start(g->region, REGION_DEREG | REGION_UNMAP, NULL,
		     grant_job_done);
}

/* In the domain of its client's session; without one it has no key until there is. */
static void grant_renew(struct grant *g)
{
	const struct session *s = client_session(g->client);

	g->state = GRANT_RENEWING;
	g->again = false;
	g->client->renewing++;
	region_start(g->region, REGION_DEREG | (s ? REGION_REG : 0),
		     s ? s->domain : NULL, grant_job_done);
}

/* None under way means that none is left. */
static void renew_more(struct client *client)
{
	struct grant *g;

	while (client->renewing < RENEWALS && (g = client->renew_from)) {
		client->renew_from = g->next_own;
		if (g->state == GRANT_LIVE && g->again)
			grant_renew(g);
	}
}

/* What waits for nothing: the session that asked is the one that is there. */
static bool asked_by_present_session(const struct grant *g)
{
	return client_session_is(g->client, g->ticket.session);
}

static void grant_made(struct grant *g)
{
	struct region *r = g->region;

	if (r->error == ECANCELED)
		log_debug("client %s: mapping of %" PRIu64 " MiB is stopped",
			  g->client->name, r->length >> 20);
	else if (r->error && r->failed == REGION_MAP)
		log_limited(LOG_WARN, "client %s: cannot map %" PRIu64 " MiB: %s",
			    g->client->name, r->length >> 20,
			    strerror(r->error));
	if (r->error) {
		msg_refuse(g->client, g->ticket, g->doomed ? ISW_ERR_TYPE :
			   r->failed == REGION_MAP ? ISW_ERR_NO_MEMORY :
						     ISW_ERR_RESOURCES);
		g->ticket.session = 0;
		grant_free(g);
		return;
	}
	/* Nobody learns of it when the session that asked is gone. */
	if (g->doomed || !asked_by_present_session(g)) {
		if (g->doomed)
			msg_refuse(g->client, g->ticket, ISW_ERR_TYPE);
		g->ticket.session = 0;
		grant_free(g);
		return;
	}
	g->state = GRANT_LIVE;
	log_debug("client %s: grant %u.%u, %" PRIu64 " MiB, %s%s, in %" PRIu64
		  " us", g->client->name, g->index, g->generation,
		  r->length >> 20, r->steps & REGION_MAP ? "new" : "prepared",
		  r->huge ? ", huge pages" : "", now_us() - g->asked_us);
	msg_granted(g->client, g->ticket, g);
	g->ticket.session = 0;
	pool_fill();
}

/*
 * What it holds is kept for the next session: the device may be about to go, or others
 * may use up what it has. Grants that never get a key would keep their client away.
 */
static void grant_not_renewed(struct grant *g)
{
	struct client *client = g->client;

	if (client->renewals_failed == RENEWALS_FAILED_MAX) {
		log_error("client %s: grant %u.%u is lost: %s", client->name,
			  g->index, g->generation, strerror(g->region->error));
		grant_free(g);
		return;
	}
	g->state = GRANT_LIVE;
	if (client_session(client)) {
		client->renewals_failed++;
		session_kill(client->session, "a grant cannot be registered");
	}
}

static void grant_renewed(struct grant *g)
{
	struct client *client = g->client;

	client->renewing--;
	if (g->doomed)
		grant_free(g);
	else if (g->again)
		grant_renew(g);
	else if (g->region->error)
		grant_not_renewed(g);
	else
		g->state = GRANT_LIVE;
	renew_more(client);
	if (client->renewing)
		return;
	if (client_session(client))
		client->renewals_failed = 0;
	msg_renewed(client);
}

static void grant_freed(struct grant *g)
{
	struct isw_grant_id id = { g->index, g->generation };
	struct client *client = g->client;
	struct ticket ticket = g->ticket;
	uint64_t length = g->region->length;

	if (g->leaving)
		leaving_bytes -= length;
	log_debug("client %s: grant %u.%u, %" PRIu64 " MiB, given back",
		  client->name, id.index, id.generation, length >> 20);
	region_free(g->region);
	place_put(g, length);
	if (ticket.session)
		msg_released(client, ticket, &id);
	client_settle(client);
}

static void grant_job_done(struct region *r)
{
	struct grant *g = r->owner;

	switch (g->state) {
	case GRANT_MAKING:
		grant_made(g);
		break;
	case GRANT_RENEWING:
		grant_renewed(g);
		break;
	case GRANT_FREEING:
		grant_freed(g);
		break;
	case GRANT_FREE:
	case GRANT_LIVE:
		break;
	}
}

/* What is still being made is not there to leave. */
void grant_revoke(struct grant *g)
{
	if (g->state == GRANT_LIVE) {
		grant_free(g);
		return;
	}
	g->doomed = true;
	if (g->state == GRANT_RENEWING)
		count_leaving(g);
	else if (g->state == GRANT_MAKING)
		region_stop(g->region);
}

/* ---- requests ----------------------------------------------------------- */

/* Many small grants of one client must not use up the places of others. */
static uint64_t places_of_client(void)
{
	return opt->client_quota / (opt->memory / GRANTS_LIMIT + 1) + 1;
}

static int grant_check(const struct client *client, uint64_t length)
{
	if (length > opt->memory)
		return ISW_ERR_SIZE;
	if (used_bytes + length > opt->memory || used == GRANTS_LIMIT)
		return ISW_ERR_NO_MEMORY;
	if (client->bytes + length > opt->client_quota ||
	    client->grants >= places_of_client())
		return ISW_ERR_QUOTA;
	return 0;
}

int grant_create(struct client *client, uint64_t length, struct ticket ticket)
{
	unsigned int steps = REGION_REG;
	struct region *r;
	struct grant *g;
	int error;

	error = grant_check(client, length);
	if (error)
		return error;
	r = pool_take(length);
	if (!r) {
		r = region_create(length);
		if (!r)
			return ISW_ERR_NO_MEMORY;
		if (!pool_room(r)) {
			region_free(r);
			return ISW_ERR_NO_MEMORY;
		}
		steps |= REGION_MAP;
	}
	g = place_get(client, length);
	g->state = GRANT_MAKING;
	g->ticket = ticket;
	g->asked_us = now_us();
	g->region = r;
	r->owner = g;
	region_start(r, steps, client->session->domain, grant_job_done);
	return 0;
}

int grant_release(struct client *client, const struct isw_grant_id *id,
		  struct ticket ticket)
{
	struct grant *g = grant_find(client, id);

	if (!g)
		return ISW_ERR_NO_GRANT;
	if (g->evict_at)
		evict_released(g);
	g->ticket = ticket;
	grant_revoke(g);
	return 0;
}

/* In turn: one job each of all its grants would be in front of all others'. */
static void renew_marked(struct client *client)
{
	client->renew_from = client->first_grant;
	renew_more(client);
}

static void mark(struct grant *g)
{
	if (g->state == GRANT_LIVE || g->state == GRANT_RENEWING)
		g->again = true;
}

void grants_renew(struct client *client)
{
	struct grant *g;

	for (g = client->first_grant; g; g = g->next_own)
		mark(g);
	renew_marked(client);
}

static bool grant_is_on(const struct grant *g, const struct device *dev)
{
	const struct region *r = g->region;

	return (r->domain && r->domain->device == dev) ||
	       (r->target && r->target->device == dev);
}

void grants_leave(const struct device *dev)
{
	struct client *client = NULL;
	uint32_t i;

	for (i = 0; used && i < grants_size; i++)
		if (grants[i].state != GRANT_FREE && grant_is_on(&grants[i], dev))
			mark(&grants[i]);
	while ((client = client_next(client)))
		renew_marked(client);
}

void grants_abandon(struct client *client)
{
	struct grant *g;

	for (g = client->first_grant; g; g = g->next_own)
		if (g->state == GRANT_MAKING)
			region_stop(g->region);
}

/* Pages set aside for this are of no use to the host. */
uint64_t grants_stop_mapping(void)
{
	uint64_t back = 0;
	uint32_t i;

	for (i = 0; used && i < grants_size; i++)
		if (grants[i].state == GRANT_MAKING &&
		    !grants[i].region->huge_only)
			back += region_stop(grants[i].region);
	return back;
}

void grants_drop(struct client *client)
{
	struct grant *g;

	for (g = client->first_grant; g; g = g->next_own)
		grant_revoke(g);
}
