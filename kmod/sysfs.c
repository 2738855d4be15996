// SPDX-License-Identifier: GPL-2.0-only
/*
 * The view: /sys/block/<device>/infiniswap/ and its donors/<name>/, described
 * in docs/ABI/sysfs-block-infiniswap. Read-only.
 */
#include <linux/kobject.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "backup.h"
#include "compat.h"
#include "configfs.h"
#include "device.h"
#include "donor.h"
#include "sysfs.h"

/* A directory that shows @owner; outlives it by at most a reference. */
struct isw_kobj {
	struct kobject kobj;
	void *owner;
};

struct isw_attr {
	struct attribute attr;
	ssize_t (*show)(void *owner, const struct isw_attr *a, char *buf);
	size_t offset;			/* of a per-CPU counter */
};

static ssize_t attr_show(struct kobject *kobj, struct attribute *attr,
			 char *buf)
{
	struct isw_attr *a = container_of(attr, struct isw_attr, attr);

	return a->show(container_of(kobj, struct isw_kobj, kobj)->owner, a, buf);
}

static const struct sysfs_ops isw_sysfs_ops = {
	.show = attr_show,
};

static void kobj_release(struct kobject *kobj)
{
	kfree(container_of(kobj, struct isw_kobj, kobj));
}

#define ISW_ATTR(_name, _show, _offset)					\
	static struct isw_attr attr_##_name = {				\
		.attr = { .name = #_name, .mode = 0444 },		\
		.show = _show,						\
		.offset = _offset,					\
	}

/* ---- a device ----------------------------------------------------------- */

/* Slabs of a mirror with fewer legs than they should have? dev->lock held. */
static bool lacks_legs(struct isw_device *dev)
{
	struct isw_mapping *m;
	u32 i;

	for (i = 0; isw_legs_wanted(dev) > 1 && i < dev->nr_slabs; i++) {
		m = isw_slab_mapping(dev, &dev->slabs[i]);
		if (m && isw_legs_count(m->used & ~m->retiring) <
			 isw_legs_wanted(dev))
			return true;
	}
	return false;
}

/*
 * degraded: a donor that has pages is not there, a leg is missing, or the backup
 * disk fails
 */
static const char *device_state(struct isw_device *dev)
{
	const char *state = "up";
	struct isw_donor *donor;

	if (dev->backup && READ_ONCE(dev->backup->failed))
		state = "degraded";

	mutex_lock(&dev->lock);
	list_for_each_entry(donor, &dev->donors, node)
		if (donor->nr_slabs && !isw_donor_live(donor))
			state = "degraded";
	if (lacks_legs(dev))
		state = "degraded";
	mutex_unlock(&dev->lock);
	return state;
}

static ssize_t state_show(void *owner, const struct isw_attr *a, char *buf)
{
	return sysfs_emit(buf, "%s\n", device_state(owner));
}

static ssize_t redundancy_show(void *owner, const struct isw_attr *a, char *buf)
{
	struct isw_device *dev = owner;

	return sysfs_emit(buf, "%s\n",
			  isw_redundancy_name(dev->cfg.redundancy));
}

static ssize_t slab_size_show(void *owner, const struct isw_attr *a, char *buf)
{
	struct isw_device *dev = owner;

	return sysfs_emit(buf, "%llu\n", dev->cfg.slab_size);
}

static ssize_t slabs_show(void *owner, const struct isw_attr *a, char *buf)
{
	struct isw_device *dev = owner;

	return sysfs_emit(buf, "%u\n", dev->nr_slabs);
}

static ssize_t slabs_mapped_show(void *owner, const struct isw_attr *a,
				 char *buf)
{
	return sysfs_emit(buf, "%u\n", isw_slabs_mapped(owner));
}

static ssize_t backup_show(void *owner, const struct isw_attr *a, char *buf)
{
	struct isw_device *dev = owner;

	return sysfs_emit(buf, "%s\n", isw_backup_state(dev->backup));
}

static ssize_t staged_pages_show(void *owner, const struct isw_attr *a,
				 char *buf)
{
	struct isw_device *dev = owner;

	return sysfs_emit(buf, "%u\n", dev->backup ?
			  isw_staging_used(&dev->backup->staging) : 0);
}

static ssize_t degraded_pages_show(void *owner, const struct isw_attr *a,
				   char *buf)
{
	return sysfs_emit(buf, "%llu\n", isw_pages_degraded(owner));
}

static ssize_t lost_pages_show(void *owner, const struct isw_attr *a, char *buf)
{
	return sysfs_emit(buf, "%llu\n", isw_pages_count(owner, isw_word_lost));
}

static ssize_t counter_show(void *owner, const struct isw_attr *a, char *buf)
{
	struct isw_device *dev = owner;

	return sysfs_emit(buf, "%llu\n", isw_stat_sum(dev->stats, a->offset));
}

#define DEVICE_COUNTER(_name) \
	ISW_ATTR(_name, counter_show, offsetof(struct isw_stats, _name))

