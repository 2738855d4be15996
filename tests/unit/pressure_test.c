// SPDX-License-Identifier: GPL-2.0-only
/* pressure.h: rules, and how a donor that follows them fares on traces. */
#include <infiniswap/pressure.h>

#include <kselftest_harness.h>

#include "random.h"

#define MIB		(1ull << 20)
#define HEADROOM	(64 * MIB)

static struct isw_memory host(__u64 available_mib, __u64 own_mib)
{
	return (struct isw_memory){
		.total = 1024 * MIB, .available = available_mib * MIB,
		.own = own_mib * MIB, .limit = ISW_UNLIMITED,
	};
}

static __u64 need(struct isw_memory m)
{
	struct isw_pressure p = { 0 };

	isw_pressure_look(&p, &m);
	return isw_pressure_need(&p, &m, HEADROOM);
}

TEST(a_share_is_exact_and_does_not_overflow)
{
	EXPECT_EQ(0, isw_pressure_share(0, 50));
	EXPECT_EQ(99, isw_pressure_share(199, 50));
	EXPECT_EQ(~0ull, isw_pressure_share(~0ull, 100));
	EXPECT_EQ(1ull << 61, isw_pressure_share(1ull << 62, 50));
}

TEST(nothing_is_needed_while_headroom_is_available)
{
	EXPECT_EQ(0, need(host(1000, 0)));
	EXPECT_EQ(0, need(host(64, 500)));
	EXPECT_EQ(MIB, need(host(63, 500)));
	EXPECT_EQ(HEADROOM, need(host(0, 500)));
}

TEST(growth_of_others_is_needed_ahead)
{
	struct isw_memory a = host(80, 500), b = host(60, 500);
	struct isw_pressure p = { 0 };

	isw_pressure_look(&p, &a);
	EXPECT_EQ(0, p.growth);
	isw_pressure_look(&p, &b);
	EXPECT_EQ(20 * MIB, p.growth);
	EXPECT_EQ(24 * MIB, isw_pressure_need(&p, &b, HEADROOM));
	/* It halves when others do not grow. */
	isw_pressure_look(&p, &b);
	EXPECT_EQ(14 * MIB, isw_pressure_need(&p, &b, HEADROOM));
}

TEST(growth_is_seen_before_the_second_is_over)
{
	struct isw_memory a = host(80, 500), b = host(50, 500), c = host(45, 500);
	struct isw_pressure p = { 0 };

	isw_pressure_glance(&p, &a);
	EXPECT_EQ(0, p.growth);			/* since when? */
	isw_pressure_look(&p, &a);
	EXPECT_EQ(ISW_PRESSURE_SOME, isw_pressure_level(&p, &b, HEADROOM, 0));
	isw_pressure_glance(&p, &b);
	EXPECT_EQ(30 * MIB, p.growth);
	EXPECT_EQ(ISW_PRESSURE_URGENT, isw_pressure_level(&p, &b, HEADROOM, 0));
	/* The look counts it once, with what came after it. */
	isw_pressure_look(&p, &c);
	EXPECT_EQ(35 * MIB, p.growth);
	isw_pressure_glance(&p, &a);
	EXPECT_EQ(35 * MIB, p.growth);
}

/* An application that starts: what it took, it will not take each second. */
TEST(one_leap_of_others_is_not_needed_twice)
{
	struct isw_memory a = host(700, 200), b = host(60, 200);
	struct isw_pressure p = { 0 };

	isw_pressure_look(&p, &a);
	isw_pressure_look(&p, &b);
	EXPECT_EQ(640 * MIB, p.growth);
	EXPECT_EQ(4 * MIB + HEADROOM, isw_pressure_need(&p, &b, HEADROOM));
}

TEST(what_the_donor_takes_is_no_growth_of_others)
{
	struct isw_memory a = host(500, 100), b = host(300, 300);
	struct isw_pressure p = { 0 };

	isw_pressure_look(&p, &a);
	isw_pressure_look(&p, &b);
	EXPECT_EQ(0, p.growth);
	EXPECT_EQ(424 * MIB, isw_pressure_others(&b));
}

TEST(own_memory_counted_late_is_no_wrap)
{
	struct isw_memory m = host(900, 500);

	EXPECT_EQ(0, isw_pressure_others(&m));
	m.available = 2000 * MIB;
	EXPECT_EQ(0, isw_pressure_others(&m));
}

