/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The page word: all that a client knows of one 4 KiB page, in one u64 that
 * changes by compare-and-exchange only, so that every snapshot is consistent.
 *
 *   63            32 31          12 11       0
 *   +---------------+--------------+----------+
 *   |    CRC32C     |   sequence   |  flags   |
 *   +---------------+--------------+----------+
 *
 * The functions give the next word for a given one; the caller loops on its
 * cmpxchg. Meaning:
 *   - never WRITTEN: the page reads as zeros;
 *   - WRITTEN with a copy (LEG*, STAGED, BACKUP): the page reads from that copy;
 *   - WRITTEN without a copy: lost, unless BUSY (a write is under way);
 *   - BUSY has one owner: a write, or whatever else needs the page to hold
 *     still. PARKED asks the owner to wake those that wait for it;
 *   - the sequence moves with every change of content.
 */
#ifndef _INFINISWAP_PAGEWORD_H
#define _INFINISWAP_PAGEWORD_H

#include <linux/types.h>

#define ISW_MAX_LEGS		3

#define ISW_WORD_WRITTEN	(1ull << 0)
#define ISW_WORD_BUSY		(1ull << 1)
#define ISW_WORD_PARKED		(1ull << 2)
#define ISW_WORD_STAGED		(1ull << 3)	/* a copy in the client's memory */
#define ISW_WORD_BACKUP		(1ull << 4)	/* a copy on the client's disk */
#define ISW_WORD_LEG(i)		(1ull << (5 + (i)))
#define ISW_WORD_LEGS		(7ull << 5)
#define ISW_WORD_COPIES		(ISW_WORD_LEGS | ISW_WORD_STAGED | ISW_WORD_BACKUP)

#define ISW_WORD_SEQ_SHIFT	12
#define ISW_WORD_SEQ_ONE	(1ull << ISW_WORD_SEQ_SHIFT)
#define ISW_WORD_SEQ_MASK	(0xfffffull << ISW_WORD_SEQ_SHIFT)
#define ISW_WORD_CRC_SHIFT	32
#define ISW_WORD_CRC_MASK	(0xffffffffull << ISW_WORD_CRC_SHIFT)

static inline __u64 isw_word_seq(__u64 word)
{
	return word & ISW_WORD_SEQ_MASK;
}

static inline __u32 isw_word_crc(__u64 word)
{
	return (__u32)(word >> ISW_WORD_CRC_SHIFT);
}

static inline __u64 isw_word_next_seq(__u64 word)
{
	return (word & ~ISW_WORD_SEQ_MASK) |
	       ((word + ISW_WORD_SEQ_ONE) & ISW_WORD_SEQ_MASK);
}

/* WRITTEN and no copy left: reads fail. BUSY pages are still being written. */
static inline int isw_word_lost(__u64 word)
{
	return (word & (ISW_WORD_WRITTEN | ISW_WORD_BUSY | ISW_WORD_COPIES)) ==
	       ISW_WORD_WRITTEN;
}

/* Legs whose flags are set, a bit each. */
static inline unsigned int isw_word_legs(__u64 word)
{
	return (unsigned int)((word & ISW_WORD_LEGS) / ISW_WORD_LEG(0));
}

/* The flags of the legs in @legs, a bit each. */
static inline __u64 isw_word_of_legs(unsigned int legs)
{
	return legs * ISW_WORD_LEG(0) & ISW_WORD_LEGS;
}

static inline unsigned int isw_legs_count(unsigned int legs)
{
	return (legs & 1) + (legs >> 1 & 1) + (legs >> 2 & 1);
}

/* Lost with the donors that have it, while there should be a copy on disk. */
static inline int isw_word_no_backup(__u64 word)
{
	return (word & ISW_WORD_WRITTEN) && !(word & ISW_WORD_BACKUP);
}

/*
 * Has fewer copies than it should: @legs of them with donors and, with @disk,
 * one on the disk or on its way there. Neither lost nor being written.
 */
