// SPDX-License-Identifier: GPL-2.0-only
/*
 * The backup disk. One work item submits all its I/O: what calls here may hold
 * interrupts off, and submitting may sleep. Everything it submits was allocated
 * at power-on.
 *
 * After a write error the disk counts as failed: one write a second tries again,
 * and meanwhile only pages that no donor has are kept for it.
 */
#include <linux/blkdev.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "backup.h"
#include "compat.h"
#include "device.h"
#include "io.h"
#include "queue.h"

#define RETRY_PERIOD	HZ
#define GATHER		32	/* staged pages that it is worth waking the work for */
#define STAGING_MIN	SZ_1M
#define STAGING_DEFAULT	((u64)SZ_64M)

void isw_backup_kick(struct isw_backup *b)
{
	if (!READ_ONCE(b->stopping))
		mod_delayed_work(isw_backup_wq, &b->work, 0);
}

/*
 * There may be something to write, and nobody waits for it. To wake the work is to
 * switch to it and back, which costs more than all else that is done for a page. So
 * it is done for several together; a few wait for a tick or two.
 */
void isw_backup_staged(struct isw_backup *b)
{
	u32 queued = READ_ONCE(b->staging.nr_queued);

	/* if no bio is idle, the one that ends next goes on */
	if (READ_ONCE(b->failed) || (queued >= GATHER && READ_ONCE(b->nr_idle)))
		isw_backup_kick(b);
	else if (queued && !READ_ONCE(b->stopping))
		queue_delayed_work(isw_backup_wq, &b->work, 1);
}

/*
 * Legs are through with some staged pages: they may be shed now, or a request waits
 * for the disk.
 */
void isw_backup_settled(struct isw_backup *b, bool waits)
{
	if (unlikely(waits || READ_ONCE(b->failed)))
		isw_backup_kick(b);
}

/* ---- reads -------------------------------------------------------------- */

static void read_end(struct bio *bio)
{
	struct isw_io *io = bio->bi_private;
	LIST_HEAD(one);

	io->disk_status = bio->bi_status;
	bio_uninit(bio);
	if (unlikely(io->disk_status))
		isw_stat_inc(io->dev->stats, backup_errors);
	list_add(&io->node, &one);
	isw_device_redrive(io->dev, &one);
}

/* The run [cursor, cursor + run) of @io's pages. */
static void read_submit(struct isw_backup *b, struct isw_io *io)
{
	u32 skip = io->cursor << ISW_PAGE_SHIFT, len = io->run << ISW_PAGE_SHIFT;
	struct bio *bio = &io->bio;
	struct scatterlist *sg;
	int i;

	bio_init(bio, b->bdev, io->vec, ISW_MAX_SEGMENTS, REQ_OP_READ);
	bio->bi_iter.bi_sector = (io->page + io->cursor) <<
				 (ISW_PAGE_SHIFT - SECTOR_SHIFT);
	bio->bi_private = io;
	bio->bi_end_io = read_end;
	for_each_sg(io->sg, sg, io->nents, i) {
		u32 take;

		if (skip >= sg->length) {
			skip -= sg->length;
			continue;
		}
		take = min(sg->length - skip, len);
		__bio_add_page(bio, sg_page(sg), take, sg->offset + skip);
		skip = 0;
		len -= take;
		if (!len)
			break;
	}
	submit_bio(bio);
}

/* Read @io's run; it is driven again with io->disk_status set. */
void isw_backup_read(struct isw_io *io)
{
	struct isw_backup *b = io->dev->backup;
	unsigned long flags;

	spin_lock_irqsave(&b->lock, flags);
	list_add_tail(&io->node, &b->reads);
	spin_unlock_irqrestore(&b->lock, flags);
	isw_backup_kick(b);
}

static void reads_submit(struct isw_backup *b)
{
	struct isw_io *io;

	for (;;) {
		spin_lock_irq(&b->lock);
		io = list_first_entry_or_null(&b->reads, struct isw_io, node);
		if (io)
			list_del(&io->node);
		spin_unlock_irq(&b->lock);
		if (!io)
			return;
		read_submit(b, io);
	}
}

/* ---- writes ------------------------------------------------------------- */

static struct isw_backup_write *write_get(struct isw_backup *b)
{
	struct isw_backup_write *w;

