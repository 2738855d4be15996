// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

/* Sends under way must not change: each has its own place, in turn. */
#define SEND_MAX	4096
#define SEND_BYTES	(CLIENT_SENDS * SEND_MAX)

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void client_init(struct client *c, const char *address, uint16_t port)
{
	*c = (struct client) { .address = address, .port = port, .queues = 1 };
	while (isw_all_zero(c->id, sizeof(c->id)))
		if (getrandom(c->id, sizeof(c->id), 0) < 0)
			abort();
}

/* ---- connection manager ------------------------------------------------- */

/* The next event's type and status; its private data too. 0 or -errno. */
static int next_event(struct client *c, int timeout_ms,
		      enum rdma_cm_event_type *type, int *status,
		      uint8_t *data, uint8_t *len)
{
	struct pollfd pfd = { .fd = c->channel->fd, .events = POLLIN };
	struct rdma_cm_event *event;
	int ret = poll(&pfd, 1, timeout_ms);

	if (ret <= 0)
		return ret ? -errno : -ETIMEDOUT;
	if (rdma_get_cm_event(c->channel, &event))
		return -errno;
	*type = event->event;
	*status = event->status;
	*len = event->param.conn.private_data ?
	       event->param.conn.private_data_len : 0;
	if (event->event != RDMA_CM_EVENT_ESTABLISHED &&
	    event->event != RDMA_CM_EVENT_REJECTED)
		*len = 0;
	if (*len)
		memcpy(data, event->param.conn.private_data, *len);
	rdma_ack_cm_event(event);
	return 0;
}

static int wait_for(struct client *c, enum rdma_cm_event_type wanted,
		    uint8_t *data, uint8_t *len)
{
	enum rdma_cm_event_type type;
	int status, ret;

	for (;;) {
		ret = next_event(c, CLIENT_TIMEOUT_MS, &type, &status, data,
				 len);
		if (ret)
			return ret;
		if (type == wanted)
			return 0;
		if (type == RDMA_CM_EVENT_REJECTED)
			return isw_cm_rej_decode(data, *len, &c->rej_version) ?:
			       -ECONNREFUSED;
		if (type == RDMA_CM_EVENT_DISCONNECTED)
			c->disconnected = true;	/* of another link: go on */
		else if (type != RDMA_CM_EVENT_TIMEWAIT_EXIT)
			return status < 0 ? status : -ECONNABORTED;
	}
}

static int resolve(struct client *c, struct link *link)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_port = htons(c->port),
	};
	uint8_t data[UINT8_MAX], len;
	int ret;

	if (inet_pton(AF_INET, c->address, &sin.sin_addr) != 1)
		return -EINVAL;
	if (rdma_create_id(c->channel, &link->id, NULL, RDMA_PS_TCP))
		return -errno;
	if (rdma_resolve_addr(link->id, NULL, (struct sockaddr *)&sin, 2000))
		return -errno;
	ret = wait_for(c, RDMA_CM_EVENT_ADDR_RESOLVED, data, &len);
	if (ret)
		return ret;
	if (rdma_resolve_route(link->id, 2000))
		return -errno;
	return wait_for(c, RDMA_CM_EVENT_ROUTE_RESOLVED, data, &len);
}

static int create_qp(struct client *c, struct link *link, bool control)
{
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = {
			.max_send_wr = CLIENT_SENDS,
			.max_recv_wr = control ? ISW_CTRL_RECVS : 1,
			.max_send_sge = 1, .max_recv_sge = 1,
		},
	};

	link->cq = ibv_create_cq(link->id->verbs, CLIENT_SENDS + ISW_CTRL_RECVS,
				 NULL, control ? c->completions : NULL, 0);
	if (!link->cq)
		return -errno;
	attr.send_cq = link->cq;
	attr.recv_cq = link->cq;
	return rdma_create_qp(link->id, c->pd, &attr) ? -errno : 0;
}

static int connect_link(struct client *c, struct link *link, const void *req,
			uint8_t req_len, uint8_t *rep, uint8_t *rep_len)
{
	struct rdma_conn_param param = {
		.private_data = req,
		.private_data_len = req_len,
		.responder_resources = 1,
		.initiator_depth = 16,
		.retry_count = 6,
		.rnr_retry_count = c->waits ? 7 : 6,	/* 7: for ever */
	};

	if (rdma_connect(link->id, &param))
		return -errno;
	return wait_for(c, RDMA_CM_EVENT_ESTABLISHED, rep, rep_len);
}

