// SPDX-License-Identifier: GPL-2.0-only
/*
 * blk-mq: n hardware queues for writes and discards, n for reads, so that a
 * page fault never queues behind write-back. Hardware queue i of a direction
 * posts to queue pair i of that direction of whatever donor is concerned; its
 * depth bounds what can be posted, so a queue pair is never full.
 *
 * A request is started as soon as it arrives and stays started until its end;
 * if it has to wait, it is parked (slab.c). Requeueing it, or BLK_STS_RESOURCE,
 * would stop the requests behind it, which may be the ones it waits for.
 */
#include <linux/blk-mq.h>

#include "compat.h"
#include "device.h"
#include "io.h"
#include "queue.h"
#include "rdma.h"
#include "slab.h"

static blk_status_t queue_rq(struct blk_mq_hw_ctx *hctx,
			     const struct blk_mq_queue_data *bd)
{
	struct isw_batch batch = {};

	blk_mq_start_request(bd->rq);
	isw_io_start(blk_mq_rq_to_pdu(bd->rq), &batch);
	isw_batch_post(&batch);
	return BLK_STS_OK;
}

/* A whole plug at once: a chain for each queue pair. */
static void queue_rqs(isw_rq_list *list)
{
	struct isw_batch batch = {};
	struct request *rq;

	while ((rq = rq_list_pop(list))) {
		blk_mq_start_request(rq);
		isw_io_start(blk_mq_rq_to_pdu(rq), &batch);
	}
	isw_batch_post(&batch);
}

/*
 * The block layer's clock only tells that a request is old. It cannot be ended
 * while the transport may touch its pages: the watchdog (donor.c) sees to it
 * that it gets an end.
 */
static enum blk_eh_timer_return timeout_rq(struct request *rq)
{
	return BLK_EH_RESET_TIMER;
}

/*
 * A drain looks at every request there may be. Queues without a CPU lose theirs, and
 * an I/O scheduler, which kernels since 6.14 let nobody refuse, brings more.
 */
static int init_request(struct blk_mq_tag_set *set, struct request *rq,
			unsigned int hctx_idx, isw_node_t node)
{
	struct isw_device *dev = set->driver_data;

	isw_io_init(blk_mq_rq_to_pdu(rq), dev, hctx_idx % dev->cfg.queues);
	return 0;
}

static void exit_request(struct blk_mq_tag_set *set, struct request *rq,
			 unsigned int hctx_idx)
{
	isw_io_exit(blk_mq_rq_to_pdu(rq));
}

static void map_queues_of(struct blk_mq_tag_set *set, enum hctx_type type,
			  unsigned int n, unsigned int offset)
{
	struct blk_mq_queue_map *map = &set->map[type];

	map->nr_queues = n;
	map->queue_offset = offset;
	blk_mq_map_queues(map);
}

static void map_queues(struct blk_mq_tag_set *set)
{
	struct isw_device *dev = set->driver_data;
	unsigned int n = dev->cfg.queues;

	map_queues_of(set, HCTX_TYPE_DEFAULT, n, 0);
	map_queues_of(set, HCTX_TYPE_READ, n, n);
}

static const struct blk_mq_ops isw_mq_ops = {
	.queue_rq	= queue_rq,
	.queue_rqs	= queue_rqs,
	.complete	= isw_io_complete,
	.timeout	= timeout_rq,
	.init_request	= init_request,
	.exit_request	= exit_request,
	.map_queues	= map_queues,
};

int isw_tags_alloc(struct isw_device *dev)
{
	dev->tag_set = (struct blk_mq_tag_set) {
		.ops = &isw_mq_ops,
		.nr_hw_queues = 2 * dev->cfg.queues,
		.nr_maps = 2,
		.queue_depth = dev->cfg.queue_depth,
		.numa_node = NUMA_NO_NODE,
		.timeout = 30 * HZ,
		.cmd_size = sizeof(struct isw_io),
		.flags = ISW_F_MERGE | ISW_F_NO_SCHED,
		.driver_data = dev,
	};
	return blk_mq_alloc_tag_set(&dev->tag_set);
}

