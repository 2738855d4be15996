// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mapping policy: keep a few donors connected and a few grants ready, bind
 * a slab that is written for the first time to one of those, or two, unmap the
 * slabs that hold nothing any more. What a slab lacks later is copier.c's.
 *
 * All under dev->lock, in process context. The I/O path never waits for it but
 * by parking a request.
 */
#include <linux/random.h>

#include "activity.h"
#include "backup.h"
#include "copier.h"
#include "device.h"
#include "donor.h"
#include "evict.h"
#include "grant.h"
#include "idle.h"
#include "map.h"
#include "pm.h"
#include "slab.h"
#include "trace.h"

#define MAP_PERIOD	HZ
#define BIND_TIME	(HZ / 10)	/* then others have dev->lock */
#define REDRAW_PERIOD	(30 * HZ)
#define WANT_TIME	HZ

void isw_map_kick(struct isw_device *dev)
{
	if (!READ_ONCE(dev->stopping))
		mod_delayed_work(isw_map_wq, &dev->map_work, 0);
}

/* ---- binding ------------------------------------------------------------ */

static struct isw_slab *serving_first(struct isw_device *dev)
{
	struct isw_slab *slab;
	unsigned long flags;

	spin_lock_irqsave(&dev->want_lock, flags);
	slab = list_first_entry_or_null(&dev->serving, struct isw_slab, want);
	spin_unlock_irqrestore(&dev->want_lock, flags);
	return slab;
}

/*
 * Has @slab no reason to be among those that want a mapping? It has one, and its
 * requests wait for something else, DMA addresses for instance. Or they have ended:
 * those that wait ask at each tick. With a backup none waits for long, and one
 * question counts.
 */
static bool want_is_over(const struct isw_device *dev, const struct isw_slab *slab)
{
	return rcu_access_pointer(slab->mapping) ||
	       (!dev->backup && time_after(jiffies, READ_ONCE(slab->wanted_at) + WANT_TIME));
}

static void want_done(struct isw_device *dev, struct isw_slab *slab)
{
	unsigned long flags;

	spin_lock_irqsave(&dev->want_lock, flags);
	list_del_init(&slab->want);
	spin_unlock_irqrestore(&dev->want_lock, flags);
	isw_slab_kick(dev, slab);
}

static void want_splice(struct isw_device *dev, struct list_head *from,
			struct list_head *to)
{
	unsigned long flags;

	spin_lock_irqsave(&dev->want_lock, flags);
	list_splice_init(from, to);
	spin_unlock_irqrestore(&dev->want_lock, flags);
}

static bool slab_bind(struct isw_device *dev, struct isw_slab *slab)
{
	struct isw_mapping m = {};
	unsigned int i;

	if (isw_pm_asleep() && (!dev->backup || READ_ONCE(dev->backup->failed)))
		return false;
	for (i = 0; i < isw_legs_wanted(dev); i++) {
		if (!isw_grant_obtain(dev, &m, &m.leg[i]))
			break;
		m.leg[i].donor->nr_slabs++;
		trace_isw_slab_bind(slab, i, &m.leg[i]);
	}
	if (!i)
		return false;
	slab->freed = true;	/* until a write succeeds there is nothing in it */
	slab->empty_at = 0;
	isw_slab_publish(dev, slab, &m);
	/* the disk may have pages; a leg may be missing: the copier sees to it */
	isw_slab_note_degraded(slab);
	return true;
}

/* Sessions that come back and evictions wait for dev->lock. */
static bool bind_over(const struct isw_device *dev, unsigned long until)
{
	return READ_ONCE(dev->evict_waits) || time_after_eq(jiffies, until);
}

/*
 * Serve the slabs that wait, each once, and one at least, or a donor that asks and
 * evicts without end would leave no time for any. Each was unmapped, and drained when it
 * became so: nothing to drain here. False: no donor has memory.
 */
static bool bind_wanted(struct isw_device *dev, unsigned long until)
{
	struct isw_slab *slab;
	bool served = true;

	want_splice(dev, &dev->want, &dev->serving);
	while (!READ_ONCE(dev->stopping) && (slab = serving_first(dev))) {
		served = want_is_over(dev, slab) || slab_bind(dev, slab);
		if (!served)
			break;
		want_done(dev, slab);
		if (bind_over(dev, until))
			break;
	}
	want_splice(dev, &dev->serving, &dev->want);
	return served;
}

/* True: it went well so far, and there is more to do. */
static bool refill(struct isw_device *dev, unsigned long until)
{
	bool served, over;

	do {
		served = bind_wanted(dev, until);
		over = bind_over(dev, until);
		if (READ_ONCE(dev->stopping))
			return false;
		if (over && dev->nr_ready)
			return served;
		if (isw_grants_refill(dev))
			return over && served && !list_empty_careful(&dev->want);
	} while (!over);
	return served;
}

/* ---- connections -------------------------------------------------------- */

static bool donor_is_spare(const struct isw_donor *donor)
{
	u8 state = READ_ONCE(donor->state);

	return (state == ISW_DONOR_CONNECTING || state == ISW_DONOR_LIVE) &&
	       !donor->nr_slabs && isw_donor_lends(donor);
}

