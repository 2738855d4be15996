/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The backup disk: a block device of the client's own that gets a copy of every
 * page (paper 4.1), written behind, read when no donor has the page.
 */
#ifndef _ISW_BACKUP_H
#define _ISW_BACKUP_H

#include <linux/bio.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "staging.h"

#define ISW_BACKUP_WRITES	16	/* bios under way at most */
#define ISW_BACKUP_PAGES	64	/* in one of them */

struct isw_backup_write {
	struct list_head node;		/* backup->idle */
	struct isw_backup *backup;
	struct bio bio;
	struct bio_vec vec[ISW_BACKUP_PAGES];
	struct isw_staged *slots[ISW_BACKUP_PAGES];
	u32 count;
};

struct isw_backup {
	struct isw_device *dev;
	struct isw_staging staging;
	struct block_device *bdev;
	void *handle;			/* what closes it: compat.h */
	struct delayed_work work;	/* backup_wq: submits all bios */
	spinlock_t lock;		/* reads, idle, nr_idle */
	struct list_head reads;		/* requests to be read from the disk */
	struct list_head idle;
	u32 nr_idle;
	wait_queue_head_t idle_wait;	/* all are idle */
	bool stopping;
	bool failed;			/* the last write did */
	unsigned long retry_at;		/* jiffies, while failed */
	struct isw_backup_write *writes;
};

extern struct workqueue_struct *isw_backup_wq;

/* process context, dev->power_lock held; reasons for a refusal are logged */
int isw_backup_open(struct isw_device *dev);
void isw_backup_close(struct isw_device *dev);

/* any context */
void isw_backup_kick(struct isw_backup *b);
void isw_backup_staged(struct isw_backup *b);
void isw_backup_settled(struct isw_backup *b, bool waits);
void isw_backup_read(struct isw_io *io);

/* Would it make sense to stage pages that the disk lacks? */
static inline bool isw_backup_takes(const struct isw_backup *b)
{
	return !READ_ONCE(b->failed) ||
	       time_after_eq(jiffies, READ_ONCE(b->retry_at));
}

static inline const char *isw_backup_state(const struct isw_backup *b)
{
	if (!b)
		return "none";
	return READ_ONCE(b->failed) ? "failed" : "up";
}

#endif /* _ISW_BACKUP_H */
