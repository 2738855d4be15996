// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mapping policy: keep a few donors connected, hold a few grants ready,
 * bind a slab that is written for the first time to one of them, and deal with
 * grants that came back or went away with their donor's session.
 *
 * All under dev->lock, in process context. The I/O path never waits for it but
 * by parking a request.
 */
#include <linux/random.h>
#include <infiniswap/place.h>

#include "ctrl.h"
#include "device.h"
#include "donor.h"
#include "map.h"
#include "slab.h"

#define MAP_PERIOD	HZ
#define REDRAW_PERIOD	(30 * HZ)
#define AWAIT_GRANTS	(30 * HZ)

void isw_map_kick(struct isw_device *dev)
{
	if (!READ_ONCE(dev->stopping))
		mod_delayed_work(isw_map_wq, &dev->map_work, 0);
}

static struct isw_mapping *slab_mapping(struct isw_device *dev,
					struct isw_slab *slab)
{
	return rcu_dereference_protected(slab->mapping,
					 lockdep_is_held(&dev->lock));
}

/* The leg of @slab that is on @donor, or -1. A donor has one leg at most. */
static int slab_leg_on(struct isw_device *dev, struct isw_slab *slab,
		       const struct isw_donor *donor)
{
	struct isw_mapping *m = slab_mapping(dev, slab);
	int i;

	for (i = 0; m && i < ISW_MAX_LEGS; i++)
		if (m->leg[i].donor == donor)
			return i;
	return -1;
}

/* Give a grant back and wait until the donor has it. */
static void grant_return(struct isw_donor *donor, struct isw_grant_id id)
{
	struct isw_msg_release msg = {
		.id.index = cpu_to_le32(id.index),
		.id.generation = cpu_to_le32(id.generation),
	};
	struct isw_call call = {};

	isw_call(donor, &call, &msg.hdr, ISW_MSG_RELEASE);
}

/* ---- grants held ready -------------------------------------------------- */

static void ready_remove(struct isw_device *dev, unsigned int i)
{
	dev->ready[i].donor->nr_ready--;
	dev->nr_ready--;
	memmove(&dev->ready[i], &dev->ready[i + 1],
		(dev->nr_ready - i) * sizeof(dev->ready[0]));
}

/* Room for one more? What a session under repair holds gives way: it is listed
 * again, and then returned, when the session is resumed.
 */
static bool ready_make_room(struct isw_device *dev)
{
	unsigned int i;

	for (i = 0; dev->nr_ready == ISW_READY_MAX && i < dev->nr_ready; i++)
		if (!isw_donor_live(dev->ready[i].donor))
			ready_remove(dev, i);
	return dev->nr_ready < ISW_READY_MAX;
}

static void ready_add(struct isw_device *dev, struct isw_donor *donor,
		      const struct isw_grant_info *g)
{
	dev->ready[dev->nr_ready++] = (struct isw_grant) {
		.donor = donor,
		.id = g->id,
		.addr = g->addr,
		.rkey = g->rkey,
	};
	donor->nr_ready++;
	wake_up_all(&dev->ready_wait);
}

/* Donors that drain get theirs back; so do all when fewer are wanted. */
static void ready_return(struct isw_device *dev)
{
	unsigned int i = 0;

	while (i < dev->nr_ready) {
		struct isw_grant *g = &dev->ready[i];

		if (!isw_donor_live(g->donor) ||
		    (!READ_ONCE(g->donor->draining) &&
		     i < READ_ONCE(dev->cfg.ready_grants))) {
			i++;
			continue;
		}
		grant_return(g->donor, g->id);
		ready_remove(dev, i);
	}
}

/* The oldest grant that can be used at once, or -1. */
static int ready_find(struct isw_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->nr_ready; i++)
		if (isw_donor_live(dev->ready[i].donor))
			return i;
	return -1;
}

/* ---- placement: two choices --------------------------------------------- */