static bool donor_connectable(const struct isw_donor *donor)
{
	return donor->state == ISW_DONOR_IDLE && donor->addr.ss_family &&
	       !READ_ONCE(donor->drain) &&
	       time_after_eq(jiffies, donor->retry_at);
}

/* A random one of the donors that may be connected now. */
static struct isw_donor *draw_idle(struct isw_device *dev)
{
	struct isw_donor *donor, *drawn = NULL;
	u32 n = 0;

	list_for_each_entry(donor, &dev->donors, node)
		if (donor_connectable(donor) &&
		    !isw_place_below(get_random_u32(), ++n))
			drawn = donor;
	return drawn;
}

/*
 * With more donors listed than connected, exchange an idle spare for another
 * one now and then, so that in time the whole list takes part in the draw.
 */
static void redraw_spare(struct isw_device *dev)
{
	struct isw_donor *donor;

	if (time_before(jiffies, dev->redraw_at) || !draw_idle(dev))
		return;
	dev->redraw_at = jiffies + REDRAW_PERIOD;
	list_for_each_entry(donor, &dev->donors, node) {
		if (isw_donor_live(donor) && donor_is_spare(donor) &&
		    !donor->nr_ready) {
			donor->retry_at = jiffies + REDRAW_PERIOD;
			isw_donor_leave(donor);
			return;
		}
	}
}

static void connect_spares(struct isw_device *dev)
{
	/* two to choose from, whatever the setting */
	unsigned int want = max(READ_ONCE(dev->cfg.spares), 2U), have = 0;
	struct isw_donor *donor;

	list_for_each_entry(donor, &dev->donors, node)
		have += donor_is_spare(donor);
	if (have >= want)
		redraw_spare(dev);
	while (have < want && (donor = draw_idle(dev)) &&
	       isw_donor_connect(donor))
		have++;
}

static void give_up_lost(struct isw_device *dev)
{
	unsigned long limit = READ_ONCE(dev->cfg.donor_loss_timeout) * HZ;
	struct isw_donor *donor;

	list_for_each_entry(donor, &dev->donors, node)
		if (READ_ONCE(donor->state) == ISW_DONOR_RECONNECTING &&
		    !READ_ONCE(donor->resuming) &&
		    time_after_eq(jiffies, donor->broken_at + limit))
			isw_donor_give_up(donor, "donor_loss_timeout");
}

/*
 * Slabs that have been empty for a while; at once if another slab has been
 * waiting for a mapping and no donor has memory for it.
 */
static void give_back(struct isw_device *dev, bool served, unsigned long until)
{
	unsigned long idle = READ_ONCE(dev->cfg.slab_idle_timeout) * HZ;

	if (READ_ONCE(dev->evict_waits))
		return;
	if (!served)
		idle = 0;
	if (isw_idle_give_back(dev, idle))
		bind_wanted(dev, until);
}

/* Donors that the operator wants to do without and that hold nothing of ours. */
static void leave_drained(struct isw_device *dev)
{
	struct isw_donor *donor;

	list_for_each_entry(donor, &dev->donors, node)
		if (READ_ONCE(donor->drain) && !donor->nr_slabs &&
		    !donor->nr_ready)
			isw_donor_leave(donor);
}

void isw_map_work(struct work_struct *work)
{
	struct isw_device *dev = container_of(to_delayed_work(work),
					      struct isw_device, map_work);
	unsigned long until;
	bool served, more;

	mutex_lock(&dev->lock);
	if (dev->stopping) {
		mutex_unlock(&dev->lock);
		return;
	}
	isw_activity_sum(dev);
	give_up_lost(dev);
	connect_spares(dev);
	isw_evict_settle(dev);
	isw_grants_trim(dev);
	until = jiffies + BIND_TIME;
	served = bind_wanted(dev, until);
	give_back(dev, served, until);
	more = refill(dev, until) && served;
	leave_drained(dev);
	mutex_unlock(&dev->lock);
	isw_copier_kick(dev);
	if (!READ_ONCE(dev->stopping))
		queue_delayed_work(isw_map_wq, &dev->map_work,
				   more ? 0 : MAP_PERIOD);
}

/* Every 50 ms: watch the sessions, and let parked requests see the clock. */
void isw_map_tick(struct work_struct *work)
{
	struct isw_device *dev = container_of(to_delayed_work(work),
					      struct isw_device, tick_work);
	struct isw_slab *slab, *next;
	struct isw_donor *donor;
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < dev->cfg.max_sessions; i++) {
		donor = READ_ONCE(dev->active[i]);
		if (donor)
			isw_donor_tick(donor);
	}
	spin_lock_irqsave(&dev->want_lock, flags);
	list_for_each_entry_safe(slab, next, &dev->want, want) {
		if (want_is_over(dev, slab))
			list_del_init(&slab->want);
		isw_slab_kick(dev, slab);
	}
	list_for_each_entry(slab, &dev->serving, want)
		isw_slab_kick(dev, slab);
	spin_unlock_irqrestore(&dev->want_lock, flags);
	if (!READ_ONCE(dev->stopping))
		queue_delayed_work(isw_io_wq, &dev->tick_work, ISW_TICK);
}