void isw_tags_free(struct isw_device *dev)
{
	if (dev->tag_set.tags)
		blk_mq_free_tag_set(&dev->tag_set);
}

/* ---- the disk ----------------------------------------------------------- */

static int disk_open(isw_opened *opened, isw_open_mode mode)
{
	struct isw_device *dev = isw_opened_disk(opened)->private_data;

	return dev->closing ? -ENXIO : 0;
}

/*
 * A swap slot was freed. Under the swap code's spinlocks, maybe a page table's
 * too: no sleeping, no locks, no messages.
 */
static void disk_slot_free(struct block_device *bdev, unsigned long index)
{
	struct isw_device *dev = bdev->bd_disk->private_data;

	if (index < isw_nr_pages(dev))
		isw_pages_discard(dev, index, 1);
}

static const struct block_device_operations isw_disk_ops = {
	.owner			= THIS_MODULE,
	.open			= disk_open,
	.swap_slot_free_notify	= disk_slot_free,
};

bool isw_disk_is_ours(const struct gendisk *disk)
{
	return disk->fops == &isw_disk_ops;
}

int isw_disk_add(struct isw_device *dev)
{
	struct queue_limits lim = {
		.logical_block_size	= ISW_PAGE_SIZE,
		.physical_block_size	= ISW_PAGE_SIZE,
		.max_hw_sectors		= ISW_MAX_REQUEST >> SECTOR_SHIFT,
		.max_segments		= dev->max_sge,
		/* what a bounce buffer takes, if the HCA needs one */
		.max_segment_size	= SZ_128K,
		/* a read or write concerns one slab, hence one mapping */
		.chunk_sectors		= dev->cfg.slab_size >> SECTOR_SHIFT,
		/* discards may cross slabs; this bounds the walk over words */
		.max_hw_discard_sectors	= SZ_64M >> SECTOR_SHIFT,
		.discard_granularity	= ISW_PAGE_SIZE,
	};
	/*
	 * What is checked must be what was sent, and two legs the same; staged
	 * copies do not change.
	 */
	bool stable = (dev->cfg.integrity || isw_legs_wanted(dev) > 1) &&
		      !dev->backup;
	struct gendisk *disk;
	int ret;

	BUILD_BUG_ON(PAGE_SIZE != ISW_PAGE_SIZE);
	/* one work request for as many staged pages, each a segment */
	if (dev->backup)
		lim.max_hw_sectors = dev->max_sge <<
				     (ISW_PAGE_SHIFT - SECTOR_SHIFT);
	if (stable)
		isw_lim_set_stable(&lim);
	disk = isw_alloc_disk(&dev->tag_set, &lim, dev);
	if (IS_ERR(disk))
		return PTR_ERR(disk);
	isw_disk_set_nonrot(disk);
	if (stable)
		isw_disk_set_stable(disk);
	strscpy(disk->disk_name, dev->name, sizeof(disk->disk_name));
	disk->flags |= GENHD_FL_NO_PART;
	disk->fops = &isw_disk_ops;
	disk->private_data = dev;
	set_capacity(disk, dev->cfg.size >> SECTOR_SHIFT);
	dev->closing = false;
	dev->disk = disk;
	ret = device_add_disk(NULL, disk, NULL);
	if (ret) {
		put_disk(disk);
		dev->disk = NULL;
	}
	return ret;
}

/* Refuse further opens; -EBUSY if it is open now (swapon, mount, a reader). */
int isw_disk_close(struct isw_device *dev)
{
	int ret = 0;

	mutex_lock(&dev->disk->open_mutex);
	if (disk_openers(dev->disk))
		ret = -EBUSY;
	else
		dev->closing = true;
	mutex_unlock(&dev->disk->open_mutex);
	return ret;
}

void isw_disk_remove(struct isw_device *dev)
{
	del_gendisk(dev->disk);
	put_disk(dev->disk);
	dev->disk = NULL;
}
