// SPDX-License-Identifier: GPL-2.0-only
/* Send and receive control messages. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "ctrl.h"
#include "epoch.h"
#include "log.h"
#include "loop.h"
#include "msg.h"
#include "session.h"
#include "util.h"

struct slot {
	uint16_t type;		/* of the request that waits for its answer */
	uint32_t seq;
	uint32_t from;		/* LIST: where it wants to go on */
	bool sending;
};

struct ctrl {
	struct ibv_mr *mr;
	unsigned int posted;			/* receives */
	struct slot slots[CTRL_SENDS];		/* CTRL_RECVS on: news */
	uint8_t recv[CTRL_RECVS][ISW_MSG_MAX] __attribute__((aligned(8)));
	uint8_t send[CTRL_SENDS][ISW_MSG_MAX] __attribute__((aligned(8)));
};

/* In wr_id, above the slot's number. */
#define WR_SEND		(1u << 16)
#define WR_SLOT		(WR_SEND - 1)

/*
 * Completions of one session taken at a time: others want their turn. More than a
 * client that is gone can have left, with the answers to it.
 */
#define ROUND		128

_Static_assert(ROUND >= CTRL_SENDS + 2 * CTRL_RECVS, "something would be left");

static bool unpolled;		/* some session is */

struct ctrl *ctrl_create(struct session *s)
{
	struct ctrl *ctrl = calloc(1, sizeof(*ctrl));

	if (!ctrl)
		return NULL;
	ctrl->mr = ibv_reg_mr(s->domain->pd, ctrl, sizeof(*ctrl),
			      IBV_ACCESS_LOCAL_WRITE);
	if (!ctrl->mr) {
		free(ctrl);
		return NULL;
	}
	return ctrl;
}

void ctrl_destroy(struct ctrl *ctrl)
{
	if (!ctrl)
		return;
	if (ibv_dereg_mr(ctrl->mr))
		log_error("control ring not deregistered: %s", strerror(errno));
	free(ctrl);
}

static int post_recv(struct session *s, unsigned int slot)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)s->ctrl->recv[slot],
		.length = ISW_MSG_MAX,
		.lkey = s->ctrl->mr->lkey,
	};
	struct ibv_recv_wr *bad, wr = {
		.wr_id = slot,
		.sg_list = &sge,
		.num_sge = 1,
	};

	s->ctrl->posted++;
	return -ibv_post_recv(s->conns[0].id->qp, &wr, &bad);
}

static void arm(struct session *s, struct ibv_cq *cq)
{
	if (ibv_req_notify_cq(cq, 0))
		session_kill(s, "cannot watch its completions");
}

int ctrl_start(struct session *s)
{
	unsigned int slot;
	int ret;

	ret = -ibv_req_notify_cq(s->cq, 0);
	for (slot = 0; !ret && slot < CTRL_RECVS; slot++)
		ret = post_recv(s, slot);
	return ret;
}

static void slot_renew(struct session *s, unsigned int slot)
{
	s->ctrl->slots[slot] = (struct slot) { 0 };
	if (slot < CTRL_RECVS && post_recv(s, slot))
		session_kill(s, "cannot post a receive");
}

/* ---- out ---------------------------------------------------------------- */

static void *message(struct session *s, unsigned int slot, uint16_t type,
		     uint32_t seq)
{
	struct isw_msg_hdr *hdr = (void *)s->ctrl->send[slot];

	memset(hdr, 0, isw_msg_size(type));
	isw_msg_hdr_init(hdr, type, seq, daemon_epoch, s->number);
	return hdr;
}

void *ctrl_answer(struct session *s, unsigned int slot, uint16_t type)
{
	return message(s, slot, type, s->ctrl->slots[slot].seq);
}

/*
 * Nobody needs to know at once that an answer is out: it is found when the next
 * request wakes us, and a heartbeat costs one wake-up, not two. Unless there
 * are so few receives left that the next request may find none, this is the
 * last answer, or news wait for a place.
 */
static bool send_is_awaited(const struct session *s)
{
	return s->ctrl->posted <= ISW_CTRL_CREDITS || s->client->leaving ||
	       s->untold;
}

