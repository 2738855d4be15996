// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slabs that hold nothing any more go back: first to the grants that are kept
 * ready, then to the donor. Freed swap slots and discards only leave a hint
 * (slab->freed); finding out costs the I/O path nothing. So do, if that is
 * wanted, slabs that nobody has read or written for long (slab->touched) and
 * whose pages the backup disk has: there they are found when they are needed.
 *
 * A slab must not lose its mapping while a page is written to it. So, under
 * dev->lock: freeze (writes park), drain, look again, and only then unmap or
 * thaw; drain once more, for reads that are under way.
 */
#include "activity.h"
#include "device.h"
#include "donor.h"
#include "grant.h"
#include "idle.h"
#include "slab.h"

#define SCAN_MAX	64	/* slabs looked at in one go */

/* Are @m's legs live? @unwanted: one of them wants its back. */
static bool legs_returnable(const struct isw_mapping *m, bool *unwanted)
{
	int i;

	for (i = 0; i < ISW_MAX_LEGS; i++) {
		if (!m->leg[i].donor)
			continue;
		if (!isw_leg_live(&m->leg[i]))
			return false;
		*unwanted |= isw_leg_unwanted(&m->leg[i]);
	}
	return true;
}

/* Empty for @idle jiffies, or for any time if its donor wants it back? */
static bool slab_idle(struct isw_device *dev, struct isw_slab *slab,
		      unsigned long idle)
{
	struct isw_mapping *m = isw_slab_mapping(dev, slab);
	bool unwanted = false;

	if (!legs_returnable(m, &unwanted) || !isw_slab_empty(dev, slab)) {
		slab->empty_at = 0;
		return false;
	}
	if (!slab->empty_at)
		slab->empty_at = jiffies | 1;
	return unwanted || time_after_eq(jiffies, slab->empty_at + idle);
}

/*
 * Not touched for slab_cold_timeout, which is not 0? Or not hot, and a donor wants
 * its leg back: it would not get another one (paper 5.2).
 */
static bool slab_cold(struct isw_device *dev, struct isw_slab *slab)
{
	unsigned long cold = READ_ONCE(dev->cfg.slab_cold_timeout) * HZ;
	struct isw_mapping *m = isw_slab_mapping(dev, slab);
	bool unwanted = false;

	if (dev->cfg.redundancy != ISW_REDUNDANCY_BACKUP)
		return false;
	if (!isw_activity_hot(dev, slab) && legs_returnable(m, &unwanted) &&
	    unwanted && isw_slab_on_disk(dev, slab)) {
		WRITE_ONCE(slab->touched, false);
		slab->cold_at = jiffies | 1;
		return true;
	}
	if (!cold)
		return false;
	if (READ_ONCE(slab->touched)) {
		WRITE_ONCE(slab->touched, false);
		slab->cold_at = 0;
		return false;
	}
	if (!slab->cold_at)
		slab->cold_at = jiffies | 1;
	return time_after_eq(jiffies, slab->cold_at + cold) &&
	       legs_returnable(m, &unwanted);
}

/* The next slabs that may go, from where the last search ended. */
static unsigned int find_idle(struct isw_device *dev, unsigned long idle,
			      struct isw_slab **found)
{
	unsigned int scanned = 0, n = 0;
	u32 i;

	for (i = 0; i < dev->nr_slabs && scanned < SCAN_MAX &&
	     n < ISW_IDLE_BATCH; i++) {
		struct isw_slab *slab = &dev->slabs[dev->idle_next];

		dev->idle_next = (dev->idle_next + 1) % dev->nr_slabs;
		if (!(i % 4096))
			cond_resched();
		if (!isw_slab_mapping(dev, slab))
			continue;
		if (slab_cold(dev, slab)) {
			found[n++] = slab;
			continue;
		}
		if (!READ_ONCE(slab->freed))
			continue;
		scanned++;
		if (slab_idle(dev, slab, idle))
			found[n++] = slab;
	}
	return n;
}

static void slab_freeze(struct isw_device *dev, struct isw_slab *slab,
			bool frozen)
{
	struct isw_mapping next = *isw_slab_mapping(dev, slab);

	next.frozen = frozen;
	isw_slab_publish(dev, slab, &next);
}

/* Nobody writes to @slab now: does it need its legs no more? */
static bool slab_over(struct isw_device *dev, struct isw_slab *slab)
{
	return isw_slab_empty(dev, slab) ||
	       (slab->cold_at && !READ_ONCE(slab->touched) &&
		isw_slab_on_disk(dev, slab));
}

/*
 * dev->lock held. @idle: jiffies that a slab must have been empty. Returns how
 * many slabs were given back.
 */
unsigned int isw_idle_give_back(struct isw_device *dev, unsigned long idle)
{
	struct isw_slab *slabs[ISW_IDLE_BATCH];
	struct isw_mapping *was[ISW_IDLE_BATCH];
	unsigned int n, i, given = 0;

	lockdep_assert_held(&dev->lock);
	n = find_idle(dev, idle, slabs);
	if (!n)
		return 0;
	for (i = 0; i < n; i++)
		slab_freeze(dev, slabs[i], true);
	isw_slabs_drain(dev);

	for (i = 0; i < n; i++) {
		was[i] = NULL;
		if (slab_over(dev, slabs[i])) {
			was[i] = isw_slab_mapping(dev, slabs[i]);
			isw_slab_publish(dev, slabs[i], NULL);
		} else {
			slab_freeze(dev, slabs[i], false);
		}
		slabs[i]->empty_at = 0;
		slabs[i]->cold_at = 0;
	}
	isw_slabs_drain(dev);

	for (i = 0; i < n; i++) {
		/* embedded in the slab: still what it was until published anew */
		if (was[i]) {
			isw_slab_clear_copies(dev, slabs[i], was[i]->used);
			isw_slab_note_degraded(slabs[i]);
		}
		isw_slab_kick(dev, slabs[i]);
	}
	for (i = 0; i < n; i++) {
		if (!was[i])
			continue;
		isw_grants_spare(dev, was[i], was[i]->used);
		given++;
	}
	return given;
}
