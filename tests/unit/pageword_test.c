// SPDX-License-Identifier: GPL-2.0-only
/* pageword.h: each step of a page's life, and long random lives against a model. */
#include <infiniswap/pageword.h>

#include <kselftest_harness.h>

#include "random.h"

#define WRITTEN	ISW_WORD_WRITTEN
#define BUSY	ISW_WORD_BUSY
#define PARKED	ISW_WORD_PARKED
#define STAGED	ISW_WORD_STAGED
#define BACKUP	ISW_WORD_BACKUP
#define CRC	0xcafef00du

static __u32 crc_of(__u64 word)
{
	return (__u32)(word >> ISW_WORD_CRC_SHIFT);
}

/* A page that was written once and is on legs 0 and 1. */
static __u64 stored(void)
{
	__u64 word = isw_word_write_begin(BUSY, CRC);

	return isw_word_write_end(word, ISW_WORD_LEG(0) | ISW_WORD_LEG(1));
}

TEST(fields_do_not_overlap)
{
	const __u64 flags[] = {
		WRITTEN, BUSY, PARKED, STAGED, BACKUP, ISW_WORD_LEG(0), ISW_WORD_LEG(1),
		ISW_WORD_LEG(2), ISW_WORD_SEQ_MASK, ISW_WORD_CRC_MASK,
	};
	__u64 seen = 0;
	unsigned int i;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		EXPECT_EQ(0, seen & flags[i]) TH_LOG("field %u", i);
		seen |= flags[i];
	}
}

TEST(fields_are_where_the_drawing_has_them)
{
	EXPECT_EQ(0xffffffff00000000ull, ISW_WORD_CRC_MASK);
	EXPECT_EQ(0x00000000fffff000ull, ISW_WORD_SEQ_MASK);
	EXPECT_EQ(0, ISW_WORD_COPIES & ~0xfffull);
	EXPECT_EQ(ISW_WORD_LEG(0) | ISW_WORD_LEG(1) | ISW_WORD_LEG(2), ISW_WORD_LEGS);
	EXPECT_EQ(ISW_WORD_LEGS, ISW_WORD_LEGS & ISW_WORD_COPIES);
	EXPECT_EQ(ISW_WORD_LEG(ISW_MAX_LEGS - 1), ISW_WORD_LEGS & ~(ISW_WORD_LEGS >> 1));
}

TEST(fresh_page_is_not_lost)
{
	EXPECT_FALSE(isw_word_lost(0));
	EXPECT_FALSE(isw_word_lost(BUSY));
	EXPECT_FALSE(isw_word_lost(ISW_WORD_SEQ_MASK));
}

TEST(written_page_without_a_copy_is_lost)
{
	EXPECT_TRUE(isw_word_lost(WRITTEN));
	EXPECT_TRUE(isw_word_lost(WRITTEN | PARKED));
	EXPECT_TRUE(isw_word_lost(WRITTEN | ISW_WORD_SEQ_MASK | ISW_WORD_CRC_MASK));
}

TEST(page_under_write_is_not_lost)
{
	EXPECT_FALSE(isw_word_lost(WRITTEN | BUSY));
	EXPECT_FALSE(isw_word_lost(isw_word_write_begin(BUSY, 0)));
}

TEST(any_single_copy_saves_a_page)
{
	int leg;

	for (leg = 0; leg < ISW_MAX_LEGS; leg++)
		EXPECT_FALSE(isw_word_lost(WRITTEN | ISW_WORD_LEG(leg)));
}

TEST(write_begins_with_no_copy_and_a_new_sequence)
{
	__u64 before = stored() | BUSY, word = isw_word_write_begin(before, 7);

	EXPECT_EQ(0, word & ISW_WORD_COPIES);
	EXPECT_EQ(7, crc_of(word));
	EXPECT_EQ(WRITTEN, word & WRITTEN);
	EXPECT_EQ(isw_word_seq(before) + ISW_WORD_SEQ_ONE, isw_word_seq(word));
}

