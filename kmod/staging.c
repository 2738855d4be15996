// SPDX-License-Identifier: GPL-2.0-only
/*
 * Staged pages from reservation to the disk:
 *
 *   reserve   a request takes slots for all its pages or waits in line
 *   publish   with BUSY held: the slot becomes its page's newest version, the
 *             page word STAGED; an older one is superseded
 *   settle    the legs are through: without an acknowledgment the request
 *             ends with the disk
 *   take      the disk's work gets a run of adjacent pages
 *   written   the word becomes BACKUP, the slot is free when nobody uses it
 *
 * At most one version of a page is being written to the disk at a time; a newer
 * one follows when that has ended, so the newest is always the last. A page that
 * was freed is known by its word's sequence and is not written at all.
 */
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "backup.h"
#include "device.h"
#include "donor.h"
#include "io.h"
#include "staging.h"

#define SHED_AT_ONCE	64	/* slots looked at with interrupts off */

static struct hlist_head *bucket(struct isw_staging *st, u64 index)
{
	return &st->hash[hash_64(index, 32) & st->hash_mask];
}

static struct isw_staged *find(struct isw_staging *st, u64 index)
{
	struct isw_staged *slot;

	hlist_for_each_entry(slot, bucket(st, index), hash)
		if (slot->index == index)
			return slot;
	return NULL;
}

static atomic64_t *slot_word(struct isw_staging *st,
			     const struct isw_staged *slot)
{
	return st->dev->words + slot->index;
}

/* Nobody has written or freed the page since. */
static bool slot_current(struct isw_staging *st, const struct isw_staged *slot)
{
	return isw_word_is(atomic64_read(slot_word(st, slot)), slot->seq);
}

/* ---- slots and who waits for them --------------------------------------- */

static void slots_give(struct isw_staging *st, struct isw_io *io)
{
	struct isw_staged *slot;
	u32 i;

	for (i = 0; i < io->count; i++) {
		slot = list_first_entry(&st->free, struct isw_staged, node);
		list_del(&slot->node);
		list_add_tail(&slot->io_node, &io->staged);
	}
	st->nr_free -= io->count;
	io->reserved = true;
}

/* First come, first served: a large request is not starved by small ones. */
static void serve_waiters(struct isw_staging *st, struct list_head *served)
{
	struct isw_io *io;

	while ((io = list_first_entry_or_null(&st->waiters, struct isw_io,
					      node)) &&
	       io->count <= st->nr_free) {
		slots_give(st, io);
		list_move_tail(&io->node, served);
	}
}

static void slot_free(struct isw_staging *st, struct isw_staged *slot)
{
	slot->state = ISW_STAGED_FREE;
	list_add(&slot->node, &st->free);	/* warm in the cache */
	st->nr_free++;
}

static void slot_put(struct isw_staging *st, struct isw_staged *slot)
{
	if (!--slot->refs)
		slot_free(st, slot);
}

/*
 * What happened under the lock and has consequences outside of it: requests that
 * got their slots, requests that the disk was the last thing to wait for.
 */
struct outcome {
	struct list_head served;
	struct list_head ended;
};

static unsigned long lock(struct isw_staging *st, struct outcome *o)
	__acquires(&st->lock)
{
	unsigned long flags;

	INIT_LIST_HEAD(&o->served);
	INIT_LIST_HEAD(&o->ended);
	spin_lock_irqsave(&st->lock, flags);
	return flags;
}

static void unlock(struct isw_staging *st, struct outcome *o,
		   unsigned long flags)
	__releases(&st->lock)
{
	struct isw_io *io, *next;

	serve_waiters(st, &o->served);
	spin_unlock_irqrestore(&st->lock, flags);
	if (unlikely(!list_empty(&o->served)))
		isw_device_redrive(st->dev, &o->served);
	list_for_each_entry_safe(io, next, &o->ended, node)
		isw_io_staged_end(io);
}

/* The disk is through with @slot, or has no business with it any more. */
static void slot_over(struct isw_staging *st, struct isw_staged *slot,
		      bool failed, struct outcome *o)
{
	struct isw_staged *next = slot->follower;
	struct isw_io *waiter = slot->waiter;

	if (!hlist_unhashed(&slot->hash))
		hlist_del_init(&slot->hash);
	if (slot->leader)
		slot->leader->follower = NULL;
	slot->leader = NULL;
	slot->follower = NULL;
	slot->waiter = NULL;
	slot->state = ISW_STAGED_OVER;
	slot->failed = failed;
	if (next) {
		next->leader = NULL;
		next->state = ISW_STAGED_QUEUED;
		list_add_tail(&next->node, &st->queue);
		st->nr_queued++;
	}
	if (waiter) {
		if (failed)
			waiter->status = BLK_STS_IOERR;
		if (atomic_dec_and_test(&waiter->pending))
			list_add_tail(&waiter->node, &o->ended);
	}
	slot_put(st, slot);
}

