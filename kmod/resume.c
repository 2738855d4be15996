// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a new session finds and what a lost one leaves: the donor lists the
 * grants that live; slabs on those get their new keys, slabs on others lose
 * their leg. By dev->lock, except where said.
 */
#include "ctrl.h"
#include "device.h"
#include "donor.h"
#include "evict.h"
#include "grant.h"
#include "resume.h"
#include "slab.h"
#include "trace.h"

#define AWAIT_GRANTS	(30 * HZ)

/*
 * @donor is live: requests of slabs on it may go on, and the copier brings it
 * what it missed.
 */
void isw_resume_kick(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;
	u32 i;

	for (i = 0; i < dev->nr_slabs; i++) {
		struct isw_slab *slab = &dev->slabs[i];

		if (isw_slab_leg_on(dev, slab, donor) < 0)
			continue;
		isw_slab_note_degraded(slab);
		isw_slab_kick(dev, slab);
	}
	isw_evict_kick(dev);	/* deadlines that passed over it meanwhile */
}

/*
 * Take @donor's legs off the slabs that carry no mark: publish without, drain,
 * clear the copies, kick. Marks are cleared.
 */
static void drop_unmarked(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;
	u8 dropped = 0;
	int leg;
	u32 n;

	for (n = 0; n < dev->nr_slabs; n++) {
		struct isw_slab *slab = &dev->slabs[n];

		leg = isw_slab_leg_on(dev, slab, donor);
		if (leg < 0 || slab->mark)
			continue;
		trace_isw_slab_unmap(slab, leg,
				     &isw_slab_mapping(dev, slab)->leg[leg]);
		slab->dropped = BIT(leg);
		dropped |= BIT(leg);
		donor->nr_slabs--;
		isw_slab_publish_without(dev, slab, BIT(leg));
	}
	if (dropped)
		isw_slabs_drain(dev);
	for (n = 0; n < dev->nr_slabs; n++) {
		struct isw_slab *slab = &dev->slabs[n];

		slab->mark = false;
		if (!slab->dropped)
			continue;
		isw_slab_clear_copies(dev, slab, slab->dropped);
		slab->dropped = 0;
		isw_slab_note_degraded(slab);
		isw_slab_kick(dev, slab);
	}
}

/* Nothing of what @donor lent exists any more, as far as we are concerned. */
void isw_resume_forget(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;
	u32 n;

	isw_grants_forget(donor, true);
	for (n = 0; n < dev->nr_slabs; n++)
		dev->slabs[n].mark = false;
	drop_unmarked(donor);
}

/* Which of @info, in order of their index, is @g? -1: none. */
static int listed(const struct isw_grant *g, const struct isw_grant_info *info,
		  unsigned int count)
{
	unsigned int i;

	if (g->id.index < info[0].id.index ||
	    g->id.index > info[count - 1].id.index)
		return -1;
	for (i = 0; i < count; i++)
		if (isw_grant_is(g, g->donor, info[i].id))
			return i;
	return -1;
}

/*
 * What of @info is ours lives: slabs and grants held ready get the new addresses and
 * keys. One walk for all of them. A bit for each that was found.
 */
static u32 list_resume(struct isw_donor *donor,
		       const struct isw_grant_info *info, unsigned int count)
{
	struct isw_device *dev = donor->dev;
	struct isw_mapping next;
	u32 found = 0, n;
	int leg, i;

	for (i = 0; i < count; i++)
		if (info[i].length == dev->cfg.slab_size &&
		    isw_grant_resume(donor, &info[i]))
			found |= BIT(i);
	for (n = 0; n < dev->nr_slabs; n++) {
		struct isw_slab *slab = &dev->slabs[n];

		leg = isw_slab_leg_on(dev, slab, donor);
		if (leg < 0)
			continue;
		i = listed(&isw_slab_mapping(dev, slab)->leg[leg], info, count);
		if (i < 0 || info[i].length != dev->cfg.slab_size)
			continue;
		next = *isw_slab_mapping(dev, slab);
		next.leg[leg].addr = info[i].addr;
		next.leg[leg].rkey = info[i].rkey;
		isw_evict_resume(&next.leg[leg]);
		slab->mark = true;
		isw_slab_publish(dev, slab, &next);
		found |= BIT(i);
	}
	return found;
}

