// SPDX-License-Identifier: GPL-2.0-only
/*
 * All orders of events of one grant that its donor evicts, hurries to evict and
 * calls off, while messages wait for a place and the session breaks and is
 * resumed: daemon/evict.c's evict_at, evict_told and evict_warned on one side,
 * kmod/evict.c's and resume.c's evict_at on the other. When all is said and
 * heard, both mean the same; else a client drops pages that it may keep, or uses
 * memory that is taken.
 *
 * What must be right first, then rules broken one by one, to be found out.
 */
#include <stdbool.h>

#include <linux/types.h>

#include <kselftest_harness.h>

enum rule {
	NONE_BROKEN,
	MARKS_OUTLIVE_SESSION,		/* the client goes by what it heard before */
	OFF_IS_NOT_SAID_AGAIN,		/* LIST is followed by deadlines alone */
	HURRY_UNTOLD,			/* an earlier deadline is not told */
	DRAWN_WITH_OFF_OWED,		/* evicted again before the call-off was sent */
	HELD_OVER_A_BREAK,		/* a message of the old session is taken later */
};

/* Deadlines: OFF is none, or that there is none any more. */
enum { OFF, LATE, SOON };

/* The session, as the client sees it. */
enum { BROKEN, MADE, LISTING, LIVE };

/* What is on its way to the client, in order: 0 nothing, or 1 + a deadline. */
#define ANSWER	4		/* to LIST: the grant lives */
#define PLACES	3		/* one of them for the answer */

struct state {
	__u8 donor_at;		/* 2 bits */
	__u8 told, warned;
	__u8 client_at;		/* 2 bits */
	__u8 old;		/* that is of an earlier session */
	__u8 session;		/* 2 bits */
	__u8 asked;		/* LIST is on its way */
	__u8 way[PLACES];	/* 3 bits each */
};

#define STATES	(1u << 19)

static enum rule broken;
static __u32 pack(const struct state *s)
{
	return s->donor_at | (__u32)s->told << 2 | (__u32)s->warned << 3 |
	       (__u32)s->client_at << 4 | (__u32)s->session << 6 |
	       (__u32)s->asked << 8 | (__u32)s->way[0] << 9 |
	       (__u32)s->way[1] << 12 | (__u32)s->way[2] << 15 |
	       (__u32)s->old << 18;
}

static bool owed(const struct state *s)
{
	return !s->told && (s->donor_at || s->warned);
}

static unsigned int on_the_way(const struct state *s)
{
	unsigned int n = 0;

	while (n < PLACES && s->way[n])
		n++;
	return n;
}

/* ---- what may happen ---------------------------------------------------- */

struct next {
	struct state s[16];
	unsigned int n;
};

static struct state *add(struct next *x, const struct state *s)
{
	x->s[x->n] = *s;
	return &x->s[x->n++];
}

/* draw() and choose(), hurry(), evict_call_off() */
static void donor_wills(struct next *x, const struct state *s)
{
	struct state *t;
	__u8 at;

	for (at = LATE; at <= SOON && !s->donor_at; at++) {
		if (owed(s) && s->session != BROKEN && broken != DRAWN_WITH_OFF_OWED)
			break;
		t = add(x, s);
		t->donor_at = at;
		t->told = 0;
	}
	if (s->donor_at == LATE) {
		t = add(x, s);
		t->donor_at = SOON;
		t->told = broken == HURRY_UNTOLD && s->told;
	}
	if (s->donor_at) {
		t = add(x, s);
		t->donor_at = OFF;
		t->told = 0;
	}
}

/* tell_some(), at once or when there is a place again */
static void donor_tells(struct next *x, const struct state *s)
{
	unsigned int n = on_the_way(s);
	struct state *t;

	if (s->session == BROKEN || !owed(s) || n >= PLACES - 1)
		return;
	t = add(x, s);
	t->way[n] = 1 + s->donor_at;
	t->told = 1;
	t->warned = 1;
}

