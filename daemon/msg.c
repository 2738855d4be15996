// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a decoded message to what is done about it. Requests take effect in
 * the order in which they arrive. GRANT, RELEASE, LIST and BYE are answered
 * when work on memory is done, so other answers may overtake theirs.
 */
#include <string.h>

#include "client.h"
#include "ctrl.h"
#include "drain.h"
#include "epoch.h"
#include "evict.h"
#include "log.h"
#include "meminfo.h"
#include "msg.h"
#include "options.h"
#include "pool.h"
#include "session.h"
#include "util.h"

/* Malformed messages that a session survives. */
#define MALFORMED_MAX	16

/* ---- answers ------------------------------------------------------------ */

static void answer_error(struct session *s, unsigned int slot, uint16_t type,
			 int code)
{
	struct isw_msg_error *e = ctrl_answer(s, slot, ISW_MSG_ERROR);

	e->code = __cpu_to_le16((uint16_t)code);
	e->type = __cpu_to_le16(type);
	ctrl_send(s, slot);
}

static void answer_header(struct session *s, unsigned int slot, uint16_t type)
{
	ctrl_answer(s, slot, type);
	ctrl_send(s, slot);
}

/*
 * What is prepared counts as free: it is there for whoever asks, and a donor
 * must not look fuller than its neighbour for having prepared.
 */
static void fill_status(struct isw_msg_status *msg)
{
	struct meminfo info = { 0 };
	uint64_t spare, used;

	/* Unknown counts as full. */
	if (meminfo_read(&info))
		info = (struct meminfo) { .total = opt->memory };
	spare = info.available + info.huge_free + pool_bytes();
	used = spare < info.total ? info.total - spare : 0;
	msg->total = __cpu_to_le64(info.total);
	msg->used = __cpu_to_le64(used);
	msg->donated = __cpu_to_le64(grant_bytes());
	msg->limit = __cpu_to_le64(opt->memory);
	msg->flags = __cpu_to_le32(drain_active() ? ISW_STATUS_DRAINING : 0);
}

static void answer_status(struct session *s, unsigned int slot)
{
	fill_status(ctrl_answer(s, slot, ISW_MSG_STATUS));
	ctrl_send(s, slot);
}

static void answer_grants(struct session *s, unsigned int slot, uint32_t from)
{
	struct isw_msg_grants *msg = ctrl_answer(s, slot, ISW_MSG_GRANTS);
	const struct grant *list[ISW_GRANTS_MAX + 1];
	unsigned int i, n = grant_list(s->client, from, list, ARRAY_SIZE(list));
	bool more = n > ISW_GRANTS_MAX;
	struct isw_grant_info info;

	n -= more;
	for (i = 0; i < n; i++) {
		grant_info(list[i], &info);
		isw_wire_grant_encode(&info, &msg->grant[i]);
	}
	msg->count = __cpu_to_le32(n);
	msg->next = __cpu_to_le32(more ? list[n]->index : 0);
	ctrl_send(s, slot);
	/* After a resume: news of the old session may have been lost. */
	if (!more)
		evict_remind(s->client);
}

void msg_status_all(void)
{
	struct client *client = NULL;
	struct isw_msg_status *msg;
	struct session *s;
	unsigned int slot;

	while ((client = client_next(client))) {
		s = client_session(client);
		if (!s || !s->established)
			continue;
		msg = ctrl_news(s, ISW_MSG_STATUS, 0, &slot);
		if (!msg)
			continue;
		fill_status(msg);
		ctrl_send(s, slot);
	}
}

/* ---- late answers ------------------------------------------------------- */

void msg_refuse(struct client *client, struct ticket ticket, int error)
{
	struct session *s = client_session_is(client, ticket.session);

	if (s)
		answer_error(s, ticket.slot, ctrl_waiting(s, ticket.slot),
			     error);
}

void msg_granted(struct client *client, struct ticket ticket,
		 const struct grant *g)
{
	struct session *s = client_session_is(client, ticket.session);
	struct isw_msg_granted *msg;
	struct isw_grant_info info;

	if (!s)
		return;
	msg = ctrl_answer(s, ticket.slot, ISW_MSG_GRANTED);
	grant_info(g, &info);
	isw_wire_grant_encode(&info, &msg->grant);
	ctrl_send(s, ticket.slot);
}

