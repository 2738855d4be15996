// SPDX-License-Identifier: GPL-2.0-only
/*
 * evictor ADDRESS SLAB_MIB SLABS - a donor for one client, which does at once what
 * it is told on standard input, a command a line:
 *
 *	activity	ask how much the slabs are used; prints "activity INDEX N"
 *			for each grant, N in units of 1/256 page a second
 *	evict MS N	want N grants back within MS, the first ones, and lend no
 *			more; whoever has one yet then finds that it is revoked
 *	keep		call all of that off
 *	lend N		have so many slabs to lend from now on
 *	reborn		end the session, have another epoch and zeros in all memory, but
 *			list what was lent as before, with its addresses and keys
 *	stutter		answer each LIST with the first grant, and say that there are more
 *
 * Prints "ready", "granted INDEX", "released INDEX after MS ms", "revoked INDEX".
 * It has nothing else of infiniswapd; what it finds odd ends it.
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <rdma/rdma_cma.h>

#include <infiniswap/wire.h>

#include "measure.h"

#define GRANTS	256
#define SENDS	64
#define QPS	(1 + 2 * ISW_MAX_QUEUES)

struct grant {
	struct ibv_mr *mr;		/* NULL: not lent */
	void *memory;
	uint32_t generation;
	uint64_t evicted_at;		/* ns; 0: not */
	uint64_t deadline;		/* ns; 0: none */
};

static struct rdma_event_channel *channel;
static struct ibv_comp_channel *completions;
static struct ibv_context *context;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static struct rdma_cm_id *control;
static struct rdma_cm_id *conns[QPS];
static struct grant grants[GRANTS];
static uint64_t epoch, session, slab_size;
static unsigned int slabs, next_send;
static bool stutters;
static uint32_t next_seq;
static char memory[(ISW_CTRL_RECVS + SENDS) * ISW_MSG_MAX]
	__attribute__((aligned(4096)));
static struct ibv_mr *memory_mr;

static void say(const char *what, unsigned int index)
{
	printf("%s %u\n", what, index);
}

static unsigned int lent(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < GRANTS; i++)
		n += !!grants[i].mr;
	return n;
}

/* ---- messages ----------------------------------------------------------- */

static void receive(unsigned int place)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)(memory + place * ISW_MSG_MAX),
		.length = ISW_MSG_MAX,
		.lkey = memory_mr->lkey,
	};
	struct ibv_recv_wr wr = { .wr_id = place, .sg_list = &sge, .num_sge = 1 };
	struct ibv_recv_wr *bad;

	if (ibv_post_recv(control->qp, &wr, &bad))
		errx(1, "ibv_post_recv");
}

static void send_msg(struct isw_msg_hdr *msg, uint16_t type, uint32_t seq)
{
	unsigned int place = ISW_CTRL_RECVS + next_send++ % SENDS;
	char *at = memory + place * ISW_MSG_MAX;
	struct ibv_sge sge = {
		.addr = (uintptr_t)at,
		.length = isw_msg_size(type),
		.lkey = memory_mr->lkey,
	};
	struct ibv_send_wr wr = {
		.wr_id = place, .sg_list = &sge, .num_sge = 1,
		.opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED,
	};
	struct ibv_send_wr *bad;

	if (!control)
		return;		/* there is no session to be told */
	isw_msg_hdr_init(msg, type, seq, epoch, session);
	memcpy(at, msg, isw_msg_size(type));
	if (ibv_post_send(control->qp, &wr, &bad))
		errx(1, "ibv_post_send");
}

static void refuse(const struct isw_msg *m, uint16_t code)
{
	struct isw_msg_error msg = {
		.code = __cpu_to_le16(code),
		.type = __cpu_to_le16(m->type),
	};

	send_msg(&msg.hdr, ISW_MSG_ERROR, m->seq);
}

static struct isw_wire_id wire_id(unsigned int i)
{
	return (struct isw_wire_id) {
		.index = __cpu_to_le32(i),
		.generation = __cpu_to_le32(grants[i].generation),
	};
}

static struct isw_wire_grant wire_grant(unsigned int i)
{
	return (struct isw_wire_grant) {
		.id = wire_id(i),
		.addr = __cpu_to_le64((uintptr_t)grants[i].memory),
		.length = __cpu_to_le64(slab_size),
		.rkey = __cpu_to_le32(grants[i].mr->rkey),
	};
}