/* It answers LIST, and then evict_remind() */
static void donor_lists(struct next *x, const struct state *s)
{
	unsigned int n = on_the_way(s);
	struct state *t;

	if (!s->asked || n == PLACES)
		return;
	t = add(x, s);
	t->asked = 0;
	t->way[n] = ANSWER;
	if (broken != OFF_IS_NOT_SAID_AGAIN || s->donor_at)
		t->told = 0;
}

/*
 * The answer to LIST is waited for with dev->lock, the rest is taken under it:
 * so while LISTING a message stays behind the answer, as it came or not.
 */
static void client_hears(struct next *x, const struct state *s)
{
	unsigned int at = 0, i;
	struct state *t;
	__u8 what;

	if (s->session == LISTING)
		while (at < PLACES && s->way[at] && s->way[at] != ANSWER)
			at++;
	if (at == PLACES || !s->way[at])
		return;
	t = add(x, s);
	what = s->way[at];
	for (i = at; i + 1 < PLACES; i++)
		t->way[i] = t->way[i + 1];
	t->way[PLACES - 1] = 0;
	if (what == ANSWER) {			/* isw_evict_resume() */
		t->session = LIVE;
		t->old = broken != MARKS_OUTLIVE_SESSION;
		t = add(x, t);			/* its time is over */
		t->client_at = OFF;
	} else if (s->old || what == 1 + OFF || s->client_at < what - 1) {
		t->old = 0;			/* grant_evict() */
		t->client_at = what - 1;
	}
}

static void session_steps(struct next *x, const struct state *s)
{
	struct state *t = add(x, s);
	unsigned int i;

	switch (s->session) {
	case BROKEN:
		t->session = MADE;
		return;
	case MADE:
		t->session = LISTING;
		t->asked = 1;
		break;
	default:
		x->n--;
		break;
	}
	t = add(x, s);
	t->session = BROKEN;
	t->asked = 0;
	for (i = 0; i < PLACES; i++)
		if (broken != HELD_OVER_A_BREAK || s->way[i] == ANSWER)
			t->way[i] = 0;
	if (broken == HELD_OVER_A_BREAK && !t->way[0]) {
		t->way[0] = t->way[1];
		t->way[1] = 0;
	}
}

static void next_states(struct next *x, const struct state *s)
{
	x->n = 0;
	donor_wills(x, s);
	donor_tells(x, s);
	donor_lists(x, s);
	client_hears(x, s);
	session_steps(x, s);
}

static const char *wrong(const struct state *s)
{
	if (s->session != LIVE || owed(s) || s->way[0])
		return NULL;
	if (s->client_at && !s->donor_at)
		return "a client drops what it may keep";
	if (!s->client_at && s->donor_at)
		return "a client uses what will be taken";
	if (s->client_at < s->donor_at)
		return "a client believes it has longer than it has";
	if (s->client_at > s->donor_at)
		return "a client believes it has less time than it has";
	return NULL;
}

#include "model/walk.h"

static const char *search(enum rule rule)
{
	const struct state start = { .session = LIVE };

	broken = rule;
	return walked(walk(&start));
}

TEST(donor_and_client_agree_when_all_is_said_and_heard)
{
	EXPECT_EQ(NULL, search(NONE_BROKEN));
	EXPECT_LT(100u, nr);
}

FINDS_OUT(marks_that_outlive_a_session, MARKS_OUTLIVE_SESSION)
FINDS_OUT(call_offs_that_are_not_said_again, OFF_IS_NOT_SAID_AGAIN)
FINDS_OUT(earlier_deadlines_that_nobody_is_told, HURRY_UNTOLD)
FINDS_OUT(grants_evicted_anew_before_the_call_off_was_sent, DRAWN_WITH_OFF_OWED)
FINDS_OUT(messages_that_outlive_a_session, HELD_OVER_A_BREAK)

TEST_HARNESS_MAIN