static inline int isw_word_degraded(__u64 word, unsigned int legs, int disk)
{
	if (!(word & ISW_WORD_WRITTEN) || word & ISW_WORD_BUSY ||
	    !(word & ISW_WORD_COPIES))
		return 0;
	return isw_legs_count(isw_word_legs(word)) < legs ||
	       (disk && !(word & (ISW_WORD_BACKUP | ISW_WORD_STAGED)));
}

/*
 * Copies that the page lacks of those it should have: on @legs and, with
 * @disk, on the disk. None if there is nothing to copy it from. A page that is
 * BUSY may lack some, but is not to be copied.
 */
static inline __u64 isw_word_needs(__u64 word, unsigned int legs, int disk)
{
	__u64 needs = isw_word_of_legs(legs) & ~word;

	if (!(word & ISW_WORD_WRITTEN) || !(word & ISW_WORD_COPIES))
		return 0;
	if (disk && !(word & (ISW_WORD_BACKUP | ISW_WORD_STAGED)))
		needs |= ISW_WORD_BACKUP;
	return needs;
}

/* Has the page a copy on one of @legs and none on one of @others? */
static inline int isw_word_held_by(__u64 word, unsigned int legs,
				   unsigned int others)
{
	return isw_word_legs(word) & legs && isw_word_needs(word, others, 0);
}

/*
 * The owner of BUSY begins a write of content with @crc: from here on no older
 * copy counts.
 */
static inline __u64 isw_word_write_begin(__u64 word, __u32 crc)
{
	word = isw_word_next_seq(word);
	word &= ~(ISW_WORD_COPIES | ISW_WORD_CRC_MASK);
	return word | ISW_WORD_WRITTEN | (__u64)crc << ISW_WORD_CRC_SHIFT;
}

/*
 * The write of BUSY's owner ended: @copies acknowledged it (none: it failed)
 * and BUSY is given up. WRITTEN is gone only if the page was discarded in
 * between, for BUSY kept every other writer out: then no copy counts.
 */
static inline __u64 isw_word_write_end(__u64 word, __u64 copies)
{
	if (word & ISW_WORD_WRITTEN)
		word |= copies;
	return word & ~(ISW_WORD_BUSY | ISW_WORD_PARKED);
}

/*
 * The copier takes BUSY of a page that is still as it was when it was read, and
 * was not BUSY then, to add copies of it: content, hence sequence, stay.
 */
static inline __u64 isw_word_copy_begin(__u64 word)
{
	return word | ISW_WORD_BUSY;
}

/* @copies of the content whose sequence is @seq were added; unless it is over. */
static inline __u64 isw_word_copy_end(__u64 word, __u64 seq, __u64 copies)
{
	if ((word & ISW_WORD_WRITTEN) && isw_word_seq(word) == seq)
		word |= copies;
	return word & ~(ISW_WORD_BUSY | ISW_WORD_PARKED);
}

/* Discard and freed swap slots: nothing is stored here any more. */
static inline __u64 isw_word_discard(__u64 word)
{
	word = isw_word_next_seq(word);
	return word & ~(ISW_WORD_WRITTEN | ISW_WORD_COPIES | ISW_WORD_CRC_MASK);
}

/* Is @word still of the content whose sequence is @seq? */
static inline int isw_word_is(__u64 word, __u64 seq)
{
	return (word & ISW_WORD_WRITTEN) && isw_word_seq(word) == seq;
}

/* What was staged with sequence @seq is on the backup disk; unless it is over. */
static inline __u64 isw_word_on_disk(__u64 word, __u64 seq)
{
	if (!isw_word_is(word, seq))
		return word;
	return (word & ~ISW_WORD_STAGED) | ISW_WORD_BACKUP;
}

/* A leg is gone: its copies with it. The content, hence sequence, stays. */
static inline __u64 isw_word_drop_copies(__u64 word, __u64 copies)
{
	return word & ~(copies & ISW_WORD_COPIES);
}

#endif /* _INFINISWAP_PAGEWORD_H */