static void drop_link(struct link *link)
{
	if (!link->id)
		return;
	if (link->id->qp)
		rdma_destroy_qp(link->id);
	if (link->cq)
		ibv_destroy_cq(link->cq);
	rdma_destroy_id(link->id);
	*link = (struct link) { 0 };
}

/* ---- memory ------------------------------------------------------------- */

static int post_recv(struct client *c, unsigned int slot)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)c->recv[slot], .length = ISW_MSG_MAX,
		.lkey = c->ring_mr->lkey,
	};
	struct ibv_recv_wr *bad, wr = {
		.wr_id = slot, .sg_list = &sge, .num_sge = 1,
	};

	return -ibv_post_recv(c->control.id->qp, &wr, &bad);
}

static struct ibv_mr *alloc_mr(struct client *c, size_t size, void *pointer)
{
	void *p = NULL;

	if (posix_memalign(&p, 4096, size))
		return NULL;
	memset(p, 0, size);
	*(void **)pointer = p;
	return ibv_reg_mr(c->pd, p, size, IBV_ACCESS_LOCAL_WRITE);
}

static int set_up_memory(struct client *c)
{
	struct ibv_context *verbs = c->control.id->verbs;
	int flags;

	c->pd = ibv_alloc_pd(verbs);
	c->completions = ibv_create_comp_channel(verbs);
	if (!c->pd || !c->completions)
		return -ENOMEM;
	flags = fcntl(c->completions->fd, F_GETFL);
	fcntl(c->completions->fd, F_SETFL, flags | O_NONBLOCK);
	c->ring_mr = alloc_mr(c, ISW_CTRL_RECVS * ISW_MSG_MAX, &c->recv);
	c->send_mr = alloc_mr(c, SEND_BYTES, &c->send);
	c->buffer_mr = alloc_mr(c, CLIENT_BUFFER, &c->buffer);
	return c->ring_mr && c->send_mr && c->buffer_mr ? 0 : -ENOMEM;
}

static void free_mr(struct ibv_mr *mr, void *memory)
{
	if (mr)
		ibv_dereg_mr(mr);
	free(memory);
}

/* ---- connect ------------------------------------------------------------ */

void client_fill_req(const struct client *c, struct isw_cm_req *req,
		     uint8_t role, uint8_t queue, uint64_t session)
{
	*req = (struct isw_cm_req) {
		.magic = __cpu_to_le32(ISW_MAGIC),
		.version = __cpu_to_le16(ISW_VERSION),
		.role = role,
		.queues = c->queues ? c->queues : 1,
		.session = __cpu_to_le64(session),
		.queue = queue,
		.nonce = { 1 },
	};
	memcpy(req->client, c->id, sizeof(req->client));
}

static int post_all(struct client *c)
{
	unsigned int slot;
	int ret = 0;

	for (slot = 0; !ret && !c->no_receives && slot < ISW_CTRL_RECVS; slot++)
		ret = post_recv(c, slot);
	return ret;
}

static int start_control(struct client *c)
{
	int ret;

	ret = set_up_memory(c);
	if (!ret)
		ret = create_qp(c, &c->control, true);
	if (!ret)
		ret = -ibv_req_notify_cq(c->control.cq, 0);
	return ret ? ret : post_all(c);
}

static int control_with(struct client *c, const void *req, uint8_t req_len)
{
	uint8_t rep[UINT8_MAX], rep_len = 0;
	int ret;

	c->disconnected = false;
	c->channel = rdma_create_event_channel();
	if (!c->channel)
		return -errno;
	ret = resolve(c, &c->control);
	if (!ret)
		ret = start_control(c);
	if (!ret)
		ret = connect_link(c, &c->control, req, req_len, rep, &rep_len);
	if (!ret && isw_cm_rep_decode(rep, rep_len, ISW_ROLE_CONTROL,
				      &c->welcome))
		ret = -EPROTO;
	if (ret)
		client_drop(c);
	return ret;
}

