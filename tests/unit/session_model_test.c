// SPDX-License-Identifier: GPL-2.0-only
/*
 * All orders of events of one donor: its state by fsm.h, and the contexts that
 * act on it as kmod/donor.c has them: reports of errors from anywhere, fail_work
 * that drains, work that makes and destroys the session, map_work that connects,
 * gives up and leaves, under dev->lock. Without a bound: there are few states.
 *
 * What must be right first, then rules broken one by one, to be found out.
 */
#include <stdbool.h>

#include <infiniswap/fsm.h>

#include <kselftest_harness.h>

enum rule {
	NONE_BROKEN,
	UP_DESPITE_ERROR,		/* what was reported while connecting */
	ERROR_FORGOTTEN,		/* the flag is reset when connected */
	ERROR_WITHOUT_WORK,
	DRAINED_WITHOUT_WORK,
	DRAIN_AND_WORK_AT_ONCE,		/* work is queued before the drain */
	GIVE_UP_WITHOUT_WORK,
	RECONNECT_WITHOUT_DESTROY,
	FORGET_WITHOUT_DESTROY,
	FAILED_FROM_ANY_STATE,		/* reported without a look at the state */
	ESTABLISHED_TOO_LATE,		/* opens the channel of a session given up */
};

enum { NO_SESSION, GOOD, DEAD, REPORTED };

/* Where donor->work is. */
enum { W_IDLE, W_DESTROY, W_TRY, W_CONNECT, W_LOCK, W_GIVEN_UP, W_UP, W_CLEAN,
       W_OUTCOME, W_RETRY, W_LEAVE, W_LOST };

struct state {
	__u8 donor;			/* fsm.h: 3 bits */
	__u8 error;			/* donor->error */
	__u8 session;			/* 2 bits */
	__u8 up;			/* ctrl->up */
	__u8 queued, work;		/* donor->work: 1 bit, 4 bits */
	__u8 first;			/* it began in CONNECTING */
	__u8 fail_queued, fail;		/* fail_work: 1 bit, 2 bits */
	__u8 map;			/* map_work forgets the donor, with dev->lock */
	__u8 legs;			/* slabs have some on it */
};

#define STATES	(1u << 18)

static enum rule broken;
static bool ends[STATES];
static const char *why;
static bool edges[ISW_DONOR_STATES][ISW_DONOR_EVENTS];

static __u32 pack(const struct state *s)
{
	return s->donor | (__u32)s->error << 3 | (__u32)s->session << 4 |
	       (__u32)s->queued << 6 | (__u32)s->work << 7 | (__u32)s->first << 11 |
	       (__u32)s->fail_queued << 12 | (__u32)s->fail << 13 |
	       (__u32)s->map << 15 | (__u32)s->legs << 16 | (__u32)s->up << 17;
}

static void bad(const char *what)
{
	if (!why)
		why = what;
}

static bool event(struct state *s, __u8 ev)
{
	__u8 next = isw_donor_next(s->donor, ev);

	if (next == ISW_FSM_REFUSED)
		return false;
	edges[s->donor][ev] = true;
	s->donor = next;
	return true;
}

/* Nobody else can have taken the donor out of its state. */
static void event_must(struct state *s, __u8 ev)
{
	if (!event(s, ev))
		bad("an event is refused that must not be");
}

static bool locked(const struct state *s)
{
	return s->map || s->work == W_UP;
}

/* ---- what may happen ---------------------------------------------------- */

/* The states that may follow; those after @n_progress only if somebody wills. */
struct next {
	struct state s[24];
	unsigned int n, progress;
};

static struct state *add(struct next *x, const struct state *s)
{
	x->s[x->n] = *s;
	return &x->s[x->n++];
}

static void donor_error(struct state *s)
{
	s->error = 1;
	s->up = 0;
	if (event(s, ISW_DONOR_EV_ERROR) && broken != ERROR_WITHOUT_WORK)
		s->fail_queued = 1;
	if (broken == DRAIN_AND_WORK_AT_ONCE && s->donor == ISW_DONOR_BROKEN) {
		event(s, ISW_DONOR_EV_DRAINED);
		s->queued = 1;
	}
}

static void session_destroy(struct state *s)
{
	if (s->donor == ISW_DONOR_LIVE)
		bad("the session of a live donor is destroyed");
	if (s->fail == 1)
		bad("a session is destroyed while it is drained");
	s->session = NO_SESSION;
	s->up = 0;
}

