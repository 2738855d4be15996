// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers, and words of ours: nothing here needs JSON's escapes. Clients' names
 * are digits, addresses come from inet_ntop().
 */
#include <inttypes.h>

#include "client.h"
#include "drain.h"
#include "epoch.h"
#include "evict.h"
#include "grant.h"
#include "meminfo.h"
#include "memwatch.h"
#include "options.h"
#include "pool.h"
#include "report.h"
#include "session.h"
#include "util.h"

static const char *yes_or_no(bool yes)
{
	return yes ? "true" : "false";
}

void report_status(FILE *f)
{
	struct client *client = NULL;
	struct meminfo info = { 0 };
	unsigned int clients = 0;

	meminfo_read(&info);
	while ((client = client_next(client)))
		clients++;
	fprintf(f, "{\"status\":[{\"epoch\":\"%016" PRIx64 "\",\"draining\":%s,"
		"\"pressure\":\"%s\",\"total\":%" PRIu64 ",\"available\":%"
		PRIu64 ",\"headroom\":%" PRIu64 ",\"memory\":%" PRIu64
		",\"granted\":%" PRIu64 ",\"grants\":%u,\"evicting\":%" PRIu64
		",\"prepared\":%" PRIu64 ",\"clients\":%u}]}\n",
		daemon_epoch, yes_or_no(drain_active()),
		memwatch_level_name(memwatch_level()), info.total,
		info.available, opt->headroom, opt->memory, grant_bytes(),
		grant_count(), evict_coming(), pool_bytes(), clients);
}

static void report_client(FILE *f, const struct client *client)
{
	const struct session *s = client->session;
	uint64_t now = now_ms();
	uint64_t lease = s || client->lease_end < now ? 0 :
			 client->lease_end - now;

	fprintf(f, "{\"client\":\"%s\",\"address\":\"%s\",\"session\":%s,"
		"\"silent_ms\":%" PRIu64 ",\"lease_ms\":%" PRIu64
		",\"grants\":%u,\"granted\":%" PRIu64 "}",
		client->name, client->address, yes_or_no(s),
		s ? now - s->heard : 0, lease, client->grants, client->bytes);
}

void report_clients(FILE *f)
{
	struct client *client = NULL;
	const char *comma = "";

	fputs("{\"clients\":[", f);
	while ((client = client_next(client))) {
		fputs(comma, f);
		report_client(f, client);
		comma = ",";
	}
	fputs("]}\n", f);
}

static void report_event(FILE *f, const struct evict_event *e)
{
	fprintf(f, "{\"age_ms\":%" PRIu64 ",\"reason\":\"%s\",\"urgent\":%s,"
		"\"drawn\":%u,\"questions\":%u,\"answers\":%u,\"evicted\":%u,"
		"\"bytes\":%" PRIu64 ",\"released\":%u,\"revoked\":%u,"
		"\"called_off\":%u}",
		now_ms() - e->when, e->why, yes_or_no(e->urgent), e->drawn,
		e->questions, e->answers, e->evicted, e->bytes, e->released,
		e->revoked, e->called_off);
}

/* The last one first. */
void report_evictions(FILE *f)
{
	const struct evict_event *e;
	unsigned int i;

	fputs("{\"evictions\":[", f);
	for (i = 0; (e = evict_event(i)); i++) {
		fputs(i ? "," : "", f);
		report_event(f, e);
	}
	fputs("]}\n", f);
}
