// SPDX-License-Identifier: GPL-2.0-only
/* The RDMA CM channel. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "drain.h"
#include "grant.h"
#include "listen.h"
#include "log.h"
#include "loop.h"
#include "options.h"
#include "session.h"
#include "util.h"

#define BACKLOG		64
#define LISTENERS	2	/* IPv4 and IPv6 */

/* Events taken at a time: each may make a session, and others want their turn. */
#define ROUND		8

/* An event outlives its acknowledgement here, which must come early. */
struct cm_event {
	enum rdma_cm_event_type type;
	struct rdma_cm_id *id;
	struct rdma_conn_param conn;
	uint8_t private_data[UINT8_MAX];
};

static struct rdma_event_channel *channel;
static struct sockaddr_storage bound;	/* to which address, if to one */
static struct rdma_cm_id *listeners[LISTENERS];
static struct source channel_source;
static bool untaken;		/* there may be events in the channel */

/* ---- connect requests --------------------------------------------------- */

static void address_text(struct sockaddr *sa, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN];
	const void *in;

	if (sa->sa_family == AF_INET)
		in = &((struct sockaddr_in *)sa)->sin_addr;
	else
		in = &((struct sockaddr_in6 *)sa)->sin6_addr;
	if (!inet_ntop(sa->sa_family, in, host, sizeof(host)))
		snprintf(host, sizeof(host), "?");
	snprintf(text, size, "%s", host);
}

/* There a READ need not see what an earlier WRITE wrote. */
static bool is_iwarp(const struct rdma_cm_id *id)
{
	return id->verbs &&
	       id->verbs->device->transport_type == IBV_TRANSPORT_IWARP;
}

/* Returns 0 or an enum isw_reject. */
static int open_new(const struct connect_request *req, const char *address)
{
	struct client *client;
	int reason;

	if (drain_active())
		return ISW_REJ_DRAINING;
	client = client_create(req->hello.client);
	if (!client)
		return ISW_REJ_FULL;
	snprintf(client->address, sizeof(client->address), "%s", address);
	reason = session_open(client, req);
	if (reason)
		client->used = false;
	else
		log_limited(LOG_INFO, "client %s: joined from %s, %u+%u queues",
			    client->name, address, req->hello.queues,
			    req->hello.queues);
	return reason;
}

/*
 * The old session's queue pairs are gone before the new one is accepted: what
 * the client writes from now on cannot be overtaken by what it wrote then.
 */
static int open_again(struct client *client, const struct connect_request *req,
		      const char *address)
{
	int reason;

	if (client->session)
		session_destroy(client->session);
	snprintf(client->address, sizeof(client->address), "%s", address);
	client->leaving = false;
	reason = session_open(client, req);
	if (reason) {
		client_lost(client);
		return reason;
	}
	log_limited(LOG_INFO, "client %s: resumed from %s, %u grants",
		    client->name, address, client->grants);
	grants_renew(client);
	return 0;
}

static int on_control(const struct connect_request *req, const char *address)
{
	struct client *client = client_find(req->hello.client);

	return client ? open_again(client, req, address) :
			open_new(req, address);
}

static int on_data(const struct connect_request *req)
{
	struct client *client = client_find(req->hello.client);
	struct session *s = NULL;

	if (client)
		s = client_session_is(client, req->hello.session);
	return s ? session_join(s, req) : ISW_REJ_STALE;
}

static int on_hello(const struct connect_request *req, const char *address)
{
	if (!req->id->verbs || is_iwarp(req->id))
		return ISW_REJ_TRANSPORT;
	return req->hello.role == ISW_ROLE_CONTROL ?
	       on_control(req, address) : on_data(req);
}

