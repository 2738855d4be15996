// SPDX-License-Identifier: GPL-2.0-only
/*
 * A swap device from power-on to power-off: allocate all it will need, find
 * donors, show the disk; and all of it backwards.
 */
#include <linux/random.h>
#include <linux/slab.h>

#include "backup.h"
#include "copier.h"
#include "debugfs.h"
#include "device.h"
#include "donor.h"
#include "evict.h"
#include "grant.h"
#include "io.h"
#include "map.h"
#include "queue.h"
#include "rdma.h"
#include "sysfs.h"

#define FIRST_GRANT_TIMEOUT	(10 * HZ)

static LIST_HEAD(isw_devices);
static DEFINE_MUTEX(isw_devices_lock);
static unsigned int least_sge = ISW_MAX_SEGMENTS;	/* of all HCAs so far */

/* ---- requests driven again ---------------------------------------------- */

/* Drive parked requests again, from a worker: the caller may hold locks. */
void isw_device_redrive(struct isw_device *dev, struct list_head *ios)
{
	unsigned long flags;

	spin_lock_irqsave(&dev->redrive_lock, flags);
	list_splice_tail(ios, &dev->redrive);
	/* before they can end, and with them what keeps the device */
	queue_work(isw_io_wq, &dev->redrive_work);
	spin_unlock_irqrestore(&dev->redrive_lock, flags);
}

static struct isw_io *redrive_pop(struct isw_device *dev)
{
	struct isw_io *io;
	unsigned long flags;

	spin_lock_irqsave(&dev->redrive_lock, flags);
	io = list_first_entry_or_null(&dev->redrive, struct isw_io, node);
	if (io)
		list_del(&io->node);
	spin_unlock_irqrestore(&dev->redrive_lock, flags);
	return io;
}

static void redrive_work(struct work_struct *work)
{
	struct isw_device *dev = container_of(work, struct isw_device,
					      redrive_work);
	struct isw_batch batch = {};
	struct isw_io *io;

	while ((io = redrive_pop(dev))) {
		rcu_read_lock();
		isw_io_drive(io, &batch);
		isw_batch_post(&batch);
		rcu_read_unlock();
	}
}

/* ---- creation ----------------------------------------------------------- */

struct isw_device *isw_device_create(const char *name)
{
	struct isw_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return NULL;
	strscpy(dev->name, name, sizeof(dev->name));
	dev->cfg = (struct isw_config) {
		.slab_size = SZ_64M,
		.queues = min(num_online_cpus(), (unsigned int)ISW_MAX_QUEUES),
		.queue_depth = 40,	/* a plug has 32, and must not take all */
		.max_sessions = 16,
		.integrity = true,
		.spares = 4,
		.ready_grants = 2,
		.stall_ms = 5000,
		.copy_rate = 4ull << 30,
		.donor_loss_timeout = 30,
		.slab_idle_timeout = 5,
	};
	dev->stopping = true;
	init_waitqueue_head(&dev->drain_wait);
	dev->drains = 1;
	init_waitqueue_head(&dev->ready_wait);
	spin_lock_init(&dev->ios_lock);
	spin_lock_init(&dev->redrive_lock);
	spin_lock_init(&dev->want_lock);
	spin_lock_init(&dev->active_lock);
	mutex_init(&dev->lock);
	mutex_init(&dev->hca_lock);
	mutex_init(&dev->uevent_lock);
	mutex_init(&dev->power_lock);
	INIT_LIST_HEAD(&dev->ios);
	INIT_LIST_HEAD(&dev->redrive);
	INIT_LIST_HEAD(&dev->want);
	INIT_LIST_HEAD(&dev->serving);
	INIT_LIST_HEAD(&dev->donors);
	INIT_LIST_HEAD(&dev->hcas);
	INIT_WORK(&dev->redrive_work, redrive_work);
	INIT_DELAYED_WORK(&dev->tick_work, isw_map_tick);
	INIT_DELAYED_WORK(&dev->map_work, isw_map_work);
	INIT_DELAYED_WORK(&dev->evict_work, isw_evict_work);
	return dev;
}

