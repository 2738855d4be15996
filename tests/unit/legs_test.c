// SPDX-License-Identifier: GPL-2.0-only
/* legs.h: which leg comes, which goes, which is filled; then all that there can be. */
#include <infiniswap/legs.h>

#include <kselftest_harness.h>

#define A	1u
#define B	2u
#define C	4u

struct row {
	struct isw_legs l;
	unsigned int wanted;
	int add;			/* slot, or -1 */
	unsigned int retire, fill;
};

#define LEGS(u, li, un, re)	{ .used = (u), .live = (li), .unwanted = (un), .retiring = (re) }

#define EXPECT_ROWS(...) do {						\
	static const struct row rows[] = { __VA_ARGS__ };		\
	unsigned int i;							\
									\
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {		\
		const struct row *r = &rows[i];				\
									\
		EXPECT_EQ(r->add, isw_legs_add(&r->l, r->wanted))	\
			TH_LOG("row %u", i);				\
		EXPECT_EQ(r->retire, isw_legs_retire(&r->l, r->wanted))	\
			TH_LOG("row %u", i);				\
		EXPECT_EQ(r->fill, isw_legs_fill(&r->l))		\
			TH_LOG("row %u", i);				\
	}								\
} while (0)

TEST(an_unmapped_slab_gets_its_first_leg)
{
	EXPECT_ROWS(
		{ LEGS(0, 0, 0, 0), 1, 0, 0, 0 },
		{ LEGS(0, 0, 0, 0), 2, 0, 0, 0 });
}

TEST(a_slab_that_has_its_legs_keeps_them)
{
	EXPECT_ROWS(
		{ LEGS(A, A, 0, 0), 1, -1, 0, A },
		{ LEGS(C, C, 0, 0), 1, -1, 0, C },
		{ LEGS(A | B, A | B, 0, 0), 2, -1, 0, A | B },
		{ LEGS(B | C, B | C, 0, 0), 2, -1, 0, B | C });
}

TEST(a_mirror_with_one_leg_gets_another_in_the_first_free_slot)
{
	EXPECT_ROWS(
		{ LEGS(A, A, 0, 0), 2, 1, 0, A },
		{ LEGS(B, B, 0, 0), 2, 0, 0, B },
		{ LEGS(C, C, 0, 0), 2, 0, 0, C });
}

TEST(a_leg_whose_session_is_under_repair_is_not_replaced_nor_filled)
{
	EXPECT_ROWS(
		{ LEGS(A, 0, 0, 0), 1, -1, 0, 0 },
		{ LEGS(A | B, A, 0, 0), 2, -1, 0, A },
		{ LEGS(A | B, 0, 0, 0), 2, -1, 0, 0 });
}

TEST(an_unwanted_leg_stays_until_its_replacement_is_there)
{
	EXPECT_ROWS(
		{ LEGS(A, A, A, 0), 1, 1, 0, A },
		{ LEGS(A | B, A | B, B, 0), 2, 2, 0, A | B });
}

TEST(an_unwanted_leg_retires_when_its_replacement_is_live)
{
	EXPECT_ROWS(
		{ LEGS(A | B, A, A, 0), 1, -1, 0, A },
		{ LEGS(A | B, A | B, A, 0), 1, -1, A, A | B },
		{ LEGS(A | B, A | B, A, A), 1, -1, A, B },
		{ LEGS(A | B | C, A | B, A, 0), 2, -1, 0, A | B },
		{ LEGS(A | B | C, A | B | C, A, 0), 2, -1, A, A | B | C },
		{ LEGS(A | B | C, A | B | C, A, A), 2, -1, A, B | C });
}

TEST(an_unwanted_leg_retires_though_its_own_session_is_broken)
{
	EXPECT_ROWS({ LEGS(A | B, B, A, 0), 1, -1, A, B });
}

TEST(a_retiring_leg_comes_back_when_too_few_others_are_live)
{
	EXPECT_ROWS(
		{ LEGS(A | B, A, A, A), 1, -1, 0, 0 },
		{ LEGS(A | B | C, A | B, A, A), 2, -1, 0, B });
}

