/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Staging: copies of pages on their way to the backup disk, in memory that was
 * allocated at power-on. Donors and disk are both written from the staged copy,
 * so they hold the same bytes whatever the owner of the page does meanwhile.
 */
#ifndef _ISW_STAGING_H
#define _ISW_STAGING_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct isw_device;
struct isw_io;

enum isw_staged_state {
	ISW_STAGED_FREE,		/* or reserved by a request */
	ISW_STAGED_FOLLOWS,		/* an older version is being written */
	ISW_STAGED_QUEUED,		/* to be written */
	ISW_STAGED_WRITING,
	ISW_STAGED_OVER,		/* the disk is through with it */
};

/* One staged page. All under staging->lock, but for io_node. */
struct isw_staged {
	struct list_head node;		/* free or queue */
	struct list_head io_node;	/* io->staged, its request's own */
	struct hlist_node hash;		/* while it is the newest of its page */
	struct isw_staged *leader;	/* the older version, being written */
	struct isw_staged *follower;	/* the newer one, to be written next */
	struct isw_io *waiter;		/* request that ends with the disk */
	struct page *page;
	u64 index;			/* page of the device */
	u64 seq;			/* of the page word */
	u32 crc;
	u32 refs;			/* disk, request, readers */
	u8 state;			/* enum isw_staged_state */
	bool failed;			/* OVER without being on the disk */
};

struct isw_staging {
	struct isw_device *dev;
	spinlock_t lock;		/* everything, and slots but io_node */
	struct isw_staged *slots;
	u32 nr_slots;
	u32 nr_free;
	u32 nr_queued;
	u32 hash_mask;
	struct hlist_head *hash;
	struct list_head free;
	struct list_head queue;		/* oldest first */
	struct list_head waiters;	/* requests without room, oldest first */
};

/* process context, may sleep */
int isw_staging_alloc(struct isw_staging *st, struct isw_device *dev, u64 bytes);
void isw_staging_free(struct isw_staging *st);

/* the request's side: any context */
bool isw_staging_reserve(struct isw_io *io);
bool isw_staging_try(struct isw_io *io);
void isw_staging_release(struct isw_io *io);
void isw_staging_publish(struct isw_io *io);
bool isw_staging_settle(struct isw_io *io, bool acked);
struct isw_staged *isw_staging_get(struct isw_staging *st, u64 index, u64 seq);
void isw_staging_put(struct isw_staging *st, struct isw_staged *slot);
void isw_staging_kick(struct isw_staging *st);

/* the disk's side: any context */
u32 isw_staging_take(struct isw_staging *st, struct isw_staged **slots, u32 max);
void isw_staging_written(struct isw_staging *st, struct isw_staged *slot, bool ok);
void isw_staging_shed(struct isw_staging *st);

/* Room for what is not urgent: half of it is kept for writes. */
static inline bool isw_staging_spare(const struct isw_staging *st)
{
	return READ_ONCE(st->nr_free) > st->nr_slots / 2;
}

static inline u32 isw_staging_used(const struct isw_staging *st)
{
	return st->nr_slots - READ_ONCE(st->nr_free);
}

#endif /* _ISW_STAGING_H */