TEST(write_begin_leaves_busy_and_parked_alone)
{
	EXPECT_EQ(BUSY, isw_word_write_begin(BUSY, 0) & (BUSY | PARKED));
	EXPECT_EQ(BUSY | PARKED,
		  isw_word_write_begin(BUSY | PARKED, 0) & (BUSY | PARKED));
}

TEST(write_ends_with_the_copies_that_acknowledged)
{
	__u64 begun = isw_word_write_begin(BUSY, CRC);
	__u64 word = isw_word_write_end(begun, ISW_WORD_LEG(2));

	EXPECT_EQ(ISW_WORD_LEG(2), word & ISW_WORD_COPIES);
	EXPECT_EQ(CRC, crc_of(word));
	EXPECT_EQ(isw_word_seq(begun), isw_word_seq(word));
	EXPECT_EQ(WRITTEN, word & (WRITTEN | BUSY | PARKED));
}

TEST(write_end_gives_up_busy_and_parked)
{
	__u64 word = isw_word_write_begin(BUSY | PARKED, 0);

	EXPECT_EQ(0, isw_word_write_end(word, ISW_WORD_LEG(0)) & (BUSY | PARKED));
}

TEST(failed_write_loses_the_page_and_not_to_old_data)
{
	__u64 word = isw_word_write_end(isw_word_write_begin(stored() | BUSY, 0), 0);

	EXPECT_TRUE(isw_word_lost(word));
}

TEST(discard_forgets_the_content)
{
	__u64 before = stored(), word = isw_word_discard(before);

	EXPECT_EQ(0, word & (WRITTEN | ISW_WORD_COPIES | ISW_WORD_CRC_MASK));
	EXPECT_EQ(isw_word_seq(before) + ISW_WORD_SEQ_ONE, isw_word_seq(word));
	EXPECT_FALSE(isw_word_lost(word));
}

TEST(discard_leaves_busy_and_parked_to_their_owner)
{
	__u64 word = isw_word_discard(stored() | BUSY | PARKED);

	EXPECT_EQ(BUSY | PARKED, word & (BUSY | PARKED));
}

TEST(write_that_was_discarded_under_way_stores_nothing)
{
	__u64 word = isw_word_write_begin(BUSY, 0);

	word = isw_word_discard(word);
	word = isw_word_write_end(word, ISW_WORD_LEG(0) | ISW_WORD_LEG(1));
	EXPECT_EQ(0, word & ~ISW_WORD_SEQ_MASK);
}

TEST(write_after_a_discard_under_way_stores_again)
{
	__u64 word = isw_word_discard(isw_word_write_begin(BUSY, 0));

	word = isw_word_write_end(word, ISW_WORD_LEG(0));
	word = isw_word_write_end(isw_word_write_begin(word | BUSY, 5), ISW_WORD_LEG(1));
	EXPECT_EQ(WRITTEN | ISW_WORD_LEG(1), word & (WRITTEN | BUSY | ISW_WORD_COPIES));
	EXPECT_EQ(5, crc_of(word));
}

TEST(staged_page_goes_to_the_disk)
{
	__u64 begun = isw_word_write_begin(BUSY, CRC) | STAGED;
	__u64 word = isw_word_on_disk(begun, isw_word_seq(begun));

	EXPECT_FALSE(isw_word_lost(word));
	EXPECT_TRUE(isw_word_no_backup(begun));
	EXPECT_FALSE(isw_word_no_backup(word));
	EXPECT_EQ(WRITTEN | BUSY | BACKUP, word & 0xfff);
	EXPECT_EQ(CRC, crc_of(word));
}

TEST(disk_completion_of_an_older_version_sets_nothing)
{
	__u64 old = isw_word_write_begin(BUSY, CRC) | STAGED;
	__u64 next = isw_word_write_begin(old, 5) | STAGED;
	__u64 freed = isw_word_discard(old);

	EXPECT_EQ(next, isw_word_on_disk(next, isw_word_seq(old)));
	EXPECT_EQ(freed, isw_word_on_disk(freed, isw_word_seq(old)));
	EXPECT_EQ(freed, isw_word_on_disk(freed, isw_word_seq(freed)));
}

