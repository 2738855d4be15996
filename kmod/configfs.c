// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making and setting up devices: docs/ABI/configfs-infiniswap.
 *
 * Items of a powered device are pinned, so that rmdir gives EBUSY: configfs
 * has no way to refuse a removal once it asks the owner.
 */
#include <linux/stringify.h>

#include "configfs.h"
#include "device.h"
#include "donor.h"
#include "grant.h"
#include "value.h"

static struct configfs_subsystem isw_subsys;

const char *isw_redundancy_name(enum isw_redundancy r)
{
	switch (r) {
	case ISW_REDUNDANCY_NONE:
		return "none";
	case ISW_REDUNDANCY_BACKUP:
		return "backup";
	case ISW_REDUNDANCY_MIRROR:
		return "mirror";
	case ISW_REDUNDANCY_UNSET:
		break;
	}
	return "unset";
}

static struct isw_device *to_device(struct config_item *item)
{
	return container_of(to_config_group(item), struct isw_device, group);
}

/* Say in the kernel log which attribute, which value and why; return @error. */
static int refuse(struct isw_device *dev, const char *attr, const char *page,
		  size_t count, const char *why, int error)
{
	isw_err(dev, "%s: %*pE: %s\n", attr, isw_value_width(page, count), page,
		why);
	return error;
}

/* ---- settings of a device ----------------------------------------------- */

/*
 * A setting is read from @page into @cfg. NULL: done. Else the reason why not,
 * and *@error, which is EINVAL, may be changed.
 */
typedef const char *(*parse_fn)(struct isw_config *cfg, const char *page,
				size_t count, int *error);

/* @live: also while the device is powered */
static ssize_t store(struct config_item *item, const char *attr, bool live,
		     parse_fn parse, const char *page, size_t count)
{
	struct isw_device *dev = to_device(item);
	const char *why = "device is powered";
	int error = -EBUSY;

	mutex_lock(&dev->power_lock);
	if (!dev->powered || live) {
		error = -EINVAL;
		why = parse(&dev->cfg, page, count, &error);
	}
	mutex_unlock(&dev->power_lock);
	return why ? refuse(dev, attr, page, count, why, error) : count;
}

#define SETTING(_name, _live, _fmt, _value)				\
static ssize_t isw_dev_##_name##_show(struct config_item *item,	\
				      char *page)			\
{									\
	const struct isw_config *cfg = &to_device(item)->cfg;		\
									\
	return sysfs_emit(page, _fmt "\n", _value);			\
}									\
static ssize_t isw_dev_##_name##_store(struct config_item *item,	\
				       const char *page, size_t count)	\
{									\
	return store(item, #_name, _live, parse_##_name, page, count);	\
}									\
CONFIGFS_ATTR(isw_dev_, _name)

static const char *parse_size(struct isw_config *cfg, const char *page,
			      size_t count, int *error)
{
	u64 bytes;

	if (isw_value_size(page, count, &bytes))
		return "not a size";
	if (!bytes || bytes & (ISW_PAGE_SIZE - 1) || bytes >> 48)
		return "not a multiple of 4096 from 4096 to below 256T";
	cfg->size = bytes;
	return NULL;
}

SETTING(size, false, "%llu", cfg->size);

static const char *parse_slab_size(struct isw_config *cfg, const char *page,
				   size_t count, int *error)
{
	u64 bytes;

	if (isw_value_size(page, count, &bytes) || !isw_slab_size_valid(bytes))
		return "not a power of two from 1M to 4G";
	cfg->slab_size = bytes;
	return NULL;
}

SETTING(slab_size, false, "%llu", cfg->slab_size);

static const char *parse_redundancy(struct isw_config *cfg, const char *page,
				    size_t count, int *error)
{
	if (sysfs_streq(page, "none"))
		cfg->redundancy = ISW_REDUNDANCY_NONE;
	else if (sysfs_streq(page, "backup"))
		cfg->redundancy = ISW_REDUNDANCY_BACKUP;
	else if (sysfs_streq(page, "mirror"))
		cfg->redundancy = ISW_REDUNDANCY_MIRROR;
	else
		return "not a redundancy: backup, mirror and none are";
	return NULL;
}

SETTING(redundancy, false, "%s", isw_redundancy_name(cfg->redundancy));

static const char *parse_backup(struct isw_config *cfg, const char *page,
				size_t count, int *error)
{
	size_t len = isw_value_len(page, count);

	if (len && *page != '/')
		return "not the full path of a block device";
	if (len >= sizeof(cfg->backup)) {
		*error = -ENAMETOOLONG;
		return "too long";
	}
	strscpy(cfg->backup, page, len + 1);
	return NULL;
}

SETTING(backup, false, "%s", cfg->backup);

static const char *parse_staging(struct isw_config *cfg, const char *page,
				 size_t count, int *error)
{
	u64 bytes;

	if (isw_value_size(page, count, &bytes))
		return "not a size";
	if (bytes && (bytes < SZ_1M || bytes > (16ull << 30)))
		return "not 0 or a size from 1M to 16G";
	cfg->staging = bytes;
	return NULL;
}

SETTING(staging, false, "%llu", cfg->staging);

static const char *parse_integrity(struct isw_config *cfg, const char *page,
				   size_t count, int *error)
{
	u8 on;

	if (kstrtou8(page, 10, &on) || on > 1)
		return "not 0 or 1";
	cfg->integrity = on;
	return NULL;
}

SETTING(integrity, false, "%d", cfg->integrity);

static bool parse_number(const char *page, unsigned int lo, unsigned int hi,
			 unsigned int *value)
{
	unsigned int v;

	if (kstrtouint(page, 10, &v) || v < lo || v > hi)
		return false;
	WRITE_ONCE(*value, v);
	return true;
}

#define NUMBER_SETTING(_name, _lo, _hi, _live)				\
static const char *parse_##_name(struct isw_config *cfg,		\
				 const char *page, size_t count,	\
				 int *error)				\
{									\
	return parse_number(page, _lo, _hi, &cfg->_name) ? NULL :	\
	       "not a number from " __stringify(_lo) " to " __stringify(_hi); \
}									\
SETTING(_name, _live, "%u", cfg->_name)

