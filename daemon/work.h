/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two threads for what takes long: mapping, zeroing, pinning, unpinning. The
 * loop owns a job before work_submit() and after @done starts, a worker owns
 * it in between; nothing else is shared but what a job reads atomically.
 *
 * Jobs of a kind wait while there are jobs of one above, and a job that takes
 * long goes on in steps: so nothing waits longer than a step for a lesser one,
 * and of several of a kind each gets on.
 */
#ifndef DAEMON_WORK_H
#define DAEMON_WORK_H

#include <stdbool.h>

enum work_kind {
	WORK_GIVE_BACK,		/* the host waits for its memory */
	WORK_ASKED,		/* a client waits */
	WORK_AHEAD,		/* nobody waits */
	WORK_KINDS,
};

struct job {
	struct job *next;
	enum work_kind kind;
	bool (*run)(struct job *job);	/* in a worker; true: there is more */
	void (*done)(struct job *job);	/* in the loop */
};

int work_init(void);
void work_submit(struct job *job);
/* Run what is queued to its end, @done included, and end the workers. */
void work_exit(void);

#endif