int client_connect_control(struct client *c)
{
	struct isw_cm_req req;

	client_fill_req(c, &req, ISW_ROLE_CONTROL, 0, 0);
	return control_with(c, &req, sizeof(req));
}

int client_connect_raw(struct client *c, const void *data, uint8_t len)
{
	return control_with(c, data, len);
}

int client_connect_data(struct client *c, uint8_t role, uint8_t queue,
			uint64_t session)
{
	struct link *link = role == ISW_ROLE_WRITE ? &c->write[queue] :
						     &c->read[queue];
	uint8_t rep[UINT8_MAX], rep_len = 0;
	struct isw_cm_welcome welcome;
	struct isw_cm_req req;
	struct link extra = { 0 };
	int ret;

	if (link->id)		/* once too often: a test's wish */
		link = &extra;
	client_fill_req(c, &req, role, queue, session);
	ret = resolve(c, link);
	if (!ret)
		ret = create_qp(c, link, false);
	if (!ret)
		ret = connect_link(c, link, &req, sizeof(req), rep, &rep_len);
	if (!ret && (isw_cm_rep_decode(rep, rep_len, role, &welcome) ||
		     welcome.epoch != c->welcome.epoch ||
		     welcome.session != c->welcome.session))
		ret = -EPROTO;
	if (ret || link == &extra)
		drop_link(link);
	return ret;
}

int client_connect(struct client *c)
{
	uint8_t i;
	int ret;

	ret = client_connect_control(c);
	for (i = 0; !ret && i < c->queues; i++) {
		ret = client_connect_data(c, ISW_ROLE_WRITE, i,
					  c->welcome.session);
		if (!ret)
			ret = client_connect_data(c, ISW_ROLE_READ, i,
						  c->welcome.session);
		if (ret)
			client_drop(c);
	}
	return ret;
}

void client_drop(struct client *c)
{
	unsigned int i;

	for (i = 0; i < ISW_MAX_QUEUES; i++) {
		drop_link(&c->write[i]);
		drop_link(&c->read[i]);
	}
	drop_link(&c->control);
	free_mr(c->ring_mr, c->recv);
	free_mr(c->send_mr, c->send);
	free_mr(c->buffer_mr, c->buffer);
	if (c->completions)
		ibv_destroy_comp_channel(c->completions);
	if (c->pd)
		ibv_dealloc_pd(c->pd);
	if (c->channel)
		rdma_destroy_event_channel(c->channel);
	c->ring_mr = c->send_mr = c->buffer_mr = NULL;
	c->recv = NULL;
	c->send = c->buffer = NULL;
	c->completions = NULL;
	c->pd = NULL;
	c->channel = NULL;
}

int client_bye(struct client *c)
{
	struct isw_msg_hdr bye;
	struct isw_msg answer;
	int ret;

	client_hdr(c, &bye, ISW_MSG_BYE);
	ret = client_ask(c, &bye, &answer);
	if (!ret && answer.type != ISW_MSG_BYE_OK)
		ret = -EPROTO;
	client_drop(c);
	return ret;
}

/* ---- control messages --------------------------------------------------- */

void client_hdr(struct client *c, struct isw_msg_hdr *hdr, uint16_t type)
{
	memset(hdr, 0, isw_msg_size(type));
	isw_msg_hdr_init(hdr, type, ++c->seq, c->welcome.epoch,
			 c->welcome.session);
}

static void note_cm_events(struct client *c)
{
	enum rdma_cm_event_type type;
	uint8_t data[UINT8_MAX], len;
	int status;

	while (!next_event(c, 0, &type, &status, data, &len))
		if (type == RDMA_CM_EVENT_DISCONNECTED)
			c->disconnected = true;
}

/*
 * One completion of the control connection: 1 and @wc, 0 when @timeout_ms have
 * passed, or -ECONNRESET when the donor has gone.
 */
