/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One swap device: what it is made of and how it is switched on and off. All
 * memory that its I/O path ever needs is allocated at power-on.
 */
#ifndef _ISW_DEVICE_H
#define _ISW_DEVICE_H

#include <linux/blk-mq.h>
#include <linux/configfs.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <infiniswap/slabmap.h>
#include <infiniswap/wire.h>

#include "slab.h"
#include "stats.h"

#define ISW_MAX_SEGMENTS	16
#define ISW_MAX_REQUEST		SZ_1M
#define ISW_READY_MAX		17
#define ISW_TICK		msecs_to_jiffies(50)

enum isw_redundancy {
	ISW_REDUNDANCY_UNSET,
	ISW_REDUNDANCY_NONE,
	ISW_REDUNDANCY_BACKUP,
	ISW_REDUNDANCY_MIRROR,
};

#define ISW_PATH_MAX		256

/* What configfs sets. The first group is fixed while the device is powered. */
struct isw_config {
	u64 size;			/* bytes */
	u64 slab_size;			/* bytes */
	enum isw_redundancy redundancy;
	unsigned int queues;		/* hardware queues per direction */
	unsigned int queue_depth;	/* requests per hardware queue */
	unsigned int max_sessions;
	char backup[ISW_PATH_MAX];	/* path of a block device, or "" */
	u64 staging;			/* bytes; 0: the default */
	bool integrity;			/* a CRC of each page is checked */

	unsigned int spares;		/* connected donors without a slab */
	unsigned int ready_grants;
	unsigned int stall_ms;
	unsigned int donor_loss_timeout; /* seconds */
	unsigned int slab_idle_timeout;	/* seconds */
	unsigned int slab_cold_timeout;	/* seconds; 0: never */
	unsigned int hot_slab;		/* pages per second; 0: all are hot */
	u64 copy_rate;			/* bytes per second; 0: no limit */
};

struct isw_device {
	char name[DISK_NAME_LEN];
	struct isw_config cfg;

	/* I/O path: constant while powered */
	unsigned int slab_shift;
	u32 nr_slabs;
	struct isw_slab *slabs;
	atomic64_t *words;		/* one per page, see pageword.h */
	struct isw_stats __percpu *stats;
	u32 *activity;			/* pages in or out, a row for each queue */
	size_t activity_row;		/* entries, one for each slab and padding */
	struct isw_backup *backup;	/* NULL: without */
	struct isw_copier *copier;
	bool dying;			/* park no more: fail */

	struct blk_mq_tag_set tag_set;
	struct gendisk *disk;
	spinlock_t ios_lock;		/* ios */
	struct list_head ios;		/* every request's PDU, and the copier's */
	wait_queue_head_t drain_wait;	/* a PDU let go of its mapping */
	atomic_t drainers;
	u32 drains;			/* lock: so many are over, from 1 on */

	/* requests to drive again */
	spinlock_t redrive_lock;	/* redrive */
	struct list_head redrive;
	struct work_struct redrive_work;

	/* slabs that wait for a mapping (or for DMA addresses) */
	spinlock_t want_lock;		/* want, serving, and every slab's */
	struct list_head want;
	struct list_head serving;	/* of those: map_work is at them */

	struct delayed_work tick_work;	/* stalls, heartbeats, deadlines */
	struct delayed_work map_work;	/* connections, grants, mappings */
	struct delayed_work evict_work;	/* grants that donors want back */
	bool stopping;			/* none of these works is queued again */

	struct mutex lock;		/* donors, ready, every mapping */
	struct list_head donors;
	struct isw_grant ready[ISW_READY_MAX];
	unsigned int nr_ready;
	bool ready_suffice;		/* for all legs of a slab */
	wait_queue_head_t ready_wait;	/* for power-on */
	struct isw_draw *draw;		/* scratch of the placement */
	struct isw_evict *evict;	/* scratch of evict.c */
	bool evict_waits;		/* it waits for the lock, and time runs */
	unsigned long redraw_at;	/* jiffies: when a spare is exchanged */
	u32 idle_next;			/* where idle.c goes on looking */
	unsigned long activity_at;	/* jiffies: up to when it is summed up */

	spinlock_t active_lock;		/* changes of active */
	struct isw_donor **active;	/* [max_sessions], donors with a session */

	struct mutex hca_lock;		/* hcas, their users, max_sge */
	struct list_head hcas;
	unsigned int max_sge;		/* the least of all HCAs' limits */
	bool sge_fixed;			/* the disk was added with it */

	struct mutex power_lock;	/* powered, fixed settings, donors come and go */
	bool powered;
	bool closing;			/* disk->open_mutex: no more opens */
	struct list_head node;		/* isw_devices, while powered */
	struct config_group group;
	struct config_group donors_group;
	struct mutex uevent_lock;	/* shown */
	bool shown;			/* the disk may have uevents */
	struct isw_kobj *kobj;		/* sysfs: infiniswap/ */
	struct isw_kobj *donors_kobj;	/* sysfs: infiniswap/donors/ */
	struct dentry *debugfs;
};

/*
 * io_wq: fail-over and requests driven again, waits for grace periods and flushed
 * work requests.
 * map_wq: waits for answers of live donors.
 * conn_wq: connects; may wait for anything, so nothing that I/O needs waits for it.
 * copy_wq (copier.c): as map_wq, and for its own reads and writes.
 */
extern struct workqueue_struct *isw_io_wq, *isw_map_wq, *isw_conn_wq;

static inline u64 isw_nr_pages(const struct isw_device *dev)
{
	return dev->cfg.size >> ISW_PAGE_SHIFT;
}

/* Legs that a slab should have. */
static inline unsigned int isw_legs_wanted(const struct isw_device *dev)
{
	return dev->cfg.redundancy == ISW_REDUNDANCY_MIRROR ? 2 : 1;
}

/*
 * Grants to be held ready: ready_grants slabs can be bound at once. There is room
 * for one more, of another donor, should all be of one.
 */
static inline unsigned int isw_ready_wanted(const struct isw_device *dev)
{
	return min_t(unsigned int, ISW_READY_MAX - 1,
		     READ_ONCE(dev->cfg.ready_grants) * isw_legs_wanted(dev));
}

static inline unsigned long isw_stall_jiffies(const struct isw_device *dev)
{
	return msecs_to_jiffies(READ_ONCE(dev->cfg.stall_ms));
}

struct ib_device;
struct isw_donor;

struct isw_device *isw_device_create(const char *name);
void isw_device_free(struct isw_device *dev);
int isw_device_power_on(struct isw_device *dev);
int isw_device_power_off(struct isw_device *dev);
void isw_devices_add_hca(struct ib_device *ibdev);
void isw_devices_remove_hca(struct ib_device *ibdev);
int isw_devices_check_sleep(bool hibernation);
void isw_devices_wake(void);
int isw_device_forget_donor(struct isw_device *dev, struct isw_donor *donor);
void isw_device_redrive(struct isw_device *dev, struct list_head *ios);

#define isw_err(dev, fmt, ...)	pr_err("%s: " fmt, (dev)->name, ##__VA_ARGS__)
#define isw_info(dev, fmt, ...)	pr_info("%s: " fmt, (dev)->name, ##__VA_ARGS__)

#endif /* _ISW_DEVICE_H */
