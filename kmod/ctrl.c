// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control messages of one session. Answers are matched to calls by sequence
 * number; news are dealt with in the completion handler, in softirq context. What
 * needs dev->lock waits where it was received for evict.c to take it.
 */
#include <linux/gfp.h>

#include "ctrl.h"
#include "device.h"
#include "donor.h"
#include "evict.h"
#include "map.h"
#include "trace.h"

#define ISW_CTRL_MEMORY	((ISW_CTRL_RECVS + ISW_CTRL_CREDITS) * ISW_MSG_MAX)

int isw_ctrl_alloc(struct isw_donor *donor)
{
	struct isw_ctrl *c = &donor->session.ctrl;
	unsigned int i;
	char *p;

	spin_lock_init(&c->lock);
	init_waitqueue_head(&c->send_wait);
	INIT_LIST_HEAD(&c->calls);
	INIT_LIST_HEAD(&c->held);
	c->memory = alloc_pages_exact(ISW_CTRL_MEMORY, GFP_KERNEL | __GFP_ZERO);
	if (!c->memory)
		return -ENOMEM;
	p = c->memory;
	for (i = 0; i < ISW_CTRL_RECVS; i++, p += ISW_MSG_MAX)
		c->recv[i] = (struct isw_ctrl_buf) { .donor = donor, .data = p };
	for (i = 0; i < ISW_CTRL_CREDITS; i++, p += ISW_MSG_MAX)
		c->send[i] = (struct isw_ctrl_buf) { .donor = donor, .data = p };
	return 0;
}

void isw_ctrl_free(struct isw_donor *donor)
{
	struct isw_ctrl *c = &donor->session.ctrl;

	if (c->memory)
		free_pages_exact(c->memory, ISW_CTRL_MEMORY);
}

/* ---- receiving ---------------------------------------------------------- */

static struct isw_call *call_find(struct isw_ctrl *c, u32 seq)
{
	struct isw_call *call;

	list_for_each_entry(call, &c->calls, node)
		if (call->seq == seq)
			return call;
	return NULL;
}

/* Hand the answer to whoever waits for it; false: nobody does (any more). */
static bool call_answer(struct isw_ctrl *c, const struct isw_msg *m,
			const void *raw)
{
	struct isw_call *call;
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	call = m->seq ? call_find(c, m->seq) : NULL;
	if (call) {
		list_del_init(&call->node);
		call->answer = *m;
		call->error = 0;
		if (m->type == ISW_MSG_ERROR) {
			call->error = -EREMOTEIO;
			call->code = m->error.code;
		} else if (m->type != call->type + 1) {
			call->error = -EPROTO;
		} else if (m->type == ISW_MSG_GRANTS && call->copy) {
			memcpy(call->copy, raw, sizeof(struct isw_msg_grants));
		}
		complete(&call->done);
	}
	spin_unlock_irqrestore(&c->lock, flags);
	return call;
}

static void refuse(struct isw_donor *donor, const struct isw_msg *m, u16 code)
{
	struct isw_msg_error w = {
		.code = cpu_to_le16(code),
		.type = cpu_to_le16(m->type),
	};

	/* these are never answered: two peers would do so for ever */
	if (m->type != ISW_MSG_ERROR && m->type != ISW_MSG_PONG)
		isw_ctrl_post(donor, &w.hdr, ISW_MSG_ERROR, m->seq);
}

static void status_news(struct isw_donor *donor, const struct isw_status *s)
{
	bool draining = s->flags & ISW_STATUS_DRAINING;

	if (READ_ONCE(donor->draining) == draining)
		return;
	WRITE_ONCE(donor->draining, draining);
	isw_map_kick(donor->dev);
}

