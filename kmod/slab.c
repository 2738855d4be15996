// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slabs: publishing and draining their mappings, the requests parked on them,
 * their page words. Which mapping to publish is decided in map.c.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>

#include "activity.h"
#include "device.h"
#include "io.h"
#include "map.h"
#include "slab.h"
#include "trace.h"

int isw_slabs_alloc(struct isw_device *dev)
{
	/* a size too large for this machine: no OOM killer, no stack dump */
	const gfp_t gfp = GFP_KERNEL | __GFP_ZERO | __GFP_RETRY_MAYFAIL |
			  __GFP_NOWARN;
	size_t slabs = array_size(dev->nr_slabs, sizeof(*dev->slabs));
	size_t words = array_size(isw_nr_pages(dev), sizeof(*dev->words));
	size_t activity = isw_activity_size(dev);
	size_t all = size_add(size_add(slabs, words), activity);
	u32 i;

	/* nor reclaim of all that there is, just to find that out */
	if (all >> PAGE_SHIFT > si_mem_available())
		return -ENOMEM;
	dev->slabs = __vmalloc(slabs, gfp);
	dev->words = __vmalloc(words, gfp);
	dev->activity = __vmalloc(activity, gfp);
	if (!dev->slabs || !dev->words || !dev->activity) {
		isw_slabs_free(dev);
		return -ENOMEM;
	}
	for (i = 0; i < dev->nr_slabs; i++) {
		struct isw_slab *slab = &dev->slabs[i];

		slab->index = i;
		slab->disk_retry_at = jiffies;
		spin_lock_init(&slab->lock);
		INIT_LIST_HEAD(&slab->parked);
		INIT_LIST_HEAD(&slab->want);
	}
	return 0;
}

void isw_slabs_free(struct isw_device *dev)
{
	INIT_LIST_HEAD(&dev->want);	/* their entries go with the slabs */
	INIT_LIST_HEAD(&dev->serving);
	vfree(dev->slabs);
	vfree(dev->words);
	vfree(dev->activity);
	dev->slabs = NULL;
	dev->words = NULL;
	dev->activity = NULL;
}

/* How many are mapped now; any context. */
u32 isw_slabs_mapped(const struct isw_device *dev)
{
	u32 i, n = 0;

	for (i = 0; i < dev->nr_slabs; i++)
		n += !!rcu_access_pointer(dev->slabs[i].mapping);
	return n;
}

/* A request still uses a mapping that is not published any more? */
static bool stale_mapping_in_use(struct isw_device *dev)
{
	struct isw_mapping *m;
	bool stale = false;
	struct isw_io *io;

	spin_lock(&dev->ios_lock);
	list_for_each_entry(io, &dev->ios, all) {
		/* pairs with io_unname(): what it set in the words is seen */
		m = smp_load_acquire(&io->mapping);
		stale = m && rcu_access_pointer(m->slab->mapping) != m;
		if (stale)
			break;
	}
	spin_unlock(&dev->ios_lock);
	return stale;
}

/*
 * Wait until every mapping that was unpublished is out of use. A request names
 * its mapping inside the RCU section in which it found it, so after a grace
 * period every user can be seen. Ends because each of them completes: the
 * transport either delivers or, after stall_ms, is made to flush.
 */
void isw_slabs_drain(struct isw_device *dev)
{
	ktime_t start = ktime_get();

	lockdep_assert_held(&dev->lock);
	synchronize_rcu();
	atomic_inc(&dev->drainers);
	/* pairs with the barrier in io_unname() */
	smp_mb__after_atomic();
	wait_event(dev->drain_wait, !stale_mapping_in_use(dev));
	atomic_dec(&dev->drainers);
	dev->drains++;
	trace_isw_slabs_drain(dev, start);
}

struct isw_mapping *isw_slab_mapping(struct isw_device *dev,
				     struct isw_slab *slab)
{
	return rcu_dereference_protected(slab->mapping,
					 lockdep_is_held(&dev->lock));
}

/* The leg of @slab that is on @donor, or -1. A donor has one leg at most. */
int isw_slab_leg_on(struct isw_device *dev, struct isw_slab *slab,
		    const struct isw_donor *donor)
{
	struct isw_mapping *m = isw_slab_mapping(dev, slab);
	int i;

	for (i = 0; m && i < ISW_MAX_LEGS; i++)
		if (m->leg[i].donor == donor)
			return i;
	return -1;
}

/*
 * A leg that stays is of the same donor, for flags in page words go by its number:
 * so none comes where they may still stand for one that went. No donor has two.
 */
