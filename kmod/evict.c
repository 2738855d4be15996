// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eviction, the client's side (paper 5.2). A donor asks how much the slabs on
 * some grants are used, and then wants some grants back by a deadline. Those held
 * ready go back at once. A leg becomes unwanted (grant->evict_at): the copier adds
 * one on another donor, brings it the pages and takes the unwanted one off. When
 * four fifths of the time have passed, it is taken off here, whatever it holds:
 * the pages are on another leg, or on the disk, or lost. The rest of the time is
 * for what is under way, because a grant that the donor took back by itself breaks
 * the session when it is used. If there is less than a second, and the pages are
 * on the disk or staged for it, half of it must do: the rest is what giving back
 * takes, and the donor is about to run out of memory.
 *
 * All under dev->lock, on map_wq. The messages wait in the places that they were
 * received into.
 */
#include <linux/slab.h>

#include "activity.h"
#include "backup.h"
#include "ctrl.h"
#include "device.h"
#include "donor.h"
#include "evict.h"
#include "grant.h"
#include "map.h"
#include "slab.h"
#include "trace.h"

/* Slabs changed with one drain: a RELEASE each, and PING needs a credit too. */
#define EVICT_BATCH	12
#define EVICT_SHORT_MS	1000	/* a donor in a hurry */

struct isw_evict {
	union {
		struct isw_msg_hdr hdr;
		u8 raw[ISW_MSG_MAX];
	};
	struct isw_msg msg;		/* what it means */
	bool known[ISW_IDS_MAX];
	struct isw_msg_activity answer;

	/* slabs that lose legs, which ones, and the mapping that had them */
	struct isw_slab *slab[EVICT_BATCH];
	unsigned int legs[EVICT_BATCH];
	struct isw_mapping *was[EVICT_BATCH];
	struct isw_call call[EVICT_BATCH];
};

int isw_evict_alloc(struct isw_device *dev)
{
	dev->evict = kzalloc(sizeof(*dev->evict), GFP_KERNEL);
	return dev->evict ? 0 : -ENOMEM;
}

void isw_evict_free(struct isw_device *dev)
{
	kfree(dev->evict);
	dev->evict = NULL;
}

void isw_evict_kick(struct isw_device *dev)
{
	if (!READ_ONCE(dev->stopping))
		mod_delayed_work(isw_map_wq, &dev->evict_work, 0);
}

/* ---- messages ----------------------------------------------------------- */

/* Which of the grants that the message names @g is, or -1. */
static int named(const struct isw_evict *e, const struct isw_grant *g)
{
	u32 i;

	for (i = 0; i < e->msg.ids.count; i++)
		if (g->id.index == le32_to_cpu(e->msg.ids.wire[i].index) &&
		    g->id.generation == le32_to_cpu(e->msg.ids.wire[i].generation))
			return i;
	return -1;
}

/*
 * The next of @donor's grants from number *@at on, those held ready before the legs
 * of slabs; NULL: there is none. Which slab it serves goes to *@slab, NULL if none.
 */
static struct isw_grant *grant_next(struct isw_donor *donor, u32 *at,
				    struct isw_slab **slab)
{
	struct isw_device *dev = donor->dev;
	int leg;
	u32 i;

	*slab = NULL;
	while (*at < dev->nr_ready) {
		i = (*at)++;
		if (dev->ready[i].donor == donor)
			return &dev->ready[i];
	}
	while ((i = *at - dev->nr_ready) < dev->nr_slabs) {
		(*at)++;
		*slab = &dev->slabs[i];
		leg = isw_slab_leg_on(dev, *slab, donor);
		if (leg >= 0)
			return &isw_slab_mapping(dev, *slab)->leg[leg];
		if (!(i % 4096))
			cond_resched();
	}
	return NULL;
}

typedef void (*grant_fn)(struct isw_donor *donor, struct isw_grant *g,
			 struct isw_slab *slab, int i, unsigned long arg);

/* @fn for each of @donor's grants that the message names and that is ours. */
static void with_named(struct isw_donor *donor, grant_fn fn, unsigned long arg)
{
	struct isw_evict *e = donor->dev->evict;
	struct isw_slab *slab;
	struct isw_grant *g;
	u32 at = 0;
	int n;

	while ((g = grant_next(donor, &at, &slab))) {
		n = named(e, g);
		if (n >= 0)
			fn(donor, g, slab, n, arg);
	}
}

/* As on the wire: fewer fractional bits, and saturating. */
static u32 activity_on_wire(u64 activity)
{
	return min_t(u64, activity >> (ISW_EWMA_SHIFT - ISW_ACTIVITY_SHIFT),
		     U32_MAX);
}

static void grant_activity(struct isw_donor *donor, struct isw_grant *g,
			   struct isw_slab *slab, int i, unsigned long arg)
{
	struct isw_evict *e = donor->dev->evict;
	u64 activity = slab ? isw_activity_of(slab) : 0;