void isw_device_free(struct isw_device *dev)
{
	kfree(dev);
}

/* ---- power-on ----------------------------------------------------------- */

/*
 * There is a donor; for a mirror, there are two that do not fail together. None is
 * listed twice.
 */
static int config_check_donors(struct isw_device *dev)
{
	struct isw_donor *donor, *first = NULL;

	list_for_each_entry(donor, &dev->donors, node) {
		const struct isw_donor *same = isw_donor_at(dev, &donor->addr);

		if (same != donor && donor->addr.ss_family) {
			isw_err(dev, "power: 1: donors %s and %s have the same address\n",
				same->name, donor->name);
			return -EINVAL;
		}
	}
	list_for_each_entry(donor, &dev->donors, node) {
		if (!donor->addr.ss_family || donor->drain)
			continue;
		if (isw_legs_wanted(dev) < 2)
			return 0;
		if (first && !isw_donors_share(first, donor))
			return 0;
		if (!first)
			first = donor;
	}
	if (!first) {
		isw_err(dev, "power: 1: no donor has an address, or all are to be drained\n");
		return -EDESTADDRREQ;
	}
	isw_err(dev, "power: 1: redundancy is mirror and there is no second donor of another domain than %s's\n",
		first->name);
	return -EDESTADDRREQ;
}

static int config_check(struct isw_device *dev)
{
	const struct isw_config *cfg = &dev->cfg;

	if (cfg->redundancy == ISW_REDUNDANCY_UNSET) {
		isw_err(dev, "power: 1: redundancy is unset\n");
		return -EINVAL;
	}
	if (!cfg->size) {
		isw_err(dev, "power: 1: size is unset\n");
		return -EINVAL;
	}
	if (cfg->redundancy == ISW_REDUNDANCY_BACKUP && !*cfg->backup) {
		isw_err(dev, "power: 1: redundancy is backup and backup is unset\n");
		return -EINVAL;
	}
	if (cfg->redundancy == ISW_REDUNDANCY_NONE && *cfg->backup) {
		isw_err(dev, "power: 1: redundancy is none and backup is %s\n",
			cfg->backup);
		return -EINVAL;
	}
	if (cfg->redundancy != ISW_REDUNDANCY_BACKUP && cfg->slab_cold_timeout) {
		isw_err(dev, "power: 1: slab_cold_timeout is %u and redundancy is not backup\n",
			cfg->slab_cold_timeout);
		return -EINVAL;
	}
	if (cfg->hot_slab && !*cfg->backup) {
		isw_err(dev, "power: 1: hot_slab is %u and backup is unset\n",
			cfg->hot_slab);
		return -EINVAL;
	}
	if (cfg->redundancy == ISW_REDUNDANCY_MIRROR && cfg->max_sessions < 2) {
		isw_err(dev, "power: 1: redundancy is mirror and max_sessions is %u\n",
			cfg->max_sessions);
		return -EINVAL;
	}
	if (cfg->size & (cfg->slab_size - 1)) {
		isw_err(dev, "power: 1: size %llu is not a multiple of slab_size %llu\n",
			cfg->size, cfg->slab_size);
		return -EINVAL;
	}
	return config_check_donors(dev);
}

static void device_free_memory(struct isw_device *dev)
{
	isw_backup_close(dev);
	isw_tags_free(dev);
	isw_copier_free(dev);
	isw_evict_free(dev);
	isw_slabs_free(dev);
	free_percpu(dev->stats);
	kfree(dev->active);
	kfree(dev->draw);
	dev->stats = NULL;
	dev->active = NULL;
	dev->draw = NULL;
}

