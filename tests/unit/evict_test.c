// SPDX-License-Identifier: GPL-2.0-only
/* evict.h: the draw, the choice, and both against the paper's formula. */
#include <infiniswap/evict.h>

#include <kselftest_harness.h>
#include <math.h>

#include "random.h"

#define DRAWS	100000u

/* ---- how many ------------------------------------------------------------- */

TEST(as_many_slabs_as_make_up_the_need)
{
	EXPECT_EQ(0, isw_evict_count(0, 100, 10));
	EXPECT_EQ(1, isw_evict_count(1, 100, 10));
	EXPECT_EQ(1, isw_evict_count(10, 100, 10));
	EXPECT_EQ(2, isw_evict_count(11, 100, 10));
	EXPECT_EQ(10, isw_evict_count(100, 100, 10));
}

TEST(no_more_slabs_than_there_are_or_than_one_batch_takes)
{
	EXPECT_EQ(10, isw_evict_count(~0ull, 100, 10));
	EXPECT_EQ(0, isw_evict_count(5, 0, 0));
	EXPECT_EQ(ISW_EVICT_MAX, isw_evict_count(~0ull, 1ull << 40, 1u << 20));
	EXPECT_EQ(ISW_EVICT_ASK, isw_evict_ask(ISW_EVICT_MAX, 1000, 100));
	EXPECT_EQ(ISW_EVICT_ASK, isw_evict_ask(ISW_EVICT_MAX, 1000, 100000));
	EXPECT_EQ(ISW_EVICT_MAX, isw_evict_ask(ISW_EVICT_MAX, 1000, 0));
	EXPECT_EQ(15, isw_evict_ask(10, 15, 100));
	EXPECT_EQ(12, isw_evict_ask(10, 100, 20));
	EXPECT_EQ(2, isw_evict_ask(1, 100, 20));
}

/* ---- the draw ------------------------------------------------------------- */

static unsigned int draw(struct random *r, unsigned int count,
			 unsigned int want, unsigned int *out)
{
	unsigned int i, n = 0;

	for (i = 0; i < count; i++)
		if (isw_evict_draws(count - i, want - n, random_u32(r)))
			out[n++] = i;
	return n;
}

TEST(as_many_are_drawn_as_wanted)
{
	struct random r = random_start(1);
	unsigned int out[50], count, want;

	for (count = 1; count <= 50; count++)
		for (want = 0; want <= count; want++)
			ASSERT_EQ(want, draw(&r, count, want, out));
}

TEST(extreme_random_words_draw_as_many_as_well)
{
	unsigned int i, n, words[] = { 0, ~0u };

	for (i = 0; i < 2; i++) {
		unsigned int left, drawn = 0;

		for (n = 0, left = 20; left; left--, n++)
			drawn += isw_evict_draws(left, 5 - drawn, words[i]);
		EXPECT_EQ(5, drawn);
	}
}

TEST(each_slab_is_drawn_equally_often)
{
	struct random r = random_start(2);
	unsigned int times[24] = { 0 }, out[24], i, j;
	/* 10 of 24: mean, and 5 standard deviations. */
	double mean = DRAWS * 10.0 / 24, far = 5 * sqrt(mean * 14 / 24);

	for (i = 0; i < DRAWS; i++) {
		draw(&r, 24, 10, out);
		for (j = 0; j < 10; j++)
			times[out[j]]++;
	}
	for (i = 0; i < 24; i++)
		EXPECT_GT(far, fabs(times[i] - mean)) TH_LOG("slab %u", i);
}

/* ---- the choice ----------------------------------------------------------- */

TEST(the_least_active_come_first_and_are_enough)
{
	struct isw_evict_slab s[] = {
		{ 0, 7, 10 }, { 1, 0, 10 }, { 2, 3, 10 }, { 3, 0, 10 },
		{ 4, ~0u, 10 },
	};
	__u32 i, want[] = { 1, 3, 2, 0, 4 };

	EXPECT_EQ(3, isw_evict_least(s, 5, 21));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(want[i], s[i].index);
	EXPECT_EQ(0, isw_evict_least(s, 5, 0));
	EXPECT_EQ(1, isw_evict_least(s, 5, 1));
	EXPECT_EQ(5, isw_evict_least(s, 5, ~0ull));
	EXPECT_EQ(0, isw_evict_least(s, 0, 1));
}

TEST(sizes_may_differ)
{
	struct isw_evict_slab s[] = {
		{ 0, 1, 64 }, { 1, 0, 1 }, { 2, 2, 4096 },
	};

	EXPECT_EQ(2, isw_evict_least(s, 3, 65));
	EXPECT_EQ(1, s[0].index);
	EXPECT_EQ(3, isw_evict_least(s, 3, 66));
}

/* ---- Fig. 8 --------------------------------------------------------------- */

/* Exact for so few: no factor is ever negative or large. */
static double choose(unsigned int n, unsigned int k)
{
	double c = 1;
	unsigned int i;

	for (i = 1; i <= k; i++)
		c = c * (n - k + i) / i;
	return c;
}

/* The probability that no busy slab is evicted, each being busy with @busy. */
static double formula(unsigned int e, unsigned int extra, double busy)
{
	unsigned int i, n = e + extra;
	double p = 0;

	for (i = e; i <= n; i++)
		p += choose(n, i) * pow(1 - busy, i) * pow(busy, n - i);
	return p;
}

#define POPULATION	48u

/* One batch: whether it leaves all busy slabs alone. */
static unsigned int one_batch(struct random *r, unsigned int e, unsigned int extra,
		     double busy)
{
	struct isw_evict_slab slabs[POPULATION];
	unsigned int out[POPULATION], i, n;

	n = draw(r, POPULATION, isw_evict_ask(e, POPULATION, extra * 100 / e),
		 out);
	for (i = 0; i < n; i++)
		slabs[i] = (struct isw_evict_slab){
			.index = out[i], .length = 1,
			.activity = random_u32(r) < busy * 4294967296.0,
		};
	n = isw_evict_least(slabs, n, e);
	for (i = 0; i < n; i++)
		if (slabs[i].activity)
			return 0;
	return n == e;
}

TEST(batches_spare_busy_slabs_as_often_as_fig_8_says)
{
	static const unsigned int extras[] = { 0, 2, 5, 10 };
	struct random r = random_start(3);
	unsigned int i, k, busy, spared;
	double want, far;

	for (i = 0; i < 4; i++) {
		for (busy = 1; busy <= 5; busy++) {
			want = formula(10, extras[i], busy / 10.0);
			for (k = 0, spared = 0; k < DRAWS; k++)
				spared += one_batch(&r, 10, extras[i],
						    busy / 10.0);
			printf("# E' = %u, %u0 %% busy: none of them evicted in %.4f of the batches, formula %.4f\n",
			       extras[i], busy, (double)spared / DRAWS, want);
			fflush(stdout);
			/* 5 standard deviations, and one batch. */
			far = 5 * sqrt(DRAWS * want * (1 - want)) + 1;
			EXPECT_GE(far, fabs(spared - DRAWS * want))
				TH_LOG("E' %u, %u0 %% busy: %u, not %.0f",
				       extras[i], busy, spared, DRAWS * want);
		}
	}
}

TEST_HARNESS_MAIN
