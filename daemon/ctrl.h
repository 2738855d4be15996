/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control connection's ring. Each receive is one slot, with room for the
 * answer; a slot is received into again only when its answer is out. So there
 * is always room to answer, and a client that asks without end waits for
 * itself. News have a few slots of their own, and EVICT, whose deadline runs,
 * has some that nothing else takes.
 */
#ifndef DAEMON_CTRL_H
#define DAEMON_CTRL_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniswap/wire.h>

struct session;
struct ctrl;

#define CTRL_RECVS	ISW_CTRL_RECVS
#define CTRL_NEWS	8
#define CTRL_EVICTS	4
#define CTRL_SENDS	(CTRL_RECVS + CTRL_NEWS + CTRL_EVICTS)

struct ctrl *ctrl_create(struct session *s);
void ctrl_destroy(struct ctrl *ctrl);
/* Post all receives; the queue pair is there but not connected. -errno */
int ctrl_start(struct session *s);
/* Something has completed: it is taken by the next ctrl_poll(). */
void ctrl_completed(struct session *s);
/*
 * Take what has completed, after each batch of events. A client that always has
 * a message under way waits for the next batch, and so holds nobody else up.
 */
void ctrl_poll(void);

/*
 * The message to send in answer to slot @slot: zeroed, with header. Fill in
 * the rest and call ctrl_send().
 */
void *ctrl_answer(struct session *s, unsigned int slot, uint16_t type);
void ctrl_send(struct session *s, unsigned int slot);
/* No answer to what came in @slot. */
void ctrl_ignore(struct session *s, unsigned int slot);

/*
 * The same for news (@seq 0) and for what the daemon asks; NULL when too much
 * of it is under way. Then the loop wakes when some is out.
 */
void *ctrl_news(struct session *s, uint16_t type, uint32_t seq,
		unsigned int *slot);
/* Whether there is a place for an EVICT. */
bool ctrl_has_place(const struct session *s);

/* The type of the request in @slot, 0 when it is none or is answered. */
uint16_t ctrl_waiting(const struct session *s, unsigned int slot);
uint32_t ctrl_list_from(const struct session *s, unsigned int slot);
void ctrl_set_waiting(struct session *s, unsigned int slot,
		      const struct isw_msg *m);

#endif
