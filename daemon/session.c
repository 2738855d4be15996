// SPDX-License-Identifier: GPL-2.0-only
/* Sessions: queue pairs, from connect request to destruction. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "ctrl.h"
#include "epoch.h"
#include "grant.h"
#include "log.h"
#include "options.h"
#include "session.h"
#include "util.h"

/* Of what the client sends, see rdma_accept(3). Below 7, which means "for ever". */
#define RNR_RETRY_COUNT	6
/* 0.64 ms: how soon a client tries again that found no receive posted. */
#define MIN_RNR_TIMER	12

static struct session *dead_sessions;

/* ---- accept ------------------------------------------------------------- */

static int conn_create_qp(struct conn *conn)
{
	struct session *s = conn->session;
	bool control = conn->role == ISW_ROLE_CONTROL;
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.send_cq = s->send_cq,
		.recv_cq = s->cq,
		.cap = {
			/* Data queue pairs serve the client's WRITE and READ. */
			.max_send_wr = control ? CTRL_SENDS : 1,
			.max_recv_wr = control ? CTRL_RECVS : 1,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
	};

	return rdma_create_qp(conn->id, s->domain->pd, &attr) ? -errno : 0;
}

static void conn_set_rnr_timer(struct conn *conn)
{
	struct ibv_qp_attr attr = { .min_rnr_timer = MIN_RNR_TIMER };

	int error = ibv_modify_qp(conn->id->qp, &attr, IBV_QP_MIN_RNR_TIMER);

	if (error)
		log_debug("min_rnr_timer not set: %s", strerror(error));
}

static int conn_accept(struct conn *conn, uint8_t responder_resources)
{
	struct session *s = conn->session;
	struct isw_cm_rep rep = {
		.magic = __cpu_to_le32(ISW_MAGIC),
		.version = __cpu_to_le16(ISW_VERSION),
		.role = conn->role,
		.epoch = __cpu_to_le64(daemon_epoch),
		.session = __cpu_to_le64(s->number),
		.lease_ms = __cpu_to_le32((uint32_t)s->client->lease_ms),
	};
	int most = s->device->max_rd_atom;
	struct rdma_conn_param param = {
		.private_data = &rep,
		.private_data_len = sizeof(rep),
		.responder_resources = responder_resources < most ?
				       responder_resources : (uint8_t)most,
		.initiator_depth = 0,	/* the donor reads nothing */
		.rnr_retry_count = RNR_RETRY_COUNT,
	};

	memcpy(rep.nonce, s->nonce, sizeof(rep.nonce));
	if (rdma_accept(conn->id, &param))
		return -errno;
	conn_set_rnr_timer(conn);
	return 0;
}

static void conn_close(struct conn *conn)
{
	if (!conn->id)
		return;
	/* The queue pair first: from here on nothing is written or read. */
	if (conn->id->qp)
		rdma_destroy_qp(conn->id);
	if (rdma_destroy_id(conn->id))
		log_error("connection not destroyed: %s", strerror(errno));
	conn->id = NULL;
}

/* Returns 0 or an enum isw_reject; then @conn is free again. */
static int conn_open(struct conn *conn, struct session *s,
		     const struct connect_request *req)
{
	int ret;

	conn->session = s;
	conn->role = req->hello.role;
	conn->id = req->id;
	ret = conn_create_qp(conn);
	if (!ret && conn->role == ISW_ROLE_CONTROL)
		ret = ctrl_start(s);
	if (!ret)
		ret = conn_accept(conn, req->responder_resources);
	if (!ret) {
		req->id->context = conn;
		return 0;
	}
	log_limited(LOG_ERROR, "client %s: cannot accept: %s", s->client->name,
		    strerror(-ret));
	if (conn->id->qp)
		rdma_destroy_qp(conn->id);
	conn->id = NULL;
	return ISW_REJ_RESOURCES;
}

/* ---- life --------------------------------------------------------------- */

static struct ibv_cq *create_cq(struct session *s, int entries)
{
	return ibv_create_cq(s->device->verbs, entries, s, s->device->channel,
			     0);
}

static void destroy_cq(struct ibv_cq *cq)
{
	int error = cq ? ibv_destroy_cq(cq) : 0;

	if (error)
		log_error("completion queue not destroyed: %s",
			  strerror(error));
}

