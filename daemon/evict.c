// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batch eviction (Infiniswap, NSDI'17, section 5.2). E + E' grants are drawn
 * from all that are lent; their owners are asked how active these are; the E
 * least active get a deadline. If that is not enough, the next batch follows at
 * once. A client gives back in time by RELEASE; what is
 * left at the deadline is taken, whatever the client does. Nothing here waits
 * for a client longer than that.
 *
 *	drawn -> asked (one batch at a time) -> evict_at set -> released or revoked
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <infiniswap/evict.h>

#include "client.h"
#include "ctrl.h"
#include "evict.h"
#include "grant.h"
#include "log.h"
#include "loop.h"
#include "options.h"
#include "session.h"
#include "util.h"

/* How long answers are awaited, and the deadline when it is urgent. */
#define ANSWER_MS		500
#define URGENT_ANSWER_MS	100
#define URGENT_DEADLINE_MS	500

/* All that is drawn may be one client's: there is room to ask for all of it. */
_Static_assert(ISW_EVICT_ASK <= CTRL_NEWS * ISW_IDS_MAX, "too many to ask for");

/* One CHECK_ACTIVITY under way. */
struct question {
	const struct client *client;
	bool answered;
};

/* The batch whose activity is being asked for. */
static struct {
	uint64_t answer_by;	/* 0: there is none */
	uint64_t need;		/* what is without a deadline as yet */
	bool follows;		/* one before, of which there is an event */
	bool urgent;
	const char *why;
	uint32_t count;
	struct isw_evict_slab slabs[ISW_EVICT_ASK];
	uint32_t generation[ISW_EVICT_ASK];	/* by place in the draw */
	uint32_t first_seq;	/* of the first question */
	uint32_t questions, answers;
	struct question question[ISW_EVICT_ASK];
} batch;

static uint32_t last_seq;
static struct evict_event events[EVICT_EVENTS];
static uint32_t event_count;

const struct evict_event *evict_event(unsigned int i)
{
	if (i >= event_count || i >= EVICT_EVENTS)
		return NULL;
	return &events[(event_count - 1 - i) % EVICT_EVENTS];
}

/* That of an eviction long ago is overwritten. */
static struct evict_event *event_of(const struct grant *g)
{
	if (event_count - g->evict_event > EVICT_EVENTS)
		return NULL;
	return &events[g->evict_event % EVICT_EVENTS];
}

/* ---- timer -------------------------------------------------------------- */

static struct source timer = { .fd = -1 };
static bool due;		/* the timer has expired, or nobody is waited for */

static bool all_answered(void)
{
	return batch.answers == batch.questions;
}

/* evict_poll() goes on at once, if not before other events. */
static void go_on(void)
{
	due = true;
	loop_wake();
}

static void arm(void)
{
	uint64_t next = batch.answer_by;
	struct itimerspec spec = { 0 };
	struct grant *g = NULL;

	while ((g = grant_each(g)))
		if (g->evict_at && (!next || g->evict_at < next))
			next = g->evict_at;
	spec.it_value.tv_sec = (time_t)(next / 1000);
	spec.it_value.tv_nsec = (long)(next % 1000) * 1000000;
	if (timerfd_settime(timer.fd, TFD_TIMER_ABSTIME, &spec, NULL))
		log_error("timer: %s", strerror(errno));
}

/* ---- messages ----------------------------------------------------------- */

/* One message, to be filled with ids. */
struct ids {
	struct session *session;
	struct isw_msg_ids *msg;	/* NULL: none begun */
	unsigned int slot;
	uint32_t count;
};

static bool ids_begin(struct ids *ids, uint16_t type, uint32_t seq,
		      uint64_t deadline_ms)
{
	ids->msg = ctrl_news(ids->session, type, seq, &ids->slot);
	ids->count = 0;
	if (!ids->msg)
		return false;
	ids->msg->deadline_ms = __cpu_to_le32((uint32_t)deadline_ms);
	return true;
}

static void ids_add(struct ids *ids, uint32_t index, uint32_t generation)
{
	const struct isw_grant_id id = { index, generation };

	ids->msg->id[ids->count++] = isw_wire_id_encode(&id);
}

static void ids_send(struct ids *ids)
{
	if (!ids->msg)
		return;
	ids->msg->count = __cpu_to_le32(ids->count);
	ctrl_send(ids->session, ids->slot);
	ids->msg = NULL;
}

