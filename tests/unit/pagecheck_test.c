// SPDX-License-Identifier: GPL-2.0-only
/* pagecheck.h: every step of pageword.h passes, every other one is noticed. */
#include <infiniswap/pagecheck.h>

#include <kselftest_harness.h>

#include "random.h"

#define WRITTEN	ISW_WORD_WRITTEN
#define BUSY	ISW_WORD_BUSY
#define PARKED	ISW_WORD_PARKED
#define STAGED	ISW_WORD_STAGED
#define BACKUP	ISW_WORD_BACKUP
#define LEG(i)	ISW_WORD_LEG(i)
#define CRC	(0xcafef00dull << ISW_WORD_CRC_SHIFT)
#define SEQ	ISW_WORD_SEQ_ONE

TEST(words_that_can_be_are_valid)
{
	EXPECT_TRUE(isw_word_valid(0));
	EXPECT_TRUE(isw_word_valid(ISW_WORD_SEQ_MASK));
	EXPECT_TRUE(isw_word_valid(BUSY));
	EXPECT_TRUE(isw_word_valid(BUSY | PARKED));
	EXPECT_TRUE(isw_word_valid(WRITTEN));
	EXPECT_TRUE(isw_word_valid(WRITTEN | CRC | LEG(0) | LEG(2) | BACKUP));
	EXPECT_TRUE(isw_word_valid(WRITTEN | CRC | BUSY | PARKED | STAGED | LEG(1)));
}

TEST(words_that_cannot_be_are_not_valid)
{
	unsigned int bit;

	EXPECT_FALSE(isw_word_valid(PARKED));
	EXPECT_FALSE(isw_word_valid(WRITTEN | PARKED | LEG(0)));
	EXPECT_FALSE(isw_word_valid(LEG(0)));
	EXPECT_FALSE(isw_word_valid(BUSY | STAGED));
	EXPECT_FALSE(isw_word_valid(BACKUP));
	EXPECT_FALSE(isw_word_valid(CRC));
	EXPECT_FALSE(isw_word_valid(WRITTEN | STAGED | BACKUP));
	for (bit = 8; bit < ISW_WORD_SEQ_SHIFT; bit++)
		EXPECT_FALSE(isw_word_valid(WRITTEN | 1ull << bit));
}

TEST(copies_come_with_the_end_of_a_write_or_copy)
{
	__u64 word = WRITTEN | BUSY | PARKED | CRC;

	EXPECT_TRUE(isw_word_follows(word, isw_word_write_end(word, LEG(0) | LEG(1))));
	EXPECT_TRUE(isw_word_follows(word, isw_word_copy_end(word, 0, LEG(2))));
	EXPECT_FALSE(isw_word_follows(word, word | LEG(0)));
	EXPECT_FALSE(isw_word_follows(WRITTEN, WRITTEN | LEG(0)));
}

TEST(a_staged_copy_comes_from_the_owner_of_busy)
{
	EXPECT_TRUE(isw_word_follows(WRITTEN | BUSY | LEG(0), WRITTEN | BUSY | LEG(0) | STAGED));
	EXPECT_FALSE(isw_word_follows(WRITTEN | LEG(0), WRITTEN | LEG(0) | STAGED));
	EXPECT_FALSE(isw_word_follows(WRITTEN | BUSY | LEG(0), WRITTEN | LEG(0) | STAGED));
}

TEST(the_disk_has_only_what_was_staged)
{
	EXPECT_TRUE(isw_word_follows(WRITTEN | STAGED, WRITTEN | BACKUP));
	EXPECT_TRUE(isw_word_follows(WRITTEN | BUSY | STAGED, WRITTEN | BUSY | BACKUP));
	EXPECT_FALSE(isw_word_follows(WRITTEN | LEG(0), WRITTEN | LEG(0) | BACKUP));
	EXPECT_FALSE(isw_word_follows(WRITTEN | STAGED, WRITTEN | STAGED | BACKUP));
}

TEST(any_copy_may_go)
{
	__u64 word = WRITTEN | CRC | LEG(0) | LEG(1) | STAGED;

	EXPECT_TRUE(isw_word_follows(word, isw_word_drop_copies(word, LEG(0))));
	EXPECT_TRUE(isw_word_follows(word, isw_word_drop_copies(word, ~0ull)));
}

