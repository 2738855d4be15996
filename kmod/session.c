// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making and ending the connections of a session. Everything here sleeps, for
 * seconds if need be, and runs on conn_wq, with two exceptions: the drain
 * (io_wq) and the callbacks of the connection manager.
 */
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <net/net_namespace.h>

#include "device.h"
#include "donor.h"
#include "extent.h"
#include "session.h"

#define CM_STEP_TIMEOUT_MS	2000
#define CM_CONNECT_TIMEOUT	msecs_to_jiffies(5000)

/*
 * 4.096 us << 17 = 0.54 s for each try and, with 6 retries, 3.8 s until a
 * queue pair gives up; 7 would mean for ever. The stall watchdog is there for
 * whoever wants less.
 */
#define ACK_TIMEOUT		17
#define RETRY_COUNT		6

/* than requests: the drain's own work request, the copier's, one to spare */
#define MORE_WRS		(2 + ISW_COPY_EXTENTS)

/* ---- HCAs --------------------------------------------------------------- */

static void hca_destroy(struct isw_hca *hca)
{
	unsigned int i;

	for (i = 0; i < ISW_MAX_QUEUES; i++) {
		if (hca->write_cq[i])
			ib_free_cq(hca->write_cq[i]);
		if (hca->read_cq[i])
			ib_free_cq(hca->read_cq[i]);
	}
	if (hca->ctrl_cq)
		ib_free_cq(hca->ctrl_cq);
	if (hca->pd)
		ib_dealloc_pd(hca->pd);
	list_del(&hca->node);
	kfree(hca);
}

static int cq_create(struct isw_device *dev, struct isw_hca *hca,
		     unsigned int per_session, unsigned int vector,
		     struct ib_cq **cq)
{
	u64 cqe = (u64)per_session * dev->cfg.max_sessions;
	struct ib_device *ibdev = hca->ibdev;

	if (cqe > ibdev->attrs.max_cqe) {
		isw_err(dev, "%s: %llu completion queue entries needed, %d possible: lower queue_depth or max_sessions\n",
			ibdev->name, cqe, ibdev->attrs.max_cqe);
		return -ENOSPC;
	}
	*cq = ib_alloc_cq(ibdev, hca, cqe, vector % ibdev->num_comp_vectors,
			  IB_POLL_SOFTIRQ);
	if (IS_ERR(*cq)) {
		int ret = PTR_ERR(*cq);

		*cq = NULL;
		return ret;
	}
	return 0;
}

static int hca_create_queues(struct isw_device *dev, struct isw_hca *hca)
{
	unsigned int data = dev->cfg.queue_depth + MORE_WRS, i;
	int ret;

	hca->pd = ib_alloc_pd(hca->ibdev, 0);
	if (IS_ERR(hca->pd)) {
		ret = PTR_ERR(hca->pd);
		hca->pd = NULL;
		return ret;
	}
	/* + 4: two drains, sends and receives */
	ret = cq_create(dev, hca, ISW_CTRL_RECVS + ISW_CTRL_CREDITS + 4, 0,
			&hca->ctrl_cq);
	for (i = 0; !ret && i < dev->cfg.queues; i++) {
		ret = cq_create(dev, hca, data, i, &hca->write_cq[i]);
		if (!ret)
			ret = cq_create(dev, hca, data, i, &hca->read_cq[i]);
	}
	return ret;
}

/* Segments that a work request may have. */
unsigned int isw_hca_sge(const struct ib_device *ibdev)
{
	unsigned int sge = min_t(u32, ISW_MAX_SEGMENTS, ibdev->attrs.max_send_sge);

	if (ibdev->attrs.max_sge_rd)
		sge = min_t(u32, sge, ibdev->attrs.max_sge_rd);
	return sge;
}

/* Limits that the disk was added with bind every HCA that comes later. */
static int hca_check_sge(struct isw_device *dev, struct ib_device *ibdev)
{
	unsigned int sge = isw_hca_sge(ibdev);

	if (sge >= dev->max_sge)
		return 0;
	if (dev->sge_fixed) {
		isw_err(dev, "%s: %u segments per request, the device has %u\n",
			ibdev->name, sge, dev->max_sge);
		return -EINVAL;
	}
	dev->max_sge = sge;
	return 0;
}