static void work_begins(struct state *t)
{
	t->queued = 0;
	t->first = t->donor == ISW_DONOR_CONNECTING;
	switch (t->donor) {
	case ISW_DONOR_CONNECTING:
		t->work = W_TRY;
		break;
	case ISW_DONOR_RECONNECTING:
		t->work = broken == RECONNECT_WITHOUT_DESTROY ? W_TRY : W_DESTROY;
		break;
	case ISW_DONOR_LEAVING:
		t->work = W_LEAVE;
		break;
	case ISW_DONOR_LOST:
		t->work = W_LOST;
		break;
	default:
		break;
	}
}

static void work_outcome(struct state *t)
{
	t->work = W_IDLE;
	if (t->first || broken == FAILED_FROM_ANY_STATE)
		event_must(t, ISW_DONOR_EV_FAILED);
	else if (t->donor == ISW_DONOR_RECONNECTING)
		t->work = W_RETRY;
}

static void work_compare(struct next *x, const struct state *s)
{
	struct state *t;

	if (locked(s))
		return;
	add(x, s)->work = W_UP;		/* its grants live */
	add(x, s)->work = W_CLEAN;	/* it does not answer */
	if (s->donor != ISW_DONOR_RECONNECTING)
		return;
	t = add(x, s);			/* another epoch */
	event_must(t, ISW_DONOR_EV_GIVE_UP);
	t->legs = 0;
	t->queued = 1;
	t->work = W_CLEAN;
}

static void work_steps(struct next *x, const struct state *s)
{
	struct state *t;

	switch (s->work) {
	case W_IDLE:
		if (s->queued)
			work_begins(add(x, s));
		return;
	case W_DESTROY:
		t = add(x, s);
		session_destroy(t);
		t->work = W_TRY;
		return;
	case W_TRY:
		t = add(x, s);
		if (broken != ERROR_FORGOTTEN)
			t->error = 0;
		t->work = W_CONNECT;
		return;
	case W_CONNECT:
		if (s->session != NO_SESSION)
			bad("a session is made where one is");
		add(x, s)->work = W_GIVEN_UP;
		t = add(x, s);
		t->session = GOOD;
		t->up = 1;
		t->work = W_LOCK;
		return;
	case W_GIVEN_UP:		/* ctrl->receiving is false */
		add(x, s)->work = W_OUTCOME;
		if (broken == ESTABLISHED_TOO_LATE)
			add(x, s)->up = 1;
		return;
	case W_LOCK:
		work_compare(x, s);
		return;
	case W_UP:
		t = add(x, s);
		if (broken == ERROR_FORGOTTEN)
			t->error = 0;
		if ((t->error && broken != UP_DESPITE_ERROR) ||
		    !event(t, ISW_DONOR_EV_UP))
			t->work = W_CLEAN;
		else
			t->work = W_IDLE;
		return;
	case W_CLEAN:
		t = add(x, s);
		session_destroy(t);
		t->work = W_OUTCOME;
		return;
	case W_OUTCOME:
		work_outcome(add(x, s));
		return;
	case W_RETRY:
		t = add(x, s);
		t->queued = 1;
		t->work = W_IDLE;
		return;
	case W_LEAVE:
		t = add(x, s);
		session_destroy(t);
		event_must(t, ISW_DONOR_EV_DRAINED);
		t->work = W_IDLE;
		return;
	case W_LOST:
		t = add(x, s);
		if (broken != FORGET_WITHOUT_DESTROY)
			session_destroy(t);
		event_must(t, ISW_DONOR_EV_FORGOTTEN);
		t->work = W_IDLE;
		return;
	}
}

static void fail_steps(struct next *x, const struct state *s)
{
	struct state *t;

	if (s->fail_queued && !s->fail) {
		t = add(x, s);
		t->fail_queued = 0;
		t->fail = 1;
	}
	if (s->fail == 1) {
		t = add(x, s);
		if (t->session == GOOD)
			t->session = DEAD;
		t->fail = 2;
	}
	if (s->fail == 2) {
		t = add(x, s);
		if (broken != DRAIN_AND_WORK_AT_ONCE)
			event_must(t, ISW_DONOR_EV_DRAINED);
		if (broken != DRAINED_WITHOUT_WORK)
			t->queued = 1;
		t->fail = 0;
	}
}

static void map_wills(struct next *x, const struct state *s)
{
	struct state *t;

	if (locked(s))
		return;
	t = add(x, s);
	if (s->donor == ISW_DONOR_IDLE && event(t, ISW_DONOR_EV_CONNECT))
		t->queued = 1;
	t = add(x, s);
	if (event(t, ISW_DONOR_EV_GIVE_UP)) {
		t->map = t->legs;
		t->queued = broken != GIVE_UP_WITHOUT_WORK;
	}
	t = add(x, s);
	if (!s->legs && event(t, ISW_DONOR_EV_BYE))
		t->queued = 1;
	t = add(x, s);
	if (s->donor == ISW_DONOR_LIVE)
		t->legs = 1;
	add(x, s)->legs = 0;		/* its slabs became empty */
}