/* False: it waits for isw_ctrl_take(), and its place with it. */
static bool received(struct isw_donor *donor, const void *raw, u32 len)
{
	struct isw_ctrl *c = &donor->session.ctrl;
	struct isw_msg_hdr pong = {};
	struct isw_msg m;
	int code;

	code = isw_msg_decode(raw, len, &m);
	trace_isw_msg_recv(donor, m.type, m.seq);
	if (!code && (m.epoch != donor->session.epoch ||
		      m.session != donor->session.number))
		code = ISW_ERR_MALFORMED;
	if (code) {
		pr_warn_ratelimited("%s: %s: message of type %u, %u bytes: %s\n",
				    donor->dev->name, donor->name, m.type, len,
				    isw_error_name(code));
		refuse(donor, &m, code);
		return true;
	}
	switch (m.type) {		/* the donor's own numbering */
	case ISW_MSG_PING:
		isw_ctrl_post(donor, &pong, ISW_MSG_PONG, m.seq);
		return true;
	case ISW_MSG_CHECK_ACTIVITY:
	case ISW_MSG_EVICT:
		return false;
	}
	if (m.type == ISW_MSG_STATUS)
		status_news(donor, &m.status);
	if (call_answer(c, &m, raw))
		return true;

	switch (m.type) {		/* its call gave up waiting */
	case ISW_MSG_GRANTED:
		return false;
	case ISW_MSG_ERROR:
		return m.error.type != ISW_MSG_GRANT;
	case ISW_MSG_STATUS:
	case ISW_MSG_PONG:
	case ISW_MSG_RELEASED:
	case ISW_MSG_GRANTS:
	case ISW_MSG_BYE_OK:
		break;
	default:
		refuse(donor, &m, ISW_ERR_TYPE);
	}
	return true;
}

static int post_recv(struct isw_donor *donor, struct isw_ctrl_buf *b)
{
	struct isw_session *s = &donor->session;
	struct ib_sge sge = {
		.addr = b->dma,
		.length = ISW_MSG_MAX,
		.lkey = s->hca->pd->local_dma_lkey,
	};
	struct ib_recv_wr wr = {
		.wr_cqe = &b->cqe,
		.sg_list = &sge,
		.num_sge = 1,
	};

	return ib_post_recv(s->control.qp, &wr, NULL);
}

/* Not while the queue pair is being drained: see isw_ctrl_abort(). */
static void repost_recv(struct isw_donor *donor, struct isw_ctrl_buf *b)
{
	int ret = 0;

	rcu_read_lock();
	if (READ_ONCE(donor->session.ctrl.receiving))
		ret = post_recv(donor, b);
	rcu_read_unlock();
	if (ret)
		isw_donor_error(donor, "receive refused");
}

/*
 * Keep what only process context can deal with where it is: a donor that sends
 * more of it than it may waits for itself.
 */
static void hold(struct isw_donor *donor, struct isw_ctrl_buf *b)
{
	struct isw_ctrl *c = &donor->session.ctrl;
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	b->at = jiffies;
	if (c->receiving)
		list_add_tail(&b->node, &c->held);
	spin_unlock_irqrestore(&c->lock, flags);
	isw_evict_kick(donor->dev);
}

/* Its place is free: give it back to the HCA. */
static void recv_again(struct isw_donor *donor, struct isw_ctrl_buf *b)
{
	ib_dma_sync_single_for_device(donor->session.hca->ibdev, b->dma,
				      ISW_MSG_MAX, DMA_FROM_DEVICE);
	repost_recv(donor, b);
}

/*
 * Inside one RCU section, as posting is: a drain, which empties the list and waits
 * for a grace period, comes after all of it.
 */
bool isw_ctrl_take(struct isw_donor *donor, void *msg, unsigned long *at)
{
	struct isw_ctrl *c = &donor->session.ctrl;
	struct isw_ctrl_buf *b;
	unsigned long flags;

	rcu_read_lock();
	spin_lock_irqsave(&c->lock, flags);
	b = list_first_entry_or_null(&c->held, struct isw_ctrl_buf, node);
	if (b) {
		list_del(&b->node);
		memcpy(msg, b->data, ISW_MSG_MAX);
		*at = b->at;
	}
	spin_unlock_irqrestore(&c->lock, flags);
	if (b)
		recv_again(donor, b);
	rcu_read_unlock();
	return b;
}

static void recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct isw_ctrl_buf *b = container_of(wc->wr_cqe, struct isw_ctrl_buf,
					      cqe);
	struct isw_donor *donor = b->donor;
	struct isw_session *s = &donor->session;

	if (wc->status != IB_WC_SUCCESS) {
		isw_donor_error(donor, wc->status == IB_WC_WR_FLUSH_ERR ?
				"control queue pair in error" :
				ib_wc_status_msg(wc->status));
		return;
	}
	WRITE_ONCE(s->ctrl.heard, jiffies);
	ib_dma_sync_single_for_cpu(s->hca->ibdev, b->dma, ISW_MSG_MAX,
				   DMA_FROM_DEVICE);
	if (received(donor, b->data, wc->byte_len))
		recv_again(donor, b);
	else
		hold(donor, b);
}

