// SPDX-License-Identifier: GPL-2.0-only
/*
 * The copier. One work for each device; what it needs was allocated at power-on.
 *
 * First, under dev->lock, the slabs get the legs they should have (legs.h): one
 * is added on another donor, one that is to go retires. Then, without any lock,
 * the pages of slabs with a hint (slab->degraded) are looked at, and what they
 * lack is copied, some extents at a time: first that of slabs that a donor takes
 * back at a deadline, then, at copy_rate, all else. Each extent:
 *
 *   snapshot the page words, read the pages as a request would, CRC and all;
 *   take BUSY of the pages whose words are still the same; write to the legs
 *   that lack them, stage them for the disk; set their flags, give BUSY up.
 *
 * So a write is held up for one round trip at most, and one that came in between
 * wins. The copier's reads and writes do not park: what cannot be had now is
 * tried again later. A disk that does not answer holds up the extents that asked
 * it, which are never all. At last a leg that retires and has no page for itself
 * goes.
 */
#include <linux/slab.h>
#include <linux/wait.h>
#include <infiniswap/legs.h>

#include "activity.h"
#include "backup.h"
#include "copier.h"
#include "device.h"
#include "extent.h"
#include "mend.h"
#include "slab.h"

#define COPY_RETRY	(HZ / 5)
#define DISK_PATIENCE	HZ		/* then others go on without it */
#define DISK_READERS	(ISW_COPY_EXTENTS - 1)

struct isw_copier {
	struct isw_device *dev;
	struct delayed_work work;
	struct isw_extent *extents;
	wait_queue_head_t wait;		/* for an extent, or a kick */
	unsigned int max;		/* pages in one work request */
	u64 paid_until;			/* ktime, ns: what was copied fills copy_rate */
	struct isw_mend mend;
	bool stopping;
	bool kicked;			/* while a slab is being copied */
	bool disk_waits;		/* for the disk, in vain: in this go no more */
};

/* What donors there are has changed, or a second has passed. */
static void legs_mend(struct isw_copier *c)
{
	WRITE_ONCE(c->kicked, false);
	while (!READ_ONCE(c->stopping) && !isw_mend_legs(c->dev, &c->mend))
		cond_resched();
}

/* ---- the extents -------------------------------------------------------- */

/* So many more are copied. A jiffy that was slept too long is made up for. */
static void rate_pay(struct isw_copier *c, u32 pages)
{
	u64 rate = READ_ONCE(c->dev->cfg.copy_rate);

	if (!rate)
		return;
	c->paid_until = max(c->paid_until, ktime_get_ns() - TICK_NSEC) +
			div64_u64((u64)pages * ISW_PAGE_SIZE * NSEC_PER_SEC, rate);
}

static void extent_was_read(struct isw_copier *c, struct isw_extent *e)
{
	if (e->paced && e->io.status == BLK_STS_OK)
		rate_pay(c, e->io.count);
	isw_extent_write(e);
}

/* Take those on whose phase is over. Returns how many are under way. */
static unsigned int extents_step(struct isw_copier *c)
{
	unsigned int i, busy = 0;

	for (i = 0; i < ISW_COPY_EXTENTS; i++) {
		struct isw_extent *e = &c->extents[i];

		if (isw_extent_waits(e)) {
			if (e->phase == ISW_EXTENT_READING)
				extent_was_read(c, e);
			else
				e->phase = ISW_EXTENT_IDLE;
		}
		busy += e->phase != ISW_EXTENT_IDLE;
	}
	return busy;
}

/* How many wait for the disk, or may yet in this phase. */
static unsigned int disk_readers(const struct isw_copier *c)
{
	unsigned int i, n = 0;

	for (i = 0; i < ISW_COPY_EXTENTS; i++)
		n += c->extents[i].phase == ISW_EXTENT_READING &&
		     !isw_extent_waits(&c->extents[i]) &&
		     !c->extents[i].io.no_disk;
	return n;
}

static bool extents_wake(struct isw_copier *c)
{
	unsigned int i;

	for (i = 0; i < ISW_COPY_EXTENTS; i++)
		if (isw_extent_waits(&c->extents[i]))
			return true;
	return READ_ONCE(c->kicked) && !READ_ONCE(c->stopping);
}

