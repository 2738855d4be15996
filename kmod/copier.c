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
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <infiniswap/legs.h>

#include "activity.h"
#include "backup.h"
#include "copier.h"
#include "device.h"
#include "donor.h"
#include "grant.h"
#include "io.h"
#include "pages.h"
#include "rdma.h"
#include "slab.h"
#include "trace.h"

#define COPY_PAGES	16		/* of an extent: 64 KiB */
#define COPY_RETRY	(HZ / 5)
#define DISK_PATIENCE	HZ		/* then others go on without it */
#define DISK_RETRY	(5 * HZ)	/* of a slab with a page that it cannot read */
#define DISK_READERS	(ISW_COPY_EXTENTS - 1)
#define LEGS_AT_ONCE	16		/* changed with one drain */
#define REFUSALS_MAX	4		/* asked in vain for as many slabs: enough for now */

enum phase {
	EXTENT_IDLE,
	EXTENT_READING,
	EXTENT_WRITING,
};

struct extent {
	enum phase phase;		/* the work's alone */
	bool through;			/* what the phase waits for */
	bool paced;			/* counts for copy_rate */
	bool on_disk;			/* is staged for the disk */
	u64 needs;			/* copies, ISW_WORD_ flags */
	struct page *pages[COPY_PAGES];
	u64 words[COPY_PAGES];		/* as they were before the read */
	struct isw_io io;
};

struct isw_copier {
	struct isw_device *dev;
	struct delayed_work work;
	struct extent *extents;
	wait_queue_head_t wait;		/* for an extent, or a kick */
	unsigned int max;		/* pages in one work request */
	u64 paid_until;			/* ktime, ns: what was copied fills copy_rate */
	struct isw_slab *changed[LEGS_AT_ONCE];
	unsigned int nr_changed;	/* slabs with other legs since the last drain */
	u32 mend_from;			/* slab to look first at, whose turn it is */
	unsigned int refusals;		/* no donor had memory, in this go */
	bool stopping;
	bool hurries;			/* some slabs have a deadline */
	bool kicked;			/* while a slab is being copied */
	bool disk_waits;		/* for the disk, in vain: in this go no more */
};

/* ---- legs --------------------------------------------------------------- */

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
static struct isw_legs legs_view(const struct isw_mapping *m)
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
static void leg_add(struct isw_device *dev, struct isw_slab *slab,
		    struct isw_mapping *next)
{
	struct isw_legs l = legs_view(next);
	int leg = isw_legs_add(&l, isw_legs_wanted(dev));
	struct isw_copier *c = dev->copier;

	/* not while writes wait for a mapping, hence for dev->lock */
	if (leg < 0 || c->refusals == REFUSALS_MAX ||
	    !list_empty_careful(&dev->want))
		return;
	if (!isw_grant_obtain(dev, next, &next->leg[leg])) {
		c->refusals++;
		c->mend_from = (slab->index + 1) % dev->nr_slabs;
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
static bool slab_hurries(const struct isw_mapping *m)
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
static bool is_changed(const struct isw_copier *c, const struct isw_slab *slab)
{
	unsigned int i;

	for (i = 0; i < c->nr_changed; i++)
		if (c->changed[i] == slab)
			return true;
	return false;
}

/* Publish the legs that @slab should have now, if it has others. */
static void slab_relegs(struct isw_device *dev, struct isw_slab *slab)
{
	struct isw_mapping *m = isw_slab_mapping(dev, slab), next;
	struct isw_copier *c = dev->copier;
	struct isw_legs l;

	c->hurries |= slab_hurries(m);
	if (m->frozen || is_changed(c, slab))
		return;
	next = *m;
	leg_add(dev, slab, &next);
	l = legs_view(&next);
	next.retiring = isw_legs_retire(&l, isw_legs_wanted(dev));
	if (next.used == m->used && next.retiring == m->retiring)
		return;
	isw_slab_publish(dev, slab, &next);
	isw_slab_note_degraded(slab);	/* a new leg has nothing yet */
	c->changed[c->nr_changed++] = slab;
}

/* Each leg that is added takes a donor's answer, and evict.c may have no time. */
static bool legs_enough(const struct isw_device *dev)
{
	unsigned int changed = dev->copier->nr_changed;

	return changed == LEGS_AT_ONCE || (changed && READ_ONCE(dev->evict_waits));
}

/*
 * Slabs with one leg come before those with more: those lose their pages with
 * the next donor. Returns false if there may be more to do.
 */
static bool legs_mend_some(struct isw_device *dev)
{
	struct isw_copier *c = dev->copier;
	u32 i, at = c->mend_from;
	unsigned int pass;
	bool more;

	mutex_lock(&dev->lock);
	c->refusals = 0;
	c->nr_changed = 0;
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < dev->nr_slabs && !legs_enough(dev); i++) {
			struct isw_slab *slab = &dev->slabs[at];
			struct isw_mapping *m = isw_slab_mapping(dev, slab);

			if (m && (isw_legs_count(m->used) > 1) == pass)
				slab_relegs(dev, slab);
			at = (at + 1) % dev->nr_slabs;
		}
	}
	if (c->nr_changed)
		isw_slabs_drain(dev);
	for (i = 0; i < c->nr_changed; i++)
		isw_slab_kick(dev, c->changed[i]);
	more = legs_enough(dev);
	mutex_unlock(&dev->lock);
	return !more;
}

