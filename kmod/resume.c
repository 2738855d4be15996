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
	struct isw_mapping next;
	u8 dropped = 0;
	int leg, i;
	u32 n;

	for (n = 0; n < dev->nr_slabs; n++) {
		struct isw_slab *slab = &dev->slabs[n];

		leg = isw_slab_leg_on(dev, slab, donor);
		if (leg < 0 || slab->mark)
			continue;
		next = *isw_slab_mapping(dev, slab);
		trace_isw_slab_unmap(slab, leg, &next.leg[leg]);
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

/* @g lives: give its slab the new address and key. False: not ours. */
static bool slab_resume(struct isw_donor *donor, const struct isw_grant_info *g)
{
	struct isw_device *dev = donor->dev;
	struct isw_mapping next;
	u32 n;

	if (isw_grant_resume(donor, g))
		return true;
	for (n = 0; n < dev->nr_slabs; n++) {
		struct isw_slab *slab = &dev->slabs[n];
		int leg = isw_slab_leg_on(dev, slab, donor);

		if (leg < 0)
			continue;
		next = *isw_slab_mapping(dev, slab);
		if (!isw_grant_is(&next.leg[leg], donor, g->id))
			continue;
		if (slab->mark)		/* listed twice; once is enough */
			return true;
		next.leg[leg].addr = g->addr;
		next.leg[leg].rkey = g->rkey;
		isw_evict_resume(&next.leg[leg]);
		slab->mark = true;
		isw_slab_publish(dev, slab, &next);
		return true;
	}
	return false;
}

/* @g is listed, and not ours. A donor that refuses it has not got it either. */
static int give_back(struct isw_donor *donor, struct isw_grant_id id)
{
	int ret = isw_grant_return(donor, id);

	return ret == -EREMOTEIO ? 0 : ret;
}

/* Compare what @donor lists with what we have; with !@ours we have nothing. */
static int compare_list(struct isw_donor *donor, bool ours)
{
	struct isw_msg_grants *raw = donor->list_buf;
	unsigned long until = jiffies + AWAIT_GRANTS;
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
		for (i = 0; i < count && !ret; i++) {
			isw_wire_grant_decode(&raw->grant[i], &g);
			if (ours && g.length == donor->dev->cfg.slab_size &&
			    slab_resume(donor, &g))
				until = jiffies + AWAIT_GRANTS;	/* our own time */
			else
				ret = give_back(donor, g.id);
		}
		if (ret)
			return ret;
		if (call.answer.grants.next && call.answer.grants.next <= from)
			return -EPROTO;	/* it would go round for ever */
		if (time_after(jiffies, until))
			return -ETIMEDOUT;	/* or nearly so */
		from = call.answer.grants.next;
	} while (from);
	return 0;
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
