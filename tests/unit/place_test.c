// SPDX-License-Identifier: GPL-2.0-only
/* place.h: which donors are asked, which one is better. */
#include <infiniswap/place.h>

#include <kselftest_harness.h>

#include "random.h"

#define LAST	0xffffffffu	/* the largest random word */

/* Donor numbers start here, so that they cannot be taken for positions. */
#define FIRST_DONOR	100u

static void donors(struct isw_candidate *c, unsigned int n, __u8 has_slab)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		c[i] = (struct isw_candidate){
			.donor = FIRST_DONOR + i, .has_slab = has_slab,
		};
}

/* ---- who is drawn --------------------------------------------------------- */

TEST(nobody_from_an_empty_list)
{
	struct isw_candidate none;
	__u32 out[2];

	EXPECT_EQ(0, isw_place_draw(&none, 0, 1, 2, out));
}

TEST(nobody_if_all_are_excluded)
{
	struct isw_candidate c[4];
	__u32 out[2];
	int i;

	donors(c, 4, 0);
	c[1].has_slab = 1;
	for (i = 0; i < 4; i++)
		c[i].excluded = 1;
	EXPECT_EQ(0, isw_place_draw(c, 4, 1, 2, out));
}

TEST(the_only_one_alone)
{
	struct isw_candidate c[3];
	__u32 out[2];

	donors(c, 3, 0);
	c[0].excluded = c[2].excluded = 1;
	EXPECT_EQ(1, isw_place_draw(c, 3, 0, 0, out));
	EXPECT_EQ(FIRST_DONOR + 1, out[0]);
	EXPECT_EQ(1, isw_place_draw(c, 3, LAST, LAST, out));
	EXPECT_EQ(FIRST_DONOR + 1, out[0]);
}

TEST(two_of_two_in_either_order)
{
	struct isw_candidate c[2];
	__u32 out[2];

	donors(c, 2, 0);
	EXPECT_EQ(2, isw_place_draw(c, 2, 0, 0, out));
	EXPECT_EQ(FIRST_DONOR, out[0]);
	EXPECT_EQ(FIRST_DONOR + 1, out[1]);
	EXPECT_EQ(2, isw_place_draw(c, 2, LAST, LAST, out));
	EXPECT_EQ(FIRST_DONOR + 1, out[0]);
	EXPECT_EQ(FIRST_DONOR, out[1]);
}

TEST(new_donors_come_before_old_ones)
{
	struct random r = random_start(1);
	struct isw_candidate c[10];
	__u32 out[2];
	int i;

	donors(c, 10, 1);
	c[3].has_slab = c[7].has_slab = 0;
	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(2, isw_place_draw(c, 10, random_u32(&r), random_u32(&r), out));
		ASSERT_EQ(2 * FIRST_DONOR + 10, out[0] + out[1]);
	}
}

TEST(one_new_donor_is_not_joined_by_an_old_one)
{
	struct isw_candidate c[10];
	__u32 out[2];

	donors(c, 10, 1);
	c[9].has_slab = 0;
	EXPECT_EQ(1, isw_place_draw(c, 10, 5, LAST, out));
	EXPECT_EQ(FIRST_DONOR + 9, out[0]);
}

TEST(old_donors_if_no_new_one_is_left)
{
	struct isw_candidate c[4];
	__u32 out[2];

	donors(c, 4, 1);
	EXPECT_EQ(2, isw_place_draw(c, 4, 0, 0, out));
}

TEST(excluded_new_donors_do_not_hide_old_ones)
{
	struct isw_candidate c[4];
	__u32 out[2];

	donors(c, 4, 1);
	c[0].has_slab = c[1].has_slab = 0;
	c[0].excluded = c[1].excluded = 1;
	EXPECT_EQ(2, isw_place_draw(c, 4, 0, 0, out));
	EXPECT_EQ(FIRST_DONOR + 2, out[0]);
	EXPECT_EQ(FIRST_DONOR + 3, out[1]);
}

TEST(excluded_donors_are_never_drawn)
{
	struct random r = random_start(2);
	struct isw_candidate c[20];
	unsigned int i, j, n;
	__u32 out[2];

	for (i = 0; i < 20000; i++) {
		donors(c, 20, 0);
		for (j = 0; j < 20; j++) {
			c[j].excluded = (__u8)random_below(&r, 2);
			c[j].has_slab = (__u8)random_below(&r, 2);
		}
		n = isw_place_draw(c, 20, random_u32(&r), random_u32(&r), out);
		ASSERT_GE(2, n);
		for (j = 0; j < n; j++)
			ASSERT_FALSE(c[out[j] - FIRST_DONOR].excluded);
		ASSERT_TRUE(n < 2 || out[0] != out[1]);
	}
}

TEST(any_non_zero_mark_counts)
{
	struct isw_candidate c[3];
	__u32 out[2];

	donors(c, 3, 2);
	c[0].excluded = 0x80;
	c[1].has_slab = 0;
	EXPECT_EQ(1, isw_place_draw(c, 3, 0, 0, out));
	EXPECT_EQ(FIRST_DONOR + 1, out[0]);
}

TEST(two_drawn_are_distinct_for_the_extreme_random_words)
{
	static const __u32 words[] = {
		0, 1, 0x55555555, 0x7fffffff, 0x80000000, 0xaaaaaaaa, LAST - 1, LAST,
	};
	struct isw_candidate c[64];
	unsigned int n, a, b;
	__u32 out[2];

	donors(c, 64, 0);
	for (n = 2; n <= 64; n++)
		for (a = 0; a < 8; a++)
			for (b = 0; b < 8; b++) {
				ASSERT_EQ(2, isw_place_draw(c, n, words[a], words[b], out));
				ASSERT_NE(out[0], out[1]);
				ASSERT_GT(FIRST_DONOR + n, out[0]);
				ASSERT_GT(FIRST_DONOR + n, out[1]);
			}
}

