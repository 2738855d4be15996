// SPDX-License-Identifier: GPL-2.0-only
/*
 * Grants: a few are held ready, so that binding a slab to one is local; each
 * comes from the better of two donors (paper 4.2). Which slab gets it is
 * map.c's business.
 *
 * All under dev->lock. It may wait for answers of live donors, no longer than twice
 * ISW_CALL_TIMEOUT each.
 */
#include <linux/random.h>

#include "ctrl.h"
#include "device.h"
#include "donor.h"
#include "evict.h"
#include "grant.h"
#include "slab.h"
#include "trace.h"

/* Give a grant back; isw_call_wait() must follow. */
void isw_grant_return_send(const struct isw_grant *g, struct isw_call *call)
{
	struct isw_msg_release msg = {
		.id.index = cpu_to_le32(g->id.index),
		.id.generation = cpu_to_le32(g->id.generation),
	};

	*call = (struct isw_call) {};
	trace_isw_grant_returned(g->donor, &g->id);
	isw_call_send(g->donor, call, &msg.hdr, ISW_MSG_RELEASE);
}

/* Give a grant back and wait until the donor has it. 0, or what isw_call() says. */
int isw_grant_return(struct isw_donor *donor, struct isw_grant_id id)
{
	const struct isw_grant g = { .donor = donor, .id = id };
	struct isw_call call;

	isw_grant_return_send(&g, &call);
	return isw_call_wait(donor, &call);
}

/* ---- held ready --------------------------------------------------------- */

/*
 * May @donor have a leg next to those of @m? They should not die together. One
 * that is to go may be replaced by one of its own domain.
 */
static bool may_lie_beside(const struct isw_donor *donor,
			   const struct isw_mapping *m)
{
	unsigned int i;

	for (i = 0; m && i < ISW_MAX_LEGS; i++) {
		const struct isw_donor *other = m->leg[i].donor;

		if (other && (other == donor ||
			      (!isw_leg_unwanted(&m->leg[i]) &&
			       isw_donors_share(donor, other))))
			return false;
	}
	return true;
}

/* The oldest grant that can be used at once, or -1. */
static int ready_find(struct isw_device *dev, const struct isw_mapping *beside)
{
	unsigned int i;

	for (i = 0; i < dev->nr_ready; i++)
		if (isw_donor_live(dev->ready[i].donor) &&
		    isw_donor_lends(dev->ready[i].donor) &&
		    may_lie_beside(dev->ready[i].donor, beside))
			return i;
	return -1;
}

/*
 * Are grants for all legs of a slab ready, those of two donors for a mirror?
 * @m: a leg of the first, to look for another one beside it.
 */
static bool ready_suffice(struct isw_device *dev, struct isw_mapping *m)
{
	int i = ready_find(dev, NULL);

	if (i < 0)
		return false;
	m->leg[0] = dev->ready[i];
	return isw_legs_wanted(dev) < 2 || ready_find(dev, m) >= 0;
}

static void ready_changed(struct isw_device *dev)
{
	struct isw_mapping m = {};

	WRITE_ONCE(dev->ready_suffice, ready_suffice(dev, &m));
}

static void ready_remove(struct isw_device *dev, unsigned int i)
{
	dev->ready[i].donor->nr_ready--;
	dev->nr_ready--;
	memmove(&dev->ready[i], &dev->ready[i + 1],
		(dev->nr_ready - i) * sizeof(dev->ready[0]));
	ready_changed(dev);
}

/*
 * Room for one more? What a session under repair holds gives way: it is listed
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

static void ready_add(struct isw_device *dev, const struct isw_grant *grant)
{
	dev->ready[dev->nr_ready++] = *grant;
	grant->donor->nr_ready++;
	ready_changed(dev);
	wake_up_all(&dev->ready_wait);
}

static unsigned int ready_live(struct isw_device *dev)
{
	unsigned int i, n = 0;

	for (i = 0; i < dev->nr_ready; i++)
		n += isw_donor_live(dev->ready[i].donor);
	return n;
}

/*
 * Donors that drain, or are short of memory, get theirs back; so do all, the
 * oldest first, if too many.
 */
void isw_grants_trim(struct isw_device *dev)
{
	unsigned int i = 0;

	while (i < dev->nr_ready) {
		struct isw_grant *g = &dev->ready[i];

		if (!isw_donor_live(g->donor) ||
		    (isw_donor_lends(g->donor) &&
		     ready_live(dev) <= isw_ready_wanted(dev))) {
			i++;
			continue;
		}
		isw_grant_return(g->donor, g->id);
		ready_remove(dev, i);
	}
}

/* False: there is none. */
static bool ready_take(struct isw_device *dev, const struct isw_mapping *beside,
		       struct isw_grant *grant)
{
	int i = ready_find(dev, beside);

	if (i < 0)
		return false;
	*grant = dev->ready[i];
	ready_remove(dev, i);
	return true;
}

/* Keep it ready, or give it back, which waits for the donor's answer. */
static void grant_spare(struct isw_device *dev, const struct isw_grant *grant)
{
	if (dev->nr_ready < isw_ready_wanted(dev) &&
	    isw_donor_lends(grant->donor) && !grant->evict_at)
		ready_add(dev, grant);
	else
		isw_grant_return(grant->donor, grant->id);
}