static int device_alloc_memory(struct isw_device *dev)
{
	int ret = -ENOMEM;

	dev->slab_shift = isw_slab_shift(dev->cfg.slab_size);
	dev->nr_slabs = isw_slab_count(dev->cfg.size, dev->slab_shift);
	dev->stats = alloc_percpu(struct isw_stats);
	dev->active = kcalloc(dev->cfg.max_sessions, sizeof(*dev->active),
			      GFP_KERNEL);
	dev->draw = kzalloc(sizeof(*dev->draw), GFP_KERNEL);
	if (dev->stats && dev->active && dev->draw)
		ret = isw_slabs_alloc(dev);
	if (!ret)
		ret = isw_evict_alloc(dev);
	if (!ret)
		ret = isw_copier_alloc(dev);
	if (!ret)
		ret = isw_tags_alloc(dev);
	if (ret) {
		isw_err(dev, "power: 1: no memory for %u slabs\n", dev->nr_slabs);
		device_free_memory(dev);
	}
	return ret;
}

static void works_start(struct isw_device *dev)
{
	struct isw_donor *donor;

	list_for_each_entry(donor, &dev->donors, node)
		isw_donor_reset(donor);
	dev->redraw_at = jiffies;
	dev->idle_next = 0;
	dev->activity_at = jiffies;
	WRITE_ONCE(dev->stopping, false);
	queue_delayed_work(isw_io_wq, &dev->tick_work, ISW_TICK);
	queue_delayed_work(isw_map_wq, &dev->map_work, 0);
}

/* After the disk is gone: no request is left that could need any of this. */
static void sessions_stop(struct isw_device *dev)
{
	struct isw_donor *donor;

	mutex_lock(&dev->lock);
	WRITE_ONCE(dev->stopping, true);
	mutex_unlock(&dev->lock);
	/* and again below: a run that overlaps with this one may queue itself */
	cancel_delayed_work_sync(&dev->map_work);
	cancel_delayed_work_sync(&dev->evict_work);
	cancel_delayed_work_sync(&dev->tick_work);
	list_for_each_entry(donor, &dev->donors, node)
		isw_donor_leave(donor);		/* all at the same time */
	list_for_each_entry(donor, &dev->donors, node)
		isw_donor_shutdown(donor);
	cancel_delayed_work_sync(&dev->map_work);
	cancel_delayed_work_sync(&dev->evict_work);
	cancel_work_sync(&dev->redrive_work);
	list_for_each_entry(donor, &dev->donors, node) {
		donor->nr_slabs = 0;
		donor->nr_ready = 0;
	}
	dev->nr_ready = 0;
	dev->ready_suffice = false;
	isw_hcas_free(dev);
}

/* Every donor that may be used was tried and is not connected. */
static bool all_failed(struct isw_device *dev)
{
	struct isw_donor *donor;

	list_for_each_entry(donor, &dev->donors, node)
		if (donor->addr.ss_family && !READ_ONCE(donor->drain) &&
		    (READ_ONCE(donor->state) != ISW_DONOR_IDLE ||
		     !READ_ONCE(donor->failures)))
			return false;
	return true;
}

/* For all legs of a slab; with the disk, one will do to begin with. */
static bool grants_suffice(const struct isw_device *dev)
{
	return READ_ONCE(dev->ready_suffice) ||
	       (dev->backup && READ_ONCE(dev->nr_ready));
}

static int wait_first_grant(struct isw_device *dev)
{
	long ret;

	ret = wait_event_interruptible_timeout(dev->ready_wait,
					       grants_suffice(dev) ||
					       all_failed(dev),
					       FIRST_GRANT_TIMEOUT);
	if (grants_suffice(dev))
		return 0;
	if (ret < 0)
		return -EINTR;
	if (READ_ONCE(dev->nr_ready)) {
		isw_err(dev, "power: 1: redundancy is mirror and there are not two donors of different domains that lend a slab\n");
		return -ENOTCONN;
	}
	if (all_failed(dev)) {
		isw_err(dev, "power: 1: no donor can be reached\n");
		return -ENOTCONN;
	}
	isw_err(dev, "power: 1: no donor granted a slab of %llu bytes within %u s\n",
		dev->cfg.slab_size, FIRST_GRANT_TIMEOUT / HZ);
	return -ENOSPC;
}