static struct isw_hca *hca_find(struct isw_device *dev, struct ib_device *ibdev)
{
	struct isw_hca *hca;

	list_for_each_entry(hca, &dev->hcas, node)
		if (hca->ibdev == ibdev)
			return hca;
	return NULL;
}

static struct isw_hca *hca_create(struct isw_device *dev,
				  struct ib_device *ibdev)
{
	struct isw_hca *hca;
	int ret;

	ret = hca_check_sge(dev, ibdev);
	if (ret)
		return ERR_PTR(ret);
	hca = kzalloc(sizeof(*hca), GFP_KERNEL);
	if (!hca)
		return ERR_PTR(-ENOMEM);
	hca->ibdev = ibdev;
	list_add_tail(&hca->node, &dev->hcas);
	ret = hca_create_queues(dev, hca);
	if (ret) {
		hca_destroy(hca);
		return ERR_PTR(ret);
	}
	return hca;
}

/*
 * Join the sessions on @ibdev. One that is being removed has lost its client
 * data: the connection manager still resolves to it for a while.
 */
static int hca_get(struct isw_donor *donor, struct ib_device *ibdev)
{
	struct isw_device *dev = donor->dev;
	struct isw_hca *hca = ERR_PTR(-ENODEV);

	mutex_lock(&dev->hca_lock);
	if (ib_get_client_data(ibdev, &isw_ib_client)) {
		hca = hca_find(dev, ibdev);
		if (!hca)
			hca = hca_create(dev, ibdev);
	}
	if (!IS_ERR(hca)) {
		hca->users++;
		WRITE_ONCE(donor->session.hca, hca);
	}
	mutex_unlock(&dev->hca_lock);
	return PTR_ERR_OR_ZERO(hca);
}

static void hca_put(struct isw_device *dev, struct isw_hca *hca)
{
	mutex_lock(&dev->hca_lock);
	hca->users--;
	mutex_unlock(&dev->hca_lock);
}

void isw_hcas_free(struct isw_device *dev)
{
	struct isw_hca *hca, *next;

	mutex_lock(&dev->hca_lock);
	list_for_each_entry_safe(hca, next, &dev->hcas, node) {
		WARN_ON_ONCE(hca->users);
		hca_destroy(hca);
	}
	mutex_unlock(&dev->hca_lock);
}

/* The HCA is unplugged: end its sessions and let go of it. Sleeps. */
void isw_hca_remove(struct isw_device *dev, struct ib_device *ibdev)
{
	unsigned int noio;
	struct isw_hca *hca;
	unsigned int i;

	mutex_lock(&dev->hca_lock);
	hca = hca_find(dev, ibdev);
	mutex_unlock(&dev->hca_lock);
	if (!hca)
		return;

	isw_info(dev, "%s goes away\n", ibdev->name);
	for (i = 0; i < dev->cfg.max_sessions; i++) {
		struct isw_donor *donor = READ_ONCE(dev->active[i]);

		if (donor && READ_ONCE(donor->session.hca) == hca)
			isw_donor_quiesce(donor);
	}
	noio = memalloc_noio_save();	/* sessions over other HCAs want the lock */
	mutex_lock(&dev->hca_lock);
	hca = hca_find(dev, ibdev);	/* power-off may have been faster */
	if (hca && !WARN_ON(hca->users))
		hca_destroy(hca);
	mutex_unlock(&dev->hca_lock);
	memalloc_noio_restore(noio);
}

/* ---- one connection ----------------------------------------------------- */

static void conn_step(struct isw_conn *conn, int error, const char *why)
{
	conn->cm_error = error;
	conn->why = why;
	complete(&conn->cm_done);
}

static void conn_established(struct isw_conn *conn,
			     const struct rdma_conn_param *p)
{
	int reason = isw_cm_rep_decode(p->private_data, p->private_data_len,
				       conn->role, &conn->welcome);

	if (reason) {
		conn_step(conn, -EPROTO, isw_reject_name(reason));
		return;
	}
	if (conn->role == ISW_ROLE_CONTROL) {	/* messages may come at once */
		conn->donor->session.number = conn->welcome.session;
		conn->donor->session.epoch = conn->welcome.epoch;
		isw_ctrl_open(conn->donor);
	}
	conn_step(conn, 0, NULL);
}