TEST(sequence_wraps_without_touching_its_neighbours)
{
	__u64 word = ~0ull;

	EXPECT_EQ(~ISW_WORD_SEQ_MASK, isw_word_next_seq(word));
	word = ISW_WORD_SEQ_MASK;
	EXPECT_EQ(0, isw_word_next_seq(word));
	EXPECT_EQ(WRITTEN | BUSY, isw_word_write_begin(word | BUSY, 0));
}

TEST(every_content_change_moves_the_sequence)
{
	__u64 word = stored();

	EXPECT_NE(isw_word_seq(word), isw_word_seq(isw_word_write_begin(word, 0)));
	EXPECT_NE(isw_word_seq(word), isw_word_seq(isw_word_discard(word)));
	EXPECT_EQ(isw_word_seq(word),
		  isw_word_seq(isw_word_drop_copies(word, ISW_WORD_LEGS)));
}

TEST(a_million_writes_give_a_million_sequences)
{
	static unsigned char seen[1 << 20];
	__u64 word = 0;
	unsigned int i;

	for (i = 0; i < 1u << 20; i++) {
		__u64 seq = isw_word_seq(word) >> ISW_WORD_SEQ_SHIFT;

		ASSERT_FALSE(seen[seq]);
		seen[seq] = 1;
		word = isw_word_write_end(isw_word_write_begin(word | BUSY, i), ISW_WORD_LEG(0));
	}
	EXPECT_EQ(0, isw_word_seq(word));
}

TEST(dropping_a_leg_keeps_the_others)
{
	__u64 word = isw_word_drop_copies(stored(), ISW_WORD_LEG(0));

	EXPECT_EQ(ISW_WORD_LEG(1), word & ISW_WORD_COPIES);
	EXPECT_EQ(CRC, crc_of(word));
	EXPECT_FALSE(isw_word_lost(word));
}

TEST(dropping_the_last_leg_loses_the_page)
{
	EXPECT_TRUE(isw_word_lost(isw_word_drop_copies(stored(), ISW_WORD_LEGS)));
}

TEST(dropping_a_leg_that_is_not_there_changes_nothing)
{
	EXPECT_EQ(stored(), isw_word_drop_copies(stored(), ISW_WORD_LEG(2)));
	EXPECT_EQ(0, isw_word_drop_copies(0, ISW_WORD_LEGS));
}

TEST(dropping_takes_copies_alone)
{
	__u64 word = ~0ull;

	EXPECT_EQ(~ISW_WORD_COPIES, isw_word_drop_copies(word, ~0ull));
}

/* ---- legs as sets ---------------------------------------------------------- */

TEST(sets_of_legs_and_flags_are_the_same)
{
	unsigned int legs;

	for (legs = 0; legs < 1u << ISW_MAX_LEGS; legs++) {
		EXPECT_EQ(legs, isw_word_legs(isw_word_of_legs(legs)));
		EXPECT_EQ(legs, isw_word_legs(~ISW_WORD_LEGS | isw_word_of_legs(legs)));
		EXPECT_EQ((unsigned int)__builtin_popcount(legs), isw_legs_count(legs));
	}
	EXPECT_EQ(ISW_WORD_LEG(0) | ISW_WORD_LEG(2), isw_word_of_legs(5));
	EXPECT_EQ(0, isw_word_of_legs(~7u));
}

/* ---- copies that are missing ----------------------------------------------- */

TEST(a_page_is_degraded_with_fewer_legs_than_wanted)
{
	EXPECT_FALSE(isw_word_degraded(stored(), 2, 0));
	EXPECT_FALSE(isw_word_degraded(stored(), 1, 0));
	EXPECT_TRUE(isw_word_degraded(WRITTEN | ISW_WORD_LEG(1), 2, 0));
	EXPECT_FALSE(isw_word_degraded(WRITTEN | ISW_WORD_LEG(1), 1, 0));
	EXPECT_TRUE(isw_word_degraded(WRITTEN | BACKUP, 1, 0));
	EXPECT_FALSE(isw_word_degraded(WRITTEN | BACKUP, 0, 1));
}

