// SPDX-License-Identifier: GPL-2.0-only
/* fsm.h: every (state, event) pair of a donor, against the drawing at its top. */
#include <infiniswap/fsm.h>

#include <kselftest_harness.h>

struct edge {
	__u8 event, next;
};

/* From @state, exactly these @n edges lead away; all else is refused. */
static int leads(__u8 state, const struct edge *edges, unsigned int n)
{
	unsigned int event, i;
	int ok = 1;

	for (event = 0; event < ISW_DONOR_EVENTS; event++) {
		__u8 want = ISW_FSM_REFUSED;
		__u8 got = isw_donor_next(state, (__u8)event);

		for (i = 0; i < n; i++)
			if (edges[i].event == event)
				want = edges[i].next;
		if (got == want)
			continue;
		printf("# %s, event %u: %s, want %s\n", isw_donor_state_name(state),
		       event, isw_donor_state_name(got), isw_donor_state_name(want));
		fflush(stdout);
		ok = 0;
	}
	return ok;
}

#define EXPECT_LEADS(state, ...) do {					\
	static const struct edge edges[] = { __VA_ARGS__ };		\
									\
	EXPECT_TRUE(leads(state, edges, sizeof(edges) / sizeof(edges[0])));\
} while (0)

TEST(from_idle)
{
	EXPECT_LEADS(ISW_DONOR_IDLE,
		     { ISW_DONOR_EV_CONNECT, ISW_DONOR_CONNECTING });
}

TEST(from_connecting)
{
	EXPECT_LEADS(ISW_DONOR_CONNECTING,
		     { ISW_DONOR_EV_UP, ISW_DONOR_LIVE },
		     { ISW_DONOR_EV_FAILED, ISW_DONOR_IDLE });
}

TEST(from_live)
{
	EXPECT_LEADS(ISW_DONOR_LIVE,
		     { ISW_DONOR_EV_ERROR, ISW_DONOR_BROKEN },
		     { ISW_DONOR_EV_BYE, ISW_DONOR_LEAVING });
}

TEST(from_broken)
{
	EXPECT_LEADS(ISW_DONOR_BROKEN,
		     { ISW_DONOR_EV_DRAINED, ISW_DONOR_RECONNECTING });
}

TEST(from_reconnecting)
{
	EXPECT_LEADS(ISW_DONOR_RECONNECTING,
		     { ISW_DONOR_EV_UP, ISW_DONOR_LIVE },
		     { ISW_DONOR_EV_FAILED, ISW_DONOR_RECONNECTING },
		     { ISW_DONOR_EV_GIVE_UP, ISW_DONOR_LOST },
		     { ISW_DONOR_EV_BYE, ISW_DONOR_LEAVING });
}

TEST(from_lost)
{
	EXPECT_LEADS(ISW_DONOR_LOST,
		     { ISW_DONOR_EV_FORGOTTEN, ISW_DONOR_IDLE });
}

TEST(from_leaving)
{
	EXPECT_LEADS(ISW_DONOR_LEAVING,
		     { ISW_DONOR_EV_DRAINED, ISW_DONOR_IDLE });
}

TEST(unknown_states_and_events_are_refused)
{
	unsigned int state, event;

	for (state = 0; state < 256; state++)
		for (event = 0; event < 256; event++)
			if (state >= ISW_DONOR_STATES || event >= ISW_DONOR_EVENTS)
				ASSERT_EQ(ISW_FSM_REFUSED,
					  isw_donor_next((__u8)state, (__u8)event));
}

TEST(every_entry_is_a_state_or_refused)
{
	unsigned int state, event;

	for (state = 0; state < ISW_DONOR_STATES; state++)
		for (event = 0; event < ISW_DONOR_EVENTS; event++) {
			__u8 next = isw_donor_next((__u8)state, (__u8)event);

			EXPECT_TRUE(next < ISW_DONOR_STATES || next == ISW_FSM_REFUSED);
		}
}

/* Bit set of the states that can be reached from @from, itself included. */
static unsigned int reachable(__u8 from)
{
	unsigned int set = 1u << from, before;
	unsigned int state, event;

	do {
		before = set;
		for (state = 0; state < ISW_DONOR_STATES; state++) {
			if (!(set & (1u << state)))
				continue;
			for (event = 0; event < ISW_DONOR_EVENTS; event++) {
				__u8 next = isw_donor_next((__u8)state, (__u8)event);

				if (next != ISW_FSM_REFUSED)
					set |= 1u << next;
			}
		}
	} while (set != before);
	return set;
}

TEST(every_state_is_reached_from_idle)
{
	EXPECT_EQ((1u << ISW_DONOR_STATES) - 1, reachable(ISW_DONOR_IDLE));
}

TEST(every_state_leads_back_to_idle)
{
	__u8 state;

	for (state = 0; state < ISW_DONOR_STATES; state++)
		EXPECT_TRUE(reachable(state) & (1u << ISW_DONOR_IDLE))
			TH_LOG("from %s", isw_donor_state_name(state));
}

TEST(every_event_means_something_somewhere)
{
	unsigned int state, event;

	for (event = 0; event < ISW_DONOR_EVENTS; event++) {
		int used = 0;

		for (state = 0; state < ISW_DONOR_STATES; state++)
			used |= isw_donor_next((__u8)state, (__u8)event) != ISW_FSM_REFUSED;
		EXPECT_TRUE(used) TH_LOG("event %u", event);
	}
}

TEST(only_up_enters_live)
{
	unsigned int state, event;

	/* No request is posted before the grants were compared. */
	for (state = 0; state < ISW_DONOR_STATES; state++)
		for (event = 0; event < ISW_DONOR_EVENTS; event++)
			if (isw_donor_next((__u8)state, (__u8)event) == ISW_DONOR_LIVE)
				EXPECT_EQ(ISW_DONOR_EV_UP, event);
}

TEST(a_session_that_resumes_again_and_again)
{
	static const __u8 story[] = {
		ISW_DONOR_EV_CONNECT, ISW_DONOR_EV_UP,
		ISW_DONOR_EV_ERROR, ISW_DONOR_EV_DRAINED, ISW_DONOR_EV_FAILED,
		ISW_DONOR_EV_FAILED, ISW_DONOR_EV_UP,
		ISW_DONOR_EV_ERROR, ISW_DONOR_EV_DRAINED, ISW_DONOR_EV_UP,
	};
	__u8 state = ISW_DONOR_IDLE;
	unsigned int i;

	for (i = 0; i < sizeof(story); i++) {
		state = isw_donor_next(state, story[i]);
		ASSERT_NE(ISW_FSM_REFUSED, state) TH_LOG("step %u", i);
	}
	EXPECT_EQ(ISW_DONOR_LIVE, state);
}

TEST(every_state_has_a_name_of_its_own)
{
	__u8 a, b;

	for (a = 0; a < ISW_DONOR_STATES; a++) {
		ASSERT_NE(NULL, isw_donor_state_name(a));
		EXPECT_STRNE("?", isw_donor_state_name(a));
		for (b = 0; b < a; b++)
			EXPECT_STRNE(isw_donor_state_name(b), isw_donor_state_name(a));
	}
	EXPECT_STREQ("?", isw_donor_state_name(ISW_DONOR_STATES));
	EXPECT_STREQ("?", isw_donor_state_name(ISW_FSM_REFUSED));
}

TEST_HARNESS_MAIN
