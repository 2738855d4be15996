// SPDX-License-Identifier: GPL-2.0-only
/*
 * The other end of a connection set-up, for what a real one never says:
 *
 *	cmpeer listen ADDRESS PORT VERSION	a donor that rejects by that version
 *	cmpeer accept ADDRESS PORT VERSION	one that accepts and names it
 *	cmpeer connect ADDRESS PORT VERSION	a client of that version
 *
 * The first two run until they are killed and say "ready" once they listen.
 * connect prints what the donor answers; its status is 0 if it was accepted.
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <stdbool.h>

#include <rdma/rdma_cma.h>

#include <infiniswap/wire.h>

#include "measure.h"

#define TIMEOUT_MS	5000

static struct rdma_event_channel *channel;
static struct sockaddr_in address = { .sin_family = AF_INET };
static uint16_t version;

static void create_qp(struct rdma_cm_id *id)
{
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 1, .max_recv_wr = 1,
			 .max_send_sge = 1, .max_recv_sge = 1 },
	};

	if (rdma_create_qp(id, NULL, &attr))
		err(1, "rdma_create_qp");
}

/* ---- a donor ------------------------------------------------------------ */

static bool answer_reject(struct rdma_cm_id *id)
{
	struct isw_cm_rej rej = {
		.magic = __cpu_to_le32(ISW_MAGIC),
		.version = __cpu_to_le16(version),
		.reason = __cpu_to_le16(ISW_REJ_VERSION),
	};

	if (rdma_reject(id, &rej, sizeof(rej)))
		err(1, "rdma_reject");
	return false;
}

static bool answer_accept(struct rdma_cm_id *id)
{
	struct isw_cm_rep rep = {
		.magic = __cpu_to_le32(ISW_MAGIC),
		.version = __cpu_to_le16(version),
		.role = ISW_ROLE_CONTROL,
		.epoch = __cpu_to_le64(1),
		.session = __cpu_to_le64(1),
	};
	struct rdma_conn_param param = {
		.private_data = &rep,
		.private_data_len = sizeof(rep),
	};

	create_qp(id);
	if (rdma_accept(id, &param))
		err(1, "rdma_accept");
	return true;
}

static void end(struct rdma_cm_id *id)
{
	if (id->qp)
		rdma_destroy_qp(id);
	rdma_destroy_id(id);
}

/* @answer returns whether more is to come on the connection. */
static void serve(bool (*answer)(struct rdma_cm_id *id))
{
	struct rdma_cm_id *listener, *id;
	struct rdma_cm_event *event;
	bool goes_on;

	if (rdma_create_id(channel, &listener, NULL, RDMA_PS_TCP) ||
	    rdma_bind_addr(listener, (struct sockaddr *)&address) ||
	    rdma_listen(listener, 8))
		err(1, "cannot listen");
	puts("ready");
	fflush(stdout);
	while (!rdma_get_cm_event(channel, &event)) {
		id = event->id;
		goes_on = event->event == RDMA_CM_EVENT_ESTABLISHED;
		if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST)
			goes_on = answer(id);
		rdma_ack_cm_event(event);
		if (!goes_on && id != listener)
			end(id);
	}
	err(1, "rdma_get_cm_event");
}

/* ---- a client ----------------------------------------------------------- */

static struct rdma_cm_event *next_event(void)
{
	struct pollfd poll_fd = { .fd = channel->fd, .events = POLLIN };
	struct rdma_cm_event *event;

	if (poll(&poll_fd, 1, TIMEOUT_MS) != 1)
		errx(1, "no answer within %d ms", TIMEOUT_MS);
	if (rdma_get_cm_event(channel, &event))
		err(1, "rdma_get_cm_event");
	return event;
}

static void expect(enum rdma_cm_event_type type)
{
	struct rdma_cm_event *event = next_event();

	if (event->event != type)
		errx(1, "%s: %s", rdma_event_str(event->event),
		     strerror(-event->status));
	rdma_ack_cm_event(event);
}

static void answer_print(const struct rdma_cm_event *event)
{
	const struct rdma_conn_param *param = &event->param.conn;
	__u16 theirs;
	int reason;

	if (event->event == RDMA_CM_EVENT_ESTABLISHED) {
		puts("accepted");
		return;
	}
	reason = isw_cm_rej_decode(param->private_data,
				   param->private_data_len, &theirs);
	if (event->event != RDMA_CM_EVENT_REJECTED || !reason)
		errx(1, "%s", rdma_event_str(event->event));
	errx(1, "rejected by version %u: %s", theirs, isw_reject_name(reason));
}

static void ask(void)
{
	struct isw_cm_req req = {
		.magic = __cpu_to_le32(ISW_MAGIC),
		.version = __cpu_to_le16(version),
		.role = ISW_ROLE_CONTROL,
		.queues = 1,
		.client = { 1 },
		.nonce = { 1 },
	};
	struct rdma_conn_param param = {
		.private_data = &req,
		.private_data_len = sizeof(req),
	};
	struct rdma_cm_event *event;
	struct rdma_cm_id *id;

	if (rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) ||
	    rdma_resolve_addr(id, NULL, (struct sockaddr *)&address, TIMEOUT_MS))
		err(1, "rdma_resolve_addr");
	expect(RDMA_CM_EVENT_ADDR_RESOLVED);
	if (rdma_resolve_route(id, TIMEOUT_MS))
		err(1, "rdma_resolve_route");
	expect(RDMA_CM_EVENT_ROUTE_RESOLVED);
	create_qp(id);
	if (rdma_connect(id, &param))
		err(1, "rdma_connect");
	event = next_event();
	answer_print(event);
	rdma_ack_cm_event(event);
}

int main(int argc, char **argv)
{
	if (argc != 5 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1)
		errx(2, "usage: cmpeer listen|accept|connect ADDRESS PORT VERSION");
	address.sin_port = htons((uint16_t)number(argv[3], 1, 65535));
	version = (uint16_t)number(argv[4], 0, UINT16_MAX);
	channel = rdma_create_event_channel();
	if (!channel)
		err(1, "rdma_create_event_channel");
	if (!strcmp(argv[1], "listen"))
		serve(answer_reject);
	else if (!strcmp(argv[1], "accept"))
		serve(answer_accept);
	else if (!strcmp(argv[1], "connect"))
		ask();
	else
		errx(2, "%s: not listen, accept or connect", argv[1]);
	return 0;
}