	e->known[i] = true;
	e->answer.slab[i] = (struct isw_wire_activity) {
		.id = isw_wire_id_encode(&g->id),
		.activity = cpu_to_le32(activity_on_wire(activity)),
	};
}

static void check_activity(struct isw_donor *donor)
{
	struct isw_evict *e = donor->dev->evict;
	u32 i, n = 0;

	memset(e->known, 0, sizeof(e->known));
	memset(&e->answer, 0, sizeof(e->answer));
	with_named(donor, grant_activity, 0);
	for (i = 0; i < e->msg.ids.count; i++)
		if (e->known[i])
			e->answer.slab[n++] = e->answer.slab[i];
	e->answer.count = cpu_to_le32(n);
	memset(&e->answer.slab[n], 0, (ISW_IDS_MAX - n) * sizeof(*e->answer.slab));
	/* a donor that gets no answer goes on without */
	isw_ctrl_post(donor, &e->answer.hdr, ISW_MSG_ACTIVITY, e->msg.seq);
}

/* Is this page on the disk, or in memory on its way there? */
static int word_is_here(u64 word)
{
	return !(word & ISW_WORD_BUSY) && !isw_word_lost(word & ~ISW_WORD_LEGS);
}

/* When to be without a grant that serves @slab, or none, in jiffies; not 0. */
static unsigned long evict_time(struct isw_device *dev, struct isw_slab *slab,
				unsigned long received)
{
	u32 ms = dev->evict->msg.ids.deadline_ms;

	if (ms < EVICT_SHORT_MS && slab && dev->backup &&
	    !READ_ONCE(dev->backup->failed) &&
	    isw_slab_words_all(dev, slab, word_is_here))
		ms /= 2;
	else
		ms -= ms / 5;
	return (received + msecs_to_jiffies(ms)) | 1;
}

/*
 * A new session: what @g was told before holds until it is told again, which is
 * soon, or over, or all but over.
 */
void isw_evict_resume(struct isw_grant *g)
{
	if (g->evict_at && time_after_eq(jiffies + HZ, g->evict_at))
		g->evict_at = 0;
	g->evict_old = true;
}

/*
 * Deadline 0: not wanted back any more. The earlier one counts, but not that of
 * an earlier session, which may have been called off since.
 */
static void grant_evict(struct isw_donor *donor, struct isw_grant *g,
			struct isw_slab *slab, int i, unsigned long received)
{
	unsigned long was = g->evict_at, by = 0;

	if (donor->dev->evict->msg.ids.deadline_ms)
		by = evict_time(donor->dev, slab, received);
	if (!g->evict_old && by && was && time_before(was, by))
		return;
	g->evict_old = false;
	if (was == by)
		return;
	if (!was) {
		isw_stat_inc(donor->dev->stats, evictions);
		isw_stat_inc(donor->stats, evictions);
	}
	trace_isw_grant_evict(donor, &g->id, slab, by);
	WRITE_ONCE(g->evict_at, by);	/* isw_leg_live() looks without the lock */
	if (by)
		donor->evicting = true;
	if (slab && was && (!by || time_after_eq(jiffies, was))) {
		/* its time may be over: requests wait, and writes went elsewhere */
		isw_slab_note_degraded(slab);
		isw_slab_kick(donor->dev, slab);
	}
}

/* Does @donor want back what we have? */
static bool wants_more(struct isw_donor *donor)
{
	struct isw_slab *slab;
	struct isw_grant *g;
	u32 at = 0;

	while ((g = grant_next(donor, &at, &slab)))
		if (g->evict_at)
			return true;
	return false;
}

void isw_evict_settle(struct isw_device *dev)
{
	struct isw_donor *donor;

	list_for_each_entry(donor, &dev->donors, node)
		if (donor->evicting)
			donor->evicting = wants_more(donor);
}

/* What waits of @donor's. Returns whether the grants we have of it changed. */
static bool take_messages(struct isw_donor *donor)
{
	struct isw_evict *e = donor->dev->evict;
	unsigned long received;
	bool changed = false;
	unsigned int i;

	/* as many as can have waited: one that goes on gets its next turn */
	for (i = 0; i < ISW_CTRL_RECVS; i++) {
		if (!isw_ctrl_take(donor, e->raw, &received))
			return changed;
		isw_msg_decode(e->raw, le16_to_cpu(e->hdr.length), &e->msg);
		switch (e->msg.type) {
		case ISW_MSG_CHECK_ACTIVITY:
			check_activity(donor);
			continue;
		case ISW_MSG_EVICT:
			with_named(donor, grant_evict, received);
			break;
		default:	/* a grant, or a refusal, that was waited for */
			isw_grant_late(donor, &e->msg);
		}
		changed = true;
	}
	isw_evict_kick(donor->dev);
	return changed;
}

/* ---- deadlines ---------------------------------------------------------- */

/*
 * Legs whose time has come, a bit each; or in *@next when the first will. While a
 * session is broken nobody uses its legs, and what became of them LIST tells.
 */