/* Ask up to two donors how full they are; the index of the better, or -1. */
static int query_two(struct isw_donor **donor, unsigned int n)
{
	struct isw_msg_hdr msg[2] = {};
	struct isw_call call[2] = {};
	int error[2] = { -ENOENT, -ENOENT };
	unsigned int i;

	for (i = 0; i < n; i++)
		isw_call_send(donor[i], &call[i], &msg[i], ISW_MSG_QUERY);
	for (i = 0; i < n; i++)
		error[i] = isw_call_wait(donor[i], &call[i]);

	if (error[0] && error[1])
		return -1;
	if (error[0] || error[1])
		return error[0] ? 1 : 0;
	return isw_place_better(call[1].answer.status.used,
				call[1].answer.status.total,
				call[0].answer.status.used,
				call[0].answer.status.total);
}

static int grant_ask(struct isw_device *dev, struct isw_donor *donor)
{
	struct isw_msg_grant msg = {
		.length = cpu_to_le64(dev->cfg.slab_size),
	};
	struct isw_call call = {};
	int ret = isw_call(donor, &call, &msg.hdr, ISW_MSG_GRANT);

	if (ret == -EREMOTEIO && donor->refusal != call.code)
		isw_donor_warn(donor, "grant refused: %s\n",
			       isw_error_name(call.code));
	donor->refusal = ret == -EREMOTEIO ? call.code : 0;
	if (ret)
		return ret;
	if (call.answer.grant.length != dev->cfg.slab_size) {
		grant_return(donor, call.answer.grant.id);
		return -EPROTO;
	}
	ready_add(dev, donor, &call.answer.grant);
	return 0;
}

static void draw_init(struct isw_device *dev, struct isw_draw *d)
{
	unsigned int i;

	d->n = 0;
	for (i = 0; i < dev->cfg.max_sessions; i++) {
		struct isw_donor *donor = READ_ONCE(dev->active[i]);

		if (!donor || !isw_donor_live(donor) ||
		    READ_ONCE(donor->draining))
			continue;
		d->donor[d->n] = donor;
		d->cand[d->n] = (struct isw_candidate) {
			.donor = d->n,
			.has_slab = donor->nr_slabs || donor->nr_ready,
		};
		d->n++;
	}
}

/*
 * Obtain one grant (paper 4.2): draw two donors, ask both, take from the one
 * with the lower memory use. One that refuses is out of the draw.
 */
static int grant_get(struct isw_device *dev)
{
	struct isw_draw *d = dev->draw;
	struct isw_donor *two[2];
	unsigned int drawn, i;
	u32 out[2];
	int best;

	if (!ready_make_room(dev))
		return -ENOSPC;
	draw_init(dev, d);
	while ((drawn = isw_place_draw(d->cand, d->n, get_random_u32(),
				       get_random_u32(), out))) {
		for (i = 0; i < drawn; i++)
			two[i] = d->donor[out[i]];
		best = query_two(two, drawn);
		if (best >= 0 && !grant_ask(dev, two[best]))
			return 0;
		for (i = 0; i < drawn; i++)
			if (best < 0 || i == best)
				d->cand[out[i]].excluded = true;
	}
	return -EAGAIN;
}

/* ---- binding ------------------------------------------------------------ */

static struct isw_slab *want_first(struct isw_device *dev,
				   struct list_head *list)
{
	struct isw_slab *slab;
	unsigned long flags;

	spin_lock_irqsave(&dev->want_lock, flags);
	slab = list_first_entry_or_null(list, struct isw_slab, want);
	spin_unlock_irqrestore(&dev->want_lock, flags);
	return slab;
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

static void bind(struct isw_device *dev, struct isw_slab *slab, unsigned int i)
{
	struct isw_mapping m = { .leg[0] = dev->ready[i] };

	ready_remove(dev, i);
	m.leg[0].donor->nr_slabs++;
	isw_slab_publish(dev, slab, &m);
}

static bool slab_bind(struct isw_device *dev, struct isw_slab *slab)
{
	int i = ready_find(dev);

	if (i < 0 && !grant_get(dev))
		i = ready_find(dev);
	if (i >= 0)
		bind(dev, slab, i);
	return i >= 0;
}

/*
 * Serve the slabs that wait, each once. Each was unmapped, and drained when it
 * became so: nothing to drain here. A slab that is mapped waited for something
 * else, DMA addresses for instance, and may try again.
 */
static void bind_wanted(struct isw_device *dev)
{
	struct isw_slab *slab;
	LIST_HEAD(list);

	want_splice(dev, &dev->want, &list);
	while ((slab = want_first(dev, &list))) {
		if (!slab_mapping(dev, slab) && !slab_bind(dev, slab))
			break;
		want_done(dev, slab);
	}
	want_splice(dev, &list, &dev->want);
}

static void refill(struct isw_device *dev)
{
	while (dev->nr_ready < READ_ONCE(dev->cfg.ready_grants)) {
		bind_wanted(dev);
		if (READ_ONCE(dev->stopping) || grant_get(dev))
			return;
	}
}

/* ---- connections -------------------------------------------------------- */

static bool donor_is_spare(const struct isw_donor *donor)
{
	u8 state = READ_ONCE(donor->state);

	return (state == ISW_DONOR_CONNECTING || state == ISW_DONOR_LIVE) &&
	       !donor->nr_slabs && !READ_ONCE(donor->draining);
}

static bool donor_connectable(const struct isw_donor *donor)
{
	return donor->state == ISW_DONOR_IDLE && donor->addr.ss_family &&
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
		    time_after_eq(jiffies, donor->broken_at + limit))
			isw_donor_give_up(donor, "donor_loss_timeout");
}