static void conn_rejected(struct isw_conn *conn, struct rdma_cm_event *ev)
{
	u16 version;
	int reason = isw_cm_rej_decode(ev->param.conn.private_data,
				       ev->param.conn.private_data_len,
				       &version);

	if (reason == ISW_REJ_VERSION && isw_donor_failure_is_news(conn->donor))
		isw_donor_warn(conn->donor,
			       "protocol version %u is not spoken, but %u\n",
			       ISW_VERSION, version);
	if (reason)
		conn_step(conn, reason == ISW_REJ_STALE ? -ESTALE : -ECONNREFUSED,
			  isw_reject_name(reason));
	else
		conn_step(conn, -ECONNREFUSED,
			  rdma_reject_msg(conn->id, ev->status));
}

/* Never returns an error: that would destroy the id under its owner. */
static int conn_event(struct rdma_cm_id *id, struct rdma_cm_event *ev)
{
	struct isw_conn *conn = id->context;

	switch (ev->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		conn_step(conn, 0, NULL);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		conn_established(conn, &ev->param.conn);
		break;
	case RDMA_CM_EVENT_REJECTED:
		conn_rejected(conn, ev);
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
		conn_step(conn, ev->status ?: -EHOSTUNREACH,
			  "address not resolved");
		break;
	case RDMA_CM_EVENT_ROUTE_ERROR:
		conn_step(conn, ev->status ?: -EHOSTUNREACH,
			  "route not resolved");
		break;
	case RDMA_CM_EVENT_UNREACHABLE:	/* once connected: the peer has another MAC now */
	case RDMA_CM_EVENT_CONNECT_ERROR:
		conn_step(conn, -EHOSTUNREACH, rdma_event_msg(ev->event));
		isw_donor_error(conn->donor, rdma_event_msg(ev->event));
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		isw_donor_error(conn->donor, "disconnected");
		break;
	case RDMA_CM_EVENT_ADDR_CHANGE:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		isw_donor_error(conn->donor, rdma_event_msg(ev->event));
		break;
	default:
		break;
	}
	return 0;
}

static int conn_wait(struct isw_conn *conn, int ret, const char *step)
{
	if (ret) {
		conn->why = step;
		return ret;
	}
	if (!wait_for_completion_timeout(&conn->cm_done, CM_CONNECT_TIMEOUT)) {
		conn->why = step;
		return -ETIMEDOUT;
	}
	return conn->cm_error;
}

static int conn_create_qp(struct isw_conn *conn)
{
	struct isw_device *dev = conn->donor->dev;
	struct isw_hca *hca = conn->donor->session.hca;
	struct ib_qp_init_attr attr = {
		.qp_type = IB_QPT_RC,
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.port_num = conn->donor->session.port,
	};
	int ret;

	if (conn->role == ISW_ROLE_CONTROL) {
		attr.send_cq = hca->ctrl_cq;
		attr.recv_cq = hca->ctrl_cq;
		attr.cap.max_send_wr = ISW_CTRL_CREDITS + 2;
		attr.cap.max_recv_wr = ISW_CTRL_RECVS + 2;
		attr.cap.max_send_sge = 1;
	} else {
		attr.send_cq = conn->role == ISW_ROLE_READ ?
			       hca->read_cq[conn->index] :
			       hca->write_cq[conn->index];
		attr.recv_cq = attr.send_cq;
		attr.cap.max_send_wr = dev->cfg.queue_depth + MORE_WRS;
		attr.cap.max_recv_wr = 1;
		attr.cap.max_send_sge = dev->max_sge;
	}
	attr.cap.max_recv_sge = 1;
	ret = rdma_create_qp(conn->id, hca->pd, &attr);
	if (!ret)
		conn->qp = conn->id->qp;
	return ret;
}