TEST(a_page_is_degraded_when_it_is_not_even_on_its_way_to_the_disk)
{
	EXPECT_TRUE(isw_word_degraded(stored(), 2, 1));
	EXPECT_FALSE(isw_word_degraded(stored() | BACKUP, 2, 1));
	EXPECT_FALSE(isw_word_degraded(stored() | STAGED, 2, 1));
}

TEST(what_is_not_written_being_written_or_lost_is_not_degraded)
{
	EXPECT_FALSE(isw_word_degraded(0, 2, 1));
	EXPECT_FALSE(isw_word_degraded(WRITTEN | BUSY | ISW_WORD_LEG(0), 2, 1));
	EXPECT_FALSE(isw_word_degraded(WRITTEN, 2, 1));
}

TEST(a_page_needs_the_legs_that_it_is_not_on)
{
	__u64 word = WRITTEN | ISW_WORD_LEG(0);

	EXPECT_EQ(0, isw_word_needs(word, 1, 0));
	EXPECT_EQ(ISW_WORD_LEG(1), isw_word_needs(word, 3, 0));
	EXPECT_EQ(ISW_WORD_LEG(1) | ISW_WORD_LEG(2), isw_word_needs(word, 6, 0));
	EXPECT_EQ(ISW_WORD_LEG(2), isw_word_needs(WRITTEN | BACKUP, 4, 1));
}

TEST(a_page_needs_the_disk_if_it_is_not_on_its_way_there)
{
	EXPECT_EQ(BACKUP, isw_word_needs(stored(), 3, 1));
	EXPECT_EQ(0, isw_word_needs(stored() | STAGED, 3, 1));
	EXPECT_EQ(0, isw_word_needs(stored() | BACKUP, 3, 1));
	EXPECT_EQ(0, isw_word_needs(stored(), 3, 0));
}

TEST(a_page_without_a_copy_needs_none)
{
	EXPECT_EQ(0, isw_word_needs(0, 7, 1));
	EXPECT_EQ(0, isw_word_needs(WRITTEN, 7, 1));
	EXPECT_EQ(0, isw_word_needs(WRITTEN | BUSY, 7, 1));
}

TEST(legs_hold_a_page_until_all_others_have_it)
{
	__u64 word = WRITTEN | ISW_WORD_LEG(0);

	EXPECT_TRUE(isw_word_held_by(word, 1, 2));
	EXPECT_TRUE(isw_word_held_by(word | ISW_WORD_LEG(1), 1, 6));
	EXPECT_FALSE(isw_word_held_by(word | ISW_WORD_LEG(1), 1, 2));
	EXPECT_FALSE(isw_word_held_by(word, 2, 4));
	EXPECT_FALSE(isw_word_held_by(0, 1, 2));
}

TEST(neither_a_staged_copy_nor_the_disks_makes_legs_free_to_go)
{
	EXPECT_TRUE(isw_word_held_by(WRITTEN | STAGED | ISW_WORD_LEG(0), 1, 2));
	EXPECT_TRUE(isw_word_held_by(WRITTEN | BACKUP | ISW_WORD_LEG(0), 1, 2));
}

/* ---- the copier -------------------------------------------------------------- */

TEST(copier_adds_copies_and_leaves_the_content)
{
	__u64 was = WRITTEN | ISW_WORD_LEG(0) | (__u64)CRC << ISW_WORD_CRC_SHIFT;
	__u64 word = isw_word_copy_begin(was);

	EXPECT_EQ(was | BUSY, word);
	word = isw_word_copy_end(word | PARKED, isw_word_seq(was), ISW_WORD_LEG(1));
	EXPECT_EQ(was | ISW_WORD_LEG(1), word);
}

TEST(copier_that_was_overtaken_by_a_discard_adds_nothing)
{
	__u64 word = isw_word_copy_begin(stored());
	__u64 freed = isw_word_discard(word);

	EXPECT_EQ(freed & ~BUSY,
		  isw_word_copy_end(freed, isw_word_seq(word), ISW_WORD_LEG(2)));
	/* nor to another content, whatever it is */
	EXPECT_EQ(0, ISW_WORD_LEG(2) &
		  isw_word_copy_end(isw_word_write_begin(freed, 1),
				    isw_word_seq(word), ISW_WORD_LEG(2)));
}