/* @was's slab needs these of its legs no more, and nothing that is posted does. */
void isw_grants_spare(struct isw_device *dev, const struct isw_mapping *was,
		      unsigned int legs)
{
	int i;

	for (i = 0; i < ISW_MAX_LEGS; i++) {
		if (!(legs & BIT(i)))
			continue;
		trace_isw_slab_unmap(was->slab, i, &was->leg[i]);
		was->leg[i].donor->nr_slabs--;
		grant_spare(dev, &was->leg[i]);
	}
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

/* @donor has made the grant that it was asked for. There is room for it. */
static int grant_obtained(struct isw_donor *donor, const struct isw_grant_info *g)
{
	struct isw_grant grant = {
		.donor = donor,
		.id = g->id,
		.addr = g->addr,
		.rkey = g->rkey,
	};

	if (g->length != donor->dev->cfg.slab_size) {
		isw_grant_return(donor, g->id);
		return -EPROTO;
	}
	trace_isw_grant_obtained(donor, &grant.id);
	ready_add(donor->dev, &grant);
	return 0;
}

/*
 * A donor that zeroes gigabytes first may answer when nobody waits any more. Until
 * then it is not asked again: it would begin anew each time. What nobody asked for is
 * ignored: it may name a grant that is in use.
 */
void isw_grant_late(struct isw_donor *donor, const struct isw_msg *m)
{
	bool owed = donor->owes_grant;

	donor->owes_grant = false;
	/* what a session is over with goes back at its end, or when the next one begins */
	if (!owed || m->type != ISW_MSG_GRANTED || !isw_donor_live(donor))
		return;
	if (ready_make_room(donor->dev))
		grant_obtained(donor, &m->grant);
	else
		isw_grant_return(donor, m->grant.id);
}

static int grant_ask(struct isw_device *dev, struct isw_donor *donor)
{
	struct isw_msg_grant msg = {
		.length = cpu_to_le64(dev->cfg.slab_size),
	};
	struct isw_call call = {};
	int ret;

	ret = isw_call(donor, &call, &msg.hdr, ISW_MSG_GRANT);

	if (ret == -EREMOTEIO && donor->refusal != call.code)
		isw_donor_warn(donor, "grant of %llu MiB refused: %s\n",
			       dev->cfg.slab_size >> 20,
			       isw_error_name(call.code));
	donor->refusal = ret == -EREMOTEIO ? call.code : 0;
	donor->owes_grant = ret == -ETIMEDOUT;
	return ret ?: grant_obtained(donor, &call.answer.grant);
}

static void draw_init(struct isw_device *dev, struct isw_draw *d,
		      const struct isw_mapping *beside)
{
	unsigned int i;

	d->n = 0;
	for (i = 0; i < dev->cfg.max_sessions; i++) {
		struct isw_donor *donor = READ_ONCE(dev->active[i]);

		if (!donor || !isw_donor_live(donor) || donor->owes_grant ||
		    !isw_donor_lends(donor) || !may_lie_beside(donor, beside))
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
int isw_grant_get(struct isw_device *dev, const struct isw_mapping *beside)
{
	struct isw_draw *d = dev->draw;
	struct isw_donor *two[2];
	unsigned int drawn, i;
	u32 out[2];
	int best;

	if (!ready_make_room(dev))
		return -ENOSPC;
	draw_init(dev, d, beside);
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

/* One that is ready, else one that a donor gives when asked. False: none. */
bool isw_grant_obtain(struct isw_device *dev, const struct isw_mapping *beside,
		      struct isw_grant *grant)
{
	return ready_take(dev, beside, grant) ||
	       (!isw_grant_get(dev, beside) && ready_take(dev, beside, grant));
}

/*
 * One more to be held ready: one that a mirror can be made with, if it lacks,
 * even beyond those wanted. Nonzero: there are enough, or none is to be had.
 */
int isw_grants_refill(struct isw_device *dev)
{
	struct isw_mapping m = {};

	if (!ready_suffice(dev, &m) && m.leg[0].donor &&
	    !isw_grant_get(dev, &m))
		return 0;
	if (dev->nr_ready >= isw_ready_wanted(dev))
		return -EALREADY;
	return isw_grant_get(dev, NULL);
}

/* ---- a new session, a lost one ------------------------------------------ */

bool isw_grant_is(const struct isw_grant *g, const struct isw_donor *donor,
		  struct isw_grant_id id)
{
	return g->donor == donor && g->id.index == id.index &&
	       g->id.generation == id.generation;
}

/* The donor lists @g: if it is held ready, it has a new address and key. */
bool isw_grant_resume(struct isw_donor *donor, const struct isw_grant_info *g)
{
	struct isw_device *dev = donor->dev;
	unsigned int i;

	for (i = 0; i < dev->nr_ready; i++) {
		if (!isw_grant_is(&dev->ready[i], donor, g->id))
			continue;
		dev->ready[i].addr = g->addr;
		dev->ready[i].rkey = g->rkey;
		isw_evict_resume(&dev->ready[i]);
		dev->ready[i].resumed = true;
		return true;
	}
	return false;
}

/* Drop @donor's ready grants: those it did not list, or all. */
void isw_grants_forget(struct isw_donor *donor, bool resumed_too)
{
	struct isw_device *dev = donor->dev;
	unsigned int i = 0;

	while (i < dev->nr_ready) {
		struct isw_grant *g = &dev->ready[i];

		if (g->donor == donor && (resumed_too || !g->resumed))
			ready_remove(dev, i);
		else
			i++;
	}
}