TEST(cgroup_limits_leave_a_margin_below_max_and_none_below_high)
{
	EXPECT_EQ(ISW_UNLIMITED, isw_pressure_limit(ISW_UNLIMITED, ISW_UNLIMITED));
	EXPECT_EQ(960 * MIB, isw_pressure_limit(1024 * MIB, ISW_UNLIMITED));
	EXPECT_EQ(56 * MIB, isw_pressure_limit(64 * MIB, ISW_UNLIMITED));
	EXPECT_EQ(500 * MIB, isw_pressure_limit(1024 * MIB, 500 * MIB));
	EXPECT_EQ(500 * MIB, isw_pressure_limit(ISW_UNLIMITED, 500 * MIB));
	EXPECT_EQ(0, isw_pressure_limit(0, ISW_UNLIMITED));
}

TEST(a_cgroup_at_its_limit_is_pressure_though_the_host_has_plenty)
{
	struct isw_pressure p = { 0 };
	struct isw_memory m = host(900, 100);

	m.limit = 100 * MIB;
	m.current = 90 * MIB;
	EXPECT_EQ(0, isw_pressure_need(&p, &m, HEADROOM));
	EXPECT_EQ(10 * MIB, isw_pressure_room(&m, HEADROOM));
	EXPECT_TRUE(isw_pressure_over(&m, HEADROOM));
	m.current = 107 * MIB;
	EXPECT_EQ(7 * MIB, isw_pressure_need(&p, &m, HEADROOM));
	EXPECT_EQ(0, isw_pressure_room(&m, HEADROOM));
	EXPECT_FALSE(isw_pressure_over(&m, HEADROOM));
}

TEST(what_others_used_before_is_not_taken_ahead)
{
	struct isw_memory busy = host(200, 0), idle = host(1000, 0);
	struct isw_pressure p = { 0 };
	__u64 before, after;
	int i;

	for (i = 0; i < 60; i++)
		isw_pressure_look(&p, &busy);
	isw_pressure_look(&p, &idle);
	/* A grant that is asked for may have all of it at once. */
	EXPECT_EQ(936 * MIB, isw_pressure_room(&idle, HEADROOM));
	before = isw_pressure_ahead(&p, &idle, HEADROOM);
	EXPECT_LT(before, 300 * MIB);
	for (i = 0; i < 60; i++)
		isw_pressure_look(&p, &idle);
	after = isw_pressure_ahead(&p, &idle, HEADROOM);
	EXPECT_GE(920 * MIB, after);
	EXPECT_LT(910 * MIB, after);
}

TEST(levels)
{
	struct isw_pressure p = { 0 };
	struct isw_memory m = host(64, 500);

	EXPECT_EQ(ISW_PRESSURE_NONE, isw_pressure_level(&p, &m, HEADROOM, 0));
	m = host(55, 500);
	EXPECT_EQ(ISW_PRESSURE_SOME, isw_pressure_level(&p, &m, HEADROOM, 0));
	m = host(15, 500);
	EXPECT_EQ(ISW_PRESSURE_URGENT, isw_pressure_level(&p, &m, HEADROOM, 0));
	m = host(60, 500);
	p.growth = 31 * MIB;
	EXPECT_EQ(ISW_PRESSURE_URGENT, isw_pressure_level(&p, &m, HEADROOM, 0));
}

/*
 * Growth within headroom is urgent at once: with less haste it is used up
 * before anything comes back.
 */
TEST(a_leap_is_urgent_only_if_it_is_seen_twice)
{
	struct isw_memory m[] = {
		host(300, 500), host(40, 500), host(39, 500), host(40, 240),
		host(40, 120),
	};
	enum isw_pressure_level want[] = {
		ISW_PRESSURE_NONE, ISW_PRESSURE_SOME, ISW_PRESSURE_SOME,
		ISW_PRESSURE_SOME, ISW_PRESSURE_URGENT,
	};
	struct isw_pressure p = { 0 };
	int i;

	for (i = 0; i < 5; i++) {
		isw_pressure_look(&p, &m[i]);
		EXPECT_EQ(want[i], isw_pressure_level(&p, &m[i], HEADROOM, 0))
			TH_LOG("look %d", i);
	}
}