static void next_states(struct next *x, const struct state *s)
{
	struct state *t;

	x->n = 0;
	work_steps(x, s);
	fail_steps(x, s);
	if (s->map) {			/* the legs are off, the flags are clear */
		t = add(x, s);
		t->map = 0;
		t->legs = 0;
	}
	if (s->session == DEAD) {	/* once: flushed, or the peer told us */
		t = add(x, s);
		t->session = REPORTED;
		donor_error(t);
	}
	x->progress = x->n;
	map_wills(x, s);
	if (s->session == GOOD)
		add(x, s)->session = DEAD;
	if (s->donor != ISW_DONOR_IDLE)	/* the watchdog, perhaps late */
		donor_error(add(x, s));
}

/* ---- what must hold ----------------------------------------------------- */

static const char *wrong(const struct state *s)
{
	bool quiet = !s->queued && !s->work && !s->fail_queued && !s->fail && !s->map;

	if (why)			/* on the way there */
		return why;
	if (s->donor == ISW_DONOR_LIVE && s->session == NO_SESSION)
		return "a live donor without a session";
	if (s->up && s->session == NO_SESSION && s->work != W_GIVEN_UP)
		return "messages are sent without a session";
	if (s->donor == ISW_DONOR_LIVE && s->error)
		return "a donor is live after an error";
	if (s->donor == ISW_DONOR_LIVE && s->session == REPORTED)
		return "a live donor's dead session was reported and forgotten";
	if (s->donor == ISW_DONOR_IDLE && s->session != NO_SESSION)
		return "an idle donor with a session";
	if (s->donor == ISW_DONOR_IDLE && s->legs && !s->map)
		return "an idle donor with legs";
	if (quiet && s->donor != ISW_DONOR_IDLE && s->donor != ISW_DONOR_LIVE)
		return "nobody cares about the donor any more";
	return NULL;
}

#include "model/walk.h"

/* From each state the donor can come to rest, idle or live, by itself. */
static void all_end(void)
{
	bool more = true;
	struct next x;
	__u32 i, k;

	while (more) {
		more = false;
		for (i = nr; i--; ) {
			bool *end = &ends[pack(&queue[i])];

			if (*end)
				continue;
			next_states(&x, &queue[i]);
			*end = !x.progress;
			for (k = 0; k < x.progress; k++)
				*end |= ends[pack(&x.s[k])];
			more |= *end;
		}
	}
	for (i = 0; i < nr; i++)
		if (!ends[pack(&queue[i])])
			bad("it goes round for ever");
}

static const char *search(enum rule rule)
{
	const struct state start = { .donor = ISW_DONOR_IDLE };

	broken = rule;
	why = walk(&start);
	if (!why)
		all_end();
	return walked(why);
}

/* An attempt to reconnect that failed is followed by another, without an event. */
static bool used(__u8 state, __u8 ev)
{
	return isw_donor_next(state, ev) != ISW_FSM_REFUSED &&
	       !(state == ISW_DONOR_RECONNECTING && ev == ISW_DONOR_EV_FAILED);
}

TEST(a_donor_is_cared_for_in_all_orders_of_events)
{
	unsigned int state, ev;

	EXPECT_EQ(NULL, search(NONE_BROKEN));
	for (state = 0; state < ISW_DONOR_STATES; state++)
		for (ev = 0; ev < ISW_DONOR_EVENTS; ev++)
			EXPECT_EQ(edges[state][ev], used((__u8)state, (__u8)ev))
				TH_LOG("%s, event %u", isw_donor_state_name((__u8)state), ev);
}

FINDS_OUT(donors_that_go_live_after_an_error, UP_DESPITE_ERROR)
FINDS_OUT(errors_forgotten_while_connecting, ERROR_FORGOTTEN)
FINDS_OUT(broken_sessions_that_nobody_drains, ERROR_WITHOUT_WORK)
FINDS_OUT(drained_sessions_that_nobody_resumes, DRAINED_WITHOUT_WORK)
FINDS_OUT(sessions_destroyed_while_they_are_drained, DRAIN_AND_WORK_AT_ONCE)
FINDS_OUT(lost_donors_that_nobody_forgets, GIVE_UP_WITHOUT_WORK)
FINDS_OUT(sessions_made_over_the_broken_one, RECONNECT_WITHOUT_DESTROY)
FINDS_OUT(sessions_left_with_a_donor_that_was_forgotten, FORGET_WITHOUT_DESTROY)
FINDS_OUT(failures_reported_whatever_the_state, FAILED_FROM_ANY_STATE)
FINDS_OUT(connections_established_after_they_were_given_up, ESTABLISHED_TOO_LATE)

TEST_HARNESS_MAIN
