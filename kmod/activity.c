// SPDX-License-Identifier: GPL-2.0-only
/*
 * Once a second, what the hardware queues counted of each slab becomes one sample
 * of its average. The work is a few loads for each slab, idle or not: no list of
 * those in use, which the I/O path would have to keep.
 */
#include <linux/cache.h>
#include <linux/sched.h>

#include "activity.h"
#include "device.h"
#include "slab.h"

/* After so many idle periods nothing is left of any average: 0.8^512 * 2^64 < 1. */
#define PERIODS_MAX	512

/* Bytes that the counts take; a row for each hardware queue. */
size_t isw_activity_size(struct isw_device *dev)
{
	dev->activity_row = ALIGN(dev->nr_slabs,
				  SMP_CACHE_BYTES / sizeof(*dev->activity));
	return array3_size(2 * dev->cfg.queues, dev->activity_row,
			   sizeof(*dev->activity));
}

/* All that was ever counted, modulo 2^32: a difference of two is what counts. */
static u32 slab_counted(const struct isw_device *dev, u32 slab)
{
	const u32 *count = dev->activity + slab;
	unsigned int row;
	u32 sum = 0;

	for (row = 0; row < 2 * dev->cfg.queues; row++) {
		sum += READ_ONCE(*count);
		count += dev->activity_row;
	}
	return sum;
}

static void slab_sum(struct isw_device *dev, struct isw_slab *slab,
		     unsigned int periods)
{
	u32 counted = slab_counted(dev, slab->index);
	/* CPUs that share a queue may set its count back */
	s32 more = counted - slab->counted;
	u32 sample = more > 0 ? more / periods : 0;
	struct isw_ewma e = slab->activity;
	unsigned int i;

	slab->counted = counted;
	if (!e.value && !sample)
		return;
	for (i = 0; i < periods; i++)
		isw_ewma_add(&e, sample);
	WRITE_ONCE(slab->activity.value, e.value);
}

/* If nobody came here for several seconds, their mean stands for each. */
void isw_activity_sum(struct isw_device *dev)
{
	unsigned long periods = (jiffies - dev->activity_at) / HZ;
	u32 i;

	lockdep_assert_held(&dev->lock);
	if (!periods)
		return;
	dev->activity_at += periods * HZ;
	for (i = 0; i < dev->nr_slabs; i++) {
		slab_sum(dev, &dev->slabs[i], min(periods, 0UL + PERIODS_MAX));
		if (!(i % 4096))
			cond_resched();
	}
}
