/* SPDX-License-Identifier: GPL-2.0-only */
/* The one loop that everything but slow work on memory runs in. */
#ifndef DAEMON_LOOP_H
#define DAEMON_LOOP_H

#include <stdbool.h>

/*
 * A file descriptor that the loop watches. @ready must take all that there is
 * (until EAGAIN): a multishot poll reports changes, not levels.
 */
struct source {
	int fd;
	short events;		/* to wait for; 0: POLLIN */
	void (*ready)(struct source *src);
	/* The loop's own. */
	bool armed;
	void (*gone)(struct source *src);
};

/* All return 0 or -errno. */
int loop_init(void);
int loop_add(struct source *src);
/* No @ready from here on; @gone(@src) when the loop has no pointer to it left. */
void loop_del(struct source *src, void (*gone)(struct source *src));
/* Runs until loop_stop(); @after is called after each batch of events. */
int loop_run(void (*after)(void));
/* For @after: come back to it without waiting, when others had their turn. */
void loop_wake(void);
void loop_stop(void);
void loop_exit(void);

#endif