/* del_gendisk() waits for every request, so parked ones must fail first. */
static void fail_parked(struct isw_device *dev)
{
	u32 i;

	WRITE_ONCE(dev->dying, true);
	for (i = 0; i < dev->nr_slabs; i++)
		isw_slab_kick(dev, &dev->slabs[i]);
	if (dev->backup)
		isw_staging_kick(&dev->backup->staging);
}

/* The list comes last but memory: an HCA may go away until no session is left. */
static void device_stop(struct isw_device *dev)
{
	sessions_stop(dev);
	mutex_lock(&isw_devices_lock);
	list_del(&dev->node);
	mutex_unlock(&isw_devices_lock);
	device_free_memory(dev);
}

int isw_device_power_on(struct isw_device *dev)
{
	int ret;

	lockdep_assert_held(&dev->power_lock);
	ret = config_check(dev);
	if (ret)
		return ret;
	ret = device_alloc_memory(dev);
	if (ret)
		return ret;
	if (*dev->cfg.backup)
		ret = isw_backup_open(dev);
	if (ret) {
		device_free_memory(dev);
		return ret;
	}
	dev->max_sge = ISW_MAX_SEGMENTS;
	dev->sge_fixed = false;
	dev->dying = false;

	mutex_lock(&isw_devices_lock);
	list_add_tail(&dev->node, &isw_devices);
	mutex_unlock(&isw_devices_lock);
	works_start(dev);
	ret = wait_first_grant(dev);
	if (ret && ret != -EINTR && dev->backup) {
		isw_info(dev, "backup: pages go to the disk alone until a donor lends memory\n");
		ret = 0;
	}
	if (ret)
		goto err_stop;
	mutex_lock(&dev->hca_lock);
	if (list_empty(&dev->hcas))	/* whichever leads to the first donor */
		dev->max_sge = min(dev->max_sge, READ_ONCE(least_sge));
	dev->sge_fixed = true;
	mutex_unlock(&dev->hca_lock);
	ret = isw_disk_add(dev);
	if (ret) {
		isw_err(dev, "power: 1: the disk cannot be added (%d)\n", ret);
		goto err_stop;
	}
	isw_copier_start(dev);
	ret = isw_sysfs_add(dev);
	if (ret)
		goto err_disk;
	isw_debugfs_add(dev);
	dev->powered = true;
	isw_info(dev, "%llu MiB in %u slabs of %llu MiB, %u + %u queues of %u\n",
		 dev->cfg.size >> 20, dev->nr_slabs, dev->cfg.slab_size >> 20,
		 dev->cfg.queues, dev->cfg.queues, dev->cfg.queue_depth);
	return 0;

err_disk:
	fail_parked(dev);
	isw_copier_stop(dev);
	isw_disk_remove(dev);
err_stop:
	device_stop(dev);
	return ret;
}

/* ---- power-off ---------------------------------------------------------- */

int isw_device_power_off(struct isw_device *dev)
{
	int ret;

	lockdep_assert_held(&dev->power_lock);
	ret = isw_disk_close(dev);
	if (ret) {
		isw_err(dev, "power: 0: the device is in use\n");
		return ret;
	}
	fail_parked(dev);
	isw_copier_stop(dev);
	isw_debugfs_remove(dev);
	isw_sysfs_remove(dev);
	isw_disk_remove(dev);
	device_stop(dev);
	dev->powered = false;
	isw_info(dev, "powered off\n");
	return 0;
}

