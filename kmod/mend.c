// SPDX-License-Identifier: GPL-2.0-only
/*
 * The legs that slabs should have, by legs.h: one is added on another donor, one that
 * is to go retires, and is taken off when no page needs it. What the pages lack then
 * is the copier's business.
 */
#include <infiniswap/legs.h>

#include "device.h"
#include "donor.h"
#include "grant.h"
#include "mend.h"
#include "slab.h"
#include "trace.h"

#define REFUSALS_MAX	4	/* asked in vain for as many slabs: enough for now */

/* Do legs @a and @b of @m fail together, and are both to stay? */
static bool legs_share(const struct isw_mapping *m, const struct isw_legs *l,
		       unsigned int a, unsigned int b)
{
	unsigned int both = BIT(a) | BIT(b);

	return (isw_legs_kept(l) & both) == both &&
	       isw_donors_share(m->leg[a].donor, m->leg[b].donor);
}

/*
 * Legs that their donors want back are unwanted; so is one of two of the same
 * domain, which a slab can have when that was called off.
 */
struct isw_legs isw_legs_view(const struct isw_mapping *m)
{
	struct isw_legs l = { .used = m->used, .retiring = m->retiring };
	unsigned int i, j;

	for (i = 0; i < ISW_MAX_LEGS; i++) {
		if (!(m->used & BIT(i)))
			continue;
		if (isw_leg_live(&m->leg[i]))
			l.live |= BIT(i);
		if (isw_leg_unwanted(&m->leg[i]))
			l.unwanted |= BIT(i);
	}
	for (i = 0; i < ISW_MAX_LEGS; i++)
		for (j = i + 1; j < ISW_MAX_LEGS; j++)
			if (legs_share(m, &l, i, j))
				l.unwanted |= BIT(j);
	return l;
}

/* One more leg for @next, if a donor has memory for it. */
static void leg_add(struct isw_device *dev, struct isw_mend *mend,
		    struct isw_slab *slab, struct isw_mapping *next)
{
	struct isw_legs l = isw_legs_view(next);
	int leg = isw_legs_add(&l, isw_legs_wanted(dev));

	/* not while writes wait for a mapping, hence for dev->lock */
	if (leg < 0 || mend->refusals == REFUSALS_MAX ||
	    !list_empty_careful(&dev->want))
		return;
	if (!isw_grant_obtain(dev, next, &next->leg[leg])) {
		mend->refusals++;
		mend->from = (slab->index + 1) % dev->nr_slabs;
		return;
	}
	next->leg[leg].donor->nr_slabs++;
	next->used |= BIT(leg);
	trace_isw_slab_bind(slab, leg, &next->leg[leg]);
}

/*
 * Does a donor that is there take a leg of @m at a deadline: its slab, or all, because
 * it ends? In an RCU section, or dev->lock held.
 */
bool isw_slab_hurries(const struct isw_mapping *m)
{
	unsigned int i;

	for (i = 0; i < ISW_MAX_LEGS; i++) {
		const struct isw_grant *g = &m->leg[i];

		if (m->used & BIT(i) && isw_leg_live(g) &&
		    (READ_ONCE(g->evict_at) || READ_ONCE(g->donor->draining)))
			return true;
	}
	return false;
}

/* Once between two drains: only two mappings of a slab can be told apart. */
static bool is_changed(const struct isw_mend *mend, const struct isw_slab *slab)
{
	unsigned int i;

	for (i = 0; i < mend->nr_changed; i++)
		if (mend->changed[i] == slab)
			return true;
	return false;
}

/* Publish the legs that @slab should have now, if it has others. */
static void slab_relegs(struct isw_device *dev, struct isw_mend *mend,
			struct isw_slab *slab)
{
	struct isw_mapping *m = isw_slab_mapping(dev, slab), next;
	struct isw_legs l;

	mend->hurries |= isw_slab_hurries(m);
	if (m->frozen || is_changed(mend, slab))
		return;
	next = *m;
	leg_add(dev, mend, slab, &next);
	l = isw_legs_view(&next);
	next.retiring = isw_legs_retire(&l, isw_legs_wanted(dev));
	if (next.used == m->used && next.retiring == m->retiring)
		return;
	isw_slab_publish(dev, slab, &next);
	isw_slab_note_degraded(slab);	/* a new leg has nothing yet */
	mend->changed[mend->nr_changed++] = slab;
}

/* Each leg that is added takes a donor's answer, and evict.c may have no time. */
static bool legs_enough(const struct isw_device *dev, const struct isw_mend *mend)
{
	return mend->nr_changed == ISW_LEGS_AT_ONCE ||
	       (mend->nr_changed && READ_ONCE(dev->evict_waits));
}

/*
 * Slabs with one leg come before those with more: those lose their pages with
 * the next donor. Returns false if there may be more to do.
 */
bool isw_mend_legs(struct isw_device *dev, struct isw_mend *mend)
{
	u32 i, at = mend->from;
	unsigned int pass;
	bool more;

	mutex_lock(&dev->lock);
	mend->refusals = 0;
	mend->nr_changed = 0;
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < dev->nr_slabs && !legs_enough(dev, mend); i++) {
			struct isw_slab *slab = &dev->slabs[at];
			struct isw_mapping *m = isw_slab_mapping(dev, slab);

			if (m && (isw_legs_count(m->used) > 1) == pass)
				slab_relegs(dev, mend, slab);
			at = (at + 1) % dev->nr_slabs;
		}
	}
	if (mend->nr_changed)
		isw_slabs_drain(dev);
	for (i = 0; i < mend->nr_changed; i++)
		isw_slab_kick(dev, mend->changed[i]);
	more = legs_enough(dev, mend);
	mutex_unlock(&dev->lock);
	return !more;
}

/*
 * May the legs of @m that retire go? They are not written, so a page that was
 * found on the others as well stays there, or is written anew, to those.
 */
static bool legs_droppable(struct isw_device *dev, struct isw_slab *slab,
			   const struct isw_mapping *m)
{
	struct isw_legs l;

	if (!m || m->frozen || !m->retiring)
		return false;
	l = isw_legs_view(m);
	return isw_legs_retire(&l, isw_legs_wanted(dev)) == m->retiring &&
	       !isw_slab_held_by(dev, slab, m->retiring, isw_legs_fill(&l));
}

/* Take the legs that retire off, if no page needs them. */
void isw_mend_drop(struct isw_device *dev, struct isw_slab *slab)
{
	struct isw_mapping *m, was;

	mutex_lock(&dev->lock);
	m = isw_slab_mapping(dev, slab);
	if (!legs_droppable(dev, slab, m))
		goto out;
	was = *m;
	isw_slab_publish_without(dev, slab, was.retiring);
	isw_slabs_drain(dev);
	if (!legs_droppable(dev, slab, &was)) {
		/* a copy on the others is bad, or the others are away */
		slab->leftover &= ~was.retiring;	/* they come back, their flags hold */
		isw_slab_publish(dev, slab, &was);
		isw_slabs_drain(dev);
		isw_slab_kick(dev, slab);
		goto out;
	}
	isw_slab_clear_copies(dev, slab, was.retiring);
	isw_slab_kick(dev, slab);
	isw_grants_spare(dev, &was, was.retiring);
out:
	mutex_unlock(&dev->lock);
}