/* What donors there are has changed, or a second has passed. */
static void legs_mend(struct isw_copier *c)
{
	WRITE_ONCE(c->kicked, false);
	while (!READ_ONCE(c->stopping) && !legs_mend_some(c->dev))
		cond_resched();
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
	l = legs_view(m);
	return isw_legs_retire(&l, isw_legs_wanted(dev)) == m->retiring &&
	       !isw_slab_held_by(dev, slab, m->retiring, isw_legs_fill(&l));
}

static void legs_drop(struct isw_device *dev, struct isw_slab *slab)
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
		isw_slab_publish(dev, slab, &was);
		isw_slabs_drain(dev);
		isw_slab_kick(dev, slab);
		goto out;
	}
	isw_slab_clear_copies(dev, slab, isw_word_of_legs(was.retiring));
	isw_slab_kick(dev, slab);
	isw_grants_spare(dev, &was, was.retiring);
out:
	mutex_unlock(&dev->lock);
}

/* ---- one extent --------------------------------------------------------- */

static struct extent *extent_of(struct isw_io *io)
{
	return container_of(io, struct extent, io);
}

/* What the phase waited for is over. Any context. */
static void extent_through(struct extent *e)
{
	struct isw_copier *c = e->io.dev->copier;

	/* pairs with extent_waits() */
	smp_store_release(&e->through, true);
	wake_up(&c->wait);
}

static void extent_read_end(struct isw_io *io)
{
	extent_through(extent_of(io));
}

/*
 * Begin to bring pages [@page, @page + @count) the copies @needs. Without @disk
 * they are not read from there, even if the legs break that were to be read.
 */
static void extent_start(struct extent *e, u64 page, u32 count, u64 needs,
			 bool disk)
{
	struct isw_batch batch = {};
	struct isw_io *io = &e->io;
	u32 i;

	e->phase = EXTENT_READING;
	e->through = false;
	e->needs = needs;
	isw_io_reset(io, page, count);
	io->no_disk = !disk;
	sg_init_table(io->sg, count);
	for (i = 0; i < count; i++)
		sg_set_page(&io->sg[i], e->pages[i], ISW_PAGE_SIZE, 0);
	io->nents = count;

	rcu_read_lock();
	isw_io_drive(io, &batch);
	isw_batch_post(&batch);
	rcu_read_unlock();
}

static bool page_claim(atomic64_t *word, u64 was)
{
	s64 old = was;

	return isw_word_try(word, &old, isw_word_copy_begin(was));
}