static bool mapping_follows(const struct isw_slab *slab,
			    const struct isw_mapping *old,
			    const struct isw_mapping *new)
{
	int i, j;

	for (i = 0; i < ISW_MAX_LEGS; i++) {
		const struct isw_donor *donor = new->leg[i].donor;

		if (!donor)
			continue;
		if (old && old->leg[i].donor) {
			if (old->leg[i].donor != donor)
				return false;
		} else if (slab->leftover & BIT(i)) {
			return false;
		}
		for (j = 0; j < i; j++)
			if (new->leg[j].donor == donor)
				return false;
	}
	return true;
}

void isw_slab_publish(struct isw_device *dev, struct isw_slab *slab,
		      const struct isw_mapping *next)
{
	struct isw_mapping *old, *new = NULL;
	int i;

	old = isw_slab_mapping(dev, slab);
	WARN_ON_ONCE(slab->changed_at == dev->drains);
	if (old)
		slab->changed_at = dev->drains;
	if (next) {
		new = old == &slab->maps[0] ? &slab->maps[1] : &slab->maps[0];
		*new = *next;
		new->slab = slab;
		new->used = 0;
		for (i = 0; i < ISW_MAX_LEGS; i++)
			if (new->leg[i].donor)
				new->used |= BIT(i);
		new->retiring &= new->used;
		new->generation = ++slab->generation;
		WARN_ON_ONCE(!mapping_follows(slab, old, new));
	}
	if (old)
		slab->leftover |= old->used & ~(new ? new->used : 0);
	rcu_assign_pointer(slab->mapping, new);
	trace_isw_slab_publish(dev, slab, new);
}

void isw_slab_publish_without(struct isw_device *dev, struct isw_slab *slab,
			      unsigned int legs)
{
	struct isw_mapping next = *isw_slab_mapping(dev, slab);
	unsigned int leg;

	for (leg = 0; leg < ISW_MAX_LEGS; leg++)
		if (legs & BIT(leg))
			next.leg[leg] = (struct isw_grant) {};
	isw_slab_publish(dev, slab, next.used & ~legs ? &next : NULL);
}

atomic64_t *isw_slab_words(struct isw_device *dev, const struct isw_slab *slab)
{
	return dev->words + isw_slab_pages(dev->slab_shift) * slab->index;
}

/*
 * dev->lock held: copies on @legs, a bit each, are no more, and nobody who might set
 * their flags again is under way.
 */
void isw_slab_clear_copies(struct isw_device *dev, struct isw_slab *slab,
			   unsigned int legs)
{
	u64 pages = isw_slab_pages(dev->slab_shift), i;
	atomic64_t *words = isw_slab_words(dev, slab);
	u64 copies = isw_word_of_legs(legs);

	lockdep_assert_held(&dev->lock);
	WARN_ON_ONCE(slab->changed_at == dev->drains || legs & ~slab->leftover);
	slab->leftover &= ~legs;
	for (i = 0; i < pages; i++) {
		if (atomic64_read(&words[i]) & copies)
			atomic64_andnot(copies, &words[i]);
		if (!(i % 4096))
			cond_resched();
	}
}

/*
 * Let @io wait on its slab, unless the slab was kicked since @kicks was read:
 * then the reason to wait may be gone, and the caller looks again.
 */
bool isw_slab_park(struct isw_slab *slab, struct isw_io *io, unsigned int kicks)
{
	unsigned long flags;
	bool parked;

	spin_lock_irqsave(&slab->lock, flags);
	parked = slab->kicks == kicks;
	if (parked) {
		trace_isw_io_park(io);	/* here: a kick may end it soon */
		list_add_tail(&io->node, &slab->parked);
	}
	spin_unlock_irqrestore(&slab->lock, flags);
	return parked;
}

/* Something that requests of this slab may wait for has changed. */
void isw_slab_kick(struct isw_device *dev, struct isw_slab *slab)
{
	unsigned long flags;
	LIST_HEAD(ios);

	spin_lock_irqsave(&slab->lock, flags);
	/* pairs with isw_slab_kicks(): the reason to wait changed before */
	smp_store_release(&slab->kicks, slab->kicks + 1);
	list_splice_init(&slab->parked, &ios);
	spin_unlock_irqrestore(&slab->lock, flags);
	trace_isw_slab_kick(dev, slab, &ios);
	if (!list_empty(&ios))
		isw_device_redrive(dev, &ios);
}

/* Ask for a mapping; the caller parks its request. */
void isw_slab_want(struct isw_device *dev, struct isw_slab *slab)
{
	unsigned long flags;
	bool first;

	spin_lock_irqsave(&dev->want_lock, flags);
	WRITE_ONCE(slab->wanted_at, jiffies);
	first = list_empty(&slab->want);
	if (first)
		list_add_tail(&slab->want, &dev->want);
	spin_unlock_irqrestore(&dev->want_lock, flags);
	/* one that is mapped waits for something else: the tick is soon enough */
	if (first && !rcu_access_pointer(slab->mapping))
		isw_map_kick(dev);
}