ISW_ATTR(state, state_show, 0);
ISW_ATTR(redundancy, redundancy_show, 0);
ISW_ATTR(slab_size, slab_size_show, 0);
ISW_ATTR(slabs, slabs_show, 0);
ISW_ATTR(slabs_mapped, slabs_mapped_show, 0);
DEVICE_COUNTER(pages_in_remote);
DEVICE_COUNTER(pages_out_remote);
ISW_ATTR(backup, backup_show, 0);
ISW_ATTR(staged_pages, staged_pages_show, 0);
ISW_ATTR(degraded_pages, degraded_pages_show, 0);
ISW_ATTR(lost_pages, lost_pages_show, 0);
DEVICE_COUNTER(pages_in_staged);
DEVICE_COUNTER(pages_in_backup);
DEVICE_COUNTER(pages_out_backup);
DEVICE_COUNTER(pages_copied);
DEVICE_COUNTER(backup_errors);
DEVICE_COUNTER(staging_waits);
DEVICE_COUNTER(crc_errors);
DEVICE_COUNTER(read_errors);
DEVICE_COUNTER(write_errors);
DEVICE_COUNTER(failovers);
DEVICE_COUNTER(reconnects);
DEVICE_COUNTER(evictions);
DEVICE_COUNTER(evictions_forced);

static struct attribute *device_attrs[] = {
	&attr_state.attr,
	&attr_redundancy.attr,
	&attr_slab_size.attr,
	&attr_slabs.attr,
	&attr_slabs_mapped.attr,
	&attr_pages_in_remote.attr,
	&attr_pages_out_remote.attr,
	&attr_backup.attr,
	&attr_staged_pages.attr,
	&attr_pages_in_staged.attr,
	&attr_pages_in_backup.attr,
	&attr_pages_out_backup.attr,
	&attr_pages_copied.attr,
	&attr_backup_errors.attr,
	&attr_staging_waits.attr,
	&attr_crc_errors.attr,
	&attr_degraded_pages.attr,
	&attr_lost_pages.attr,
	&attr_read_errors.attr,
	&attr_write_errors.attr,
	&attr_failovers.attr,
	&attr_reconnects.attr,
	&attr_evictions.attr,
	&attr_evictions_forced.attr,
	NULL
};
ATTRIBUTE_GROUPS(device);

static struct kobj_type device_ktype = {
	.sysfs_ops = &isw_sysfs_ops,
	.release = kobj_release,
	.default_groups = device_groups,
};

/* ---- a donor ------------------------------------------------------------ */

static ssize_t address_show(void *owner, const struct isw_attr *a, char *buf)
{
	struct isw_donor *donor = owner;

	return sysfs_emit(buf, "%pISc\n", &donor->addr);
}

static ssize_t port_show(void *owner, const struct isw_attr *a, char *buf)
{
	struct isw_donor *donor = owner;

	return sysfs_emit(buf, "%u\n", donor->port);
}

static ssize_t donor_state_show(void *owner, const struct isw_attr *a,
				char *buf)
{
	struct isw_donor *donor = owner;
	u8 state = READ_ONCE(donor->state);

	if (state == ISW_DONOR_LIVE && isw_donor_draining(donor))
		return sysfs_emit(buf, "draining\n");
	if (state == ISW_DONOR_IDLE && READ_ONCE(donor->drain))
		return sysfs_emit(buf, "drained\n");
	return sysfs_emit(buf, "%s\n", isw_donor_state_name(state));
}

static ssize_t donor_slabs_show(void *owner, const struct isw_attr *a,
				char *buf)
{
	struct isw_donor *donor = owner;

	return sysfs_emit(buf, "%u\n", READ_ONCE(donor->nr_slabs));
}

static ssize_t donor_counter_show(void *owner, const struct isw_attr *a,
				  char *buf)
{
	struct isw_donor *donor = owner;

	return sysfs_emit(buf, "%llu\n", isw_stat_sum(donor->stats, a->offset));
}

#define DONOR_COUNTER(_name) \
	ISW_ATTR(_name, donor_counter_show, \
		 offsetof(struct isw_donor_stats, _name))

static struct isw_attr attr_donor_state = {
	.attr = { .name = "state", .mode = 0444 },
	.show = donor_state_show,
};

static struct isw_attr attr_donor_slabs = {
	.attr = { .name = "slabs", .mode = 0444 },
	.show = donor_slabs_show,
};

ISW_ATTR(address, address_show, 0);
ISW_ATTR(port, port_show, 0);
DONOR_COUNTER(pages_in);
DONOR_COUNTER(pages_out);
DONOR_COUNTER(errors);
static struct isw_attr attr_donor_crc_errors = {
	.attr = { .name = "crc_errors", .mode = 0444 },
	.show = donor_counter_show,
	.offset = offsetof(struct isw_donor_stats, crc_errors),
};

static struct isw_attr attr_donor_evictions = {
	.attr = { .name = "evictions", .mode = 0444 },
	.show = donor_counter_show,
	.offset = offsetof(struct isw_donor_stats, evictions),
};