TEST(an_eighth_of_headroom_less_is_no_reason_to_evict_unless_others_grow)
{
	struct isw_pressure p = { 0 };
	struct isw_memory m = host(56, 500);

	EXPECT_EQ(8 * MIB, isw_pressure_need(&p, &m, HEADROOM));
	EXPECT_EQ(ISW_PRESSURE_NONE, isw_pressure_level(&p, &m, HEADROOM, 0));
	p.growth = 1;
	EXPECT_EQ(ISW_PRESSURE_SOME, isw_pressure_level(&p, &m, HEADROOM, 0));
	m = host(64, 500);
	p.growth = 20 * MIB;
	EXPECT_EQ(ISW_PRESSURE_NONE, isw_pressure_level(&p, &m, HEADROOM, 0));
}

TEST(a_cgroup_slightly_over_its_limit_is_no_reason_to_evict)
{
	struct isw_pressure p = { 0 };
	struct isw_memory m = host(900, 500);

	m.limit = 512 * MIB;
	m.current = 520 * MIB;
	EXPECT_EQ(ISW_PRESSURE_NONE, isw_pressure_level(&p, &m, HEADROOM, 0));
	m.current++;
	EXPECT_EQ(ISW_PRESSURE_SOME, isw_pressure_level(&p, &m, HEADROOM, 0));
	/* Never so far that memory.max is reached. */
	m.limit = 64ull << 30;
	m.current = m.limit + 16 * MIB + 1;
	EXPECT_EQ(ISW_PRESSURE_SOME, isw_pressure_level(&p, &m, HEADROOM, 0));
}

TEST(stalls_count_if_headroom_is_not_there_only)
{
	struct isw_pressure p = { 0 };
	struct isw_memory m = host(63, 500);

	EXPECT_EQ(ISW_PRESSURE_URGENT, isw_pressure_level(&p, &m, HEADROOM, 1));
	/* A stall that is urgent always says what is needed. */
	EXPECT_LT(0, isw_pressure_need(&p, &m, HEADROOM));
	m = host(64, 500);
	EXPECT_EQ(ISW_PRESSURE_NONE, isw_pressure_level(&p, &m, HEADROOM, 1));
}

/* ---- traces ---------------------------------------------------------------- */

struct trace {
	unsigned int total, headroom;	/* MiB */
	const unsigned int *others;	/* MiB used by others, each second */
	unsigned int seconds;
};

/*
 * A donor that gives back @late looks after it saw the need, and fills up
 * ahead of demand. The least that was available, in MiB.
 */
static __u64 least_available(const struct trace *t, unsigned int late,
			     __u64 *most_moved)
{
	struct isw_memory m = {
		.total = t->total * MIB, .limit = ISW_UNLIMITED,
	};
	__u64 coming[8] = { 0 }, least = ~0ull, sum, want;
	struct isw_pressure p = { 0 };
	unsigned int i, j;

	*most_moved = 0;
	for (i = 0; i < t->seconds; i++) {
		m.own -= coming[0] < m.own ? coming[0] : m.own;
		for (j = 0; j < 7; j++)
			coming[j] = coming[j + 1];
		m.available = isw_pressure_less(m.total, m.own +
						t->others[i] * MIB);
		if (m.available < least)
			least = m.available;
		isw_pressure_look(&p, &m);
		for (j = 0, sum = 0; j < 8; j++)
			sum += coming[j];
		want = isw_pressure_level(&p, &m, t->headroom * MIB, 0) ?
		       isw_pressure_need(&p, &m, t->headroom * MIB) : 0;
		coming[late - 1] += isw_pressure_less(want, sum);
		*most_moved += isw_pressure_less(want, sum);
		m.own += isw_pressure_ahead(&p, &m, t->headroom * MIB);
	}
	return least / MIB;
}

/*
 * MemTotal - MemAvailable in MiB, once a second, of a machine where compilers
 * run and virtual machines end and start. The host below is a smaller one.
 */
static const unsigned int recorded[] = {
	3985, 3982, 4062, 4084, 4104, 4073, 4014, 4036, 4068, 4073, 4085,
	4114, 4141, 4164, 4168, 4170, 4201, 4031, 815, 798, 1171, 1236, 1377,
	1406, 1512, 1542, 1717, 1641, 1720, 1775, 1826, 1889, 1922, 1922,
	1925, 1967, 1987, 1989, 1979, 2005, 2023, 2072, 2087, 2148, 2094,
	2120, 2098, 2125, 2175, 2164, 2231, 2266, 2327, 2349, 2031, 1984,
	1976, 1994, 2054, 2111, 2155, 2196, 2140, 2187, 2178, 2149, 2186,
	2209,
};