/* @g is listed, and not ours. A donor that refuses it has not got it either. */
static int give_back(struct isw_donor *donor, struct isw_grant_id id)
{
	int ret = isw_grant_return(donor, id);

	return ret == -EREMOTEIO ? 0 : ret;
}

/* Decode @count of the donor's grants. False: not in order of their index, from @from on. */
static bool list_decode(const struct isw_msg_grants *raw, unsigned int count,
			u32 from, struct isw_grant_info *info)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		isw_wire_grant_decode(&raw->grant[i], &info[i]);
		if (info[i].id.index < from || info[i].id.index == U32_MAX)
			return false;
		from = info[i].id.index + 1;
	}
	return true;
}

/*
 * Compare what @donor lists with what we have; with !@ours we have nothing. It may
 * take AWAIT_GRANTS for its answers, all in all.
 */
static int compare_list(struct isw_donor *donor, bool ours)
{
	unsigned long until = jiffies + AWAIT_GRANTS, began;
	struct isw_msg_grants *raw = donor->list_buf;
	struct isw_grant_info info[ISW_GRANTS_MAX];
	u32 from = 0, count, found, i;
	int ret;

	BUILD_BUG_ON(ISW_GRANTS_MAX > 32);	/* bits of @found */
	do {
		struct isw_msg_list list = { .from = cpu_to_le32(from) };
		struct isw_call call = { .copy = raw };

		ret = isw_call(donor, &call, &list.hdr, ISW_MSG_LIST);
		if (ret)
			return ret;
		count = call.answer.grants.count;
		if (!list_decode(raw, count, from, info))
			return -EPROTO;
		from = call.answer.grants.next;
		/* or it would go round for ever */
		if (from && (!count || from <= info[count - 1].id.index))
			return -EPROTO;
		began = jiffies;
		found = ours && count ? list_resume(donor, info, count) : 0;
		until += jiffies - began;	/* our own time */
		for (i = 0; i < count && !ret; i++) {
			if (found & BIT(i))
				continue;
			ret = time_after(jiffies, until) ? -ETIMEDOUT :
			      give_back(donor, info[i].id);
		}
		if (!ret && time_after(jiffies, until))
			ret = -ETIMEDOUT;
	} while (!ret && from);
	return ret;
}

/*
 * The donor answers LIST when all our old grants are registered anew, which
 * takes it long if they are many. Wait for that here, where nobody waits for
 * us, so that the comparison under dev->lock is quick. So it is if we have
 * nothing of what it lists, for it was given up: that goes back here.
 */
int isw_resume_await(struct isw_donor *donor)
{
	struct isw_msg_list list = {};
	struct isw_call call = { .timeout = AWAIT_GRANTS };
	int ret;

	ret = isw_call(donor, &call, &list.hdr, ISW_MSG_LIST);
	if (!ret && READ_ONCE(donor->state) == ISW_DONOR_CONNECTING)
		ret = compare_list(donor, false);
	return ret;
}

/*
 * A new session with @donor, not live yet: ask which of our grants live. Those
 * get their new keys, those we do not know go back, those that are gone are
 * dropped.
 */
int isw_resume_compare(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;
	unsigned int i = 0;
	int ret;
	u32 n;

	donor->owes_grant = false;	/* what it made for the old session goes back */
	for (i = 0; i < dev->nr_ready; i++)
		dev->ready[i].resumed = false;
	for (n = 0; n < dev->nr_slabs; n++)
		dev->slabs[n].mark = false;

	ret = compare_list(donor, true);
	isw_slabs_drain(dev);	/* before anything is published again */
	if (ret)
		return ret;

	isw_grants_forget(donor, false);
	drop_unmarked(donor);
	return 0;
}