static void queue_del(struct isw_staging *st, struct isw_staged *slot)
{
	list_del(&slot->node);
	st->nr_queued--;
}

/* ---- the request's side ------------------------------------------------- */

/*
 * Slots for all pages of @io, or a place in the line: then false, and the
 * request is driven again when it has them. While the device is being switched
 * off, nobody stands in line: true without io->reserved.
 */
bool isw_staging_reserve(struct isw_io *io)
{
	struct isw_staging *st = &io->dev->backup->staging;
	unsigned long flags;
	bool go_on = true;

	spin_lock_irqsave(&st->lock, flags);
	if (list_empty(&st->waiters) && io->count <= st->nr_free) {
		slots_give(st, io);
	} else if (!READ_ONCE(io->dev->dying)) {
		go_on = false;
		WRITE_ONCE(io->wait, ISW_WAIT_STAGING);
		list_add_tail(&io->node, &st->waiters);
		isw_stat_inc(st->dev->stats, staging_waits);
	}
	spin_unlock_irqrestore(&st->lock, flags);
	return go_on;
}

/* The copier's: slots for all pages of @io if nobody waits for them, or none. */
bool isw_staging_try(struct isw_io *io)
{
	struct isw_staging *st = &io->dev->backup->staging;
	unsigned long flags;
	bool got;

	spin_lock_irqsave(&st->lock, flags);
	got = list_empty(&st->waiters) && io->count <= st->nr_free;
	if (got)
		slots_give(st, io);
	spin_unlock_irqrestore(&st->lock, flags);
	return got;
}

/* Give back what was reserved and not published. */
void isw_staging_release(struct isw_io *io)
{
	struct isw_staging *st = &io->dev->backup->staging;
	struct isw_staged *slot, *next;
	struct outcome o;
	unsigned long flags;

	flags = lock(st, &o);
	list_for_each_entry_safe(slot, next, &io->staged, io_node) {
		list_del(&slot->io_node);
		slot_free(st, slot);
	}
	unlock(st, &o, flags);
	io->reserved = false;
}

/* Make @slot take the place of an older version of its page. */
static void supersede(struct isw_staging *st, struct isw_staged *slot,
		      struct outcome *o)
{
	struct isw_staged *old = find(st, slot->index), *leader = NULL;

	if (!old)
		return;
	if (old->state == ISW_STAGED_WRITING) {
		hlist_del_init(&old->hash);
		leader = old;
	} else {
		if (old->state == ISW_STAGED_QUEUED)
			queue_del(st, old);
		leader = old->leader;
		slot_over(st, old, false, o);
	}
	slot->leader = leader;
	if (leader)
		leader->follower = slot;
}

static u64 word_stage(atomic64_t *word, u32 crc)
{
	s64 old = atomic64_read(word);
	u64 new;

	do {
		new = isw_word_write_begin(old, crc) | ISW_WORD_STAGED;
	} while (!isw_word_try(word, &old, new));
	return isw_word_seq(new);
}

/* The same content again, for the disk lacks it; unless it is not needed. */
static u64 word_stage_again(atomic64_t *word)
{
	s64 old = atomic64_read(word);

	while (old & ISW_WORD_WRITTEN &&
	       !isw_word_try(word, &old, old | ISW_WORD_STAGED))
		;
	return isw_word_seq(old);
}

/*
 * The slots of @io, filled, are its pages' content from here on. The caller owns
 * BUSY on them. Word and hash change under one lock: who sees STAGED finds it.
 */
void isw_staging_publish(struct isw_io *io)
{
	struct isw_staging *st = &io->dev->backup->staging;
	struct isw_staged *slot;
	struct outcome o;
	unsigned long flags;
	u64 index = io->page;

	flags = lock(st, &o);
	list_for_each_entry(slot, &io->staged, io_node) {
		slot->index = index++;
		supersede(st, slot, &o);
		slot->seq = io->copying ?
			    word_stage_again(slot_word(st, slot)) :
			    word_stage(slot_word(st, slot), slot->crc);
		slot->refs = 2;		/* the disk's and the request's */
		slot->failed = false;
		hlist_add_head(&slot->hash, bucket(st, slot->index));
		if (slot->leader) {
			slot->state = ISW_STAGED_FOLLOWS;
			continue;
		}
		slot->state = ISW_STAGED_QUEUED;
		list_add_tail(&slot->node, &st->queue);
		st->nr_queued++;
	}
	unlock(st, &o, flags);
	isw_backup_staged(io->dev->backup);
}