/* ---- sending ------------------------------------------------------------ */

static void send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct isw_ctrl_buf *b = container_of(wc->wr_cqe, struct isw_ctrl_buf,
					      cqe);
	struct isw_donor *donor = b->donor;
	struct isw_ctrl *c = &donor->session.ctrl;
	unsigned long flags;

	isw_conn_progress(&donor->session.control);
	if (wc->status != IB_WC_SUCCESS)
		isw_donor_error(donor, wc->status == IB_WC_WR_FLUSH_ERR ?
				"control queue pair in error" :
				ib_wc_status_msg(wc->status));
	spin_lock_irqsave(&c->lock, flags);
	b->busy = false;
	spin_unlock_irqrestore(&c->lock, flags);
	wake_up(&c->send_wait);
}

static struct isw_ctrl_buf *send_buf_get(struct isw_ctrl *c)
{
	struct isw_ctrl_buf *b = NULL;
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&c->lock, flags);
	for (i = 0; c->up && i < ISW_CTRL_CREDITS; i++) {
		if (!c->send[i].busy) {
			b = &c->send[i];
			b->busy = true;
			break;
		}
	}
	spin_unlock_irqrestore(&c->lock, flags);
	return b;
}

/*
 * Posting is inside an RCU section that saw ctrl->up, so that a drain, which
 * clears it and waits for a grace period, comes after every send.
 */
bool isw_ctrl_post(struct isw_donor *donor, struct isw_msg_hdr *msg, u16 type,
		   u32 seq)
{
	struct isw_session *s = &donor->session;
	unsigned int len = isw_msg_size(type);
	struct isw_ctrl_buf *b;
	struct ib_sge sge;
	struct ib_send_wr wr;
	int ret;

	rcu_read_lock();
	b = send_buf_get(&s->ctrl);
	if (!b) {
		rcu_read_unlock();
		return false;
	}
	isw_msg_hdr_init(msg, type, seq, s->epoch, s->number);
	ib_dma_sync_single_for_cpu(s->hca->ibdev, b->dma, ISW_MSG_MAX,
				   DMA_TO_DEVICE);
	memcpy(b->data, msg, len);
	ib_dma_sync_single_for_device(s->hca->ibdev, b->dma, ISW_MSG_MAX,
				      DMA_TO_DEVICE);
	b->cqe.done = send_done;
	sge = (struct ib_sge) {
		.addr = b->dma,
		.length = len,
		.lkey = s->hca->pd->local_dma_lkey,
	};
	wr = (struct ib_send_wr) {
		.wr_cqe = &b->cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};
	trace_isw_msg_send(donor, type, seq);
	isw_conn_posting(&s->control);
	ret = ib_post_send(s->control.qp, &wr, NULL);
	if (ret) {
		isw_conn_progress(&s->control);
		b->busy = false;
		isw_donor_error(donor, "control send refused");
	}
	rcu_read_unlock();
	return !ret;
}

static u32 next_seq(struct isw_ctrl *c)
{
	unsigned long flags;
	u32 seq;

	spin_lock_irqsave(&c->lock, flags);
	if (!++c->seq)		/* 0 means: no answer expected */
		c->seq = 1;
	seq = c->seq;
	spin_unlock_irqrestore(&c->lock, flags);
	return seq;
}

/* The answer itself interests nobody, only that something was heard. */
void isw_ctrl_ping(struct isw_donor *donor)
{
	struct isw_msg_hdr ping = {};

	isw_ctrl_post(donor, &ping, ISW_MSG_PING,
		      next_seq(&donor->session.ctrl));
}

static void call_fail(struct isw_ctrl *c, struct isw_call *call, int error)
{
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	if (!list_empty(&call->node)) {
		list_del_init(&call->node);
		call->error = error;
		complete(&call->done);
	}
	spin_unlock_irqrestore(&c->lock, flags);
}

/* Send a request; isw_call_wait() must follow. */
void isw_call_send(struct isw_donor *donor, struct isw_call *call,
		   struct isw_msg_hdr *msg, u16 type)
{
	struct isw_ctrl *c = &donor->session.ctrl;
	unsigned long flags;

	init_completion(&call->done);
	INIT_LIST_HEAD(&call->node);
	call->type = type;
	call->error = -ENOTCONN;
	call->seq = next_seq(c);

	spin_lock_irqsave(&c->lock, flags);
	if (c->up)
		list_add_tail(&call->node, &c->calls);
	else
		complete(&call->done);
	spin_unlock_irqrestore(&c->lock, flags);