TEST(content_moves_only_with_its_sequence)
{
	__u64 word = WRITTEN | BUSY | CRC | LEG(0);

	EXPECT_TRUE(isw_word_follows(word, isw_word_write_begin(word, 1)));
	EXPECT_TRUE(isw_word_follows(word, isw_word_write_begin(word, 1) | STAGED));
	EXPECT_TRUE(isw_word_follows(word, isw_word_discard(word)));
	EXPECT_FALSE(isw_word_follows(word, word ^ 1ull << ISW_WORD_CRC_SHIFT));
	EXPECT_FALSE(isw_word_follows(word, BUSY));
	EXPECT_FALSE(isw_word_follows(BUSY, WRITTEN | BUSY));
	EXPECT_FALSE(isw_word_follows(word, isw_word_next_seq(word)));
	EXPECT_FALSE(isw_word_follows(word, isw_word_write_begin(word, 1) + SEQ));
}

TEST(a_write_needs_busy_and_a_discard_does_not)
{
	__u64 word = WRITTEN | CRC | LEG(0);

	EXPECT_FALSE(isw_word_follows(word, isw_word_write_begin(word, 1)));
	EXPECT_TRUE(isw_word_follows(word, isw_word_discard(word)));
}

TEST(busy_is_taken_by_the_write_itself_but_with_no_other_content)
{
	__u64 word = WRITTEN | CRC | LEG(0);

	EXPECT_TRUE(isw_word_follows(word, isw_word_write_begin(word | BUSY, 1)));
	EXPECT_TRUE(isw_word_follows(0, isw_word_write_begin(BUSY, 1)));
	EXPECT_FALSE(isw_word_follows(word, isw_word_write_begin(word | BUSY, 1) | PARKED));
	EXPECT_FALSE(isw_word_follows(word, isw_word_write_begin(word | BUSY, 1) | LEG(0)));
	EXPECT_FALSE(isw_word_follows(word, isw_word_write_begin(word | BUSY, 1) | STAGED));
	EXPECT_FALSE(isw_word_follows(word, isw_word_discard(word) | BUSY));
}

TEST(a_new_content_leaves_busy_and_parked_to_their_owner)
{
	__u64 word = WRITTEN | BUSY | PARKED | CRC | LEG(0);

	EXPECT_FALSE(isw_word_follows(word, isw_word_write_begin(word, 1) & ~PARKED));
	EXPECT_FALSE(isw_word_follows(word, isw_word_discard(word) & ~(BUSY | PARKED)));
}

TEST(sequence_wraps)
{
	__u64 word = WRITTEN | BUSY | ISW_WORD_SEQ_MASK;

	EXPECT_TRUE(isw_word_follows(word, isw_word_write_begin(word, 7)));
}

/* Each step that the module makes, in any order, from any word that can be. */
TEST(random_lives_never_leave_what_can_be)
{
	struct random r = random_start(1);
	unsigned int i;
	__u64 word = 0;

	for (i = 0; i < 1000000; i++) {
		__u64 copies = random_u64(&r) & ISW_WORD_LEGS, next = word;

		switch (random_below(&r, 8)) {
		case 0:
			next |= word & BUSY ? PARKED : BUSY;
			break;
		case 1:
			next = isw_word_write_begin(word | BUSY, random_u32(&r));
			break;
		case 2:
			if (word & BUSY)
				next = isw_word_write_begin(word, random_u32(&r)) | STAGED;
			break;
		case 3:
			if (word & BUSY)
				next = isw_word_write_end(word, copies);
			break;
		case 4:
			if (word & BUSY)
				next = isw_word_copy_end(word, isw_word_seq(word), copies);
			break;
		case 5:
			next = isw_word_discard(word);
			break;
		case 6:
			if (word & STAGED)
				next = isw_word_on_disk(word, isw_word_seq(word));
			break;
		case 7:
			next = isw_word_drop_copies(word, copies);
			break;
		}
		ASSERT_TRUE(isw_word_follows(word, next))
			TH_LOG("step %u: %llx after %llx", i, next, word);
		word = next;
	}
}

TEST_HARNESS_MAIN