static struct session *reachable(const struct client *client)
{
	struct session *s = client_session(client);

	return s && s->established && !client->leaving ? s : NULL;
}

/*
 * Whether its client is to hear of @g: its deadline, or, if it may count on an
 * earlier one, that there is none any more.
 */
static bool is_owed(const struct grant *g)
{
	return !g->evict_told && (g->evict_at || g->evict_warned);
}

static bool untold;		/* some session is */

/* One EVICT: what @client is owed of one deadline. Whether there was any. */
static bool tell_some(const struct client *client)
{
	struct ids ids = { .session = reachable(client) };
	uint64_t now = now_ms(), deadline = 0;
	struct grant *g = NULL;

	if (!ids.session)
		return false;
	while ((g = grant_each_of(client, g)) && ids.count < ISW_IDS_MAX) {
		if (!is_owed(g) || (ids.msg && g->evict_at != deadline))
			continue;
		deadline = g->evict_at;
		/* 0 calls it off. */
		if (!ids.msg &&
		    !ids_begin(&ids, ISW_MSG_EVICT, 0, !deadline ? 0 :
			       deadline > now ? deadline - now : 1)) {
			ids.session->untold = true;
			untold = true;
			return false;
		}
		ids_add(&ids, g->index, g->generation);
		g->evict_told = true;
		if (deadline)
			g->evict_warned = deadline;
	}
	if (!ids.msg)
		return false;
	ids_send(&ids);
	return true;
}

static void tell(const struct client *client)
{
	while (tell_some(client))
		;
}

/* Each looks at grants of its own: all together at each grant once a message. */
static void tell_all(void)
{
	struct client *client = NULL;

	while ((client = client_next(client)))
		tell(client);
}

/* Those that had no place for it, and have one now. */
static void tell_more(void)
{
	struct client *client = NULL;
	struct session *s;

	if (!untold)
		return;
	untold = false;
	while ((client = client_next(client))) {
		s = reachable(client);
		if (!s || !s->untold)
			continue;
		s->untold = !ctrl_has_place(s);
		if (s->untold)
			untold = true;
		else
			tell(client);
	}
}

void evict_remind(const struct client *client)
{
	struct grant *g = NULL;

	while ((g = grant_each_of(client, g)))
		g->evict_told = false;
	tell(client);
}

/* ---- the draw, and the questions ---------------------------------------- */

/*
 * Pages set aside for this are of no use to the host. A client that has not
 * heard yet that its last deadline is off would take that one for the new one,
 * but not when it is over: else it need only not listen to keep its slabs.
 */
static bool is_candidate(const struct grant *g, uint64_t now)
{
	return !g->evict_at && !g->region->huge &&
	       !(is_owed(g) && now < g->evict_warned && reachable(g->client));
}

/* Many at a time: a draw takes one for each slab that is lent. */
static uint32_t random_word(void)
{
	static uint32_t words[RANDOM_MAX / sizeof(uint32_t)];
	static unsigned int left;

	if (!left) {
		random_bytes(words, sizeof(words));
		left = ARRAY_SIZE(words);
	}
	return words[--left];
}

static void draw(void)
{
	uint32_t left = 0, want, taken;
	uint64_t bytes = 0, now = now_ms();
	struct grant *g = NULL;

	while ((g = grant_each(g))) {
		if (is_candidate(g, now)) {
			left++;
			bytes += g->region->length;
		}
	}
	want = isw_evict_ask(isw_evict_count(batch.need, bytes, left), left,
			     (uint32_t)opt->evict_extra);
	batch.count = 0;
	while ((g = grant_each(g))) {
		if (!is_candidate(g, now))
			continue;
		taken = isw_evict_draws(left--, want, random_word());
		want -= taken;
		if (!taken)
			continue;
		batch.generation[batch.count] = g->generation;
		batch.slabs[batch.count++] = (struct isw_evict_slab) {
			.index = g->index, .length = g->region->length,
		};
	}
}

/*
 * Who has no session can neither say what it uses nor hear that it is evicted,
 * and would lose most. So its slabs go when the others are not enough. Who has
 * one and does not answer gains nothing by it.
 */