	if (!wait_event_timeout(c->send_wait, !READ_ONCE(c->up) ||
				isw_ctrl_post(donor, msg, type, call->seq),
				ISW_CALL_TIMEOUT))
		call_fail(c, call, -EBUSY);	/* it was not sent */
}

int isw_call_wait(struct isw_donor *donor, struct isw_call *call)
{
	if (!wait_for_completion_timeout(&call->done,
					 call->timeout ?: ISW_CALL_TIMEOUT)) {
		call_fail(&donor->session.ctrl, call, -ETIMEDOUT);
		wait_for_completion(&call->done);	/* or the answer won */
	}
	return call->error;
}

int isw_call(struct isw_donor *donor, struct isw_call *call,
	     struct isw_msg_hdr *msg, u16 type)
{
	isw_call_send(donor, call, msg, type);
	return isw_call_wait(donor, call);
}

/* ---- with the queue pair ------------------------------------------------ */

static int bufs_map(struct isw_hca *hca, struct isw_ctrl_buf *b, unsigned int n,
		    enum dma_data_direction dir)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		b[i].dma = ib_dma_map_single(hca->ibdev, b[i].data, ISW_MSG_MAX,
					     dir);
		if (ib_dma_mapping_error(hca->ibdev, b[i].dma))
			break;
		b[i].busy = false;
	}
	if (i == n)
		return 0;
	while (i--)
		ib_dma_unmap_single(hca->ibdev, b[i].dma, ISW_MSG_MAX, dir);
	return -ENOMEM;
}

static void bufs_unmap(struct isw_hca *hca, struct isw_ctrl_buf *b,
		       unsigned int n, enum dma_data_direction dir)
{
	while (n--)
		ib_dma_unmap_single(hca->ibdev, b[n].dma, ISW_MSG_MAX, dir);
}

/* The control queue pair exists, its connection does not yet. */
int isw_ctrl_start(struct isw_donor *donor)
{
	struct isw_session *s = &donor->session;
	struct isw_ctrl *c = &s->ctrl;
	unsigned int i;
	int ret;

	ret = bufs_map(s->hca, c->recv, ISW_CTRL_RECVS, DMA_FROM_DEVICE);
	if (ret)
		return ret;
	ret = bufs_map(s->hca, c->send, ISW_CTRL_CREDITS, DMA_TO_DEVICE);
	if (ret) {
		bufs_unmap(s->hca, c->recv, ISW_CTRL_RECVS, DMA_FROM_DEVICE);
		return ret;
	}
	c->mapped = true;
	WRITE_ONCE(c->receiving, true);
	for (i = 0; i < ISW_CTRL_RECVS && !ret; i++) {
		c->recv[i].cqe.done = recv_done;
		ret = post_recv(donor, &c->recv[i]);
	}
	return ret;
}

/* The connection may be established while it is given up: too late, then. */
void isw_ctrl_open(struct isw_donor *donor)
{
	struct isw_ctrl *c = &donor->session.ctrl;
	unsigned long flags;

	WRITE_ONCE(c->heard, jiffies);
	spin_lock_irqsave(&c->lock, flags);
	WRITE_ONCE(c->up, c->receiving);
	spin_unlock_irqrestore(&c->lock, flags);
}

/* Any context. A grace period later nothing is posted any more. */
void isw_ctrl_abort(struct isw_donor *donor)
{
	struct isw_ctrl *c = &donor->session.ctrl;
	struct isw_call *call, *next;
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	WRITE_ONCE(c->up, false);
	WRITE_ONCE(c->receiving, false);
	INIT_LIST_HEAD(&c->held);	/* their places go with the queue pair */
	list_for_each_entry_safe(call, next, &c->calls, node) {
		list_del_init(&call->node);
		call->error = -ENOTCONN;
		complete(&call->done);
	}
	spin_unlock_irqrestore(&c->lock, flags);
	wake_up(&c->send_wait);
}

void isw_ctrl_stop(struct isw_donor *donor)
{
	struct isw_session *s = &donor->session;
	struct isw_ctrl *c = &s->ctrl;

	if (!c->mapped)
		return;
	bufs_unmap(s->hca, c->recv, ISW_CTRL_RECVS, DMA_FROM_DEVICE);
	bufs_unmap(s->hca, c->send, ISW_CTRL_CREDITS, DMA_TO_DEVICE);
	c->mapped = false;
}
