/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * On which donor a slab goes: the power of two choices (Infiniswap, NSDI'17,
 * section 4.2). Donors that hold no slab of this device (Mnew) come before
 * those that do (Mold), so that slabs spread over as many donors as there are.
 * Two donors are drawn at random; both are asked, and the one that uses less
 * of its memory gets the slab.
 *
 * Pure: the caller brings the candidates, the random numbers and the answers.
 */
#ifndef _INFINISWAP_PLACE_H
#define _INFINISWAP_PLACE_H

#include <linux/types.h>

struct isw_candidate {
	__u32 donor;		/* whatever number the caller knows it by */
	__u8 has_slab;		/* holds a slab of this device: Mold */
	__u8 excluded;		/* not to be drawn: the slab's other leg, full, … */
};

static inline int isw_place_eligible(const struct isw_candidate *c, int old)
{
	return !c->excluded && !!c->has_slab == old;
}

/* The donor of the @k-th eligible candidate; there are more than @k. */
static inline __u32 isw_place_nth(const struct isw_candidate *c, int old,
				  __u32 k)
{
	for (;; c++)
		if (isw_place_eligible(c, old) && !k--)
			return c->donor;
}

/* A number below @n from the random word @rnd; biased by less than n / 2^32. */
static inline __u32 isw_place_below(__u32 rnd, __u32 n)
{
	return (__u32)(((__u64)rnd * n) >> 32);
}

/*
 * isw_place_draw - draw the donors to ask
 *
 * From Mnew, or from Mold if Mnew is empty: two distinct ones, each pair as
 * likely as any other, or the only one. Their numbers go to @out in the order
 * drawn. @rnd1 and @rnd2 are independent and uniform. Returns how many: 0..2.
 */
static inline unsigned int isw_place_draw(const struct isw_candidate *c,
					  unsigned int n, __u32 rnd1,
					  __u32 rnd2, __u32 out[2])
{
	__u32 count[2] = { 0, 0 };	/* of Mnew, of Mold */
	__u32 first, second;
	unsigned int i;
	int old;

	for (i = 0; i < n; i++)
		if (!c[i].excluded)
			count[!!c[i].has_slab]++;
	old = !count[0];
	if (!count[old])
		return 0;

	first = isw_place_below(rnd1, count[old]);
	out[0] = isw_place_nth(c, old, first);
	if (count[old] == 1)
		return 1;

	/* One of the others: number them without the first. */
	second = isw_place_below(rnd2, count[old] - 1);
	second += second >= first;
	out[1] = isw_place_nth(c, old, second);
	return 2;
}

/* The same fraction in 32 bits each; a full one where it makes no sense. */
static inline void isw_place_reduce(__u64 *used, __u64 *total)
{
	if (*used > *total || !*total) {
		*used = 1;
		*total = 1;
	}
	while (*total >> 32) {
		*total >>= 1;
		*used >>= 1;
	}
}

/*
 * isw_place_better - does donor a use a smaller part of its memory than b?
 *
 * In bytes. used_a / total_a < used_b / total_b, compared crosswise; what has
 * more than 32 bits loses its lowest ones, which is less than one part in 2^31.
 * A donor whose total is 0 has told nothing and counts as full. Donors that are
 * alike are not better than each other: keep the first drawn, it is random.
 */
static inline int isw_place_better(__u64 used_a, __u64 total_a,
				   __u64 used_b, __u64 total_b)
{
	isw_place_reduce(&used_a, &total_a);
	isw_place_reduce(&used_b, &total_b);
	return used_a * total_b < used_b * total_a;
}

#endif /* _INFINISWAP_PLACE_H */