	spin_lock_irq(&b->lock);
	w = list_first_entry_or_null(&b->idle, struct isw_backup_write, node);
	if (w) {
		list_del(&w->node);
		b->nr_idle--;
	}
	spin_unlock_irq(&b->lock);
	return w;
}

static void write_put(struct isw_backup *b, struct isw_backup_write *w)
{
	list_add(&w->node, &b->idle);
	if (++b->nr_idle == ISW_BACKUP_WRITES)
		wake_up_all(&b->idle_wait);
}

static void note_failed(struct isw_backup *b, blk_status_t status)
{
	isw_stat_inc(b->dev->stats, backup_errors);
	WRITE_ONCE(b->retry_at, jiffies + RETRY_PERIOD);
	if (!xchg(&b->failed, true))
		pr_err_ratelimited("%s: backup: write failed (%d); pages that no donor has are kept and tried again\n",
				   b->dev->name, blk_status_to_errno(status));
}

static void note_up(struct isw_backup *b)
{
	if (likely(!READ_ONCE(b->failed)) || !xchg(&b->failed, false))
		return;
	pr_info_ratelimited("%s: backup: writes succeed again\n", b->dev->name);
	isw_backup_kick(b);	/* rather than at the next try */
}

static void write_end(struct bio *bio)
{
	struct isw_backup_write *w = bio->bi_private;
	struct isw_backup *b = w->backup;
	blk_status_t status = bio->bi_status;
	unsigned long flags;
	u32 i;

	bio_uninit(bio);
	if (unlikely(status))
		note_failed(b, status);
	else
		note_up(b);
	if (!status)
		isw_stat_add(b->dev->stats, pages_out_backup, w->count);
	for (i = 0; i < w->count; i++)
		isw_staging_written(&b->staging, w->slots[i], !status);
	spin_lock_irqsave(&b->lock, flags);
	write_put(b, w);
	/* under the lock: without it, @b may be freed as soon as all are idle */
	if (b->nr_idle == 1)
		isw_backup_kick(b);	/* the work may have found none */
	else
		isw_backup_staged(b);
	spin_unlock_irqrestore(&b->lock, flags);
}

static void write_submit(struct isw_backup_write *w)
{
	struct bio *bio = &w->bio;
	u32 i;

	bio_init(bio, w->backup->bdev, w->vec, ISW_BACKUP_PAGES, REQ_OP_WRITE);
	bio->bi_iter.bi_sector = w->slots[0]->index <<
				 (ISW_PAGE_SHIFT - SECTOR_SHIFT);
	bio->bi_private = w;
	bio->bi_end_io = write_end;
	for (i = 0; i < w->count; i++)
		__bio_add_page(bio, w->slots[i]->page, ISW_PAGE_SIZE, 0);
	submit_bio(bio);
}

/* One run of adjacent pages. False: nothing to write, or enough under way. */
static bool write_next(struct isw_backup *b)
{
	struct isw_backup_write *w = write_get(b);

	if (!w)
		return false;
	w->count = isw_staging_take(&b->staging, w->slots, ISW_BACKUP_PAGES);
	if (!w->count) {
		spin_lock_irq(&b->lock);
		write_put(b, w);
		spin_unlock_irq(&b->lock);
		return false;
	}
	write_submit(w);
	return true;
}

static void backup_work(struct work_struct *work)
{
	struct isw_backup *b = container_of(to_delayed_work(work),
					    struct isw_backup, work);
	unsigned int noio = memalloc_noio_save();
	struct blk_plug plug;

	blk_start_plug(&plug);
	reads_submit(b);
	if (!READ_ONCE(b->failed)) {
		while (!READ_ONCE(b->stopping) && write_next(b))
			reads_submit(b);
	} else if (!READ_ONCE(b->stopping)) {
		/* first, or there would be nothing left to try it with */
		if (time_after_eq(jiffies, READ_ONCE(b->retry_at)) &&
		    write_next(b))
			WRITE_ONCE(b->retry_at, jiffies + RETRY_PERIOD);
		isw_staging_shed(&b->staging);
		queue_delayed_work(isw_backup_wq, &b->work, RETRY_PERIOD);
	}
	blk_finish_plug(&plug);
	memalloc_noio_restore(noio);
}

/* ---- opening ------------------------------------------------------------ */