static int control_completion(struct client *c, struct ibv_wc *wc,
			      int64_t deadline)
{
	struct pollfd pfd[2] = {
		{ .fd = c->completions->fd, .events = POLLIN },
		{ .fd = c->channel->fd, .events = POLLIN },
	};
	struct ibv_cq *cq;
	void *context;
	int64_t left;
	int n;

	for (;;) {
		n = ibv_poll_cq(c->control.cq, 1, wc);
		if (n)
			return n;
		if (c->disconnected)
			return -ECONNRESET;
		left = deadline - now_ms();
		if (left < 0)
			return 0;
		if (ibv_req_notify_cq(c->control.cq, 0))
			return -EIO;
		n = ibv_poll_cq(c->control.cq, 1, wc);
		if (n)
			return n;
		poll(pfd, 2, (int)left);
		while (!ibv_get_cq_event(c->completions, &cq, &context))
			ibv_ack_cq_events(cq, 1);
		note_cm_events(c);
	}
}

#define WR_SEND	(1u << 16)

int client_send(struct client *c, const void *msg, size_t len)
{
	uint8_t *place = c->send + c->sends++ % CLIENT_SENDS * SEND_MAX;
	struct ibv_sge sge = {
		.addr = (uintptr_t)place, .length = (uint32_t)len,
		.lkey = c->send_mr->lkey,
	};
	struct ibv_send_wr *bad, wr = {
		.wr_id = WR_SEND, .sg_list = &sge, .num_sge = 1,
		.opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED,
	};

	if (len > SEND_MAX)
		return -EMSGSIZE;
	memcpy(place, msg, len);
	return -ibv_post_send(c->control.id->qp, &wr, &bad);
}

int client_recv(struct client *c, void *buf, struct isw_msg *m, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	struct ibv_wc wc;
	int ret;

	for (;;) {
		ret = control_completion(c, &wc, deadline);
		if (ret <= 0)
			return ret ? ret : -ETIMEDOUT;
		if (wc.status != IBV_WC_SUCCESS) {
			c->failed = wc.status;
			return -ECONNRESET;
		}
		if (wc.wr_id & WR_SEND)
			continue;
		memcpy(buf, c->recv[wc.wr_id], ISW_MSG_MAX);
		ret = c->no_receives ? 0 : post_recv(c, (unsigned int)wc.wr_id);
		if (!ret && isw_msg_decode(buf, wc.byte_len, m))
			ret = -EPROTO;
		if (!ret && (m->epoch != c->welcome.epoch ||
			     m->session != c->welcome.session))
			ret = -EPROTO;
		return ret;
	}
}

int client_ask(struct client *c, const struct isw_msg_hdr *msg,
	       struct isw_msg *answer)
{
	static uint8_t buf[ISW_MSG_MAX] __attribute__((aligned(8)));
	int ret = client_send(c, msg, __le16_to_cpu(msg->length));

	while (!ret) {
		ret = client_recv(c, buf, answer, CLIENT_TIMEOUT_MS);
		/* The donor numbers its questions by itself. */
		if (ret || answer->seq != __le32_to_cpu(msg->seq) ||
		    answer->type == ISW_MSG_CHECK_ACTIVITY)
			continue;
		return answer->type == ISW_MSG_ERROR ? answer->error.code : 0;
	}
	return ret;
}

int client_ping(struct client *c)
{
	struct isw_msg answer;
	struct isw_msg_hdr ping;
	int ret;

	client_hdr(c, &ping, ISW_MSG_PING);
	ret = client_ask(c, &ping, &answer);
	return !ret && answer.type != ISW_MSG_PONG ? -EPROTO : ret;
}

int client_query(struct client *c, struct isw_status *status)
{
	struct isw_msg answer;
	struct isw_msg_hdr query;
	int ret;

	client_hdr(c, &query, ISW_MSG_QUERY);
	ret = client_ask(c, &query, &answer);
	if (!ret && answer.type != ISW_MSG_STATUS)
		ret = -EPROTO;
	if (!ret)
		*status = answer.status;
	return ret;
}

int client_grant(struct client *c, uint64_t length, struct isw_grant_info *g)
{
	struct isw_msg_grant msg;
	struct isw_msg answer;
	int ret;

	client_hdr(c, &msg.hdr, ISW_MSG_GRANT);
	msg.length = __cpu_to_le64(length);
	ret = client_ask(c, &msg.hdr, &answer);
	if (!ret && answer.type != ISW_MSG_GRANTED)
		ret = -EPROTO;
	if (!ret)
		*g = answer.grant;
	return ret;
}

