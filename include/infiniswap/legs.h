/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The legs of a slab: how many there should be, and what to do when there are
 * not. Pure; a set of legs is a mask with a bit for each leg slot.
 *
 *   wanted    legs that the device's redundancy asks for: 1, or 2 for a mirror
 *   kept      legs on donors that may keep them, whether connected or not
 *   retiring  readable, not written any more; to be taken off as soon as every
 *             page has a copy elsewhere
 *
 * A leg never becomes the target of copies and retires at the same time, so one
 * that retires holds fewer and fewer pages that no other copy has, and the last
 * of them are copied before it goes.
 */
#ifndef _INFINISWAP_LEGS_H
#define _INFINISWAP_LEGS_H

#include <linux/types.h>
#include <infiniswap/pageword.h>

#define ISW_LEGS_ALL	((1u << ISW_MAX_LEGS) - 1)

struct isw_legs {
	__u8 used;		/* the slot has a leg */
	__u8 live;		/* its donor is connected */
	__u8 unwanted;		/* its donor is to be without it */
	__u8 retiring;		/* as published */
};

/* Legs that count towards those wanted. */
static inline unsigned int isw_legs_kept(const struct isw_legs *l)
{
	return l->used & ~l->unwanted;
}

/* The slot for one more leg, or -1: there are enough, or no slot is free. */
static inline int isw_legs_add(const struct isw_legs *l, unsigned int wanted)
{
	int slot;

	if (isw_legs_count(isw_legs_kept(l)) >= wanted)
		return -1;
	for (slot = 0; slot < ISW_MAX_LEGS; slot++)
		if (!(l->used & 1u << slot))
			return slot;
	return -1;
}

/*
 * No slot is free for the legs that are wanted, for too many unwanted ones take
 * them: one has to go before the others have a replacement, the last of those
 * without which enough are live.
 */
static inline unsigned int isw_legs_full(const struct isw_legs *l,
					 unsigned int wanted)
{
	unsigned int unwanted = l->used & l->unwanted;
	int slot;

	if (l->used != ISW_LEGS_ALL)
		return 0;
	for (slot = ISW_MAX_LEGS - 1; slot >= 0; slot--)
		if (unwanted & 1u << slot &&
		    isw_legs_count(l->live & ~(1u << slot)) >= wanted)
			return 1u << slot;
	return 0;
}

/*
 * The legs that should retire: none while too few of those kept are live. Else
 * the unwanted ones, and live ones in excess, the last first.
 */
static inline unsigned int isw_legs_retire(const struct isw_legs *l,
					   unsigned int wanted)
{
	unsigned int kept = isw_legs_kept(l) & l->live;
	unsigned int retire = l->used & l->unwanted;
	unsigned int excess = isw_legs_count(kept);
	int slot;

	if (excess < wanted)
		return isw_legs_full(l, wanted);
	excess -= wanted;
	for (slot = ISW_MAX_LEGS - 1; slot >= 0 && excess; slot--) {
		if (!(kept & 1u << slot))
			continue;
		retire |= 1u << slot;
		excess--;
	}
	return retire;
}

/* The legs that should have every page: what they lack is copied to them. */
static inline unsigned int isw_legs_fill(const struct isw_legs *l)
{
	return l->used & l->live & ~l->retiring;
}

#endif /* _INFINISWAP_LEGS_H */
