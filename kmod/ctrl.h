/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Control messages: a ring of receives, a few send buffers, and calls that
 * wait for their answer. All memory is allocated with the donor.
 */
#ifndef _ISW_CTRL_H
#define _ISW_CTRL_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <rdma/ib_verbs.h>
#include <infiniswap/wire.h>

struct isw_donor;

#define ISW_CALL_TIMEOUT	msecs_to_jiffies(2000)

struct isw_ctrl_buf {
	struct ib_cqe cqe;
	struct isw_donor *donor;
	void *data;			/* ISW_MSG_MAX bytes */
	u64 dma;
	bool busy;			/* sends, under ctrl->lock */
	struct list_head node;		/* receives: ctrl->held */
	unsigned long at;		/* the same: jiffies when it came */
};

struct isw_ctrl {
	spinlock_t lock;		/* send buffers, calls, held, up */
	void *memory;			/* of all buffers */
	struct isw_ctrl_buf recv[ISW_CTRL_RECVS];
	struct isw_ctrl_buf send[ISW_CTRL_CREDITS];
	wait_queue_head_t send_wait;	/* a send buffer is free */
	struct list_head calls;		/* waiting for answers */
	struct list_head held;		/* receives that wait for isw_ctrl_take() */
	bool up;			/* messages may be sent */
	bool receiving;			/* receives may be posted */
	u32 seq;
	unsigned long heard;		/* jiffies: last message received */
	bool mapped;
};

/* A request on its way and its answer. On the caller's stack. */
struct isw_call {
	struct list_head node;
	struct completion done;
	u32 seq;
	u16 type;			/* of the request */
	int error;			/* -errno; -EREMOTEIO: code says why */
	u16 code;			/* enum isw_error */
	unsigned long timeout;		/* jiffies; 0: ISW_CALL_TIMEOUT */
	struct isw_msg answer;
	void *copy;			/* GRANTS: the message itself, or NULL */
};

int isw_ctrl_alloc(struct isw_donor *donor);
void isw_ctrl_free(struct isw_donor *donor);

/* with the queue pair */
int isw_ctrl_start(struct isw_donor *donor);	/* map, post receives */
void isw_ctrl_open(struct isw_donor *donor);	/* session number known */
void isw_ctrl_abort(struct isw_donor *donor);	/* fail calls, send no more */
void isw_ctrl_stop(struct isw_donor *donor);	/* unmap; drained */

/* process context */
void isw_call_send(struct isw_donor *donor, struct isw_call *call,
		   struct isw_msg_hdr *msg, u16 type);
int isw_call_wait(struct isw_donor *donor, struct isw_call *call);
int isw_call(struct isw_donor *donor, struct isw_call *call,
	     struct isw_msg_hdr *msg, u16 type);

/* dev->lock held: the oldest message that evict.c has to look at, if there is one */
bool isw_ctrl_take(struct isw_donor *donor, void *msg, unsigned long *at);

/* any context; dropped when no buffer is free */
bool isw_ctrl_post(struct isw_donor *donor, struct isw_msg_hdr *msg, u16 type,
		   u32 seq);
void isw_ctrl_ping(struct isw_donor *donor);

#endif /* _ISW_CTRL_H */