static struct attribute *donor_attrs[] = {
	&attr_address.attr,
	&attr_port.attr,
	&attr_donor_state.attr,
	&attr_donor_slabs.attr,
	&attr_pages_in.attr,
	&attr_pages_out.attr,
	&attr_errors.attr,
	&attr_donor_crc_errors.attr,
	&attr_donor_evictions.attr,
	NULL
};
ATTRIBUTE_GROUPS(donor);

static struct kobj_type donor_ktype = {
	.sysfs_ops = &isw_sysfs_ops,
	.release = kobj_release,
	.default_groups = donor_groups,
};

static struct kobj_type donors_ktype = {
	.sysfs_ops = &isw_sysfs_ops,
	.release = kobj_release,
};

/* ---- uevents ------------------------------------------------------------ */

static const char *const uevent_names[] = {
	[ISW_UEVENT_BROKEN]	= "donor-broken",
	[ISW_UEVENT_RESUMED]	= "donor-resumed",
	[ISW_UEVENT_LOST]	= "donor-lost",
};

/* Waits for the one under way, which uses the disk. */
static void uevents_allow(struct isw_device *dev, bool allow)
{
	mutex_lock(&dev->uevent_lock);
	dev->shown = allow;
	mutex_unlock(&dev->uevent_lock);
}

static void uevent_send(struct isw_donor *donor, u8 event)
{
	struct isw_device *dev = donor->dev;
	char event_var[32], donor_var[8 + sizeof(donor->name)];
	char *env[3] = { event_var, donor_var, NULL };

	snprintf(event_var, sizeof(event_var), "EVENT=%s", uevent_names[event]);
	snprintf(donor_var, sizeof(donor_var), "DONOR=%s", donor->name);
	mutex_lock(&dev->uevent_lock);
	if (dev->shown)
		kobject_uevent_env(&disk_to_dev(dev->disk)->kobj, KOBJ_CHANGE,
				   env);
	mutex_unlock(&dev->uevent_lock);
}

void isw_sysfs_uevent_work(struct work_struct *work)
{
	struct isw_donor *donor = container_of(work, struct isw_donor,
					       uevent_work);
	u8 event;

	while (kfifo_get(&donor->uevents, &event))
		uevent_send(donor, event);
}

/*
 * Sending allocates, and memory may be short until this very donor is back: so
 * it is done where nothing waits for it. What finds no room is left out.
 */
void isw_sysfs_uevent(struct isw_donor *donor, enum isw_uevent event)
{
	u8 e = event;

	kfifo_in_spinlocked(&donor->uevents, &e, 1, &donor->lock);
	queue_work(system_dfl_wq, &donor->uevent_work);
}

/* ---- directories -------------------------------------------------------- */

static struct isw_kobj *kobj_add(struct kobj_type *type, struct kobject *parent,
				 void *owner, const char *name)
{
	struct isw_kobj *k = kzalloc(sizeof(*k), GFP_KERNEL);

	if (!k)
		return NULL;
	k->owner = owner;
	if (kobject_init_and_add(&k->kobj, type, parent, "%s", name)) {
		kobject_put(&k->kobj);
		return NULL;
	}
	return k;
}

/* Waits for readers in the directory; @k->owner may go after this. */
static void kobj_remove(struct isw_kobj **k)
{
	if (!*k)
		return;
	kobject_del(&(*k)->kobj);
	kobject_put(&(*k)->kobj);
	*k = NULL;
}

/* Show a donor that has an address. Harmless if it is shown already. */
int isw_sysfs_add_donor(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;

	donor->kobj = kobj_add(&donor_ktype, &dev->donors_kobj->kobj, donor,
			       donor->name);
	return donor->kobj ? 0 : -ENOMEM;
}

void isw_sysfs_remove_donor(struct isw_donor *donor)
{
	kobj_remove(&donor->kobj);
}

int isw_sysfs_add(struct isw_device *dev)
{
	struct kobject *disk = &disk_to_dev(dev->disk)->kobj;
	struct isw_donor *donor;
	int ret = -ENOMEM;

	dev->kobj = kobj_add(&device_ktype, disk, dev, "infiniswap");
	if (dev->kobj)
		dev->donors_kobj = kobj_add(&donors_ktype, &dev->kobj->kobj,
					    dev, "donors");
	if (dev->donors_kobj)
		ret = 0;
	list_for_each_entry(donor, &dev->donors, node)
		if (!ret && donor->addr.ss_family)
			ret = isw_sysfs_add_donor(donor);
	if (ret) {
		isw_sysfs_remove(dev);
		return ret;
	}
	kobject_uevent(disk, KOBJ_CHANGE);
	uevents_allow(dev, true);
	return 0;
}

void isw_sysfs_remove(struct isw_device *dev)
{
	struct isw_donor *donor;

	uevents_allow(dev, false);
	list_for_each_entry(donor, &dev->donors, node)
		isw_sysfs_remove_donor(donor);
	kobj_remove(&dev->donors_kobj);
	kobj_remove(&dev->kobj);
}