/* In a request of another version this much is where it always was. */
static void log_reject(const struct cm_event *ev, int reason,
		       const char *address)
{
	const struct isw_cm_req *req = (const void *)ev->private_data;
	const struct ibv_context *verbs = ev->id->verbs;

	if (reason == ISW_REJ_VERSION)
		log_limited(LOG_WARN, "rejected a connection from %s: %s: %u, this is %u",
			    address, isw_reject_name(reason),
			    __le16_to_cpu(req->version), ISW_VERSION);
	else if (reason == ISW_REJ_TRANSPORT && verbs)
		log_limited(LOG_WARN, "rejected a connection from %s: %s: %s%s",
			    address, isw_reject_name(reason),
			    ibv_get_device_name(verbs->device),
			    is_iwarp(ev->id) ? " is iWARP" : "");
	else
		log_limited(LOG_WARN, "rejected a connection from %s: %s",
			    address, isw_reject_name(reason));
}

static void reject(struct rdma_cm_id *id, int reason)
{
	struct isw_cm_rej rej = {
		.magic = __cpu_to_le32(ISW_MAGIC),
		.version = __cpu_to_le16(ISW_VERSION),
		.reason = __cpu_to_le16((uint16_t)reason),
	};

	if (rdma_reject(id, &rej, sizeof(rej)))
		log_limited(LOG_DEBUG, "reject: %s", strerror(errno));
	rdma_destroy_id(id);
}

static void on_request(const struct cm_event *ev)
{
	struct connect_request req = {
		.id = ev->id,
		.responder_resources = ev->conn.responder_resources,
	};
	char address[ADDRESS_LEN];
	int reason;

	/* Until it is somebody's; it came with the listener's context. */
	ev->id->context = NULL;
	address_text(rdma_get_peer_addr(ev->id), address, sizeof(address));
	reason = isw_cm_req_decode(ev->private_data, ev->conn.private_data_len,
				   &req.hello);
	if (!reason)
		reason = on_hello(&req, address);
	if (!reason)
		return;
	log_reject(ev, reason, address);
	reject(ev->id, reason);
}

/* ---- other events ------------------------------------------------------- */

static void on_established(const struct cm_event *ev)
{
	struct conn *conn = ev->id->context;

	if (conn && conn->role == ISW_ROLE_CONTROL)
		conn->session->established = true;
}

static void on_failed(const struct cm_event *ev)
{
	struct conn *conn = ev->id->context;

	if (conn)
		session_kill(conn->session, ev->type ==
			     RDMA_CM_EVENT_DISCONNECTED ?
			     "disconnected" : rdma_event_str(ev->type));
}

/* Only one that is bound to an address is of a device, and goes with it. */
static void on_removal(const struct cm_event *ev)
{
	if (ev->id != listeners[0]) {
		on_failed(ev);
		return;
	}
	log_warn("%s is gone, its device is removed", opt->bind);
	rdma_destroy_id(listeners[0]);
	listeners[0] = NULL;
}

static void dispatch(const struct cm_event *ev)
{
	switch (ev->type) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		on_request(ev);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		on_established(ev);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_REJECTED:
		on_failed(ev);
		break;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		on_removal(ev);
		break;
	default:
		break;
	}
}

static void event_copy(const struct rdma_cm_event *from, struct cm_event *to)
{
	to->type = from->event;
	to->id = from->id;
	to->conn = from->param.conn;
	if (to->conn.private_data)
		memcpy(to->private_data, to->conn.private_data,
		       to->conn.private_data_len);
	else
		to->conn.private_data_len = 0;
}

/* Whether there may be more. */
static bool take_event(void)
{
	struct rdma_cm_event *event;
	struct cm_event ev;

	if (rdma_get_cm_event(channel, &event)) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return false;
		/* An event that librdmacm could not make sense of. */
		log_limited(LOG_WARN, "connection event: %s", strerror(errno));
		return errno != EBADF && errno != ENODEV;
	}
	event_copy(event, &ev);
	/* At once: rdma_destroy_id() waits for the acknowledgement. */
	rdma_ack_cm_event(event);
	dispatch(&ev);
	return true;
}

static void channel_ready(struct source *src)
{
	(void)src;
	untaken = true;
}

void listen_poll(void)
{
	unsigned int left;

	for (left = ROUND; left && untaken; left--)
		untaken = take_event();
	if (untaken)
		loop_wake();
}

