/* SPDX-License-Identifier: GPL-2.0-only */
/* What the operator may choose: config file, then command line. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "log.h"

#define OPTIONS_TEXT	256

struct options {
	char bind[OPTIONS_TEXT];	/* empty: every address, IPv4 and IPv6 */
	uint64_t port;
	uint64_t memory;		/* bytes in grants at most */
	uint64_t headroom;		/* bytes the host keeps available */
	uint64_t client_quota;		/* bytes in grants of one client */
	uint64_t max_clients;
	uint64_t slab_size;		/* size prepared before anyone asks */
	uint64_t prepare;		/* regions kept ready */
	uint64_t lease_ms;		/* grants outlive a lost session */
	uint64_t client_timeout_ms;	/* silence that ends a session */
	uint64_t drain_timeout_ms;
	uint64_t evict_deadline_ms;	/* then what is evicted is taken */
	uint64_t evict_extra;		/* E' in percent of E */
	uint64_t log_level;		/* enum log_level */
	char socket[OPTIONS_TEXT];	/* admin; empty: none */
	char meminfo[OPTIONS_TEXT];	/* other than /proc/meminfo: tests */
	char cgroup[OPTIONS_TEXT];	/* other than the daemon's own: tests */
};

extern const struct options *const opt;

/* Returns when the daemon is to run; ends the process in all other cases. */
void options_parse(int argc, char **argv);
/* Fill in what depends on the host's memory; ends here for --dump-config. */
void options_settle(uint64_t mem_total);
/*
 * Read the config file again. What can change does, what cannot is named and
 * keeps its value; false: the file is wrong, and nothing has changed.
 */
bool options_reload(uint64_t mem_total);

#endif
