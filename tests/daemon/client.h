/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A client in userspace: speaks wire.h to a donor by librdmacm and libibverbs,
 * correctly or, when a test wants it, not. Calls wait for their result, with a
 * time limit; -ETIMEDOUT says that it has passed.
 */
#ifndef TESTS_DAEMON_CLIENT_H
#define TESTS_DAEMON_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <infiniswap/wire.h>

#define CLIENT_BUFFER	(1u << 20)	/* bytes that a WRITE or READ moves at most */
#define CLIENT_SENDS	(2 * ISW_CTRL_RECVS)
#define CLIENT_TIMEOUT_MS	10000

struct link {
	struct rdma_cm_id *id;
	struct ibv_cq *cq;
};

struct client {
	const char *address;
	uint16_t port;
	uint8_t id[ISW_CLIENT_ID_LEN];
	uint8_t queues;			/* n; 0: control alone */
	bool waits;		/* for a place in the donor, however long */
	bool no_receives;		/* post none: a bad client */

	enum ibv_wc_status failed;	/* why client_recv() said -ECONNRESET, if so */

	/* While there is a session. */
	struct rdma_event_channel *channel;
	struct ibv_pd *pd;
	struct ibv_comp_channel *completions;	/* of the control connection */
	struct link control;
	struct link write[ISW_MAX_QUEUES];
	struct link read[ISW_MAX_QUEUES];
	struct ibv_mr *ring_mr;
	uint8_t (*recv)[ISW_MSG_MAX];	/* ISW_CTRL_RECVS */
	uint8_t *send;			/* messages under way */
	unsigned int sends;
	struct ibv_mr *send_mr;
	uint8_t *buffer;		/* source of WRITE, target of READ */
	struct ibv_mr *buffer_mr;

	struct isw_cm_welcome welcome;	/* of the control connection */
	uint32_t seq;
	uint16_t rej_version;
	bool disconnected;		/* the donor has ended the session */
};

/* Fills in a random id. */
void client_init(struct client *c, const char *address, uint16_t port);

/* Each returns 0, -errno, or the enum isw_reject that the donor gave. */
int client_connect(struct client *c);		/* all of it */
int client_connect_control(struct client *c);
int client_connect_data(struct client *c, uint8_t role, uint8_t queue,
			uint64_t session);
/* A connect request with whatever private data. */
int client_connect_raw(struct client *c, const void *data, uint8_t len);
void client_fill_req(const struct client *c, struct isw_cm_req *req,
		     uint8_t role, uint8_t queue, uint64_t session);

/* Without a word to the daemon. */
void client_drop(struct client *c);
/* BYE, then drop. */
int client_bye(struct client *c);

/* ---- control messages: 0, -errno or the enum isw_error of the answer ---- */

/* Send @len bytes as they are. */
int client_send(struct client *c, const void *msg, size_t len);
/* A message of @type; the caller fills in what follows the header. */
void client_hdr(struct client *c, struct isw_msg_hdr *hdr, uint16_t type);
/* The next message from the donor, into @buf; @m points into it. */
int client_recv(struct client *c, void *buf, struct isw_msg *m, int timeout_ms);
/* Send @msg and take messages until the answer with its number comes. */
int client_ask(struct client *c, const struct isw_msg_hdr *msg,
	       struct isw_msg *answer);

int client_ping(struct client *c);
int client_query(struct client *c, struct isw_status *status);
int client_grant(struct client *c, uint64_t length, struct isw_grant_info *g);
int client_release(struct client *c, struct isw_grant_id id);
int client_release_send(struct client *c, struct isw_grant_id id);	/* does not wait */
/* All pages of the list; the number of grants, or what went wrong below 0. */
int client_list(struct client *c, struct isw_grant_info *g, int max);
/*
 * Take all receives away, so that what the donor sends stands in its queue; it
 * tries again only every 0.7 s, and gives up after six times. And back again.
 */
int client_deafen(struct client *c);
int client_hear_again(struct client *c);
/* Whether the session ends within @timeout_ms. */
bool client_is_cut_off(struct client *c, int timeout_ms);

/* ---- data: an enum ibv_wc_status, or -errno ----------------------------- */

/* From, or to, the first @len bytes of @c->buffer. */
int client_write(struct client *c, uint64_t addr, uint32_t rkey, uint32_t len);
int client_read(struct client *c, uint64_t addr, uint32_t rkey, uint32_t len);

#endif