/*
 * Until something happens. A slab may take long: legs do not wait for it. False:
 * nothing does, for all that are under way wait for the disk.
 */
static bool extents_wait(struct isw_copier *c, unsigned int busy)
{
	bool woken = !c->disk_waits || busy != disk_readers(c);

	if (woken)
		woken = wait_event_timeout(c->wait, extents_wake(c),
					   DISK_PATIENCE);
	if (READ_ONCE(c->kicked))
		legs_mend(c);
	if (woken || busy != disk_readers(c))
		return true;
	c->disk_waits = true;
	return false;
}

/* Until at most @most are under way. False: it is the disk that they wait for. */
static bool extents_await(struct isw_copier *c, unsigned int most)
{
	unsigned int busy;

	while ((busy = extents_step(c)) > most)
		if (!extents_wait(c, busy))
			return false;
	return true;
}

/* One that is idle; its phase is the caller's to change. NULL: none for now. */
static struct isw_extent *extent_get(struct isw_copier *c)
{
	struct isw_extent *e = c->extents;

	if (!extents_await(c, ISW_COPY_EXTENTS - 1))
		return NULL;
	while (e->phase != ISW_EXTENT_IDLE)
		e++;
	return e;
}

/* ---- how fast ----------------------------------------------------------- */

/* How long what was copied so far has to do, in jiffies; less than one is none. */
static unsigned long rate_left(const struct isw_copier *c)
{
	s64 ahead = c->paid_until - ktime_get_ns();

	if (ahead <= 0 || !READ_ONCE(c->dev->cfg.copy_rate))
		return 0;
	return nsecs_to_jiffies(ahead);
}

/*
 * Until more may be copied. Meanwhile what is under way goes on, and legs change.
 * False: there are slabs with a deadline, which come first.
 */
static bool rate_wait(struct isw_copier *c)
{
	unsigned long left;

	while (!c->mend.hurries && !READ_ONCE(c->stopping) && (left = rate_left(c))) {
		wait_event_timeout(c->wait, extents_wake(c) ||
				   READ_ONCE(c->stopping), left);
		if (READ_ONCE(c->kicked))
			legs_mend(c);
		extents_step(c);
	}
	return !c->mend.hurries && !READ_ONCE(c->stopping);
}

/* ---- a slab ------------------------------------------------------------- */

/* @slab's legs now. If it is frozen none of them is to be written. */
static struct isw_legs slab_legs(struct isw_slab *slab, bool *frozen)
{
	struct isw_mapping *m;
	struct isw_legs l = {};

	rcu_read_lock();
	m = rcu_dereference(slab->mapping);
	*frozen = m && m->frozen;
	if (m)
		l = isw_legs_view(m);
	if (*frozen)
		l.retiring = l.used;
	rcu_read_unlock();
	return l;
}

static bool slab_retires(struct isw_slab *slab)
{
	bool frozen;

	return slab_legs(slab, &frozen).retiring && !frozen;
}

/* Must the disk be asked for a page with this @word, if legs @live can be? */
static bool takes_disk(u64 word, unsigned int live)
{
	return !(word & ISW_WORD_STAGED) && !(isw_word_legs(word) & live);
}

/* May one more extent ask the disk? Not the last one. */
static bool disk_reader_may_start(struct isw_copier *c)
{
	while (disk_readers(c) >= DISK_READERS) {
		if (!extents_wait(c, DISK_READERS))
			return false;
		extents_step(c);
	}
	return true;
}

/*
 * How many pages from @word on lack what the first one does, and are to be had as
 * that one is, with their words.
 */
static u32 extent_find(struct isw_extent *e, atomic64_t *word, u32 max,
		       const struct isw_legs *l, bool disk, u64 *needs)
{
	unsigned int legs = isw_legs_fill(l);
	u32 n;

	for (n = 0; n < max; n++) {
		e->words[n] = atomic64_read(&word[n]);
		if (e->words[n] & ISW_WORD_BUSY)
			break;
		if (!n)
			*needs = isw_word_needs(e->words[0], legs, disk);
		if (!*needs || isw_word_needs(e->words[n], legs, disk) != *needs ||
		    takes_disk(e->words[n], l->live) !=
		    takes_disk(e->words[0], l->live))
			break;
	}
	return n;
}