static void spare_absent(void)
{
	const struct grant *g;
	uint32_t i;

	for (i = 0; i < batch.count; i++) {
		g = grant_get(batch.slabs[i].index, batch.generation[i]);
		if (g && !reachable(g->client))
			batch.slabs[i].activity = UINT32_MAX;
	}
}

/*
 * What cannot be asked counts as answered. Nor is who has not answered the batch
 * before: it may not take what it gets, and has room for so much.
 */
static void ask(const struct client *client)
{
	struct ids ids = { .session = reachable(client) };
	const struct grant *g;
	uint32_t i, seq;

	if (!ids.session || (batch.follows && ids.session->unanswered))
		return;
	for (i = 0; i < batch.count; i++) {
		g = grant_get(batch.slabs[i].index, batch.generation[i]);
		if (!g || g->client != client)
			continue;
		if (ids.msg && ids.count == ISW_IDS_MAX)
			ids_send(&ids);
		if (!ids.msg) {
			seq = batch.first_seq + batch.questions;
			if (!ids_begin(&ids, ISW_MSG_CHECK_ACTIVITY, seq, 0))
				return;
			batch.question[batch.questions++] =
				(struct question) { .client = client };
			ids.session->unanswered = seq;
		}
		ids_add(&ids, g->index, g->generation);
	}
	ids_send(&ids);
}

static void ask_all(void)
{
	struct client *client = NULL;

	/* So that none of them is 0, which is for news. */
	if (last_seq > UINT32_MAX - ISW_EVICT_ASK)
		last_seq = 0;
	batch.first_seq = last_seq + 1;
	batch.questions = 0;
	batch.answers = 0;
	spare_absent();
	while ((client = client_next(client)))
		if (client->grants)
			ask(client);
	last_seq += batch.questions;
}

/* ---- the choice --------------------------------------------------------- */

/* Those that were released meanwhile are out. */
static void forget_gone(void)
{
	uint32_t i, n = 0;

	for (i = 0; i < batch.count; i++)
		if (grant_get(batch.slabs[i].index, batch.generation[i]))
			batch.slabs[n++] = batch.slabs[i];
	batch.count = n;
}

/* One for all batches of a need. */
static struct evict_event *event_of_batch(uint64_t now)
{
	struct evict_event *event;

	if (!batch.follows)
		events[event_count++ % EVICT_EVENTS] = (struct evict_event) {
			.when = now, .why = batch.why,
		};
	event = &events[(event_count - 1) % EVICT_EVENTS];
	event->urgent |= batch.urgent;
	event->drawn += batch.count;
	event->questions += batch.questions;
	event->answers += batch.answers;
	return event;
}

/* Returns the bytes that it has chosen. */
static uint64_t choose(void)
{
	struct evict_event *event;
	uint64_t now = now_ms(), bytes = 0;
	uint64_t wait = opt->evict_deadline_ms;
	struct grant *g;
	uint32_t i, n;

	batch.answer_by = 0;
	if (batch.urgent && wait > URGENT_DEADLINE_MS)
		wait = URGENT_DEADLINE_MS;
	spare_absent();		/* a session may have ended since */
	forget_gone();
	n = isw_evict_least(batch.slabs, batch.count, batch.need);
	if (!n)
		return 0;
	event = event_of_batch(now);
	for (i = 0; i < n; i++) {
		g = grant_at(batch.slabs[i].index);
		g->evict_at = now + wait;
		g->evict_told = false;
		g->evict_event = event_count - 1;
		bytes += g->region->length;
	}
	event->evicted += n;
	event->bytes += bytes;
	log_limited(LOG_WARN, "%s%s: evicting %u of %u slabs drawn, %" PRIu64
		    " MiB, within %" PRIu64 " ms", batch.why,
		    batch.urgent ? ", urgent" : "", n, batch.count,
		    bytes >> 20, wait);
	return bytes;
}

/* One batch; its owners are asked. */
static void begin(uint64_t need, bool follows)
{
	batch.need = need;
	batch.follows = follows;
	batch.answer_by = now_ms() + (batch.urgent ? URGENT_ANSWER_MS :
						     ANSWER_MS);
	draw();
	ask_all();
	if (all_answered())
		go_on();
}