/* ---- grants ------------------------------------------------------------- */

static void take(unsigned int i)
{
	if (ibv_dereg_mr(grants[i].mr))
		err(1, "ibv_dereg_mr");
	munmap(grants[i].memory, slab_size);
	grants[i] = (struct grant) { .generation = grants[i].generation };
}

static void grant(const struct isw_msg *m)
{
	struct isw_msg_granted msg = {};
	unsigned int i;

	if (lent() >= slabs || m->length != slab_size) {
		refuse(m, ISW_ERR_NO_MEMORY);
		return;
	}
	for (i = 0; grants[i].mr; i++)
		;
	grants[i].memory = mmap(NULL, slab_size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (grants[i].memory == MAP_FAILED)
		err(1, "mmap");
	grants[i].mr = ibv_reg_mr(pd, grants[i].memory, slab_size,
				  IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
				  IBV_ACCESS_REMOTE_WRITE);
	if (!grants[i].mr)
		err(1, "ibv_reg_mr");
	grants[i].generation++;
	msg.grant = wire_grant(i);
	send_msg(&msg.hdr, ISW_MSG_GRANTED, m->seq);
	say("granted", i);
}

static void release(const struct isw_msg *m)
{
	struct isw_msg_release msg = {
		.id.index = __cpu_to_le32(m->id.index),
		.id.generation = __cpu_to_le32(m->id.generation),
	};
	struct grant *g = &grants[m->id.index];

	if (m->id.index >= GRANTS || !g->mr || g->generation != m->id.generation) {
		refuse(m, ISW_ERR_NO_GRANT);
		return;
	}
	if (g->evicted_at)
		printf("released %u after %u ms\n", m->id.index,
		       (unsigned int)((now_ns() - g->evicted_at) / 1000000));
	else
		say("returned", m->id.index);
	take(m->id.index);
	send_msg(&msg.hdr, ISW_MSG_RELEASED, m->seq);
}

static void list(const struct isw_msg *m)
{
	struct isw_msg_grants msg = {};
	unsigned int i, n = 0;

	for (i = m->from; i < GRANTS && n < ISW_GRANTS_MAX; i++)
		if (grants[i].mr)
			msg.grant[n++] = wire_grant(i);
	msg.count = __cpu_to_le32(n);
	for (; i < GRANTS && !grants[i].mr; i++)
		;
	msg.next = __cpu_to_le32(i < GRANTS ? i : 0);
	if (stutters && lent()) {
		for (i = 0; !grants[i].mr; i++)
			;
		msg.grant[0] = wire_grant(i);
		msg.count = __cpu_to_le32(1);
		msg.next = __cpu_to_le32(m->from + 1);
	}
	send_msg(&msg.hdr, ISW_MSG_GRANTS, m->seq);
}

static void status(const struct isw_msg *m)
{
	uint64_t donated = lent() * slab_size, limit = slabs * slab_size;
	struct isw_msg_status msg = {
		.total = __cpu_to_le64(1ull << 30),
		.used = __cpu_to_le64(donated),
		.donated = __cpu_to_le64(donated),
		.limit = __cpu_to_le64(limit),
	};

	send_msg(&msg.hdr, ISW_MSG_STATUS, m->seq);
}

static void activity(const struct isw_msg *m)
{
	unsigned int i;

	for (i = 0; i < m->activity.count; i++)
		printf("activity %u %u\n",
		       __le32_to_cpu(m->activity.wire[i].id.index),
		       __le32_to_cpu(m->activity.wire[i].activity));
	puts("activity over");
}

static void bye(const struct isw_msg *m)
{
	struct isw_msg_hdr msg = {};
	unsigned int i;

	for (i = 0; i < GRANTS; i++)
		if (grants[i].mr)
			take(i);
	send_msg(&msg, ISW_MSG_BYE_OK, m->seq);
	puts("bye");
}

static void received(const void *raw, uint32_t len)
{
	struct isw_msg_hdr pong = {};
	struct isw_msg m = {};

	if (isw_msg_decode(raw, len, &m))
		errx(1, "message of type %u, %u bytes", m.type, len);
	switch (m.type) {
	case ISW_MSG_PING:
		send_msg(&pong, ISW_MSG_PONG, m.seq);
		break;
	case ISW_MSG_QUERY:
		status(&m);
		break;
	case ISW_MSG_GRANT:
		grant(&m);
		break;
	case ISW_MSG_RELEASE:
		release(&m);
		break;
	case ISW_MSG_LIST:
		list(&m);
		break;
	case ISW_MSG_ACTIVITY:
		activity(&m);
		break;
	case ISW_MSG_BYE:
		bye(&m);
		break;
	default:
		errx(1, "message of type %u", m.type);
	}
}

static void complete(void)
{
	struct ibv_cq *which;
	struct ibv_wc wc;
	void *arg;

	if (ibv_get_cq_event(completions, &which, &arg))
		err(1, "ibv_get_cq_event");
	ibv_ack_cq_events(which, 1);
	if (ibv_req_notify_cq(which, 0))
		errx(1, "ibv_req_notify_cq");
	while (ibv_poll_cq(which, 1, &wc) > 0) {
		if (wc.status != IBV_WC_SUCCESS || wc.wr_id >= ISW_CTRL_RECVS ||
		    !control || wc.qp_num != control->qp->qp_num)
			continue;	/* a connection ends, or a send is done */
		received(memory + wc.wr_id * ISW_MSG_MAX, wc.byte_len);
		receive((unsigned int)wc.wr_id);
	}
}

/* ---- connections -------------------------------------------------------- */

static void device_open(struct ibv_context *verbs)
{
	if (context)
		return;
	context = verbs;
	pd = ibv_alloc_pd(context);
	completions = ibv_create_comp_channel(context);
	if (!pd || !completions)
		errx(1, "no protection domain");
	cq = ibv_create_cq(context, 1024, NULL, completions, 0);
	memory_mr = ibv_reg_mr(pd, memory, sizeof(memory), IBV_ACCESS_LOCAL_WRITE);
	if (!cq || !memory_mr || ibv_req_notify_cq(cq, 0))
		errx(1, "no completion queue");
}

static void conn_end(struct rdma_cm_id **id)
{
	if (!*id)
		return;
	if ((*id)->qp)
		rdma_destroy_qp(*id);
	rdma_destroy_id(*id);
	*id = NULL;
}

/* Its grants stay. */
static void session_end(void)
{
	unsigned int i;

	for (i = 0; i < QPS; i++)
		conn_end(&conns[i]);
	control = NULL;
}

/* A new control connection ends the old session. */
static void session_begin(struct rdma_cm_id *id)
{
	session_end();
	control = id;
	session++;
	say("session", (unsigned int)session);
}

/*
 * False: the client has given up meanwhile. What it asked while its link was cut may
 * come late, and it asks again.
 */
static bool conn_accept(struct rdma_cm_id *id, const struct rdma_conn_param *asked)
{
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = SENDS, .max_recv_wr = ISW_CTRL_RECVS,
			 .max_send_sge = 1, .max_recv_sge = 1 },
	};
	struct isw_cm_rep rep = {
		.magic = __cpu_to_le32(ISW_MAGIC),
		.version = __cpu_to_le16(ISW_VERSION),
		.epoch = __cpu_to_le64(epoch),
		.lease_ms = __cpu_to_le32(60000),
	};
	struct rdma_conn_param param = {
		.private_data = &rep, .private_data_len = sizeof(rep),
		.responder_resources = asked->responder_resources,
		.rnr_retry_count = 6,
	};
	struct isw_cm_hello hello;
	unsigned int i;

	if (isw_cm_req_decode(asked->private_data, asked->private_data_len, &hello))
		errx(1, "bad connect request");
	device_open(id->verbs);
	if (hello.role == ISW_ROLE_CONTROL)
		session_begin(id);
	for (i = 0; i < QPS - 1 && conns[i]; i++)
		;
	conns[i] = id;
	attr.send_cq = cq;
	attr.recv_cq = cq;
	if (rdma_create_qp(id, pd, &attr))
		return false;
	rep.role = hello.role;
	rep.session = __cpu_to_le64(session);
	for (i = 0; hello.role == ISW_ROLE_CONTROL && i < ISW_CTRL_RECVS; i++)
		receive(i);
	return !rdma_accept(id, &param);
}