/* Are there any, BUSY or not, that lack a copy? */
static bool pages_need(atomic64_t *word, u64 count, unsigned int legs, bool disk)
{
	u64 i;

	for (i = 0; i < count; i++)
		if (isw_word_needs(atomic64_read(&word[i]), legs, disk))
			return true;
	return false;
}

/*
 * Has @slab no leg, and pages that the disk has? Then it gets one as if it were
 * written to, unless it is cold, or not hot. Without a backup there is nothing left
 * to be copied.
 */
static bool slab_legless(struct isw_device *dev, struct isw_slab *slab)
{
	u64 pages = isw_slab_pages(dev->slab_shift), i;
	atomic64_t *words = isw_slab_words(dev, slab);

	if (!dev->backup || rcu_access_pointer(slab->mapping))
		return false;
	for (i = 0; i < pages; i++)
		if (atomic64_read(&words[i]) & ISW_WORD_WRITTEN)
			break;
	/* one after the other: map_work holds dev->lock until all have a leg */
	if (i < pages && list_empty_careful(&dev->want) &&
	    isw_activity_hot(dev, slab) &&
	    (!READ_ONCE(dev->cfg.slab_cold_timeout) || READ_ONCE(slab->touched)))
		isw_slab_want(dev, slab);
	return i < pages;
}

/* Does the backup disk take copies now? */
static bool disk_takes(struct isw_device *dev)
{
	return dev->backup && isw_backup_takes(dev->backup) &&
	       isw_staging_spare(&dev->backup->staging);
}

/*
 * Copy what pages of @slab lack. The hint is cleared first, and set again by
 * whoever makes a page lack a copy, or here if something is left.
 */
static void slab_copy(struct isw_copier *c, struct isw_slab *slab, bool paced)
{
	struct isw_device *dev = c->dev;
	bool refused = time_before(jiffies, slab->disk_retry_at);
	u64 pages = isw_slab_pages(dev->slab_shift), i, needs;
	atomic64_t *words = isw_slab_words(dev, slab);
	bool frozen, ask, disk = disk_takes(dev);
	struct isw_legs l;
	u32 n, max;

	WRITE_ONCE(slab->degraded, false);
	smp_mb();	/* pairs with isw_slab_note_degraded() */
	if (slab_legless(dev, slab)) {
		isw_slab_note_degraded(slab);
		return;
	}
	max = slab->apart ? 1 : c->max;
	if (!refused)
		slab->apart = false;
	l = slab_legs(slab, &frozen);
	for (i = 0; i < pages && !READ_ONCE(c->stopping); i += max(n, 1U)) {
		struct isw_extent *e;

		n = 0;
		if (!(i % 1024))
			cond_resched();
		/* what has changed since we looked has set the hint again */
		if (!isw_word_needs(atomic64_read(&words[i]), isw_legs_fill(&l),
				    disk))
			continue;
		if (paced && !rate_wait(c))
			break;
		e = extent_get(c);
		if (!e)
			break;
		disk = disk_takes(dev);
		l = slab_legs(slab, &frozen);
		needs = 0;
		n = extent_find(e, words + i, min_t(u64, pages - i, max), &l, disk,
				&needs);
		ask = n && takes_disk(e->words[0], l.live);
		e->paced = paced;
		if (n && (!ask || (!refused && disk_reader_may_start(c))))
			isw_extent_start(e, (words - dev->words) + i, n, needs, ask);
	}
	extents_await(c, 0);
	l = slab_legs(slab, &frozen);
	if (frozen || READ_ONCE(c->stopping) ||
	    pages_need(words, pages, isw_legs_fill(&l), !!dev->backup))
		isw_slab_note_degraded(slab);
	if (l.retiring && !frozen)
		isw_mend_drop(dev, slab);
}

