/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The limit that is nearest, of the cgroup that the daemon is in, or of
 * opt->cgroup, and of all above.
 */
#ifndef DAEMON_CGROUP_H
#define DAEMON_CGROUP_H

#include <infiniswap/pressure.h>

void cgroup_init(void);
/* Fills in limit and current; no limit where there is no cgroup (v2). */
void cgroup_read(struct isw_memory *m);

#endif