static struct isw_msg_release release(struct client *c, struct isw_grant_id id)
{
	struct isw_msg_release msg;

	client_hdr(c, &msg.hdr, ISW_MSG_RELEASE);
	msg.id.index = __cpu_to_le32(id.index);
	msg.id.generation = __cpu_to_le32(id.generation);
	return msg;
}

int client_release_send(struct client *c, struct isw_grant_id id)
{
	struct isw_msg_release msg = release(c, id);

	return client_send(c, &msg, sizeof(msg));
}

int client_release(struct client *c, struct isw_grant_id id)
{
	struct isw_msg_release msg = release(c, id);
	struct isw_msg answer;
	int ret;

	ret = client_ask(c, &msg.hdr, &answer);
	if (!ret && (answer.type != ISW_MSG_RELEASED ||
		     answer.id.index != id.index ||
		     answer.id.generation != id.generation))
		ret = -EPROTO;
	return ret;
}

int client_list(struct client *c, struct isw_grant_info *g, int max)
{
	struct isw_msg_list msg;
	struct isw_msg answer;
	uint32_t from = 0, i;
	int n = 0, ret;

	do {
		client_hdr(c, &msg.hdr, ISW_MSG_LIST);
		msg.from = __cpu_to_le32(from);
		ret = client_ask(c, &msg.hdr, &answer);
		if (ret)
			return ret > 0 ? -EPROTO : ret;
		if (answer.type != ISW_MSG_GRANTS)
			return -EPROTO;
		for (i = 0; i < answer.grants.count && n < max; i++)
			isw_wire_grant_decode(&answer.grants.wire[i], &g[n++]);
		from = answer.grants.next;
	} while (from);
	return n;
}

int client_deafen(struct client *c)
{
	struct ibv_qp_attr attr = { .min_rnr_timer = 0 };	/* 655 ms */
	int i, ret;

	ret = -ibv_modify_qp(c->control.id->qp, &attr, IBV_QP_MIN_RNR_TIMER);
	c->no_receives = true;
	for (i = 0; !ret && i < ISW_CTRL_RECVS; i++)
		ret = client_ping(c);
	return ret;
}

int client_hear_again(struct client *c)
{
	c->no_receives = false;
	return post_all(c);
}

bool client_is_cut_off(struct client *c, int timeout_ms)
{
	static uint8_t buf[ISW_MSG_MAX] __attribute__((aligned(8)));
	int64_t deadline = now_ms() + timeout_ms;
	struct isw_msg m;
	int ret;

	do {
		ret = client_recv(c, buf, &m, (int)(deadline - now_ms()));
	} while (!ret && now_ms() < deadline);
	return ret == -ECONNRESET;
}

/* ---- data --------------------------------------------------------------- */

static int transfer(struct client *c, struct link *link, enum ibv_wr_opcode op,
		    uint64_t addr, uint32_t rkey, uint32_t len)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)c->buffer, .length = len,
		.lkey = c->buffer_mr->lkey,
	};
	struct ibv_send_wr *bad, wr = {
		.sg_list = &sge, .num_sge = 1, .opcode = op,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = { .remote_addr = addr, .rkey = rkey },
	};
	int64_t deadline = now_ms() + CLIENT_TIMEOUT_MS;
	struct ibv_wc wc;
	int n;

	if (len > CLIENT_BUFFER)
		return -EMSGSIZE;
	n = ibv_post_send(link->id->qp, &wr, &bad);
	if (n)
		return -n;
	while (!(n = ibv_poll_cq(link->cq, 1, &wc))) {
		if (now_ms() > deadline)
			return -ETIMEDOUT;
		usleep(100);
	}
	return n < 0 ? -EIO : (int)wc.status;
}

int client_write(struct client *c, uint64_t addr, uint32_t rkey, uint32_t len)
{
	return transfer(c, &c->write[0], IBV_WR_RDMA_WRITE, addr, rkey, len);
}

int client_read(struct client *c, uint64_t addr, uint32_t rkey, uint32_t len)
{
	return transfer(c, &c->read[0], IBV_WR_RDMA_READ, addr, rkey, len);
}