/* The same when compilers and scripts run for two and a half minutes, then two labs boot. */
static const unsigned int recorded_boots[] = {
	624, 562, 538, 526, 524, 490, 499, 483, 476, 538, 600, 578, 563, 553,
	485, 547, 599, 599, 608, 589, 602, 591, 599, 581, 563, 571, 561, 546,
	537, 552, 546, 546, 540, 526, 518, 528, 540, 527, 527, 550, 552, 530,
	529, 537, 535, 532, 547, 546, 518, 549, 540, 532, 539, 560, 542, 527,
	558, 548, 537, 537, 531, 558, 533, 541, 524, 545, 545, 527, 540, 537,
	533, 539, 524, 578, 595, 585, 578, 561, 566, 588, 547, 537, 525, 507,
	502, 597, 604, 579, 571, 541, 548, 536, 516, 488, 488, 488, 484, 478,
	475, 468, 467, 464, 464, 466, 468, 468, 468, 444, 439, 443, 435, 469,
	496, 520, 482, 492, 500, 494, 495, 496, 494, 525, 525, 508, 508, 501,
	495, 497, 497, 497, 473, 505, 590, 658, 631, 606, 575, 545, 519, 511,
	492, 492, 470, 480, 488, 478, 478, 457, 476, 849, 869, 972, 1084,
	1088, 1144, 1194, 1198, 1216, 1233, 1281, 1312, 1345, 1658, 1723,
	1801, 1914, 1948, 2052, 2150, 2175, 2192, 2236, 2265, 2281, 2305,
	2353, 2381, 2428, 2570, 2604, 2628, 2656, 2673, 2686, 2707, 2721,
	2729, 2741, 2746, 2758, 2770, 2782, 2483, 2499, 2507, 2500, 2508,
	2531, 2543, 2635, 2667, 2683, 2699, 2725, 2745, 2762, 2770, 2786,
	2794, 2812, 2822, 2842, 2849, 2849,
};

TEST(recorded_use_leaves_half_of_headroom)
{
	struct trace t = {
		4800, 400, recorded, sizeof(recorded) / sizeof(recorded[0]),
	};
	__u64 moved;

	EXPECT_LT(200, least_available(&t, 1, &moved));
	EXPECT_LT(0, moved);
}

TEST(recorded_boots_leave_half_of_headroom)
{
	struct trace t = {
		3800, 800, recorded_boots,
		sizeof(recorded_boots) / sizeof(recorded_boots[0]),
	};
	__u64 moved;

	EXPECT_LT(400, least_available(&t, 1, &moved));
	EXPECT_LT(0, moved);
}

/* What compilers take and leave all the time, up to a quarter of the headroom, moves no slab. */
TEST(recorded_noise_moves_nothing)
{
	struct trace t = { 2000, 1000, recorded_boots, 140 };
	__u64 moved;

	EXPECT_LT(750, least_available(&t, 1, &moved));
	EXPECT_EQ(0, moved);
}

/* Half the headroom a second, from any moment on, given back a second later. */
TEST(growth_of_half_the_headroom_a_second_never_uses_it_up)
{
	unsigned int others[40], i, start;
	struct trace t = { 1024, 64, others, 28 };
	__u64 moved;

	for (start = 5; start < 20; start++) {
		for (i = 0; i < 40; i++)
			others[i] = 100 + (i > start ? 32 * (i - start) : 0);
		EXPECT_LT(0, least_available(&t, 1, &moved));
	}
}

TEST(a_host_that_does_not_change_moves_nothing)
{
	unsigned int others[60], i;
	struct trace t = { 1024, 64, others, 60 };
	__u64 moved;

	for (i = 0; i < 60; i++)
		others[i] = 300;
	EXPECT_EQ(80, least_available(&t, 3, &moved));
	EXPECT_EQ(0, moved);
}

/* Noise below a quarter of the headroom: what is taken is not given back. */
TEST(noise_moves_nothing)
{
	struct random r = random_start(1);
	unsigned int others[600], i;
	struct trace t = { 1024, 64, others, 600 };
	__u64 moved;

	for (i = 0; i < 600; i++)
		others[i] = 300 + random_below(&r, 15);
	EXPECT_LT(63, least_available(&t, 3, &moved));
	EXPECT_EQ(0, moved);
}

TEST_HARNESS_MAIN
