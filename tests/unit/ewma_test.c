// SPDX-License-Identifier: GPL-2.0-only
/* ewma.h against the paper's formula in double precision. */
#include <infiniswap/ewma.h>

#include <kselftest_harness.h>
#include <math.h>

#include "random.h"

#define ONE	(1ull << ISW_EWMA_SHIFT)

/* What rounding may cost, in units of 2^-ISW_EWMA_SHIFT: see isw_ewma_add(). */
#define TOLERANCE	10.0

static double as_double(const struct isw_ewma *e)
{
	return (double)e->value / (double)ONE;
}

static struct isw_ewma after(unsigned int n, __u64 sample)
{
	struct isw_ewma e = { 0 };

	while (n--)
		isw_ewma_add(&e, sample);
	return e;
}

TEST(starts_at_zero)
{
	struct isw_ewma e = { 0 };

	EXPECT_EQ(0, isw_ewma_read(&e));
	isw_ewma_add(&e, 0);
	EXPECT_EQ(0, e.value);
}

TEST(first_sample_counts_a_fifth)
{
	struct isw_ewma e = after(1, 100);

	EXPECT_EQ(20, isw_ewma_read(&e));
	EXPECT_GT(2e-4, fabs(as_double(&e) - 20.0));
}

TEST(second_sample_weighs_the_first_by_four_fifths)
{
	struct isw_ewma e = after(2, 100);

	EXPECT_EQ(36, isw_ewma_read(&e));
}

TEST(weights_add_up_to_one)
{
	EXPECT_EQ(1ull << 32, ISW_EWMA_ALPHA + ISW_EWMA_REST);
	EXPECT_GT(1e-9, fabs((double)ISW_EWMA_ALPHA / 4294967296.0 - 0.2));
}

TEST(follows_the_formula_for_random_samples)
{
	struct random r = random_start(1);
	unsigned int i, series;

	for (series = 0; series < 40; series++) {
		unsigned int bits = 20 + series;	/* up to 44-bit samples */
		struct isw_ewma e = { 0 };
		double want = 0;

		for (i = 0; i < 2000; i++) {
			__u64 sample = random_u64(&r) >> bits;
			double slack;

			isw_ewma_add(&e, sample);
			want = 0.2 * (double)sample + 0.8 * want;
			/* alpha itself is 0.2 within 2^-32; double has 53 bits */
			slack = TOLERANCE / (double)ONE + want * 3e-9;
			ASSERT_GE(slack, fabs(as_double(&e) - want))
				TH_LOG("%u bits, step %u: %f, want %f", 64 - bits, i,
				       as_double(&e), want);
		}
	}
}

TEST(converges_to_a_steady_rate)
{
	static const __u64 rates[] = { 1, 2, 20, 1000, 123456789, 1ull << 40 };
	unsigned int i;

	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct isw_ewma e = after(200, rates[i]);

		EXPECT_EQ(rates[i], isw_ewma_read(&e));
	}
}

TEST(never_exceeds_the_largest_sample)
{
	struct random r = random_start(2);
	struct isw_ewma e = { 0 };
	unsigned int i;

	for (i = 0; i < 100000; i++) {
		isw_ewma_add(&e, random_below(&r, 1001));
		ASSERT_GE(1000 * ONE, e.value);
	}
}

TEST(grows_while_the_rate_is_above_it)
{
	struct isw_ewma e = { 0 };
	__u64 last = 0;
	int i;

	for (i = 0; i < 40; i++) {
		isw_ewma_add(&e, 1000);
		ASSERT_LT(last, e.value);
		last = e.value;
	}
}

TEST(paper_threshold_is_passed_after_four_seconds_at_38_per_second)
{
	/* HotSlab = 20 page I/O a second: 38 * (1 - 0.8^n) is 18.5 for n = 3 and 22.4 for n = 4 */
	struct isw_ewma three = after(3, 38), four = after(4, 38);

	EXPECT_GT(20, isw_ewma_read(&three));
	EXPECT_LE(20, isw_ewma_read(&four));
}

TEST(idle_average_decays_to_exactly_zero)
{
	struct isw_ewma e = after(100, 1000000);
	int seconds;

	for (seconds = 0; e.value && seconds < 1000; seconds++) {
		__u64 before = e.value;

		isw_ewma_add(&e, 0);
		ASSERT_GT(before, e.value);
	}
	/* ln(1e6 * 2^16) / ln(1.25) = 111.6, less what rounding down saves */
	EXPECT_GE(112, seconds);
	EXPECT_LE(90, seconds);
	EXPECT_EQ(0, isw_ewma_read(&e));
}

TEST(idle_average_from_the_largest_value_decays_to_zero)
{
	struct isw_ewma e = { ~0ull };
	int seconds;

	for (seconds = 0; e.value; seconds++)
		isw_ewma_add(&e, 0);
	EXPECT_GE(200, seconds);
}

TEST(saturates_and_does_not_wrap)
{
	struct isw_ewma e = { 0 };
	__u64 last = 0;
	int i;

	for (i = 0; i < 1000; i++) {
		isw_ewma_add(&e, ~0ull);
		ASSERT_LE(last, e.value);
		last = e.value;
	}
	EXPECT_GE(ISW_EWMA_SAMPLE_MAX, isw_ewma_read(&e));
	EXPECT_LE(ISW_EWMA_SAMPLE_MAX - 1, isw_ewma_read(&e));
}

TEST(samples_above_the_limit_count_as_the_limit)
{
	struct isw_ewma a = after(3, ISW_EWMA_SAMPLE_MAX);
	struct isw_ewma b = after(3, ISW_EWMA_SAMPLE_MAX + 1);
	struct isw_ewma c = after(3, ~0ull);

	EXPECT_EQ(a.value, b.value);
	EXPECT_EQ(a.value, c.value);
}

TEST(reads_to_the_nearest_whole_number)
{
	struct isw_ewma below = { 7 * ONE + ONE / 2 - 1 };
	struct isw_ewma at = { 7 * ONE + ONE / 2 };
	struct isw_ewma top = { ISW_EWMA_SAMPLE_MAX << ISW_EWMA_SHIFT };

	EXPECT_EQ(7, isw_ewma_read(&below));
	EXPECT_EQ(8, isw_ewma_read(&at));
	EXPECT_EQ(ISW_EWMA_SAMPLE_MAX, isw_ewma_read(&top));
}

TEST(busier_slab_never_reads_colder)
{
	struct random r = random_start(3);
	struct isw_ewma cold = { 0 }, hot = { 0 };
	unsigned int i;

	for (i = 0; i < 100000; i++) {
		__u64 sample = random_below(&r, 100);

		isw_ewma_add(&cold, sample);
		isw_ewma_add(&hot, sample + random_below(&r, 3));
		ASSERT_LE(cold.value, hot.value);
	}
}

TEST_HARNESS_MAIN