/* Give BUSY of the first @count pages up; @copies were added to each. */
static void extent_unclaim(struct extent *e, u32 count, u64 copies)
{
	struct isw_io *io = &e->io;
	atomic64_t *word = io->dev->words + io->page;
	bool parked = false;
	u32 i;

	for (i = 0; i < count; i++, word++) {
		s64 old = atomic64_read(word);
		u64 next;

		do {
			next = isw_word_copy_end(old, isw_word_seq(e->words[i]),
						 copies);
		} while (!isw_word_try(word, &old, next));
		parked |= old & ISW_WORD_PARKED;
	}
	if (parked)
		isw_slab_kick(io->dev, io->slab);
}

/* BUSY on all pages, whose words have not moved since they were read; or none. */
static bool extent_claim(struct extent *e)
{
	atomic64_t *words = e->io.dev->words + e->io.page;
	u32 i;

	for (i = 0; i < e->io.count; i++) {
		if (!page_claim(&words[i], e->words[i])) {
			extent_unclaim(e, i, 0);
			return false;
		}
	}
	return true;
}

/* The work requests of the extent are through. Softirq or process context. */
void isw_copier_posted(struct isw_io *io)
{
	struct extent *e = extent_of(io);

	extent_unclaim(e, io->count,
		       isw_word_of_legs(atomic_read(&io->acked)));
	isw_io_unname(io);	/* only now: the words say what the legs hold */
	if (e->on_disk)
		isw_staging_settle(io, true);
	if (atomic_read(&io->acked) || e->on_disk)
		isw_stat_add(io->dev->stats, pages_copied, io->count);
	extent_through(e);
}

/*
 * Start to write what was read to those of @legs that are there, and to the
 * disk if it is staged. Inside an RCU section. False: nothing was started.
 */
static bool extent_post(struct extent *e, unsigned int legs,
			struct isw_batch *batch)
{
	struct isw_io *io = &e->io;
	struct isw_mapping *m = rcu_dereference(io->slab->mapping);
	struct isw_legs l = {};

	if (m && !m->frozen)
		l = legs_view(m);
	legs &= isw_legs_fill(&l);
	if (!legs && !e->on_disk)
		return false;
	if (legs && !isw_rdma_map(io, m, legs))
		return false;
	if (!extent_claim(e)) {
		isw_rdma_unmap_legs(io, legs);
		return false;
	}
	if (e->on_disk)
		isw_staging_publish(io);
	isw_io_post(io, m, legs, batch);
	return true;
}

/* So many more are copied. A jiffy that was slept too long is made up for. */
static void rate_pay(struct isw_copier *c, u32 pages)
{
	u64 rate = READ_ONCE(c->dev->cfg.copy_rate);

	if (!rate)
		return;
	c->paid_until = max(c->paid_until, ktime_get_ns() - TICK_NSEC) +
			div64_u64((u64)pages * ISW_PAGE_SIZE * NSEC_PER_SEC, rate);
}

/* It was read: write it. What comes of it the page words tell. */
static void extent_write(struct extent *e)
{
	struct isw_batch batch = {};
	struct isw_io *io = &e->io;
	bool started;

	e->phase = EXTENT_IDLE;
	if (io->status == BLK_STS_IOERR && io->count > 1)
		io->slab->apart = true;
	else if (io->status == BLK_STS_IOERR && !io->no_disk)
		io->slab->disk_retry_at = jiffies + DISK_RETRY;
	if (io->status != BLK_STS_OK)
		return;
	if (e->paced)
		rate_pay(io->dev->copier, io->count);
	io->write = true;
	io->copying = true;
	e->on_disk = e->needs & ISW_WORD_BACKUP && isw_staging_try(io);
	if (e->on_disk)
		isw_pages_copy_to_staged(io);

	e->phase = EXTENT_WRITING;
	e->through = false;
	rcu_read_lock();
	started = extent_post(e, isw_word_legs(e->needs), &batch);
	isw_batch_post(&batch);
	rcu_read_unlock();
	if (started)
		return;
	e->phase = EXTENT_IDLE;
	if (e->on_disk)
		isw_staging_release(io);
}

/* ---- all of them -------------------------------------------------------- */

/* Is there one, and has it come to the end of its phase? */
static bool extent_waits(const struct extent *e)
{
	/* pairs with extent_through(): what the phase left is seen */
	return e->phase != EXTENT_IDLE && smp_load_acquire(&e->through);
}

