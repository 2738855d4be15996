/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one file that knows that kernels differ. The sources are written for the
 * newest interface; here older kernels get it. Facts come from probe.sh, which
 * looks at the headers: versions lie, for distributions port changes back.
 */
#ifndef _ISW_COMPAT_H
#define _ISW_COMPAT_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/workqueue.h>

/* struct queue_limits at allocation: since 6.9, before that one setter each */
static inline struct gendisk *isw_alloc_disk(struct blk_mq_tag_set *set,
					     struct queue_limits *lim,
					     void *data)
{
#ifdef ISW_HAVE_LIM_ALLOC
	return blk_mq_alloc_disk(set, lim, data);
#else
	struct gendisk *disk = blk_mq_alloc_disk(set, data);
	struct request_queue *q;

	if (IS_ERR(disk))
		return disk;
	q = disk->queue;
	blk_queue_logical_block_size(q, lim->logical_block_size);
	blk_queue_physical_block_size(q, lim->physical_block_size);
	blk_queue_max_hw_sectors(q, lim->max_hw_sectors);
	blk_queue_max_segments(q, lim->max_segments);
	blk_queue_max_segment_size(q, lim->max_segment_size);
	blk_queue_chunk_sectors(q, lim->chunk_sectors);
	blk_queue_max_discard_sectors(q, lim->max_hw_discard_sectors);
	q->limits.discard_granularity = lim->discard_granularity;
	return disk;
#endif
}

/* Not rotating: without it the swap code uses no clusters. Default since 6.11 */
static inline void isw_disk_set_nonrot(struct gendisk *disk)
{
#ifndef ISW_HAVE_LIM_FEATURES
	blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
	blk_queue_flag_clear(QUEUE_FLAG_ADD_RANDOM, disk->queue);
#endif
}

/* Pages under write-back hold still; a flag of the queue until 6.11 */
static inline void isw_lim_set_stable(struct queue_limits *lim)
{
#ifdef ISW_HAVE_LIM_FEATURES
	lim->features |= BLK_FEAT_STABLE_WRITES;
#endif
}

static inline void isw_disk_set_stable(struct gendisk *disk)
{
#ifndef ISW_HAVE_LIM_FEATURES
	blk_queue_flag_set(QUEUE_FLAG_STABLE_WRITES, disk->queue);
#endif
}

/* Exclusively, for reading and writing; a file since 6.9. *@handle closes it. */
static inline struct block_device *isw_bdev_open(const char *path, void *holder,
						 void **handle)
{
#ifdef ISW_HAVE_BDEV_FILE
	struct file *file = bdev_file_open_by_path(path,
						   BLK_OPEN_READ | BLK_OPEN_WRITE,
						   holder, NULL);

	*handle = file;
	return IS_ERR(file) ? ERR_CAST(file) : file_bdev(file);
#else
	*handle = holder;
	return blkdev_get_by_path(path, FMODE_READ | FMODE_WRITE | FMODE_EXCL,
				  holder);
#endif
}

static inline void isw_bdev_close(struct block_device *bdev, void *handle)
{
#ifdef ISW_HAVE_BDEV_FILE
	bdev_fput(handle);
#else
	blkdev_put(bdev, FMODE_READ | FMODE_WRITE | FMODE_EXCL);
#endif
}

/* ->open() is given a disk since 6.5, before that a block device */
#ifdef ISW_HAVE_BLK_MODE_T
typedef struct gendisk isw_opened;
typedef blk_mode_t isw_open_mode;

static inline struct gendisk *isw_opened_disk(isw_opened *opened)
{
	return opened;
}
#else
typedef struct block_device isw_opened;
typedef fmode_t isw_open_mode;

static inline struct gendisk *isw_opened_disk(isw_opened *opened)
{
	return opened->bd_disk;
}
#endif

/* queue_rqs: struct rq_list since 6.13 (and in stable trees), else a pointer */
#ifdef ISW_HAVE_RQ_LIST
typedef struct rq_list isw_rq_list;
#else
typedef struct request *isw_rq_list;
#endif

/* The request_queue argument went away in 6.15 */
static inline int isw_rq_map_sg(struct request *rq, struct scatterlist *sg)
{
#ifdef ISW_HAVE_MAP_SG_Q
	return blk_rq_map_sg(rq->q, rq, sg);
#else
	return blk_rq_map_sg(rq, sg);
#endif
}

/* Merging had to be asked for until 6.14 */
#ifdef ISW_HAVE_F_SHOULD_MERGE
#define ISW_F_MERGE	BLK_MQ_F_SHOULD_MERGE
#else
#define ISW_F_MERGE	0
#endif

/* An I/O scheduler is of no use here; it could be forbidden until 6.14 */
#ifdef ISW_HAVE_F_NO_SCHED
#define ISW_F_NO_SCHED	BLK_MQ_F_NO_SCHED
#else
#define ISW_F_NO_SCHED	BLK_MQ_F_NO_SCHED_BY_DEFAULT
#endif

/* Last argument of init_request: int since 7.0 */
#ifdef ISW_HAVE_INIT_RQ_INT_NODE
typedef int isw_node_t;
#else
typedef unsigned int isw_node_t;
#endif

/* For what may run on any CPU: since 6.17 */
#ifndef ISW_HAVE_DFL_WQ
#define system_dfl_wq	system_unbound_wq
#endif

#endif /* _ISW_COMPAT_H */