bool listen_behind(void)
{
	return untaken;
}

/* ---- set-up ------------------------------------------------------------- */

static int listener_create(struct sockaddr *sa, bool only_v6,
			   struct rdma_cm_id **id)
{
	int yes = 1, ret = -1;

	if (rdma_create_id(channel, id, NULL, RDMA_PS_TCP))
		return -errno;
	rdma_set_option(*id, RDMA_OPTION_ID, RDMA_OPTION_ID_REUSEADDR, &yes,
			sizeof(yes));
	if (only_v6)
		rdma_set_option(*id, RDMA_OPTION_ID, RDMA_OPTION_ID_AFONLY,
				&yes, sizeof(yes));
	if (!rdma_bind_addr(*id, sa)) {
		if (is_iwarp(*id))
			errno = EPROTONOSUPPORT;
		else
			ret = rdma_listen(*id, BACKLOG);
	}
	if (!ret)
		return 0;
	ret = -errno;
	rdma_destroy_id(*id);
	*id = NULL;
	return ret;
}

static const char *hint(int error)
{
	switch (error) {
	case ENODEV:
		return " (no RDMA device has this address)";
	case EADDRNOTAVAIL:
		return " (this host does not have the address, or another infiniswapd has the port)";
	case EADDRINUSE:
		return " (is another infiniswapd running?)";
	case EPROTONOSUPPORT:
		return " (the RDMA device is iWARP)";
	}
	return "";
}

static int listen_all(void)
{
	struct sockaddr_in v4 = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)opt->port),
	};
	struct sockaddr_in6 v6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)opt->port),
		.sin6_addr = IN6ADDR_ANY_INIT,
	};
	int ret4, ret6;

	ret4 = listener_create((struct sockaddr *)&v4, false, &listeners[0]);
	ret6 = listener_create((struct sockaddr *)&v6, true, &listeners[1]);
	if (ret4)
		log_error("cannot listen on port %" PRIu64 ": %s%s", opt->port,
			  strerror(-ret4), hint(-ret4));
	else if (ret6)
		log_debug("no IPv6: %s", strerror(-ret6));
	return ret4;
}

/* Once: a name server that is slow must not hold up the loop. */
static int resolve(void)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICSERV };
	struct addrinfo *ai;
	char port[8];
	int ret;

	snprintf(port, sizeof(port), "%" PRIu64, opt->port);
	ret = getaddrinfo(opt->bind, port, &hints, &ai);
	if (ret) {
		log_error("bind %s: %s", opt->bind, gai_strerror(ret));
		return -EINVAL;
	}
	memcpy(&bound, ai->ai_addr, ai->ai_addrlen);
	freeaddrinfo(ai);
	return 0;
}

static int listen_one(void)
{
	return listener_create((struct sockaddr *)&bound, false, &listeners[0]);
}

int listen_init(void)
{
	int flags, ret;

	channel = rdma_create_event_channel();
	if (!channel) {
		log_error("/dev/infiniband/rdma_cm: %s (module rdma_ucm?)",
			  strerror(errno));
		return -errno;
	}
	flags = fcntl(channel->fd, F_GETFL);
	if (flags < 0 || fcntl(channel->fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	ret = !*opt->bind ? listen_all() : resolve() ?: listen_one();
	if (ret && *opt->bind)
		log_error("cannot listen on %s port %" PRIu64 ": %s%s",
			  opt->bind, opt->port, strerror(-ret), hint(-ret));
	if (ret)
		return ret;
	channel_source = (struct source) {
		.fd = channel->fd, .ready = channel_ready,
	};
	return loop_add(&channel_source);
}

void listen_tick(void)
{
	if (*opt->bind && !listeners[0] && !listen_one())
		log_info("listening on %s again", opt->bind);
}

void listen_exit(void)
{
	unsigned int i;

	for (i = 0; i < LISTENERS; i++)
		if (listeners[i])
			rdma_destroy_id(listeners[i]);
	if (channel)
		rdma_destroy_event_channel(channel);
}
