// SPDX-License-Identifier: GPL-2.0-only
/* Drain: on SIGTERM, SIGINT or the admin socket's word. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "drain.h"
#include "grant.h"
#include "log.h"
#include "loop.h"
#include "msg.h"
#include "notify.h"
#include "options.h"
#include "pool.h"
#include "util.h"

/* What ends with the daemon when time is up takes a while to be given back. */
#define END_MS	10000

static bool active, signalled;
static uint64_t deadline;

bool drain_active(void)
{
	return active;
}

/* systemd waits as long as it was told, or TimeoutStopSec= if that is longer. */
static void tell_systemd(void)
{
	char state[64];

	snprintf(state, sizeof(state),
		 "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64,
		 (opt->drain_timeout_ms + END_MS) * 1000);
	notify_send(state);
}

void drain_start(const char *why)
{
	if (active)
		return;
	active = true;
	deadline = now_ms() + opt->drain_timeout_ms;
	tell_systemd();
	if (grant_count())
		log_info("%s: draining, %u grants out, waiting %" PRIu64
			 " s at most", why, grant_count(),
			 opt->drain_timeout_ms / 1000);
	else
		log_info("%s: no grants out", why);
	pool_exit();
	msg_status_all();
}

void drain_signal(const char *name)
{
	if (signalled) {
		log_warn("%s again: end now, %u grants out", name,
			 grant_count());
		loop_stop();
		return;
	}
	signalled = true;
	if (active)
		log_info("%s: draining already, %u grants out; once more ends now",
			 name, grant_count());
	drain_start(name);
}

void drain_tick(void)
{
	if (active)
		msg_status_all();
}

void drain_check(void)
{
	if (!active)
		return;
	if (grant_count() && now_ms() < deadline)
		return;
	if (grant_count())
		log_warn("drain timed out, %u grants end with the daemon",
			 grant_count());
	loop_stop();
}