static const char *open_error(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENXIO:
		return "no such device";
	case -ENOTBLK:
		return "not a block device";
	case -EBUSY:
		return "in use";
	case -EACCES:
	case -EROFS:
		return "read-only";
	default:
		return "cannot be opened";
	}
}

static int disk_check(struct isw_device *dev, struct block_device *bdev)
{
	const char *path = dev->cfg.backup;

	if (isw_disk_is_ours(bdev->bd_disk)) {
		isw_err(dev, "backup: %s: is an Infiniswap device itself\n",
			path);
		return -EINVAL;
	}
	if (bdev_logical_block_size(bdev) > ISW_PAGE_SIZE) {
		isw_err(dev, "backup: %s: has blocks of %u bytes, more than %u\n",
			path, bdev_logical_block_size(bdev), ISW_PAGE_SIZE);
		return -EINVAL;
	}
	if (bdev_nr_bytes(bdev) < dev->cfg.size) {
		isw_err(dev, "backup: %s: has %llu bytes, fewer than size %llu\n",
			path, (u64)bdev_nr_bytes(bdev), dev->cfg.size);
		return -ENOSPC;
	}
	return 0;
}

static int disk_open(struct isw_device *dev, struct isw_backup *b)
{
	int ret;

	b->bdev = isw_bdev_open(dev->cfg.backup, b, &b->handle);
	if (IS_ERR(b->bdev)) {
		ret = PTR_ERR(b->bdev);
		isw_err(dev, "backup: %s: %s (%d)\n", dev->cfg.backup,
			open_error(ret), ret);
		return ret;
	}
	ret = disk_check(dev, b->bdev);
	if (ret)
		isw_bdev_close(b->bdev, b->handle);
	return ret;
}

/* The smaller of 64 MiB and 1/32 of this machine's memory, unless it is set. */
static u64 staging_bytes(const struct isw_device *dev)
{
	u64 bytes = dev->cfg.staging;

	if (!bytes)
		bytes = min(STAGING_DEFAULT,
			    (u64)totalram_pages() << PAGE_SHIFT >> 5);
	return max(bytes & ~(u64)(ISW_PAGE_SIZE - 1), (u64)STAGING_MIN);
}

int isw_backup_open(struct isw_device *dev)
{
	struct isw_backup *b = kzalloc(sizeof(*b), GFP_KERNEL);
	u64 bytes = staging_bytes(dev);
	int ret = -ENOMEM, i;

	if (!b)
		return ret;
	b->dev = dev;
	INIT_DELAYED_WORK(&b->work, backup_work);
	spin_lock_init(&b->lock);
	INIT_LIST_HEAD(&b->reads);
	INIT_LIST_HEAD(&b->idle);
	init_waitqueue_head(&b->idle_wait);
	b->writes = kvcalloc(ISW_BACKUP_WRITES, sizeof(*b->writes), GFP_KERNEL);
	if (b->writes)
		ret = isw_staging_alloc(&b->staging, dev, bytes);
	if (ret) {
		isw_err(dev, "power: 1: no memory for %llu bytes of staging\n",
			bytes);
		goto err_free;
	}
	for (i = 0; i < ISW_BACKUP_WRITES; i++) {
		b->writes[i].backup = b;
		list_add(&b->writes[i].node, &b->idle);
	}
	b->nr_idle = ISW_BACKUP_WRITES;
	ret = disk_open(dev, b);
	if (ret)
		goto err_staging;
	dev->backup = b;
	return 0;

err_staging:
	isw_staging_free(&b->staging);
err_free:
	kvfree(b->writes);
	kfree(b);
	return ret;
}

/* No request is left; what is still staged is of no use to anybody. */
void isw_backup_close(struct isw_device *dev)
{
	struct isw_backup *b = dev->backup;

	if (!b)
		return;
	WRITE_ONCE(b->stopping, true);
	cancel_delayed_work_sync(&b->work);
	spin_lock_irq(&b->lock);
	wait_event_lock_irq(b->idle_wait, b->nr_idle == ISW_BACKUP_WRITES,
			    b->lock);
	spin_unlock_irq(&b->lock);
	/* a kick that saw it running */
	cancel_delayed_work_sync(&b->work);
	isw_bdev_close(b->bdev, b->handle);
	dev->backup = NULL;
	isw_staging_free(&b->staging);
	kvfree(b->writes);
	kfree(b);
}