NUMBER_SETTING(queues, 1, ISW_MAX_QUEUES, false);
NUMBER_SETTING(queue_depth, 4, 256, false);
NUMBER_SETTING(max_sessions, 1, ISW_MAX_SESSIONS, false);
NUMBER_SETTING(spares, 0, 32, true);
NUMBER_SETTING(ready_grants, 1, 16, true);
NUMBER_SETTING(stall_ms, 400, 600000, true);
NUMBER_SETTING(donor_loss_timeout, 0, 86400, true);
NUMBER_SETTING(slab_idle_timeout, 0, 86400, true);

/* While the device is powered its redundancy stands, and must allow it. */
static const char *parse_slab_cold_timeout(struct isw_config *cfg,
					   const char *page, size_t count,
					   int *error)
{
	const struct isw_device *dev = container_of(cfg, struct isw_device, cfg);
	unsigned int v;

	if (!parse_number(page, 0, 86400, &v))
		return "not a number from 0 to 86400";
	if (v && dev->powered && cfg->redundancy != ISW_REDUNDANCY_BACKUP)
		return "redundancy is not backup";
	WRITE_ONCE(cfg->slab_cold_timeout, v);
	return NULL;
}

SETTING(slab_cold_timeout, true, "%u", cfg->slab_cold_timeout);

/* The same: pages of slabs that are not hot need a place. */
static const char *parse_hot_slab(struct isw_config *cfg, const char *page,
				  size_t count, int *error)
{
	const struct isw_device *dev = container_of(cfg, struct isw_device, cfg);
	unsigned int v;

	if (!parse_number(page, 0, 1000000, &v))
		return "not a number from 0 to 1000000";
	if (v && dev->powered && !*cfg->backup)
		return "backup is unset";
	WRITE_ONCE(cfg->hot_slab, v);
	return NULL;
}

SETTING(hot_slab, true, "%u", cfg->hot_slab);

static const char *parse_copy_rate(struct isw_config *cfg, const char *page,
				   size_t count, int *error)
{
	u64 bytes;

	if (isw_value_size(page, count, &bytes))
		return "not a size";
	if (bytes && (bytes < SZ_1M || bytes > (1ull << 40)))
		return "not 0 or a size from 1M to 1T";
	WRITE_ONCE(cfg->copy_rate, bytes);
	return NULL;
}

SETTING(copy_rate, true, "%llu", cfg->copy_rate);

/* ---- power -------------------------------------------------------------- */

int isw_configfs_pin(struct config_item *item)
{
	return configfs_depend_item_unlocked(&isw_subsys, item);
}

static void donors_unpin(struct isw_device *dev, struct isw_donor *until)
{
	struct isw_donor *donor;

	list_for_each_entry(donor, &dev->donors, node) {
		if (donor == until)
			return;
		if (donor->addr.ss_family)
			configfs_undepend_item(&donor->item);
	}
}