TEST(copier_that_failed_gives_busy_up)
{
	__u64 word = isw_word_copy_begin(stored());

	EXPECT_EQ(stored(), isw_word_copy_end(word, isw_word_seq(word), 0));
}

TEST(a_word_is_of_a_content_by_its_sequence)
{
	__u64 word = stored();

	EXPECT_TRUE(isw_word_is(word, isw_word_seq(word)));
	EXPECT_FALSE(isw_word_is(word, isw_word_seq(isw_word_next_seq(word))));
	EXPECT_FALSE(isw_word_is(isw_word_discard(word), isw_word_seq(isw_word_discard(word))));
}

/* ---- the same as a plain struct ------------------------------------------- */

struct model {
	int written, busy, parked;
	unsigned int seq;		/* 20 bits */
	__u64 copies;
	__u32 crc;
};

static __u64 model_word(const struct model *m)
{
	return (m->written ? WRITTEN : 0) | (m->busy ? BUSY : 0) |
	       (m->parked ? PARKED : 0) | m->copies |
	       (__u64)m->seq << ISW_WORD_SEQ_SHIFT |
	       (__u64)m->crc << ISW_WORD_CRC_SHIFT;
}

static void model_change(struct model *m, int written, __u64 copies, __u32 crc)
{
	m->seq = (m->seq + 1) & 0xfffff;
	m->copies = copies;
	m->crc = crc;
	m->written = written;
}

static void model_write_end(struct model *m, __u64 copies)
{
	if (m->written)
		m->copies |= copies;
	m->busy = m->parked = 0;
}

/* The disk has what was staged as @seq. */
static void model_on_disk(struct model *m, unsigned int seq)
{
	if (m->written && m->seq == seq)
		m->copies = (m->copies & ~STAGED) | BACKUP;
}

TEST(random_lives_agree_with_a_model)
{
	struct random r = random_start(1);
	struct model m = { 0 };
	unsigned int i, staged = 0, seq;
	__u64 word = 0;

	for (i = 0; i < 1000000; i++) {
		__u64 copies = random_u64(&r) & ISW_WORD_LEGS;
		__u32 crc = random_u32(&r);

		switch (random_below(&r, 7)) {
		case 0:		/* a write takes BUSY, if it is free */
			if (m.busy)
				break;
			m.busy = 1;
			model_change(&m, 1, STAGED, crc);
			word = isw_word_write_begin(word | BUSY, crc) | STAGED;
			if (random_below(&r, 2))
				staged = m.seq;
			break;
		case 1:
			if (!m.busy)
				break;
			model_write_end(&m, copies);
			word = isw_word_write_end(word, copies);
			break;
		case 2:
			model_change(&m, 0, 0, 0);
			word = isw_word_discard(word);
			break;
		case 3:
			m.copies &= ~copies;
			word = isw_word_drop_copies(word, copies);
			break;
		case 4:		/* somebody waits for BUSY */
			if (!m.busy)
				break;
			m.parked = 1;
			word |= PARKED;
			break;
		case 5:		/* an older version may end after a newer began */
			model_on_disk(&m, staged);
			word = isw_word_on_disk(word, (__u64)staged << ISW_WORD_SEQ_SHIFT);
			break;
		case 6:		/* a copier of this content, or of an older one */
			if (m.busy)
				break;
			word = isw_word_copy_begin(word);
			seq = (m.seq - random_below(&r, 2)) & 0xfffff;
			if (m.written && m.seq == seq)
				m.copies |= copies;
			word = isw_word_copy_end(word, (__u64)seq << ISW_WORD_SEQ_SHIFT,
						 copies);
			break;
		}
		ASSERT_EQ(model_word(&m), word) TH_LOG("step %u", i);
		ASSERT_EQ(m.written && !m.busy && !m.copies, isw_word_lost(word));
	}
}

TEST_HARNESS_MAIN