/* Take those on whose phase is over. Returns how many are under way. */
static unsigned int extents_step(struct isw_copier *c)
{
	unsigned int i, busy = 0;

	for (i = 0; i < ISW_COPY_EXTENTS; i++) {
		struct extent *e = &c->extents[i];

		if (extent_waits(e)) {
			if (e->phase == EXTENT_READING)
				extent_write(e);
			else
				e->phase = EXTENT_IDLE;
		}
		busy += e->phase != EXTENT_IDLE;
	}
	return busy;
}

/* How many wait for the disk, or may yet in this phase. */
static unsigned int disk_readers(const struct isw_copier *c)
{
	unsigned int i, n = 0;

	for (i = 0; i < ISW_COPY_EXTENTS; i++)
		n += c->extents[i].phase == EXTENT_READING &&
		     !extent_waits(&c->extents[i]) &&
		     !c->extents[i].io.no_disk;
	return n;
}

static bool extents_wake(struct isw_copier *c)
{
	unsigned int i;

	for (i = 0; i < ISW_COPY_EXTENTS; i++)
		if (extent_waits(&c->extents[i]))
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
static struct extent *extent_get(struct isw_copier *c)
{
	struct extent *e = c->extents;

	if (!extents_await(c, ISW_COPY_EXTENTS - 1))
		return NULL;
	while (e->phase != EXTENT_IDLE)
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

	while (!c->hurries && !READ_ONCE(c->stopping) && (left = rate_left(c))) {
		wait_event_timeout(c->wait, extents_wake(c) ||
				   READ_ONCE(c->stopping), left);
		if (READ_ONCE(c->kicked))
			legs_mend(c);
		extents_step(c);
	}
	return !c->hurries && !READ_ONCE(c->stopping);
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
		l = legs_view(m);
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
static u32 extent_find(struct extent *e, atomic64_t *word, u32 max,
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
		struct extent *e;

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
			extent_start(e, (words - dev->words) + i, n, needs, ask);
	}
	extents_await(c, 0);
	l = slab_legs(slab, &frozen);
	if (frozen || READ_ONCE(c->stopping) ||
	    pages_need(words, pages, isw_legs_fill(&l), !!dev->backup))
		isw_slab_note_degraded(slab);
	if (l.retiring && !frozen)
		legs_drop(dev, slab);
}

/* Is a leg of @slab to be taken at a deadline? */
static bool has_deadline(struct isw_slab *slab)
{
	struct isw_mapping *m;
	bool has;

	rcu_read_lock();
	m = rcu_dereference(slab->mapping);
	has = m && slab_hurries(m);
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
		if (paced && c->hurries)
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
		c->hurries = false;
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
	unsigned int i, j;

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
	for (i = 0; i < ISW_COPY_EXTENTS; i++) {
		struct extent *e = &c->extents[i];

		isw_io_init(&e->io, dev, i % dev->cfg.queues);
		e->io.end = extent_read_end;
		for (j = 0; j < COPY_PAGES; j++) {
			e->pages[j] = alloc_page(GFP_KERNEL);
			if (!e->pages[j])
				return -ENOMEM;
		}
	}
	return 0;
}

void isw_copier_free(struct isw_device *dev)
{
	struct isw_copier *c = dev->copier;
	unsigned int i, j;

	if (!c)
		return;
	/* a kick that did not see that it stops */
	cancel_delayed_work_sync(&c->work);
	for (i = 0; c->extents && i < ISW_COPY_EXTENTS; i++) {
		if (c->extents[i].io.dev)
			isw_io_exit(&c->extents[i].io);
		for (j = 0; j < COPY_PAGES; j++)
			if (c->extents[i].pages[j])
				__free_page(c->extents[i].pages[j]);
	}
	kvfree(c->extents);
	kfree(c);
	dev->copier = NULL;
}

/* The disk is there, and with it the number of segments. */
void isw_copier_start(struct isw_device *dev)
{
	dev->copier->max = min_t(unsigned int, COPY_PAGES, dev->max_sge);
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