/* ---- how evenly ----------------------------------------------------------- */

/* Sum of (seen - expected)^2 / expected over @n cells. */
static double chi_square(const unsigned int *seen, unsigned int n, unsigned int draws)
{
	double expected = (double)draws / n, sum = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		sum += (seen[i] - expected) * (seen[i] - expected) / expected;
	return sum;
}

TEST(each_ordered_pair_is_equally_likely)
{
	struct random r = random_start(3);
	unsigned int seen[25] = { 0 }, cells[20], i, n = 0;
	struct isw_candidate c[5];
	__u32 out[2];

	donors(c, 5, 0);
	for (i = 0; i < 200000; i++) {
		isw_place_draw(c, 5, random_u32(&r), random_u32(&r), out);
		seen[(out[0] - FIRST_DONOR) * 5 + out[1] - FIRST_DONOR]++;
	}
	for (i = 0; i < 25; i++) {
		if (i % 6)
			cells[n++] = seen[i];
		else
			EXPECT_EQ(0, seen[i]);
	}
	/* 19 degrees of freedom: above 50 once in 10,000 seeds */
	EXPECT_GT(50.0, chi_square(cells, 20, 200000));
}

TEST(each_donor_of_many_is_equally_likely)
{
	static unsigned int seen[1000];
	static struct isw_candidate c[1000];
	struct random r = random_start(4);
	unsigned int i;
	__u32 out[2];

	donors(c, 1000, 1);
	for (i = 0; i < 100000; i++) {
		isw_place_draw(c, 1000, random_u32(&r), random_u32(&r), out);
		seen[out[0] - FIRST_DONOR]++;
		seen[out[1] - FIRST_DONOR]++;
	}
	/* 999 degrees of freedom: above 1170 once in 10,000 seeds */
	EXPECT_GT(1170.0, chi_square(seen, 1000, 200000));
}

/* ---- who is better -------------------------------------------------------- */

TEST(less_used_part_is_better)
{
	EXPECT_TRUE(isw_place_better(1, 4, 1, 2));
	EXPECT_FALSE(isw_place_better(1, 2, 1, 4));
	/* the part counts, not the bytes: 10 of 100 GiB against 2 of 4 */
	EXPECT_TRUE(isw_place_better(10ull << 30, 100ull << 30, 2ull << 30, 4ull << 30));
}

TEST(alike_is_not_better)
{
	EXPECT_FALSE(isw_place_better(1, 2, 1, 2));
	EXPECT_FALSE(isw_place_better(1, 2, 1ull << 40, 2ull << 40));
	EXPECT_FALSE(isw_place_better(1ull << 40, 2ull << 40, 1, 2));
	EXPECT_FALSE(isw_place_better(0, 1, 0, 1ull << 60));
}

TEST(empty_and_full)
{
	EXPECT_TRUE(isw_place_better(0, 1ull << 60, 1ull << 60, 1ull << 60));
	EXPECT_FALSE(isw_place_better(1ull << 60, 1ull << 60, 0, 1ull << 60));
	EXPECT_FALSE(isw_place_better(1ull << 60, 1ull << 60, 1ull << 60, 1ull << 60));
	EXPECT_TRUE(isw_place_better(0, ~0ull, ~0ull, ~0ull));
}

TEST(one_page_of_64_gib_tells)
{
	__u64 total = 64ull << 30, used = 32ull << 30;

	EXPECT_TRUE(isw_place_better(used - 4096, total, used, total));
	EXPECT_FALSE(isw_place_better(used, total, used - 4096, total));
}

TEST(a_donor_that_told_nothing_counts_as_full)
{
	EXPECT_FALSE(isw_place_better(0, 0, 1, 2));
	EXPECT_TRUE(isw_place_better(1, 2, 0, 0));
	EXPECT_FALSE(isw_place_better(0, 0, 0, 0));
}

TEST(more_used_than_there_is_counts_as_full)
{
	EXPECT_FALSE(isw_place_better(5, 4, 3, 4));
	EXPECT_TRUE(isw_place_better(3, 4, 5, 4));
	EXPECT_FALSE(isw_place_better(~0ull, 1, 1, 1));
}

TEST(better_agrees_with_exact_arithmetic)
{
	struct random r = random_start(5);
	unsigned int i, decided = 0;

	for (i = 0; i < 200000; i++) {
		__u64 ta = (random_u64(&r) >> (4 + random_below(&r, 50))) + 1;
		__u64 tb = (random_u64(&r) >> (4 + random_below(&r, 50))) + 1;
		__u64 ua = random_u64(&r) % (ta + 1), ub = random_u64(&r) % (tb + 1);
		unsigned __int128 a = (unsigned __int128)ua * tb;
		unsigned __int128 b = (unsigned __int128)ub * ta;
		long double apart = (long double)ua / ta - (long double)ub / tb;

		/* never both; and right unless they are alike within 2^-30 */
		ASSERT_FALSE(isw_place_better(ua, ta, ub, tb) &&
			     isw_place_better(ub, tb, ua, ta));
		if (apart < 1e-9L && apart > -1e-9L)
			continue;
		decided++;
		ASSERT_EQ(a < b, isw_place_better(ua, ta, ub, tb))
			TH_LOG("%llu/%llu %llu/%llu", ua, ta, ub, tb);
	}
	EXPECT_LT(190000, decided);
}

TEST_HARNESS_MAIN