void isw_map_work(struct work_struct *work)
{
	struct isw_device *dev = container_of(to_delayed_work(work),
					      struct isw_device, map_work);

	mutex_lock(&dev->lock);
	if (dev->stopping) {
		mutex_unlock(&dev->lock);
		return;
	}
	give_up_lost(dev);
	connect_spares(dev);
	ready_return(dev);
	bind_wanted(dev);
	refill(dev);
	mutex_unlock(&dev->lock);
	if (!READ_ONCE(dev->stopping))
		queue_delayed_work(isw_map_wq, &dev->map_work, MAP_PERIOD);
}

/* Every 50 ms: watch the sessions, and let parked requests see the clock. */
void isw_map_tick(struct work_struct *work)
{
	struct isw_device *dev = container_of(to_delayed_work(work),
					      struct isw_device, tick_work);
	struct isw_donor *donor;
	struct isw_slab *slab;
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < dev->cfg.max_sessions; i++) {
		donor = READ_ONCE(dev->active[i]);
		if (donor)
			isw_donor_tick(donor);
	}
	spin_lock_irqsave(&dev->want_lock, flags);
	list_for_each_entry(slab, &dev->want, want)
		isw_slab_kick(dev, slab);
	spin_unlock_irqrestore(&dev->want_lock, flags);
	if (!READ_ONCE(dev->stopping))
		queue_delayed_work(isw_io_wq, &dev->tick_work, ISW_TICK);
}

/* ---- what a new session finds, what a lost one leaves ------------------- */

/* Requests of slabs on @donor may go on. */
void isw_map_kick_donor(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;
	u32 i;

	for (i = 0; i < dev->nr_slabs; i++)
		if (slab_leg_on(dev, &dev->slabs[i], donor) >= 0)
			isw_slab_kick(dev, &dev->slabs[i]);
}

/*
 * Take @donor's legs off the slabs that carry no mark: publish without, drain,
 * clear the copies, kick. Marks are cleared.
 */
static void drop_unmarked(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;
	struct isw_mapping next;
	u8 dropped = 0;
	int leg, i;
	u32 n;

	for (n = 0; n < dev->nr_slabs; n++) {
		struct isw_slab *slab = &dev->slabs[n];

		leg = slab_leg_on(dev, slab, donor);
		if (leg < 0 || slab->mark)
			continue;
		next = *slab_mapping(dev, slab);
		next.leg[leg] = (struct isw_grant) {};
		slab->dropped = BIT(leg);
		dropped |= BIT(leg);
		donor->nr_slabs--;
		for (i = 0; i < ISW_MAX_LEGS && !next.leg[i].donor; i++)
			;
		isw_slab_publish(dev, slab, i < ISW_MAX_LEGS ? &next : NULL);
	}
	if (dropped)
		isw_slabs_drain(dev);
	for (n = 0; n < dev->nr_slabs; n++) {
		struct isw_slab *slab = &dev->slabs[n];

		slab->mark = false;
		if (!slab->dropped)
			continue;
		isw_slab_clear_copies(dev, slab,
				      ISW_WORD_LEG(__ffs(slab->dropped)));
		slab->dropped = 0;
		isw_slab_kick(dev, slab);
	}
}