void msg_released(struct client *client, struct ticket ticket,
		  const struct isw_grant_id *id)
{
	struct session *s = client_session_is(client, ticket.session);
	struct isw_msg_release *msg;

	if (!s)
		return;
	msg = ctrl_answer(s, ticket.slot, ISW_MSG_RELEASED);
	msg->id.index = __cpu_to_le32(id->index);
	msg->id.generation = __cpu_to_le32(id->generation);
	ctrl_send(s, ticket.slot);
}

void msg_bye_ok(struct client *client)
{
	struct session *s = client_session(client);
	unsigned int slot;

	if (!s)
		return;
	for (slot = 0; slot < CTRL_RECVS; slot++) {
		if (ctrl_waiting(s, slot) == ISW_MSG_BYE) {
			answer_header(s, slot, ISW_MSG_BYE_OK);
			return;
		}
	}
}

/* ---- requests ----------------------------------------------------------- */

static int on_grant(struct session *s, unsigned int slot, uint64_t length)
{
	struct ticket ticket = { s->number, slot };

	if (drain_active())
		return ISW_ERR_DRAINING;
	return grant_create(s->client, length, ticket);
}

static int on_release(struct session *s, unsigned int slot,
		      const struct isw_grant_id *id)
{
	struct ticket ticket = { s->number, slot };

	return grant_release(s->client, id, ticket);
}

/* Keys that are about to change are not told. */
static int on_list(struct session *s, unsigned int slot, uint32_t from)
{
	if (!s->client->renewing)
		answer_grants(s, slot, from);
	return 0;
}

static int on_bye(struct session *s)
{
	struct client *client = s->client;

	client->leaving = true;
	grants_drop(client);
	client_settle(client);
	return 0;
}

/* Returns 0 when it is, or will be, answered; else what to refuse it with. */
static int handle(struct session *s, unsigned int slot, const struct isw_msg *m)
{
	/* After BYE there is nothing left to ask for. */
	if (s->client->leaving && m->type != ISW_MSG_PING)
		return ISW_ERR_TYPE;
	switch (m->type) {
	case ISW_MSG_PING:
		answer_header(s, slot, ISW_MSG_PONG);
		return 0;
	case ISW_MSG_QUERY:
		answer_status(s, slot);
		return 0;
	case ISW_MSG_GRANT:
		return on_grant(s, slot, m->length);
	case ISW_MSG_RELEASE:
		return on_release(s, slot, &m->id);
	case ISW_MSG_LIST:
		return on_list(s, slot, m->from);
	case ISW_MSG_BYE:
		return on_bye(s);
	}
	return ISW_ERR_TYPE;
}

/*
 * Not a request: an answer to it could be answered for ever. The one thing that
 * we ask is activity; another answer has no number that we gave.
 */
static bool is_answer(uint16_t type)
{
	return type == ISW_MSG_PONG || type == ISW_MSG_ERROR ||
	       type == ISW_MSG_ACTIVITY;
}

static void count_malformed(struct session *s)
{
	if (++s->malformed >= MALFORMED_MAX)
		session_kill(s, "too many malformed messages");
}

void msg_received(struct session *s, unsigned int slot, const void *buf,
		  unsigned int len)
{
	struct isw_msg m = { 0 };
	int error;

	s->established = true;
	error = isw_msg_decode(buf, len, &m);
	if (!error && (m.epoch != daemon_epoch || m.session != s->number))
		error = ISW_ERR_MALFORMED;
	if (!error && is_answer(m.type)) {
		evict_answer(s->client, &m);
		ctrl_ignore(s, slot);
		return;
	}
	if (m.type == ISW_MSG_PONG || m.type == ISW_MSG_ERROR) {
		ctrl_ignore(s, slot);
		count_malformed(s);
		return;
	}
	/* What gets no answer is none: it would cost nobody a receive, for ever. */
	s->heard = now_ms();
	ctrl_set_waiting(s, slot, &m);
	if (!error)
		error = handle(s, slot, &m);
	if (!error)
		return;
	log_limited(LOG_DEBUG, "client %s: message type %u refused: %s",
		    s->client->name, m.type, isw_error_name(error));
	answer_error(s, slot, m.type, error);
	if (error == ISW_ERR_MALFORMED)
		count_malformed(s);
}

void msg_renewed(struct client *client)
{
	struct session *s = client_session(client);
	unsigned int slot;

	if (!s)
		return;
	for (slot = 0; slot < CTRL_RECVS; slot++)
		if (ctrl_waiting(s, slot) == ISW_MSG_LIST)
			answer_grants(s, slot, ctrl_list_from(s, slot));
}
