// SPDX-License-Identifier: GPL-2.0-only
/*
 * place.h at work: how evenly slabs spread when each goes to the better of the
 * two donors drawn, against one donor drawn at random.
 */
#include <infiniswap/place.h>

#include <kselftest_harness.h>

#include "random.h"

#define MAX_DONORS	100u

struct cluster {
	unsigned int donors;
	__u64 total[MAX_DONORS];	/* in slabs */
	__u64 used[MAX_DONORS];
	__u8 has_slab[MAX_DONORS];	/* of the device that places now */
};

static struct cluster cluster_of(unsigned int donors, __u64 total)
{
	struct cluster k = { .donors = donors };
	unsigned int i;

	for (i = 0; i < donors; i++)
		k.total[i] = total;
	return k;
}

static void another_device(struct cluster *k)
{
	memset(k->has_slab, 0, sizeof(k->has_slab));
}

static void put(struct cluster *k, unsigned int donor)
{
	k->used[donor]++;
	k->has_slab[donor] = 1;
}

static void place_two_choices(struct cluster *k, struct random *r)
{
	struct isw_candidate c[MAX_DONORS];
	unsigned int i, n;
	__u32 out[2];

	for (i = 0; i < k->donors; i++)
		c[i] = (struct isw_candidate){
			.donor = i, .has_slab = k->has_slab[i],
			.excluded = k->used[i] == k->total[i],
		};
	n = isw_place_draw(c, k->donors, random_u32(r), random_u32(r), out);
	if (n == 2 && isw_place_better(k->used[out[1]], k->total[out[1]],
				       k->used[out[0]], k->total[out[0]]))
		out[0] = out[1];
	if (n)
		put(k, out[0]);
}

static void place_one_choice(struct cluster *k, struct random *r)
{
	put(k, random_below(r, k->donors));
}

static __u64 least(const struct cluster *k)
{
	__u64 m = k->used[0];
	unsigned int i;

	for (i = 1; i < k->donors; i++)
		m = k->used[i] < m ? k->used[i] : m;
	return m;
}

static __u64 most(const struct cluster *k)
{
	__u64 m = k->used[0];
	unsigned int i;

	for (i = 1; i < k->donors; i++)
		m = k->used[i] > m ? k->used[i] : m;
	return m;
}

TEST(first_slabs_of_a_device_go_to_different_donors)
{
	struct random r = random_start(1);
	struct cluster k = cluster_of(10, 1000);
	int i;

	for (i = 0; i < 10; i++)
		place_two_choices(&k, &r);
	EXPECT_EQ(1, most(&k));
	EXPECT_EQ(1, least(&k));
}

TEST(thousand_slabs_over_ten_donors_stay_within_five_percent)
{
	struct random r = random_start(2);
	int seed, i;

	for (seed = 0; seed < 50; seed++) {
		struct cluster k = cluster_of(10, 1000);

		for (i = 0; i < 1000; i++)
			place_two_choices(&k, &r);
		ASSERT_GE(105, most(&k));
		ASSERT_LE(95, least(&k));
	}
}

TEST(two_choices_balance_better_than_one)
{
	struct random r = random_start(3);
	__u64 spread_one = 0, spread_two = 0;
	int seed, i;

	for (seed = 0; seed < 50; seed++) {
		struct cluster one = cluster_of(10, 1000), two = cluster_of(10, 1000);

		for (i = 0; i < 1000; i++) {
			place_one_choice(&one, &r);
			place_two_choices(&two, &r);
		}
		spread_one += most(&one) - least(&one);
		spread_two += most(&two) - least(&two);
	}
	TH_LOG("most minus least slabs, mean of 50 runs: one choice %.1f, two %.1f",
	       (double)spread_one / 50, (double)spread_two / 50);
	EXPECT_GT(spread_one, 5 * spread_two);
}

TEST(many_devices_share_many_donors_evenly)
{
	struct random r = random_start(4);
	struct cluster k = cluster_of(MAX_DONORS, 1000);
	int device, i;

	/* 100 devices of 32 slabs, one after the other: 32 slabs per donor */
	for (device = 0; device < 100; device++) {
		another_device(&k);
		for (i = 0; i < 32; i++)
			place_two_choices(&k, &r);
	}
	EXPECT_GE(32 + 3, most(&k));
	EXPECT_LE(32 - 3, least(&k));
}

TEST(donors_fill_in_proportion_to_their_memory)
{
	struct random r = random_start(5);
	struct cluster k = cluster_of(10, 100);
	__u64 small = 0, large = 0;
	unsigned int i;

	for (i = 5; i < 10; i++)
		k.total[i] = 200;
	for (i = 0; i < 750; i++)
		place_two_choices(&k, &r);
	for (i = 0; i < 10; i++)
		*(i < 5 ? &small : &large) += k.used[i];
	/* half of all memory is used; so is about half of each kind's */
	EXPECT_EQ(750, small + large);
	EXPECT_LE(225, small);
	EXPECT_GE(300, small);
}

TEST(loaded_donor_is_left_alone_until_others_caught_up)
{
	struct random r = random_start(6);
	struct cluster k = cluster_of(10, 1000);
	int i;

	k.used[4] = 500;
	k.has_slab[4] = 1;
	for (i = 0; i < 900; i++)
		place_two_choices(&k, &r);
	EXPECT_EQ(500, k.used[4]);
}

TEST(all_memory_can_be_placed)
{
	struct random r = random_start(7);
	struct cluster k = cluster_of(10, 20);
	int i;

	for (i = 0; i < 200; i++)
		place_two_choices(&k, &r);
	EXPECT_EQ(20, least(&k));
	/* and not a slab more */
	place_two_choices(&k, &r);
	EXPECT_EQ(20, most(&k));
}

TEST_HARNESS_MAIN