/*
 * No work request of @io is under way any more. True: it is over, and io->status
 * says how. False: no donor has its pages, it ends with the disk.
 */
bool isw_staging_settle(struct isw_io *io, bool acked)
{
	struct isw_staging *st = &io->dev->backup->staging;
	struct isw_staged *slot, *next;
	struct outcome o;
	unsigned long flags;
	bool over;

	atomic_set(&io->pending, 1);
	flags = lock(st, &o);
	list_for_each_entry_safe(slot, next, &io->staged, io_node) {
		list_del(&slot->io_node);
		if (!acked && slot->state != ISW_STAGED_OVER) {
			slot->waiter = io;
			atomic_inc(&io->pending);
		} else if (!acked && slot->failed) {
			io->status = BLK_STS_IOERR;
		}
		slot_put(st, slot);
	}
	io->reserved = false;
	if (!acked)
		WRITE_ONCE(io->wait, ISW_WAIT_BACKUP);
	over = atomic_dec_and_test(&io->pending);
	unlock(st, &o, flags);
	/* @io may be gone */
	isw_backup_settled(st->dev->backup, !over);
	return over;
}

/* The staged copy of page @index, if it is of sequence @seq; to be put. */
struct isw_staged *isw_staging_get(struct isw_staging *st, u64 index, u64 seq)
{
	struct isw_staged *slot;
	unsigned long flags;

	spin_lock_irqsave(&st->lock, flags);
	slot = find(st, index);
	if (slot && slot->seq == seq)
		slot->refs++;
	else
		slot = NULL;
	spin_unlock_irqrestore(&st->lock, flags);
	return slot;
}

void isw_staging_put(struct isw_staging *st, struct isw_staged *slot)
{
	struct outcome o;
	unsigned long flags;

	flags = lock(st, &o);
	slot_put(st, slot);
	unlock(st, &o, flags);
}

/* Power-off: requests in line shall see that, for they would wait for ever. */
void isw_staging_kick(struct isw_staging *st)
{
	unsigned long flags;
	LIST_HEAD(ios);

	spin_lock_irqsave(&st->lock, flags);
	list_splice_init(&st->waiters, &ios);
	spin_unlock_irqrestore(&st->lock, flags);
	if (!list_empty(&ios))
		isw_device_redrive(st->dev, &ios);
}

/* ---- the disk's side ---------------------------------------------------- */

/* The oldest page that is to be written and those that follow it on the disk. */
u32 isw_staging_take(struct isw_staging *st, struct isw_staged **slots, u32 max)
{
	struct isw_staged *slot;
	struct outcome o;
	unsigned long flags;
	u32 n = 0, i;
	bool more;

	do {
		flags = lock(st, &o);
		for (i = 0; !n && i < SHED_AT_ONCE; i++) {
			slot = list_first_entry_or_null(&st->queue,
							struct isw_staged, node);
			if (!slot)
				break;
			queue_del(st, slot);
			if (slot_current(st, slot))
				slots[n++] = slot;
			else
				slot_over(st, slot, false, &o);
		}
		more = !n && !list_empty(&st->queue);
		while (n && n < max && (slot = find(st, slots[n - 1]->index + 1)) &&
		       slot->state == ISW_STAGED_QUEUED && slot_current(st, slot)) {
			queue_del(st, slot);
			slots[n++] = slot;
		}
		for (i = 0; i < n; i++)
			slots[i]->state = ISW_STAGED_WRITING;
		unlock(st, &o, flags);
	} while (more);
	return n;
}

static void word_on_disk(struct isw_staging *st, const struct isw_staged *slot)
{
	atomic64_t *word = slot_word(st, slot);
	s64 old = atomic64_read(word);

	while (!isw_word_try(word, &old, isw_word_on_disk(old, slot->seq)))
		;
}

static struct isw_slab *slot_slab(struct isw_staging *st,
				  const struct isw_staged *slot)
{
	return &st->dev->slabs[slot->index >>
			       (st->dev->slab_shift - ISW_PAGE_SHIFT)];
}

/* Legs of @m that stay: neither on their way off, nor wanted back by their donor. */
static unsigned int legs_kept(const struct isw_mapping *m)
{
	unsigned int legs = m->used & ~m->retiring, leg;

	for (leg = 0; leg < ISW_MAX_LEGS; leg++)
		if (READ_ONCE(m->leg[leg].evict_at))
			legs &= ~BIT(leg);
	return legs;
}