/* Nothing of what @donor lent exists any more, as far as we are concerned. */
void isw_map_forget(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;
	unsigned int i = 0;
	u32 n;

	while (i < dev->nr_ready) {
		if (dev->ready[i].donor == donor)
			ready_remove(dev, i);
		else
			i++;
	}
	for (n = 0; n < dev->nr_slabs; n++)
		dev->slabs[n].mark = false;
	drop_unmarked(donor);
}

static bool same_grant(const struct isw_grant *g, const struct isw_donor *donor,
		       struct isw_grant_id id)
{
	return g->donor == donor && g->id.index == id.index &&
	       g->id.generation == id.generation;
}

/* @g lives: give its slab the new address and key. False: not ours. */
static bool grant_resume(struct isw_donor *donor, const struct isw_grant_info *g)
{
	struct isw_device *dev = donor->dev;
	struct isw_mapping next;
	unsigned int i;
	u32 n;

	for (i = 0; i < dev->nr_ready; i++) {
		if (same_grant(&dev->ready[i], donor, g->id)) {
			dev->ready[i].addr = g->addr;
			dev->ready[i].rkey = g->rkey;
			dev->ready[i].resumed = true;
			return true;
		}
	}
	for (n = 0; n < dev->nr_slabs; n++) {
		struct isw_slab *slab = &dev->slabs[n];
		int leg = slab_leg_on(dev, slab, donor);

		if (leg < 0)
			continue;
		next = *slab_mapping(dev, slab);
		if (!same_grant(&next.leg[leg], donor, g->id))
			continue;
		if (slab->mark)		/* listed twice; once is enough */
			return true;
		next.leg[leg].addr = g->addr;
		next.leg[leg].rkey = g->rkey;
		slab->mark = true;
		isw_slab_publish(dev, slab, &next);
		return true;
	}
	return false;
}

static int compare_list(struct isw_donor *donor, struct isw_msg_grants *raw)
{
	u32 from = 0, count, i;
	int ret;

	do {
		struct isw_msg_list list = { .from = cpu_to_le32(from) };
		struct isw_call call = { .copy = raw };
		struct isw_grant_info g;

		ret = isw_call(donor, &call, &list.hdr, ISW_MSG_LIST);
		if (ret)
			return ret;
		count = call.answer.grants.count;
		if (!count && call.answer.grants.next)
			return -EPROTO;
		for (i = 0; i < count; i++) {
			isw_wire_grant_decode(&raw->grant[i], &g);
			if (g.length != donor->dev->cfg.slab_size ||
			    !grant_resume(donor, &g))
				grant_return(donor, g.id);
		}
		if (call.answer.grants.next && call.answer.grants.next <= from)
			return -EPROTO;	/* it would go round for ever */
		from = call.answer.grants.next;
	} while (from);
	return 0;
}

/*
 * The donor answers LIST when all our old grants are registered anew, which
 * takes it long if they are many. Wait for that here, where nobody waits for
 * us, so that the comparison under dev->lock is quick.
 */
int isw_map_await_grants(struct isw_donor *donor)
{
	struct isw_msg_list list = {};
	struct isw_call call = { .timeout = AWAIT_GRANTS };

	return isw_call(donor, &call, &list.hdr, ISW_MSG_LIST);
}

/*
 * A new session with @donor, not live yet: ask which of our grants live. Those
 * get their new keys, those we do not know go back, those that are gone are
 * dropped.
 */
int isw_map_compare(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;
	unsigned int i = 0;
	int ret;
	u32 n;

	for (i = 0; i < dev->nr_ready; i++)
		dev->ready[i].resumed = false;
	for (n = 0; n < dev->nr_slabs; n++)
		dev->slabs[n].mark = false;

	ret = compare_list(donor, donor->list_buf);
	isw_slabs_drain(dev);	/* before anything is published again */
	if (ret)
		return ret;

	for (i = 0; i < dev->nr_ready;) {
		if (dev->ready[i].donor == donor && !dev->ready[i].resumed)
			ready_remove(dev, i);
		else
			i++;
	}
	drop_unmarked(donor);
	return 0;
}