static void words_discard(atomic64_t *word, u64 count)
{
	for (; count; count--, word++) {
		s64 old = atomic64_read(word);

		do {
			if (!(old & ISW_WORD_WRITTEN))
				break;
		} while (!isw_word_try(word, &old, isw_word_discard(old)));
	}
}

/*
 * The content of these pages is not needed any more. Never waits, takes no
 * lock: called for freed swap slots under the swap code's spinlocks. A write
 * under way keeps BUSY and will find that it wrote for nobody.
 */
void isw_pages_discard(struct isw_device *dev, u64 page, u64 count)
{
	u64 pages = isw_slab_pages(dev->slab_shift), n;
	struct isw_slab *slab;

	for (; count; page += n, count -= n) {
		slab = &dev->slabs[page >> (dev->slab_shift - ISW_PAGE_SHIFT)];
		n = min(count, pages - (page & (pages - 1)));
		words_discard(dev->words + page, n);
		/*
		 * Pairs with the barrier in isw_slab_empty(): who clears the
		 * hint sees the words, or it is seen cleared here.
		 */
		if (!READ_ONCE(slab->freed))
			WRITE_ONCE(slab->freed, true);
	}
}

/*
 * Does @slab hold no page, and is none being written? What is found may be over
 * at once; only with writes held off (frozen, drained) is it certain. The hint
 * is cleared if only a discard can change the answer: it will set it again.
 */
bool isw_slab_empty(struct isw_device *dev, struct isw_slab *slab)
{
	u64 pages = isw_slab_pages(dev->slab_shift), i;
	atomic64_t *words = isw_slab_words(dev, slab);
	u64 word;

	WRITE_ONCE(slab->freed, false);
	smp_mb();	/* pairs with isw_pages_discard() */
	for (i = 0; i < pages; i++) {
		word = atomic64_read(&words[i]);
		if (word & ISW_WORD_WRITTEN)
			return false;
		if (word & ISW_WORD_BUSY)
			break;
		if (!(i % 4096))
			cond_resched();
	}
	WRITE_ONCE(slab->freed, true);
	return i == pages;
}

/* Is every word of @slab of a kind? May be over at once. */
bool isw_slab_words_all(struct isw_device *dev, struct isw_slab *slab,
			int (*is)(u64 word))
{
	u64 pages = isw_slab_pages(dev->slab_shift), i;
	atomic64_t *words = isw_slab_words(dev, slab);

	for (i = 0; i < pages; i++) {
		if (!is(atomic64_read(&words[i])))
			return false;
		if (!(i % 4096))
			cond_resched();
	}
	return true;
}

static int word_on_disk(u64 word)
{
	return !(word & ISW_WORD_BUSY) && !isw_word_no_backup(word);
}

/* Are all pages of @slab on the backup disk, and is none being written? */
bool isw_slab_on_disk(struct isw_device *dev, struct isw_slab *slab)
{
	return isw_slab_words_all(dev, slab, word_on_disk);
}

/* Is there a page on @legs that one of @others lacks? */
bool isw_slab_held_by(struct isw_device *dev, struct isw_slab *slab,
		      unsigned int legs, unsigned int others)
{
	u64 pages = isw_slab_pages(dev->slab_shift), i;
	atomic64_t *words = isw_slab_words(dev, slab);

	for (i = 0; i < pages; i++) {
		if (isw_word_held_by(atomic64_read(&words[i]), legs, others))
			return true;
		if (!(i % 4096))
			cond_resched();
	}
	return false;
}

/* Pages with fewer copies than redundancy asks for: see isw_pages_count(). */
u64 isw_pages_degraded(struct isw_device *dev)
{
	unsigned int legs = isw_legs_wanted(dev) > 1 ? isw_legs_wanted(dev) : 0;
	u64 pages = isw_nr_pages(dev), i, n = 0;

	for (i = 0; i < pages; i++) {
		n += isw_word_degraded(atomic64_read(&dev->words[i]), legs,
				       !!dev->backup);
		if (!(i % 4096))
			cond_resched();
	}
	return n;
}

static u64 words_count(atomic64_t *words, u64 count, int (*is)(u64 word))
{
	u64 i, n = 0;

	for (i = 0; i < count; i++) {
		n += !!is(atomic64_read(&words[i]));
		if (!(i % 4096))
			cond_resched();
	}
	return n;
}

/* How many pages have words of a kind; may take a while, may be over at once. */
u64 isw_pages_count(struct isw_device *dev, int (*is)(u64 word))
{
	return words_count(dev->words, isw_nr_pages(dev), is);
}

u64 isw_slab_words_count(struct isw_device *dev, struct isw_slab *slab,
			 int (*is)(u64 word))
{
	return words_count(isw_slab_words(dev, slab),
			   isw_slab_pages(dev->slab_shift), is);
}