/*
 * What one batch takes is a number of slabs, which may be small ones, and the
 * next look may be too late for the rest. So batch follows batch. Each takes some
 * that those after it cannot draw; and if nobody is to be waited for, all else has
 * its turn in between. Who is to give back hears so before anybody is asked again,
 * for the time runs.
 */
static void conclude(void)
{
	uint64_t got = choose();

	tell_all();
	if (got && got < batch.need)
		begin(batch.need - got, true);
}

void evict_answer(const struct client *client, const struct isw_msg *m)
{
	uint32_t i, j, number = m->seq - batch.first_seq;
	struct session *s = client->session;
	struct isw_grant_id id;
	const struct grant *g;

	if (s->unanswered == m->seq)
		s->unanswered = 0;	/* however late */
	if (!batch.answer_by || number >= batch.questions ||
	    batch.question[number].client != client ||
	    batch.question[number].answered)
		return;
	batch.question[number].answered = true;
	batch.answers++;
	for (i = 0; m->type == ISW_MSG_ACTIVITY && i < m->activity.count; i++) {
		id = isw_wire_id_decode(&m->activity.wire[i].id);
		g = grant_get(id.index, id.generation);
		if (!g || g->client != client)
			continue;	/* not its own to speak of */
		for (j = 0; j < batch.count; j++)
			if (batch.slabs[j].index == id.index)
				batch.slabs[j].activity = __le32_to_cpu(
					m->activity.wire[i].activity);
	}
	if (all_answered())
		go_on();
}

/* What is under way as well: it may have been in no hurry before. */
static void hurry(void)
{
	uint64_t by = now_ms() + URGENT_DEADLINE_MS;
	struct grant *g = NULL;

	while ((g = grant_each(g))) {
		if (g->evict_at > by) {
			g->evict_at = by;
			g->evict_told = false;
		}
	}
	tell_all();
}

void evict_start(uint64_t need, bool urgent, const char *why)
{
	uint64_t by = now_ms() + URGENT_ANSWER_MS;

	batch.urgent = urgent;
	if (urgent)
		hurry();
	if (batch.answer_by) {
		batch.need = need;
		if (urgent && batch.answer_by > by)
			batch.answer_by = by;
	} else if (need) {
		batch.why = why;
		begin(need, false);
	}
	arm();
}

void evict_ease(uint64_t need)
{
	batch.urgent = false;
	if (batch.need > need)
		batch.need = need;
}

void evict_call_off(void)
{
	struct evict_event *event;
	struct grant *g = NULL;
	uint32_t n = 0;

	batch.answer_by = 0;
	while ((g = grant_each(g))) {
		if (!g->evict_at)
			continue;
		event = event_of(g);
		if (event)
			event->called_off++;
		g->evict_at = 0;
		g->evict_told = false;
		n++;
	}
	if (n)
		log_limited(LOG_INFO, "eviction of %u slabs called off", n);
	tell_all();
	arm();
}

uint64_t evict_coming(void)
{
	struct grant *g = NULL;
	uint64_t bytes = 0;

	while ((g = grant_each(g)))
		if (g->evict_at)
			bytes += g->region->length;
	return bytes;
}

/* ---- the end ------------------------------------------------------------ */

void evict_released(const struct grant *g)
{
	struct evict_event *event = event_of(g);

	if (event)
		event->released++;
}

static void take_back(struct grant *g)
{
	struct evict_event *event = event_of(g);

	if (event)
		event->revoked++;
	log_limited(LOG_WARN, "client %s: grant %u.%u not given back in time, taken",
		    g->client->name, g->index, g->generation);
	grant_revoke(g);
}

static void timer_ready(struct source *src)
{
	uint64_t count;

	while (read(src->fd, &count, sizeof(count)) > 0)
		due = true;
}

void evict_poll(void)
{
	uint64_t now = now_ms();
	struct grant *g = NULL;

	tell_more();
	if (!due)
		return;
	due = false;
	if (batch.answer_by && (all_answered() || batch.answer_by <= now))
		conclude();
	while ((g = grant_each(g)))
		if (g->evict_at && g->evict_at <= now)
			take_back(g);
	arm();
}

void evict_tick(void)
{
	tell_all();
}

int evict_init(void)
{
	timer.ready = timer_ready;
	timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (timer.fd < 0) {
		log_error("timer: %s", strerror(errno));
		return -errno;
	}
	return loop_add(&timer);
}