/* The first connection chooses HCA and port, all others must be on the same. */
static int conn_check_device(struct isw_conn *conn)
{
	struct isw_session *s = &conn->donor->session;
	struct ib_device *ibdev = conn->id->device;
	u32 port = conn->id->port_num;
	int ret;

	if (conn->role != ISW_ROLE_CONTROL) {
		conn->why = "another port than the control connection's";
		return s->hca->ibdev == ibdev && s->port == port ? 0 : -EXDEV;
	}
	if (!rdma_protocol_ib(ibdev, port) && !rdma_protocol_roce(ibdev, port)) {
		conn->why = "transport not supported: neither InfiniBand nor RoCE";
		return -EPROTONOSUPPORT;
	}
	s->port = port;
	ret = hca_get(conn->donor, ibdev);
	conn->why = ret == -ENODEV ? "the HCA is being removed" :
				     "HCA not usable";
	return ret;
}

static int conn_connect(struct isw_conn *conn)
{
	struct isw_donor *donor = conn->donor;
	struct isw_device *dev = donor->dev;
	struct ib_device *ibdev = conn->id->device;
	struct isw_cm_req req = {
		.magic = cpu_to_le32(ISW_MAGIC),
		.version = cpu_to_le16(ISW_VERSION),
		.role = conn->role,
		.queues = dev->cfg.queues,
		.queue = conn->index,
	};
	struct rdma_conn_param p = {
		.private_data = &req,
		.private_data_len = sizeof(req),
		.responder_resources = 1,
		.initiator_depth = 1,
		.retry_count = RETRY_COUNT,
		.rnr_retry_count = RETRY_COUNT,
	};

	memcpy(req.client, donor->client_id, sizeof(req.client));
	if (conn->role == ISW_ROLE_CONTROL)
		get_random_bytes(req.nonce, sizeof(req.nonce));
	else
		req.session = cpu_to_le64(donor->session.number);
	if (conn->role == ISW_ROLE_READ)
		p.initiator_depth = min3(dev->cfg.queue_depth, 255U,
					 (u32)ibdev->attrs.max_qp_init_rd_atom);
	return conn_wait(conn, rdma_connect(conn->id, &p), "connecting");
}

static int conn_open(struct isw_donor *donor, struct isw_conn *conn, u8 role,
		     u8 index)
{
	struct rdma_cm_id *id;
	int ret;

	conn->donor = donor;
	conn->role = role;
	conn->index = index;
	conn->why = NULL;
	atomic_set(&conn->inflight, 0);
	init_completion(&conn->cm_done);
	id = rdma_create_id(&init_net, conn_event, conn, RDMA_PS_TCP,
			    IB_QPT_RC);
	if (IS_ERR(id))
		return PTR_ERR(id);
	conn->id = id;
	rdma_set_ack_timeout(id, ACK_TIMEOUT);

	ret = conn_wait(conn, rdma_resolve_addr(id, NULL,
						(struct sockaddr *)&donor->addr,
						CM_STEP_TIMEOUT_MS),
			"resolving the address");
	if (!ret)
		ret = conn_check_device(conn);
	if (!ret)
		ret = conn_wait(conn, rdma_resolve_route(id, CM_STEP_TIMEOUT_MS),
				"resolving the route");
	if (!ret) {
		conn->why = "creating the queue pair";
		ret = conn_create_qp(conn);
	}
	if (!ret && role == ISW_ROLE_CONTROL)
		ret = isw_ctrl_start(donor);
	return ret ?: conn_connect(conn);
}

static void conn_drain(struct isw_conn *conn)
{
	if (!conn->qp)
		return;
	if (conn->role == ISW_ROLE_CONTROL)
		ib_drain_qp(conn->qp);
	else
		ib_drain_sq(conn->qp);
}

/*
 * Nothing comes from the connection manager any more, for which a late answer to
 * an attempt that was given up would be a reason to touch the queue pair. The donor
 * is told.
 */
static void conn_disconnect(struct isw_conn *conn)
{
	if (conn->id)
		rdma_destroy_id(conn->id);
	conn->id = NULL;
}

static void conn_destroy_qp(struct isw_conn *conn)
{
	if (!conn->qp)
		return;
	WARN_ON_ONCE(atomic_read(&conn->inflight));
	ib_destroy_qp(conn->qp);
	conn->qp = NULL;
}

/* ---- the session -------------------------------------------------------- */