TEST(of_legs_in_excess_the_last_live_ones_retire)
{
	EXPECT_ROWS(
		{ LEGS(A | B, A | B, 0, 0), 1, -1, B, A | B },
		{ LEGS(A | B | C, A | B | C, 0, 0), 1, -1, B | C, A | B | C },
		{ LEGS(A | B | C, A | B | C, 0, 0), 2, -1, C, A | B | C },
		{ LEGS(A | B | C, B | C, 0, 0), 1, -1, C, B | C },
		{ LEGS(A | B | C, A | C, 0, 0), 2, -1, 0, A | C });
}

TEST(without_a_free_slot_one_unwanted_leg_goes_before_the_others_have_replacements)
{
	EXPECT_ROWS(
		{ LEGS(A | B | C, A | B | C, A | B, 0), 2, -1, B, A | B | C },
		{ LEGS(A | B | C, A | B | C, A | B, B), 2, -1, B, A | C },
		{ LEGS(A | B | C, A | B | C, A | B | C, 0), 2, -1, C, A | B | C },
		{ LEGS(A | B | C, A | B | C, A | B | C, 0), 1, -1, C, A | B | C },
		{ LEGS(A | B | C, A | C, A | B, 0), 2, -1, B, A | C },
		{ LEGS(A | B | C, B | C, A | B, 0), 2, -1, A, B | C },
		{ LEGS(A | B | C, A | B, A | B | C, 0), 2, -1, C, A | B },
		{ LEGS(A | B | C, B, A | B, 0), 2, -1, 0, B });
}

/* ---- all that there can be ---------------------------------------------- */

static int next_legs(struct isw_legs *l, unsigned int *wanted)
{
	static unsigned int n;

	if (n == 2u << 12) {
		n = 0;
		return 0;
	}
	l->used = n & 7;
	l->live = n >> 3 & 7 & l->used;
	l->unwanted = n >> 6 & 7 & l->used;
	l->retiring = n >> 9 & 7 & l->used;
	*wanted = 1 + (n >> 12);
	n++;
	return 1;
}

TEST(a_leg_comes_only_into_a_free_slot_and_only_if_some_are_missing)
{
	struct isw_legs l;
	unsigned int wanted;

	while (next_legs(&l, &wanted)) {
		int slot = isw_legs_add(&l, wanted);

		if (slot < 0)
			continue;
		ASSERT_LT(slot, ISW_MAX_LEGS);
		ASSERT_EQ(0, l.used & 1u << slot);
		ASSERT_LT(isw_legs_count(l.used & ~(unsigned int)l.unwanted), wanted);
	}
}

TEST(legs_that_stay_are_live_and_enough_whenever_some_retire)
{
	struct isw_legs l;
	unsigned int wanted;

	while (next_legs(&l, &wanted)) {
		unsigned int retire = isw_legs_retire(&l, wanted);

		ASSERT_EQ(0, retire & ~(unsigned int)l.used);
		if (retire)
			ASSERT_LE(wanted, isw_legs_count(l.live & ~retire));
	}
}

TEST(what_retires_is_no_target_of_copies)
{
	struct isw_legs l;
	unsigned int wanted;

	while (next_legs(&l, &wanted)) {
		ASSERT_EQ(0, isw_legs_fill(&l) & l.retiring);
		ASSERT_EQ(0, isw_legs_fill(&l) & ~(unsigned int)l.live);
	}
}

/* Publish, drop, add, with every donor live: it comes to rest, and as it should. */
TEST(legs_come_to_rest_with_as_many_as_are_wanted_and_no_other)
{
	struct isw_legs l;
	unsigned int wanted;

	while (next_legs(&l, &wanted)) {
		struct isw_legs now = l;
		unsigned int steps;

		now.live = now.used;
		for (steps = 0; steps < 12; steps++) {
			unsigned int gone = isw_legs_retire(&now, wanted);
			int slot = isw_legs_add(&now, wanted);

			if (slot >= 0) {
				now.used = (__u8)(now.used | 1u << slot);
			} else if (gone) {
				now.used = (__u8)(now.used & ~gone);
				now.unwanted = (__u8)(now.unwanted & ~gone);
			} else {
				break;
			}
			now.live = now.used;
		}
		ASSERT_LT(steps, 12)
			TH_LOG("used %u unwanted %u", l.used, l.unwanted);
		ASSERT_EQ(wanted, isw_legs_count(now.used))
			TH_LOG("used %u unwanted %u", l.used, l.unwanted);
		ASSERT_EQ(0, now.unwanted)
			TH_LOG("used %u unwanted %u", l.used, l.unwanted);
	}
}

TEST_HARNESS_MAIN
