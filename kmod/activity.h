/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much each slab is used: pages in and out per second, as a moving average
 * (paper 4.1). Donors ask for it when they choose what to take back; with
 * hot_slab it decides which slabs get memory of a donor at all.
 */
#ifndef _ISW_ACTIVITY_H
#define _ISW_ACTIVITY_H

#include <linux/compiler.h>
#include <infiniswap/ewma.h>

#include "device.h"

/* process context: with the slabs */
size_t isw_activity_size(struct isw_device *dev);

/* dev->lock held, map_wq: add up what was counted, if a second has passed */
void isw_activity_sum(struct isw_device *dev);

/* any context; units of 2^-ISW_EWMA_SHIFT pages per second */
static inline u64 isw_activity_of(const struct isw_slab *slab)
{
	return READ_ONCE(slab->activity.value);
}

/* Active enough to have memory of a donor? All are if nothing is asked for. */
static inline bool isw_activity_hot(const struct isw_device *dev,
				    const struct isw_slab *slab)
{
	struct isw_ewma e = { .value = isw_activity_of(slab) };

	return isw_ewma_read(&e) >= READ_ONCE(dev->cfg.hot_slab);
}

/*
 * I/O path. Each hardware queue counts in a row of its own, so that queues share
 * no cache line; the CPUs of one queue may overwrite each other's counts, for
 * which an average is no worse.
 */
static inline void isw_activity_count(struct isw_device *dev, unsigned int row,
				      u32 slab, u32 pages)
{
	u32 *count = dev->activity + row * dev->activity_row + slab;

	WRITE_ONCE(*count, READ_ONCE(*count) + pages);
}

#endif /* _ISW_ACTIVITY_H */
