/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two threads for what takes long: mapping, zeroing, pinning, unpinning. The
 * loop owns a job before work_submit() and after @done starts, a worker owns
 * it in between; nothing else is shared.
 */
#ifndef DAEMON_WORK_H
#define DAEMON_WORK_H

#include <stdbool.h>

struct job {
	struct job *next;
	void (*run)(struct job *job);	/* in a worker */
	void (*done)(struct job *job);	/* in the loop */
};

int work_init(void);
/* Someone waits for an @urgent job; the others run when there are none. */
void work_submit(struct job *job, bool urgent);
/* Run what is queued to its end, @done included, and end the workers. */
void work_exit(void);

#endif