static int session_open(struct isw_donor *donor)
{
	struct isw_session *s = &donor->session;
	unsigned int n = donor->dev->cfg.queues, i;
	struct isw_conn *conn = &s->control;
	int ret;

	ret = conn_open(donor, conn, ISW_ROLE_CONTROL, 0);
	for (i = 0; !ret && i < n; i++) {
		conn = &s->write[i];
		ret = conn_open(donor, conn, ISW_ROLE_WRITE, i);
	}
	for (i = 0; !ret && i < n; i++) {
		conn = &s->read[i];
		ret = conn_open(donor, conn, ISW_ROLE_READ, i);
	}
	if (ret && isw_donor_failure_is_news(donor))
		isw_donor_warn(donor, "%pISpc: no session: %s (%d)\n",
			       &donor->addr, conn->why ?: "failed", ret);
	return ret;
}

/*
 * Connect. On failure nothing is left behind. Under NOIO: memory reclaim may
 * be waiting for the very pages that this session will reach.
 */
int isw_session_connect(struct isw_donor *donor)
{
	unsigned int noio = memalloc_noio_save();
	int ret;

	mutex_lock(&donor->session.setup);
	ret = session_open(donor);
	mutex_unlock(&donor->session.setup);
	if (ret)
		isw_session_destroy(donor);
	memalloc_noio_restore(noio);
	return ret;
}

static void session_each(struct isw_session *s, void (*act)(struct isw_conn *))
{
	unsigned int i;

	for (i = 0; i < ISW_MAX_QUEUES; i++) {
		act(&s->write[i]);
		act(&s->read[i]);
	}
	act(&s->control);
}

/*
 * No new work request can be posted (the donor's state forbids it): wait until
 * the ones under way have come back, by making the queue pairs flush them.
 *
 * What the HCA's driver allocates for that must not wait for swap: requests that
 * hold all tags may be waiting for this. So it may use the reserves.
 */
void isw_session_drain(struct isw_donor *donor)
{
	unsigned int noreclaim = memalloc_noreclaim_save();

	isw_ctrl_abort(donor);
	synchronize_rcu();	/* posters that saw the old state are done */
	session_each(&donor->session, conn_drain);
	memalloc_noreclaim_restore(noreclaim);
}

void isw_session_destroy(struct isw_donor *donor)
{
	struct isw_session *s = &donor->session;
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&s->setup);
	session_each(s, conn_disconnect);
	isw_session_drain(donor);
	session_each(s, conn_destroy_qp);
	if (s->hca) {
		isw_ctrl_stop(donor);
		hca_put(donor->dev, s->hca);
		WRITE_ONCE(s->hca, NULL);
	}
	mutex_unlock(&s->setup);
	memalloc_noio_restore(noio);
}

static bool conn_stalled(struct isw_conn *conn, unsigned long limit)
{
	if (!atomic_read(&conn->inflight))
		return false;
	smp_rmb();	/* pairs with isw_conn_posting(), isw_conn_progress() */
	return time_after(jiffies, READ_ONCE(conn->since) + limit);
}

/* A queue pair without progress for stall_ms, or a silent donor? */
bool isw_session_stalled(struct isw_donor *donor)
{
	struct isw_session *s = &donor->session;
	unsigned long limit = isw_stall_jiffies(donor->dev);
	unsigned int i;

	for (i = 0; i < donor->dev->cfg.queues; i++)
		if (conn_stalled(&s->write[i], limit) ||
		    conn_stalled(&s->read[i], limit))
			return true;
	return time_after(jiffies, READ_ONCE(s->ctrl.heard) + limit);
}

/* For tests: put one queue pair into the error state, as a link fault would. */
int isw_session_break(struct isw_donor *donor, u8 role, unsigned int index)
{
	struct isw_session *s = &donor->session;
	struct ib_qp_attr attr = { .qp_state = IB_QPS_ERR };
	struct isw_conn *conn = &s->control;
	unsigned int noio;
	int ret = -ENOTCONN;

	if (index >= donor->dev->cfg.queues)
		return -EINVAL;
	if (role == ISW_ROLE_READ)
		conn = &s->read[index];
	else if (role == ISW_ROLE_WRITE)
		conn = &s->write[index];

	noio = memalloc_noio_save();	/* swap may need this session */
	mutex_lock(&s->setup);
	if (isw_donor_live(donor))
		ret = ib_modify_qp(conn->qp, &attr, IB_QP_STATE);
	mutex_unlock(&s->setup);
	memalloc_noio_restore(noio);
	return ret;
}
