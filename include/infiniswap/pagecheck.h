/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What a page word can be and what can follow it: for assertions, and for the
 * model that goes through all orders of events (tests/unit/model). Pure.
 */
#ifndef _INFINISWAP_PAGECHECK_H
#define _INFINISWAP_PAGECHECK_H

#include <linux/types.h>
#include <infiniswap/pageword.h>

#define ISW_WORD_UNUSED	(0xfull << 8)	/* flags without a meaning */

static inline int isw_word_valid(__u64 word)
{
	if (word & ISW_WORD_UNUSED)
		return 0;
	if (word & ISW_WORD_PARKED && !(word & ISW_WORD_BUSY))
		return 0;
	if (!(word & ISW_WORD_WRITTEN))
		return !(word & (ISW_WORD_COPIES | ISW_WORD_CRC_MASK));
	/* what is on the disk is not on its way there */
	return !(word & ISW_WORD_STAGED && word & ISW_WORD_BACKUP);
}

/* The content stays: who may add which copy? */
static inline int isw_word_gains(__u64 word, __u64 next)
{
	__u64 gained = next & ~word;

	/* legs with the end of a write or copy, by the owner of BUSY */
	if (gained & ISW_WORD_LEGS &&
	    (!(word & ISW_WORD_BUSY) || next & ISW_WORD_BUSY))
		return 0;
	/* the staged copy by the owner of BUSY, too, which goes on */
	if (gained & ISW_WORD_STAGED && !(word & next & ISW_WORD_BUSY))
		return 0;
	/* the disk's in place of the staged one */
	return !(gained & ISW_WORD_BACKUP) ||
	       (word & ~next & ISW_WORD_STAGED) != 0;
}

/* May @next follow @word in one step? */
static inline int isw_word_follows(__u64 word, __u64 next)
{
	/* BUSY, by a write that begins in the same step */
	__u64 taken = next & ISW_WORD_WRITTEN ? next & ~word & ISW_WORD_BUSY : 0;

	if (!isw_word_valid(next))
		return 0;
	if (isw_word_seq(next) == isw_word_seq(word))
		return !((word ^ next) & (ISW_WORD_WRITTEN | ISW_WORD_CRC_MASK)) &&
		       isw_word_gains(word, next);

	/*
	 * Another content: one further on, no older copy counts, and it is written
	 * by the owner of BUSY, who stays or becomes that. A discard needs no BUSY.
	 */
	return isw_word_seq(next) == isw_word_seq(isw_word_next_seq(word)) &&
	       !(next & (ISW_WORD_LEGS | ISW_WORD_BACKUP)) &&
	       !((word ^ next ^ taken) & (ISW_WORD_BUSY | ISW_WORD_PARKED)) &&
	       (!(next & ISW_WORD_WRITTEN) || next & ISW_WORD_BUSY) &&
	       !(taken && next & ISW_WORD_STAGED);
}

#endif /* _INFINISWAP_PAGECHECK_H */
