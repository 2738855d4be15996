// SPDX-License-Identifier: GPL-2.0-only
/* slabmap.h: where a byte of the device lies. */
#include <infiniswap/slabmap.h>

#include <kselftest_harness.h>

#include "random.h"

#define MIB	(1ull << 20)
#define GIB	(1ull << 30)

TEST(shift_of_every_valid_size)
{
	int shift;

	for (shift = ISW_SLAB_SHIFT_MIN; shift <= ISW_SLAB_SHIFT_MAX; shift++)
		EXPECT_EQ(shift, isw_slab_shift(1ull << shift));
}

TEST(shift_of_sizes_that_slabs_do_not_have)
{
	EXPECT_EQ(-1, isw_slab_shift(0));
	EXPECT_EQ(-1, isw_slab_shift(1));
	EXPECT_EQ(-1, isw_slab_shift(MIB / 2));
	EXPECT_EQ(-1, isw_slab_shift(MIB - 1));
	EXPECT_EQ(-1, isw_slab_shift(MIB + 1));
	EXPECT_EQ(-1, isw_slab_shift(3 * MIB));
	EXPECT_EQ(-1, isw_slab_shift(4 * GIB + 4096));
	EXPECT_EQ(-1, isw_slab_shift(8 * GIB));
	EXPECT_EQ(-1, isw_slab_shift(1ull << 63));
	EXPECT_EQ(-1, isw_slab_shift(~0ull));
}

TEST(shift_agrees_with_the_wire)
{
	__u64 bytes;

	for (bytes = 1; bytes; bytes <<= 1)
		EXPECT_EQ(isw_slab_size_valid(bytes), isw_slab_shift(bytes) >= 0);
}

TEST(pages_of_a_slab)
{
	EXPECT_EQ(256, isw_slab_pages(20));
	EXPECT_EQ(16384, isw_slab_pages(26));
	EXPECT_EQ(1048576, isw_slab_pages(32));
	EXPECT_EQ(64 * MIB, isw_slab_pages(26) << ISW_PAGE_SHIFT);
	EXPECT_EQ(4096, ISW_PAGE_SIZE);
}

TEST(slab_and_offset_at_the_edges)
{
	EXPECT_EQ(0, isw_slab_of(0, 20));
	EXPECT_EQ(0, isw_slab_of(MIB - 1, 20));
	EXPECT_EQ(1, isw_slab_of(MIB, 20));
	EXPECT_EQ(0, isw_slab_offset(0, 20));
	EXPECT_EQ(MIB - 1, isw_slab_offset(MIB - 1, 20));
	EXPECT_EQ(0, isw_slab_offset(MIB, 20));
	EXPECT_EQ((1ull << 32) - 1, isw_slab_of(~0ull, 32));
	EXPECT_EQ((1ull << 32) - 1, isw_slab_offset(~0ull, 32));
}

TEST(slab_and_offset_give_the_byte_back)
{
	struct random r = random_start(1);
	unsigned int i, shift;

	for (i = 0; i < 100000; i++) {
		__u64 off = random_u64(&r) >> random_below(&r, 64);

		for (shift = ISW_SLAB_SHIFT_MIN; shift <= ISW_SLAB_SHIFT_MAX; shift++)
			ASSERT_EQ(off, (isw_slab_of(off, shift) << shift) +
				       isw_slab_offset(off, shift));
	}
}

TEST(count_includes_a_short_last_slab)
{
	EXPECT_EQ(0, isw_slab_count(0, 26));
	EXPECT_EQ(1, isw_slab_count(1, 26));
	EXPECT_EQ(1, isw_slab_count(4096, 26));
	EXPECT_EQ(1, isw_slab_count(64 * MIB, 26));
	EXPECT_EQ(2, isw_slab_count(64 * MIB + 4096, 26));
	EXPECT_EQ(16, isw_slab_count(GIB, 26));
}