/*
 * The staged copy of @slot's page goes if a leg has the page and can be read, or
 * with @anyway if no leg has it. Legs are those of the mapping: in a word there may
 * still be the flag of one that was taken off; hence one RCU section for both.
 */
static bool word_shed(struct isw_staging *st, const struct isw_staged *slot,
		      bool anyway, bool *on_leg)
{
	atomic64_t *word = slot_word(st, slot);
	s64 old = atomic64_read(word);
	struct isw_mapping *m;
	bool shed;

	rcu_read_lock();
	m = rcu_dereference(slot_slab(st, slot)->mapping);
	do {
		unsigned int legs = m ? isw_word_legs(old) & legs_kept(m) : 0;

		*on_leg = legs & isw_legs_live(m);
		shed = isw_word_is(old, slot->seq) &&
		       (*on_leg || (anyway && !legs));
	} while (shed && !isw_word_try(word, &old, old & ~ISW_WORD_STAGED));
	rcu_read_unlock();
	return shed;
}

/*
 * The disk does not take @slot. It need not be kept if a donor has the page, or
 * if its request waits and can be failed. False: it is the only copy, keep it.
 */
static bool slot_shed(struct isw_staging *st, struct isw_staged *slot,
		      struct outcome *o)
{
	bool on_leg;

	if (!slot_current(st, slot)) {
		slot_over(st, slot, false, o);
		return true;
	}
	if (!word_shed(st, slot, slot->waiter, &on_leg))
		return false;	/* or freed just now: seen the next time */
	isw_slab_note_degraded(slot_slab(st, slot));
	slot_over(st, slot, !on_leg, o);
	return true;
}

void isw_staging_written(struct isw_staging *st, struct isw_staged *slot,
			 bool ok)
{
	struct outcome o;
	unsigned long flags;

	flags = lock(st, &o);
	/* with a follower it is another version's word, whatever its sequence */
	if (ok && !slot->follower)
		word_on_disk(st, slot);
	if (ok || slot->follower) {
		slot_over(st, slot, false, &o);
	} else if (!slot_shed(st, slot, &o)) {
		slot->state = ISW_STAGED_QUEUED;
		list_add_tail(&slot->node, &st->queue);
		st->nr_queued++;
	}
	unlock(st, &o, flags);
}

/* The disk has failed: of what waits for it, keep only copies without another. */
void isw_staging_shed(struct isw_staging *st)
{
	u32 left = READ_ONCE(st->nr_queued), i;
	struct isw_staged *slot;
	struct outcome o;
	unsigned long flags;

	while (left) {
		flags = lock(st, &o);
		for (i = 0; i < SHED_AT_ONCE && left; i++, left--) {
			slot = list_first_entry_or_null(&st->queue,
							struct isw_staged, node);
			if (!slot) {
				left = 0;
				break;
			}
			queue_del(st, slot);
			if (!slot_shed(st, slot, &o)) {
				list_add_tail(&slot->node, &st->queue);
				st->nr_queued++;
			}
		}
		unlock(st, &o, flags);
	}
}

/* ---- memory ------------------------------------------------------------- */

int isw_staging_alloc(struct isw_staging *st, struct isw_device *dev, u64 bytes)
{
	const gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;
	u32 i;

	st->dev = dev;
	spin_lock_init(&st->lock);
	INIT_LIST_HEAD(&st->free);
	INIT_LIST_HEAD(&st->queue);
	INIT_LIST_HEAD(&st->waiters);
	st->nr_slots = bytes >> ISW_PAGE_SHIFT;
	st->hash_mask = roundup_pow_of_two(st->nr_slots) - 1;
	/* not reclaim of all that there is, just to find that out */
	if (st->nr_slots > si_mem_available())
		return -ENOMEM;
	st->slots = kvcalloc(st->nr_slots, sizeof(*st->slots), gfp);
	st->hash = kvcalloc(st->hash_mask + 1, sizeof(*st->hash), gfp);
	if (!st->slots || !st->hash)
		goto err_free;
	for (i = 0; i < st->nr_slots; i++) {
		st->slots[i].page = alloc_page(gfp);
		if (!st->slots[i].page)
			goto err_free;
		slot_free(st, &st->slots[i]);
		if (!(i % 1024))
			cond_resched();
	}
	return 0;

err_free:
	isw_staging_free(st);
	return -ENOMEM;
}

void isw_staging_free(struct isw_staging *st)
{
	u32 i;

	for (i = 0; st->slots && i < st->nr_slots; i++)
		if (st->slots[i].page)
			__free_page(st->slots[i].page);
	kvfree(st->slots);
	kvfree(st->hash);
	st->slots = NULL;
	st->hash = NULL;
}