static void conn_forget(struct rdma_cm_id *id)
{
	unsigned int i;

	puts("came late");
	for (i = 0; i < QPS; i++)
		if (conns[i] == id)
			conn_end(&conns[i]);
	if (control == id)
		control = NULL;
}

static void connection(void)
{
	struct rdma_cm_id *late = NULL;
	struct rdma_cm_event *event;

	if (rdma_get_cm_event(channel, &event))
		err(1, "rdma_get_cm_event");
	if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST &&
	    !conn_accept(event->id, &event->param.conn))
		late = event->id;
	rdma_ack_cm_event(event);
	if (late)
		conn_forget(late);
}

/* ---- commands ----------------------------------------------------------- */

/* CHECK_ACTIVITY or EVICT for the first @n grants that are lent. */
static void ask(uint16_t type, uint32_t deadline_ms, unsigned int n)
{
	uint64_t now = now_ns();
	struct isw_msg_ids msg = { .deadline_ms = __cpu_to_le32(deadline_ms) };
	unsigned int i, count = 0;

	for (i = 0; i < GRANTS && count < n; i++) {
		if (!grants[i].mr)
			continue;
		msg.id[count++] = wire_id(i);
		if (type != ISW_MSG_EVICT)
			continue;
		grants[i].evicted_at = deadline_ms ? now : 0;
		grants[i].deadline = deadline_ms ? now + deadline_ms * 1000000ull : 0;
	}
	msg.count = __cpu_to_le32(count);
	if (type == ISW_MSG_EVICT && deadline_ms)
		slabs = lent() - count;
	if (count)
		send_msg(&msg.hdr, type, type == ISW_MSG_EVICT ? 0 : ++next_seq);
}

