/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The slabs of a device: where each is mapped, who waits for it, and what is
 * known of its pages.
 */
#ifndef _ISW_SLAB_H
#define _ISW_SLAB_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <infiniswap/ewma.h>
#include <infiniswap/pagecheck.h>
#include <infiniswap/pageword.h>
#include <infiniswap/wire.h>

struct isw_device;
struct isw_donor;
struct isw_io;

/* A donor's memory lent for one slab. @donor NULL: nothing here. */
struct isw_grant {
	struct isw_donor *donor;
	struct isw_grant_id id;
	u64 addr;
	u32 rkey;
	bool resumed;			/* grant.c: listed by the new session */
	unsigned long evict_at;		/* evict.c: jiffies when it goes; 0: it stays */
	bool evict_old;			/* that is of an earlier session */
};

struct isw_slab;

struct isw_mapping {
	struct isw_slab *slab;
	u32 generation;
	bool frozen;			/* writes wait: it may be unmapped soon */
	u8 used;			/* leg slots in use, a bit each */
	u8 retiring;			/* of those: read, not written any more */
	struct isw_grant leg[ISW_MAX_LEGS];
};

struct isw_slab {
	/*
	 * Published under RCU; NULL: not mapped. The two @maps take turns: the
	 * one not published is free to be filled once it was drained.
	 */
	struct isw_mapping __rcu *mapping;
	struct isw_mapping maps[2];
	u32 index;
	u32 generation;
	u32 changed_at;			/* dev->lock: dev->drains when one was last replaced */
	u8 leftover;			/* dev->lock: legs that went and may stand in words */
	bool mark;			/* resume.c, dev->lock: its leg lives on */
	u8 dropped;			/* resume.c, dev->lock: legs taken off, a bit each */
	bool freed;			/* pages were discarded: it may be empty */
	bool degraded;			/* pages may lack copies: copier.c looks */
	bool apart;			/* the copier: some of its pages cannot be read */
	unsigned long disk_retry_at;	/* the copier: jiffies, no reads of the disk till then */
	bool touched;			/* read or written since idle.c looked */
	unsigned long empty_at;		/* idle.c, dev->lock: jiffies, 0: it is not */
	unsigned long cold_at;		/* the same, not touched */
	struct isw_ewma activity;	/* activity.c, dev->lock; read anywhere */
	u32 counted;			/* the same: what it has seen of the counts */

	spinlock_t lock;		/* parked, kicks */
	struct list_head parked;
	unsigned int kicks;
	struct list_head want;		/* dev->want_lock */
	unsigned long wanted_at;	/* jiffies, last asked for; read anywhere */
};

int isw_slabs_alloc(struct isw_device *dev);
void isw_slabs_free(struct isw_device *dev);
u32 isw_slabs_mapped(const struct isw_device *dev);

/*
 * dev->lock held: publish a copy of @next (NULL: unmap). The old mapping is in
 * use until isw_slabs_drain(), which must come before the next publish.
 */
void isw_slab_publish(struct isw_device *dev, struct isw_slab *slab,
		      const struct isw_mapping *next);
/* the same mapping without @legs, a bit each; without the last one: unmap */
void isw_slab_publish_without(struct isw_device *dev, struct isw_slab *slab,
			      unsigned int legs);
void isw_slabs_drain(struct isw_device *dev);
void isw_slab_clear_copies(struct isw_device *dev, struct isw_slab *slab,
			   unsigned int legs);
atomic64_t *isw_slab_words(struct isw_device *dev, const struct isw_slab *slab);
u64 isw_pages_count(struct isw_device *dev, int (*is)(u64 word));
u64 isw_pages_degraded(struct isw_device *dev);
bool isw_slab_held_by(struct isw_device *dev, struct isw_slab *slab,
		      unsigned int legs, unsigned int others);
bool isw_slab_empty(struct isw_device *dev, struct isw_slab *slab);
u64 isw_slab_words_count(struct isw_device *dev, struct isw_slab *slab,
			 int (*is)(u64 word));
bool isw_slab_words_all(struct isw_device *dev, struct isw_slab *slab,
			int (*is)(u64 word));
bool isw_slab_on_disk(struct isw_device *dev, struct isw_slab *slab);

/* I/O path, any context */
bool isw_slab_park(struct isw_slab *slab, struct isw_io *io, unsigned int kicks);
void isw_slab_kick(struct isw_device *dev, struct isw_slab *slab);
void isw_slab_want(struct isw_device *dev, struct isw_slab *slab);
void isw_pages_discard(struct isw_device *dev, u64 page, u64 count);

/* dev->lock held */
struct isw_mapping *isw_slab_mapping(struct isw_device *dev,
				     struct isw_slab *slab);
int isw_slab_leg_on(struct isw_device *dev, struct isw_slab *slab,
		    const struct isw_donor *donor);

/*
 * The only way in which a page word moves, but for isw_slab_clear_copies(): from
 * *@old to @next, unless it is another one now, which is put into *@old. The
 * model goes through all orders of steps that pass this check.
 */
static inline bool isw_word_try(atomic64_t *word, s64 *old, u64 next)
{
	if (!atomic64_try_cmpxchg(word, old, next))
		return false;
	WARN_ON_ONCE(!isw_word_follows(*old, next));
	return true;
}

/*
 * After the words say so: pages of @slab may lack copies. Pairs with the barrier
 * of the copier, which clears the hint before it reads the words.
 */
static inline void isw_slab_note_degraded(struct isw_slab *slab)
{
	smp_mb();	/* the copier's clears, then reads */
	if (!READ_ONCE(slab->degraded))
		WRITE_ONCE(slab->degraded, true);
}

static inline unsigned int isw_slab_kicks(const struct isw_slab *slab)
{
	/* pairs with the lock in isw_slab_kick(): conditions are read after */
	return smp_load_acquire(&slab->kicks);
}

#endif /* _ISW_SLAB_H */
