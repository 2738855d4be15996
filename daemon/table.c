// SPDX-License-Identifier: GPL-2.0-only
/* SIGUSR1: the state of the daemon in its log. */
#include <inttypes.h>

#include "client.h"
#include "drain.h"
#include "epoch.h"
#include "grant.h"
#include "log.h"
#include "meminfo.h"
#include "memwatch.h"
#include "options.h"
#include "pool.h"
#include "session.h"
#include "table.h"
#include "util.h"

#define MIB(bytes)	((bytes) >> 20)

static unsigned int conns_of(const struct session *s)
{
	unsigned int i, n = 0;

	for (i = 0; i < SESSION_CONNS; i++)
		n += s->conns[i].id != NULL;
	return n;
}

static void log_client(const struct client *client)
{
	const struct session *s = client->session;

	if (s)
		log_info("table: client %s at %s: %u grants, %" PRIu64
			 " MiB, %u of %d connections, heard %" PRIu64 " ms ago",
			 client->name, client->address, client->grants,
			 MIB(client->bytes), conns_of(s), 1 + 2 * s->queues,
			 now_ms() - s->heard);
	else
		log_info("table: client %s at %s: %u grants, %" PRIu64
			 " MiB, no session, lease ends in %" PRId64 " ms",
			 client->name, client->address, client->grants,
			 MIB(client->bytes),
			 (int64_t)(client->lease_end - now_ms()));
}

void table_log(void)
{
	struct client *client = NULL;
	struct meminfo info = { 0 };

	meminfo_read(&info);
	log_info("table: epoch %016" PRIx64 "%s, %u grants, %" PRIu64 " of %"
		 PRIu64 " MiB granted, %" PRIu64 " MiB prepared",
		 daemon_epoch, drain_active() ? ", draining" : "",
		 grant_count(), MIB(grant_bytes()), MIB(opt->memory),
		 MIB(pool_bytes()));
	log_info("table: host %" PRIu64 " MiB, available %" PRIu64
		 " MiB, headroom %" PRIu64 " MiB, pressure %s",
		 MIB(info.total), MIB(info.available), MIB(opt->headroom),
		 memwatch_level_name(memwatch_level()));
	while ((client = client_next(client)))
		log_client(client);
}