/* Is a leg of @slab to be taken at a deadline? */
static bool has_deadline(struct isw_slab *slab)
{
	struct isw_mapping *m;
	bool has;

	rcu_read_lock();
	m = rcu_dereference(slab->mapping);
	has = m && isw_slab_hurries(m);
	rcu_read_unlock();
	return has;
}

/*
 * Slabs with a deadline, as fast as it goes, or those without, at copy_rate. False:
 * there are some of the first again, or still.
 */
static bool slabs_copy(struct isw_copier *c, bool paced, bool *again)
{
	struct isw_device *dev = c->dev;
	u32 i;

	for (i = 0; i < dev->nr_slabs && !READ_ONCE(c->stopping); i++) {
		struct isw_slab *slab = &dev->slabs[i];

		if (!READ_ONCE(slab->degraded) && !slab_retires(slab))
			continue;
		if (has_deadline(slab) == paced)
			continue;
		slab_copy(c, slab, paced);
		*again |= READ_ONCE(slab->degraded) &&
			  rcu_access_pointer(slab->mapping);
		if (paced && c->mend.hurries)
			return false;
	}
	return true;
}

static void copy_work(struct work_struct *work)
{
	struct isw_copier *c = container_of(to_delayed_work(work),
					    struct isw_copier, work);
	bool again;

	legs_mend(c);
	c->disk_waits = false;
	do {
		again = false;
		c->mend.hurries = false;
		slabs_copy(c, false, &again);
	} while (!slabs_copy(c, true, &again));
	if (again && !READ_ONCE(c->stopping))
		queue_delayed_work(isw_copy_wq, &c->work,
				   c->disk_waits ? DISK_PATIENCE : COPY_RETRY);
}

/* ---- from power-on to power-off ----------------------------------------- */

void isw_copier_kick(struct isw_device *dev)
{
	if (READ_ONCE(dev->copier->stopping))
		return;
	WRITE_ONCE(dev->copier->kicked, true);
	wake_up(&dev->copier->wait);
	/* now, even if it is to go on later by itself */
	mod_delayed_work(isw_copy_wq, &dev->copier->work, 0);
}

int isw_copier_alloc(struct isw_device *dev)
{
	struct isw_copier *c = kzalloc(sizeof(*c), GFP_KERNEL);
	unsigned int i;
	int ret = 0;

	if (!c)
		return -ENOMEM;
	dev->copier = c;
	c->dev = dev;
	c->stopping = true;
	INIT_DELAYED_WORK(&c->work, copy_work);
	init_waitqueue_head(&c->wait);
	c->extents = kvcalloc(ISW_COPY_EXTENTS, sizeof(*c->extents), GFP_KERNEL);
	if (!c->extents)
		return -ENOMEM;		/* isw_copier_free() follows */
	for (i = 0; !ret && i < ISW_COPY_EXTENTS; i++)
		ret = isw_extent_alloc(&c->extents[i], dev, i % dev->cfg.queues,
				       &c->wait);
	return ret;
}

void isw_copier_free(struct isw_device *dev)
{
	struct isw_copier *c = dev->copier;
	unsigned int i;

	if (!c)
		return;
	/* a kick that did not see that it stops */
	cancel_delayed_work_sync(&c->work);
	for (i = 0; c->extents && i < ISW_COPY_EXTENTS; i++)
		isw_extent_free(&c->extents[i]);
	kvfree(c->extents);
	kfree(c);
	dev->copier = NULL;
}

/* The disk is there, and with it the number of segments. */
void isw_copier_start(struct isw_device *dev)
{
	dev->copier->max = min_t(unsigned int, ISW_COPY_PAGES, dev->max_sge);
	WRITE_ONCE(dev->copier->stopping, false);
	isw_copier_kick(dev);
}

void isw_copier_stop(struct isw_device *dev)
{
	struct isw_copier *c = dev->copier;

	WRITE_ONCE(c->stopping, true);
	wake_up(&c->wait);
	cancel_delayed_work_sync(&c->work);
	/* those that it left with the disk */
	while (extents_step(c))
		wait_event(c->wait, extents_wake(c));
}