static unsigned int legs_due(const struct isw_mapping *m, unsigned long *next)
{
	unsigned int legs = 0, leg;

	for (leg = 0; m && leg < ISW_MAX_LEGS; leg++) {
		unsigned long at = m->leg[leg].evict_at;

		if (!at || !isw_donor_live(m->leg[leg].donor))
			continue;
		if (time_after_eq(jiffies, at))
			legs |= BIT(leg);
		else if (!*next || time_before(at, *next))
			*next = at;
	}
	return legs;
}

/* Requests find @slab without @legs from now on. */
static struct isw_mapping *legs_off(struct isw_device *dev,
				    struct isw_slab *slab, unsigned int legs)
{
	struct isw_mapping *was = isw_slab_mapping(dev, slab);
	unsigned int leg;

	for (leg = 0; leg < ISW_MAX_LEGS; leg++) {
		if (!(legs & BIT(leg)))
			continue;
		trace_isw_leg_forced(slab, leg, &was->leg[leg]);
		isw_stat_inc(dev->stats, evictions_forced);
		was->leg[leg].donor->nr_slabs--;
	}
	isw_slab_publish_without(dev, slab, legs);
	return was;
}

/* Nobody uses these @legs any more: nor do the page words, from now on. */
static u64 legs_forget(struct isw_device *dev, struct isw_slab *slab,
		       unsigned int legs)
{
	u64 before = isw_slab_words_count(dev, slab, isw_word_lost), lost;

	isw_slab_clear_copies(dev, slab, legs);
	lost = isw_slab_words_count(dev, slab, isw_word_lost);
	isw_slab_note_degraded(slab);
	isw_slab_kick(dev, slab);
	return lost > before ? lost - before : 0;
}

/* Leg @leg of the first @n slabs, if it was taken off: all at once, then wait. */
static void legs_return(struct isw_evict *e, unsigned int n, unsigned int leg)
{
	unsigned long by;
	unsigned int i;

	for (i = 0; i < n; i++)
		if (e->legs[i] & BIT(leg))
			isw_grant_return_send(&e->was[i]->leg[leg],
					      &e->call[i]);
	by = jiffies + ISW_CALL_TIMEOUT;	/* one for all of them */
	for (i = 0; i < n; i++) {
		if (!(e->legs[i] & BIT(leg)))
			continue;
		e->call[i].timeout = time_before(jiffies, by) ? by - jiffies : 1;
		isw_call_wait(e->was[i]->leg[leg].donor, &e->call[i]);
	}
}

/*
 * Take the legs off whose time has come, up to EVICT_BATCH slabs: publish without
 * them, drain, clear, kick, give back. Returns whether there may be more; when
 * the next one will be due goes to *@next.
 */
static bool drop_due(struct isw_device *dev, unsigned long *next)
{
	struct isw_evict *e = dev->evict;
	unsigned int n = 0, i, leg;
	u64 lost = 0;
	u32 slab;

	*next = 0;
	for (slab = 0; slab < dev->nr_slabs && n < EVICT_BATCH; slab++) {
		if (!(slab % 4096))
			cond_resched();
		e->slab[n] = &dev->slabs[slab];
		e->legs[n] = legs_due(isw_slab_mapping(dev, e->slab[n]), next);
		if (!e->legs[n])
			continue;
		e->was[n] = legs_off(dev, e->slab[n], e->legs[n]);
		n++;
	}
	if (!n)
		return false;
	isw_slabs_drain(dev);
	for (i = 0; i < n; i++)
		lost += legs_forget(dev, e->slab[i], e->legs[i]);
	if (lost)
		isw_err(dev, "%llu pages lost: donors took memory back before its pages were elsewhere\n",
			lost);
	/* embedded in the slabs: still what they were until published anew */
	for (leg = 0; leg < ISW_MAX_LEGS; leg++)
		legs_return(e, n, leg);
	return true;
}

void isw_evict_work(struct work_struct *work)
{
	struct isw_device *dev = container_of(to_delayed_work(work),
					      struct isw_device, evict_work);
	struct isw_donor *donor;
	bool changed = false, more = false;
	unsigned long next = 0;

	WRITE_ONCE(dev->evict_waits, true);
	mutex_lock(&dev->lock);
	WRITE_ONCE(dev->evict_waits, false);
	if (dev->stopping) {
		mutex_unlock(&dev->lock);
		return;
	}
	do {	/* between two batches too: each takes some answers' time */
		changed |= more;
		list_for_each_entry(donor, &dev->donors, node)
			changed |= take_messages(donor);
		more = drop_due(dev, &next);
	} while (more);
	if (changed)
		isw_grants_trim(dev);	/* those held ready go back at once */
	mutex_unlock(&dev->lock);
	if (changed)
		isw_map_kick(dev);	/* and with it the copier */
	if (next && !READ_ONCE(dev->stopping))
		queue_delayed_work(isw_map_wq, &dev->evict_work,
				   time_after(next, jiffies) ? next - jiffies : 0);
}
