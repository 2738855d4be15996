/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A session: one control connection, and the data connections that joined it.
 * It breaks as a whole: whatever fails in it ends all of its queue pairs.
 */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <infiniswap/wire.h>

#include "device.h"

struct client;
struct ctrl;

struct conn {
	struct rdma_cm_id *id;		/* NULL: not connected; id->context is us */
	struct session *session;
	uint8_t role;
};

/* Control, then WRITE, then READ. */
#define SESSION_CONNS	(1 + 2 * ISW_MAX_QUEUES)

struct session {
	struct client *client;
	uint64_t number;
	uint8_t nonce[ISW_NONCE_LEN];
	uint8_t queues;			/* n, as the control connection said */
	uint8_t port;			/* of the device: one for all */
	bool established;
	bool dead;			/* to be destroyed; nothing is done for it */
	unsigned int malformed;		/* messages, so far */
	uint64_t heard;			/* when the client last said something */
	/* evict.c */
	bool untold;			/* there was no place for an EVICT */
	uint32_t unanswered;		/* the last question; 0: is answered */
	struct device *device;
	struct domain *domain;
	struct ibv_cq *cq;		/* receives; data queue pairs: nothing */
	struct ibv_cq *send_cq;		/* seldom armed, see ctrl_send() */
	bool unpolled;			/* there may be something in them */
	struct ctrl *ctrl;
	struct conn conns[SESSION_CONNS];
	struct session *next_dead;
};

/* What the client asked for in its connect request. */
struct connect_request {
	struct rdma_cm_id *id;
	struct isw_cm_hello hello;
	uint8_t responder_resources;
};

/*
 * Both take over @req->id and return 0, or leave it to the caller and return
 * the enum isw_reject to answer with.
 */
int session_open(struct client *client, const struct connect_request *req);
int session_join(struct session *s, const struct connect_request *req);

/* The session that @client has and that is not dead, or NULL; in the second, if it is @number. */
struct session *client_session(const struct client *client);
struct session *client_session_is(const struct client *client, uint64_t number);

/*
 * session_kill() is safe anywhere: the session is dead at once, and destroyed
 * by session_reap() when the loop has no pointer to it left. Only the first
 * @why counts.
 */
void session_kill(struct session *s, const char *why);
void session_reap(void);
/* For callers that hold no pointer into the session: it is gone at return. */
void session_destroy(struct session *s);

/* All that came in on @dev are killed. */
void sessions_leave(const struct device *dev);

void session_qp_failed(const struct ibv_qp *qp, const char *why);

#endif