void ctrl_send(struct session *s, unsigned int slot)
{
	const struct isw_msg_hdr *hdr = (void *)s->ctrl->send[slot];
	struct ibv_sge sge = {
		.addr = (uintptr_t)hdr,
		.length = __le16_to_cpu(hdr->length),
		.lkey = s->ctrl->mr->lkey,
	};
	struct ibv_send_wr *bad, wr = {
		.wr_id = WR_SEND | slot,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
	};

	s->ctrl->slots[slot].type = 0;
	s->ctrl->slots[slot].sending = true;
	if (send_is_awaited(s))
		arm(s, s->send_cq);
	if (ibv_post_send(s->conns[0].id->qp, &wr, &bad))
		session_kill(s, "cannot send");
}

void ctrl_ignore(struct session *s, unsigned int slot)
{
	slot_renew(s, slot);
}

uint16_t ctrl_waiting(const struct session *s, unsigned int slot)
{
	return s->ctrl->slots[slot].type;
}

uint32_t ctrl_list_from(const struct session *s, unsigned int slot)
{
	return s->ctrl->slots[slot].from;
}

void ctrl_set_waiting(struct session *s, unsigned int slot,
		      const struct isw_msg *m)
{
	s->ctrl->slots[slot] = (struct slot) {
		.type = m->type,
		.seq = m->seq,
		.from = m->type == ISW_MSG_LIST ? m->from : 0,
	};
}

/* ---- in ----------------------------------------------------------------- */

static void completed(struct session *s, const struct ibv_wc *wc)
{
	unsigned int slot = (unsigned int)wc->wr_id & WR_SLOT;
	const struct isw_msg_hdr *hdr;

	if (wc->status != IBV_WC_SUCCESS) {
		session_kill(s, ibv_wc_status_str(wc->status));
		return;
	}
	if (!(wc->wr_id & WR_SEND)) {
		s->ctrl->posted--;
		msg_received(s, slot, s->ctrl->recv[slot], wc->byte_len);
		return;
	}
	hdr = (void *)s->ctrl->send[slot];
	if (hdr->type == __cpu_to_le16(ISW_MSG_BYE_OK))
		session_kill(s, "BYE");
	else
		slot_renew(s, slot);
}

/* Returns how many there were; the session may be dead then. */
static int take(struct session *s, struct ibv_cq *cq)
{
	struct ibv_wc wc[16];
	int i, n;

	if (s->dead)
		return 0;
	n = ibv_poll_cq(cq, ARRAY_SIZE(wc), wc);
	if (n < 0)
		session_kill(s, "cannot poll its completions");
	for (i = 0; i < n && !s->dead; i++)
		completed(s, &wc[i]);
	return n;
}

static bool news_find(const struct session *s, uint16_t type,
		      unsigned int *slot)
{
	unsigned int end = type == ISW_MSG_EVICT ? CTRL_SENDS :
						   CTRL_SENDS - CTRL_EVICTS;

	for (*slot = CTRL_RECVS; *slot < end; ++*slot)
		if (!s->ctrl->slots[*slot].sending)
			return true;
	return false;
}

/* What went out may not have been noticed yet, behind answers. */
static bool news_place(struct session *s, uint16_t type, unsigned int *slot)
{
	while (!news_find(s, type, slot))
		if (take(s, s->send_cq) <= 0 || s->dead)
			return false;
	return true;
}

void *ctrl_news(struct session *s, uint16_t type, uint32_t seq,
		unsigned int *slot)
{
	if (!news_place(s, type, slot)) {
		/* The next that is out wakes us; one may be since the look. */
		arm(s, s->send_cq);
		if (s->dead || !news_place(s, type, slot))
			return NULL;
	}
	return message(s, *slot, type, seq);
}

bool ctrl_has_place(const struct session *s)
{
	unsigned int slot;

	return news_find(s, ISW_MSG_EVICT, &slot);
}

void ctrl_completed(struct session *s)
{
	s->unpolled = true;
	unpolled = true;
}

static void session_poll(struct session *s)
{
	int n, taken = 0;

	s->unpolled = false;
	if (s->dead)
		return;
	/* First, so that nothing can arrive between the last poll and this. */
	arm(s, s->cq);
	if (send_is_awaited(s))
		arm(s, s->send_cq);
	do {
		/* Sends before receives: after an error they tell more. */
		n = take(s, s->send_cq) ?: take(s, s->cq);
		taken += n;
	} while (n > 0 && taken < ROUND);
	/* There is no event for what is there already. */
	if (n > 0)
		ctrl_completed(s);
}

void ctrl_poll(void)
{
	struct client *client = NULL;

	if (!unpolled)
		return;
	unpolled = false;
	while ((client = client_next(client)))
		if (client->session && client->session->unpolled)
			session_poll(client->session);
	if (unpolled)
		loop_wake();
}