/* Zeroed when no connection is left through which the client could write once more. */
static void reborn(void)
{
	unsigned int i;

	session_end();
	epoch++;
	for (i = 0; i < GRANTS; i++)
		if (grants[i].mr)
			memset(grants[i].memory, 0, slab_size);
}

static void command(char *line)
{
	unsigned int a = 0, b = 0;

	if (!strcmp(line, "activity"))
		ask(ISW_MSG_CHECK_ACTIVITY, 0, ISW_IDS_MAX);
	else if (sscanf(line, "evict %u %u", &a, &b) == 2 && a)
		ask(ISW_MSG_EVICT, a, b < ISW_IDS_MAX ? b : ISW_IDS_MAX);
	else if (!strcmp(line, "keep"))
		ask(ISW_MSG_EVICT, 0, ISW_IDS_MAX);
	else if (sscanf(line, "lend %u", &a) == 1)
		slabs = a;
	else if (!strcmp(line, "reborn"))
		reborn();
	else if (!strcmp(line, "stutter"))
		stutters = true;
	else
		errx(1, "%s: not a command", line);
	printf("did %s\n", line);
}

static void commands(int fd)
{
	static char text[256];
	static size_t have;
	char *end;
	ssize_t n;

	n = read(fd, text + have, sizeof(text) - 1 - have);
	if (n < 0)
		err(1, "standard input");
	have += (size_t)n;
	text[have] = '\0';
	while ((end = strchr(text, '\n'))) {
		*end = '\0';
		command(text);
		have -= (size_t)(end + 1 - text);
		memmove(text, end + 1, have + 1);
	}
}

static void revoke_due(void)
{
	uint64_t now = now_ns();
	unsigned int i;

	for (i = 0; i < GRANTS; i++) {
		if (!grants[i].deadline || now < grants[i].deadline)
			continue;
		take(i);
		say("revoked", i);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(ISW_PORT),
	};
	struct rdma_cm_id *listener;
	struct pollfd fds[3] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
	};

	if (argc != 4 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
		errx(2, "usage: evictor ADDRESS SLAB_MIB SLABS");
	slab_size = number(argv[2], 1, 64) << 20;
	slabs = (unsigned int)number(argv[3], 0, GRANTS);
	if (getrandom(&epoch, sizeof(epoch), 0) != sizeof(epoch))
		err(1, "getrandom");
	setvbuf(stdout, NULL, _IOLBF, 0);
	channel = rdma_create_event_channel();
	if (!channel ||
	    rdma_create_id(channel, &listener, NULL, RDMA_PS_TCP) ||
	    rdma_bind_addr(listener, (struct sockaddr *)&address) ||
	    rdma_listen(listener, QPS))
		err(1, "cannot listen");
	fds[1].fd = channel->fd;
	puts("ready");
	for (;;) {
		if (poll(fds, 3, 20) < 0)
			err(1, "poll");
		if (fds[1].revents)
			connection();
		if (completions)
			fds[2].fd = completions->fd;
		if (fds[2].revents)
			complete();
		if (fds[0].revents)
			commands(STDIN_FILENO);
		revoke_due();
	}
}