static void session_free(struct session *s)
{
	unsigned int i;

	for (i = 0; i < SESSION_CONNS; i++)
		conn_close(&s->conns[i]);
	destroy_cq(s->cq);
	destroy_cq(s->send_cq);
	ctrl_destroy(s->ctrl);
	domain_put(s->domain);
	free(s);
}

static struct session *session_create(struct client *client,
				      const struct connect_request *req)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->client = client;
	s->number = random_nonzero();
	random_bytes(s->nonce, sizeof(s->nonce));
	s->queues = req->hello.queues;
	s->port = req->id->port_num;
	s->heard = now_ms();
	s->device = device_get(req->id->verbs);
	if (!s->device)
		goto err_free;
	s->domain = domain_create(s->device);
	if (!s->domain)
		goto err_free;
	s->cq = create_cq(s, CTRL_RECVS);
	s->send_cq = create_cq(s, CTRL_SENDS);
	if (!s->cq || !s->send_cq)
		goto err_free;
	s->ctrl = ctrl_create(s);
	if (!s->ctrl)
		goto err_free;
	return s;

err_free:
	log_limited(LOG_ERROR, "no resources for a session: %s",
		    strerror(errno));
	session_free(s);
	return NULL;
}

int session_open(struct client *client, const struct connect_request *req)
{
	struct session *s = session_create(client, req);
	uint64_t promised = client->lease_ms;
	int reason;

	if (!s)
		return ISW_REJ_RESOURCES;
	client->lease_ms = opt->lease_ms;	/* the answer tells it */
	reason = conn_open(&s->conns[0], s, req);
	if (reason) {
		client->lease_ms = promised;
		session_free(s);
		return reason;
	}
	client->session = s;
	return 0;
}

int session_join(struct session *s, const struct connect_request *req)
{
	const struct isw_cm_hello *hello = &req->hello;
	unsigned int first = hello->role == ISW_ROLE_WRITE ?
			     1 : 1 + ISW_MAX_QUEUES;
	struct conn *conn = &s->conns[first + hello->queue];

	if (hello->queues != s->queues || conn->id)
		return ISW_REJ_MALFORMED;
	/* Another way into this host would be another protection domain. */
	if (req->id->verbs != s->device->verbs || req->id->port_num != s->port)
		return ISW_REJ_TRANSPORT;
	return conn_open(conn, s, req);
}

struct session *client_session(const struct client *client)
{
	struct session *s = client->session;

	return s && !s->dead ? s : NULL;
}

struct session *client_session_is(const struct client *client, uint64_t number)
{
	struct session *s = client_session(client);

	return s && s->number == number ? s : NULL;
}

void session_kill(struct session *s, const char *why)
{
	if (s->dead)
		return;
	s->dead = true;
	s->next_dead = dead_sessions;
	dead_sessions = s;
	if (s->client->leaving)
		log_debug("client %s: session ends", s->client->name);
	else
		log_limited(LOG_WARN, "client %s at %s: session lost: %s",
			    s->client->name, s->client->address, why);
}

static void unlist_dead(struct session *s)
{
	struct session **at;

	for (at = &dead_sessions; *at; at = &(*at)->next_dead) {
		if (*at == s) {
			*at = s->next_dead;
			return;
		}
	}
}

void session_destroy(struct session *s)
{
	struct client *client = s->client;

	unlist_dead(s);
	session_free(s);
	client->session = NULL;
	grants_abandon(client);
}

void session_reap(void)
{
	struct client *client;

	while (dead_sessions) {
		client = dead_sessions->client;
		session_destroy(dead_sessions);
		client_lost(client);
	}
}

void sessions_leave(const struct device *dev)
{
	struct client *client = NULL;

	while ((client = client_next(client)))
		if (client->session && client->session->device == dev)
			session_kill(client->session, "its device is removed");
}

static bool session_has_qp(const struct session *s, const struct ibv_qp *qp)
{
	unsigned int i;

	for (i = 0; i < SESSION_CONNS; i++)
		if (s->conns[i].id && s->conns[i].id->qp == qp)
			return true;
	return false;
}

void session_qp_failed(const struct ibv_qp *qp, const char *why)
{
	struct client *client = NULL;

	while ((client = client_next(client)))
		if (client->session && session_has_qp(client->session, qp))
			session_kill(client->session, why);
}
