/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Which slabs a donor takes back: batch eviction by the power of many choices
 * (Infiniswap, NSDI'17, section 5.2). To evict E slabs, E + E' are drawn at
 * random, their owners say how much each is used, and the E least active go.
 * So a donor finds idle slabs without knowing those of all of its clients.
 *
 * Pure: the caller brings the slabs, the random numbers and the answers.
 */
#ifndef _INFINISWAP_EVICT_H
#define _INFINISWAP_EVICT_H

#include <linux/types.h>

/* E at most: all that is drawn for it can be asked of one client at a time. */
#define ISW_EVICT_MAX	240
#define ISW_EVICT_ASK	(2 * ISW_EVICT_MAX)	/* E + E' at most */

struct isw_evict_slab {
	__u32 index;		/* whatever number the caller knows it by */
	__u32 activity;		/* as in ACTIVITY; 0: not known */
	__u64 length;
};

/* E: how many of @count slabs of @bytes together make up @need bytes. */
static inline __u32 isw_evict_count(__u64 need, __u64 bytes, __u32 count)
{
	__u64 mean, n;

	if (!need || !count || bytes < count)
		return 0;
	mean = bytes / count;
	n = need / mean + !!(need % mean);
	if (n > count)
		n = count;
	return n < ISW_EVICT_MAX ? (__u32)n : ISW_EVICT_MAX;
}

/* E + E': how many to draw of @count, E' being @percent of @e. */
static inline __u32 isw_evict_ask(__u32 e, __u32 count, __u32 percent)
{
	__u64 n = e + ((__u64)e * percent + 99) / 100;

	if (n > count)
		n = count;
	return n < ISW_EVICT_ASK ? (__u32)n : ISW_EVICT_ASK;
}

/*
 * isw_evict_draws - 1 if the next slab is drawn, else 0
 *
 * Asked for each slab in turn, with @left of them to come, this one included,
 * and @want still to be drawn: every set is as likely as any other, and when
 * all have been asked for, @want are drawn. @rnd is uniform.
 */
static inline __u32 isw_evict_draws(__u32 left, __u32 want, __u32 rnd)
{
	return (((__u64)rnd * left) >> 32) < want;
}

/*
 * isw_evict_least - how many of the @n slabs drawn to evict, for @need bytes
 *
 * Sorts them by activity: those to evict come first. Of the equally active the
 * ones drawn earlier do.
 */
static inline __u32 isw_evict_least(struct isw_evict_slab *slabs, __u32 n,
				    __u64 need)
{
	struct isw_evict_slab slab;
	__u64 bytes = 0;
	__u32 i, j;

	for (i = 1; i < n; i++) {
		slab = slabs[i];
		for (j = i; j && slabs[j - 1].activity > slab.activity; j--)
			slabs[j] = slabs[j - 1];
		slabs[j] = slab;
	}
	for (i = 0; i < n && i < ISW_EVICT_MAX && bytes < need; i++)
		bytes += slabs[i].length;
	return i;
}

#endif /* _INFINISWAP_EVICT_H */