/* It may turn out to lead to a donor, if it is of a kind that can. */
void isw_devices_add_hca(struct ib_device *ibdev)
{
	u32 port = rdma_start_port(ibdev);

	if (!rdma_protocol_ib(ibdev, port) && !rdma_protocol_roce(ibdev, port))
		return;
	mutex_lock(&isw_devices_lock);
	least_sge = min(least_sge, isw_hca_sge(ibdev));
	mutex_unlock(&isw_devices_lock);
}

void isw_devices_remove_hca(struct ib_device *ibdev)
{
	struct isw_device *dev;

	mutex_lock(&isw_devices_lock);
	list_for_each_entry(dev, &isw_devices, node)
		isw_hca_remove(dev, ibdev);
	mutex_unlock(&isw_devices_lock);
}

/* 0, or -EBUSY with the reason in the log: see pm.c. */
static int device_check_sleep(struct isw_device *dev, bool hibernation)
{
	const char *what = hibernation ? "hibernation" : "suspend";
	int ret = 0;
	u64 only_there = 0;

	/* who holds it may be waiting for isw_devices_lock */
	if (!mutex_trylock(&dev->power_lock)) {
		isw_err(dev, "%s refused: the device is being powered on or off\n",
			what);
		return -EBUSY;
	}
	if (dev->powered && !dev->backup) {
		/* who binds one after this sees isw_pm_asleep() */
		mutex_lock(&dev->lock);
		only_there = isw_slabs_mapped(dev);
		mutex_unlock(&dev->lock);
	} else if (dev->powered) {
		only_there = isw_pages_count(dev, isw_word_no_backup);
	}
	if (only_there && dev->backup) {
		isw_err(dev, "%s refused: %llu pages are not on the backup disk\n",
			what, only_there);
		ret = -EBUSY;
	} else if (only_there) {
		isw_err(dev, "%s refused: donors hold %llu slabs and would not keep them\n",
			what, only_there);
		ret = -EBUSY;
	} else if (hibernation && dev->powered && disk_openers(dev->disk)) {
		isw_err(dev, "hibernation refused: the device is open\n");
		ret = -EBUSY;
	}
	mutex_unlock(&dev->power_lock);
	return ret;
}

int isw_devices_check_sleep(bool hibernation)
{
	struct isw_device *dev;
	int ret = 0;

	mutex_lock(&isw_devices_lock);
	list_for_each_entry(dev, &isw_devices, node) {
		ret = device_check_sleep(dev, hibernation);
		if (ret)
			break;
	}
	mutex_unlock(&isw_devices_lock);
	return ret;
}

/* What waits for a mapping may have one again. */
void isw_devices_wake(void)
{
	struct isw_device *dev;

	mutex_lock(&isw_devices_lock);
	list_for_each_entry(dev, &isw_devices, node) {
		mutex_lock(&dev->lock);		/* not past sessions_stop() */
		isw_map_kick(dev);
		mutex_unlock(&dev->lock);
	}
	mutex_unlock(&isw_devices_lock);
}

/*
 * A drained donor, idle and without a leg, goes while the device is powered:
 * after this nothing knows it but the list of donors. -EBUSY: map_work was just
 * about to connect to it.
 */
int isw_device_forget_donor(struct isw_device *dev, struct isw_donor *donor)
{
	lockdep_assert_held(&dev->power_lock);
	mutex_lock(&dev->lock);
	if (donor->state != ISW_DONOR_IDLE) {
		mutex_unlock(&dev->lock);
		return -EBUSY;
	}
	donor->addr.ss_family = 0;	/* never connected again */
	donor->drain = false;
	mutex_unlock(&dev->lock);
	flush_work(&donor->fail_work);
	flush_delayed_work(&donor->work);
	flush_delayed_work(&dev->tick_work);	/* it may have seen the donor */
	mutex_lock(&isw_devices_lock);		/* so may isw_hca_remove() */
	mutex_unlock(&isw_devices_lock);
	isw_sysfs_remove_donor(donor);
	return 0;
}