/* A donor without an address takes no part, hence needs no pin. */
static int donors_pin(struct isw_device *dev)
{
	struct isw_donor *donor;
	int ret;

	list_for_each_entry(donor, &dev->donors, node) {
		if (!donor->addr.ss_family)
			continue;
		ret = isw_configfs_pin(&donor->item);
		if (ret) {
			donors_unpin(dev, donor);
			return ret;
		}
	}
	return 0;
}

static int power_on(struct isw_device *dev)
{
	int ret;

	ret = isw_configfs_pin(&dev->group.cg_item);
	if (ret)
		return ret;
	ret = donors_pin(dev);
	if (ret)
		goto err_unpin;
	ret = isw_device_power_on(dev);
	if (ret)
		goto err_unpin_donors;
	return 0;

err_unpin_donors:
	donors_unpin(dev, NULL);
err_unpin:
	configfs_undepend_item(&dev->group.cg_item);
	return ret;
}

static int power_off(struct isw_device *dev)
{
	int ret = isw_device_power_off(dev);

	if (ret)
		return ret;
	donors_unpin(dev, NULL);
	configfs_undepend_item(&dev->group.cg_item);
	return 0;
}

static ssize_t isw_dev_power_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%d\n", to_device(item)->powered);
}

static ssize_t isw_dev_power_store(struct config_item *item, const char *page,
				   size_t count)
{
	struct isw_device *dev = to_device(item);
	int ret = 0;
	u8 on;

	/* not kstrtobool(), which takes "10" and "yellow" for 1 */
	if (kstrtou8(page, 10, &on) || on > 1)
		return refuse(dev, "power", page, count, "not 0 or 1", -EINVAL);
	mutex_lock(&dev->power_lock);
	if (on != dev->powered)
		ret = on ? power_on(dev) : power_off(dev);
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_dev_, power);

static struct configfs_attribute *device_attrs[] = {
	&isw_dev_attr_size,
	&isw_dev_attr_slab_size,
	&isw_dev_attr_redundancy,
	&isw_dev_attr_backup,
	&isw_dev_attr_staging,
	&isw_dev_attr_integrity,
	&isw_dev_attr_queues,
	&isw_dev_attr_queue_depth,
	&isw_dev_attr_max_sessions,
	&isw_dev_attr_spares,
	&isw_dev_attr_ready_grants,
	&isw_dev_attr_stall_ms,
	&isw_dev_attr_donor_loss_timeout,
	&isw_dev_attr_slab_idle_timeout,
	&isw_dev_attr_slab_cold_timeout,
	&isw_dev_attr_hot_slab,
	&isw_dev_attr_copy_rate,
	&isw_dev_attr_power,
	NULL
};

static void device_release(struct config_item *item)
{
	isw_device_free(to_device(item));
}

static struct configfs_item_operations device_item_ops = {
	.release = device_release,
};

static const struct config_item_type device_type = {
	.ct_item_ops = &device_item_ops,
	.ct_attrs = device_attrs,
	.ct_owner = THIS_MODULE,
};

/* ---- the root ----------------------------------------------------------- */

static struct config_group *device_make(struct config_group *group,
					const char *name)
{
	struct isw_device *dev;
	char canonical[DISK_NAME_LEN];
	unsigned int n;

	if (sscanf(name, "infiniswap%u", &n) == 1 && n < 32)
		snprintf(canonical, sizeof(canonical), "infiniswap%u", n);
	else
		canonical[0] = '\0';
	if (strcmp(name, canonical)) {	/* leading zeros, an overflow, a tail */
		pr_err("%*pE: name is not infiniswap0 to infiniswap31\n",
		       (int)strlen(name), name);
		return ERR_PTR(-EINVAL);
	}
	dev = isw_device_create(name);
	if (!dev)
		return ERR_PTR(-ENOMEM);
	config_group_init_type_name(&dev->group, name, &device_type);
	config_group_init_type_name(&dev->donors_group, "donors", &isw_donors_type);
	configfs_add_default_group(&dev->donors_group, &dev->group);
	return &dev->group;
}

static struct configfs_group_operations root_group_ops = {
	.make_group = device_make,
};

static const struct config_item_type root_type = {
	.ct_group_ops = &root_group_ops,
	.ct_owner = THIS_MODULE,
};

static struct configfs_subsystem isw_subsys = {
	.su_group = {
		.cg_item = {
			.ci_namebuf = "infiniswap",
			.ci_type = &root_type,
		},
	},
};

int isw_configfs_init(void)
{
	config_group_init(&isw_subsys.su_group);
	mutex_init(&isw_subsys.su_mutex);
	return configfs_register_subsystem(&isw_subsys);
}

void isw_configfs_exit(void)
{
	configfs_unregister_subsystem(&isw_subsys);
}
