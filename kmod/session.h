/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A session: the 2n + 1 connections with one donor, and what they stand on.
 * session.c makes and destroys them; who may when is donor.c's business.
 */
#ifndef _ISW_SESSION_H
#define _ISW_SESSION_H

#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>
#include <infiniswap/wire.h>

#include "ctrl.h"

struct isw_device;
struct isw_donor;

/* What sessions over one HCA share: protection domain, completion queues. */
struct isw_hca {
	struct list_head node;		/* dev->hcas, under dev->hca_lock */
	struct ib_device *ibdev;
	struct ib_pd *pd;
	struct ib_cq *write_cq[ISW_MAX_QUEUES];
	struct ib_cq *read_cq[ISW_MAX_QUEUES];
	struct ib_cq *ctrl_cq;
	unsigned int users;		/* sessions, under dev->hca_lock */
};

/*
 * One reliable connection. What requests touch comes first and has its cache line to
 * itself: that of one queue is no other CPU's business.
 */
struct isw_conn {
	struct isw_donor *donor;
	struct ib_qp *qp;		/* outlives id */
	/* for the watchdog: work requests under way, last sign of progress */
	atomic_t inflight;
	u8 role;			/* enum isw_role */
	u8 index;
	unsigned long since;		/* jiffies */

	struct rdma_cm_id *id;
	struct completion cm_done;	/* one step of the set-up */
	int cm_error;
	const char *why;		/* a literal: what cm_error means */
	struct isw_cm_welcome welcome;
} ____cacheline_aligned_in_smp;

struct isw_session {
	struct mutex setup;		/* connections come and go */
	struct isw_hca *hca;
	u8 port;
	u64 number;			/* the donor's name for it */
	u64 epoch;
	struct isw_conn control;
	struct isw_conn write[ISW_MAX_QUEUES];
	struct isw_conn read[ISW_MAX_QUEUES];
	struct isw_ctrl ctrl;
};

/* conn_wq, may sleep for seconds */
int isw_session_connect(struct isw_donor *donor);
void isw_session_destroy(struct isw_donor *donor);
/* io_wq: no work request is under way when this returns */
void isw_session_drain(struct isw_donor *donor);

bool isw_session_stalled(struct isw_donor *donor);
int isw_session_break(struct isw_donor *donor, u8 role, unsigned int index);
extern struct ib_client isw_ib_client;

void isw_hcas_free(struct isw_device *dev);
unsigned int isw_hca_sge(const struct ib_device *ibdev);
void isw_hca_remove(struct isw_device *dev, struct ib_device *ibdev);

/* A work request is about to be posted. */
static inline void isw_conn_posting(struct isw_conn *conn)
{
	if (!atomic_inc_not_zero(&conn->inflight)) {
		WRITE_ONCE(conn->since, jiffies);
		smp_mb__before_atomic();	/* pairs with conn_stalled() */
		atomic_inc(&conn->inflight);
	}
}

/* One completed. */
static inline void isw_conn_progress(struct isw_conn *conn)
{
	WRITE_ONCE(conn->since, jiffies);
	smp_mb__before_atomic();		/* pairs with conn_stalled() */
	atomic_dec(&conn->inflight);
}

#endif /* _ISW_SESSION_H */