TEST(count_does_not_overflow)
{
	EXPECT_EQ(1ull << 44, isw_slab_count(~0ull, 20));
	EXPECT_EQ(1ull << 32, isw_slab_count(~0ull, 32));
	EXPECT_EQ((1ull << 32) - 1, isw_slab_count(~0ull << 32, 32));
}

TEST(last_byte_lies_in_the_last_slab)
{
	struct random r = random_start(2);
	unsigned int i, shift;

	for (i = 0; i < 100000; i++) {
		__u64 size = (random_u64(&r) >> random_below(&r, 63)) + 1;

		if (!size)
			continue;
		for (shift = ISW_SLAB_SHIFT_MIN; shift <= ISW_SLAB_SHIFT_MAX; shift += 6)
			ASSERT_EQ(isw_slab_count(size, shift) - 1,
				  isw_slab_of(size - 1, shift));
	}
}

TEST(range_inside)
{
	EXPECT_TRUE(isw_range_ok(0, GIB, GIB));
	EXPECT_TRUE(isw_range_ok(GIB - 4096, 4096, GIB));
	EXPECT_TRUE(isw_range_ok(0, 0, 0));
	EXPECT_TRUE(isw_range_ok(GIB, 0, GIB));
	EXPECT_TRUE(isw_range_ok(0, ~0ull, ~0ull));
}

TEST(range_outside)
{
	EXPECT_FALSE(isw_range_ok(0, GIB + 1, GIB));
	EXPECT_FALSE(isw_range_ok(GIB - 4096, 8192, GIB));
	EXPECT_FALSE(isw_range_ok(GIB, 1, GIB));
	EXPECT_FALSE(isw_range_ok(GIB + 1, 0, GIB));
	EXPECT_FALSE(isw_range_ok(0, 1, 0));
}

TEST(range_that_wraps_is_outside)
{
	EXPECT_FALSE(isw_range_ok(4096, ~0ull, GIB));
	EXPECT_FALSE(isw_range_ok(4096, 0 - 4096ull, GIB));
	EXPECT_FALSE(isw_range_ok(~0ull, 2, GIB));
	EXPECT_FALSE(isw_range_ok(~0ull, ~0ull, ~0ull));
}

TEST(chunk_stops_at_the_slab)
{
	EXPECT_EQ(4096, isw_slab_chunk(0, 4096, 20));
	EXPECT_EQ(MIB, isw_slab_chunk(0, MIB, 20));
	EXPECT_EQ(MIB, isw_slab_chunk(0, MIB + 1, 20));
	EXPECT_EQ(4096, isw_slab_chunk(MIB - 4096, 8192, 20));
	EXPECT_EQ(1, isw_slab_chunk(MIB - 1, ~0ull, 20));
	EXPECT_EQ(0, isw_slab_chunk(MIB - 1, 0, 20));
	EXPECT_EQ(4 * GIB, isw_slab_chunk(0, ~0ull, 32));
}

TEST(chunks_cover_a_range_once)
{
	struct random r = random_start(3);
	unsigned int i;

	for (i = 0; i < 20000; i++) {
		unsigned int shift = ISW_SLAB_SHIFT_MIN + random_below(&r, 13);
		__u64 off = random_u64(&r) >> 20, len = random_u64(&r) >> 38;
		__u64 at = off, left = len, last = 0, first = 1;

		while (left) {
			__u64 chunk = isw_slab_chunk(at, left, shift);

			ASSERT_NE(0, chunk);
			ASSERT_LE(chunk, left);
			/* one slab, and the one that follows the last */
			ASSERT_EQ(isw_slab_of(at, shift), isw_slab_of(at + chunk - 1, shift));
			ASSERT_TRUE(first || isw_slab_of(at, shift) == last + 1);
			first = 0;
			last = isw_slab_of(at, shift);
			at += chunk;
			left -= chunk;
		}
		ASSERT_EQ(off + len, at);
	}
}

TEST_HARNESS_MAIN
