// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making and setting up devices: docs/ABI/configfs-infiniswap. Every refusal
 * says in the kernel log which attribute, which value and why.
 *
 * Items of a powered device are pinned, so that rmdir gives EBUSY: configfs
 * has no way to refuse a removal once it asks the owner.
 */
#include <linux/ctype.h>
#include <linux/inet.h>
#include <net/ipv6.h>
#include <net/net_namespace.h>

#include "configfs.h"
#include "device.h"
#include "donor.h"
#include "grant.h"
#include "map.h"
#include "sysfs.h"

static struct configfs_subsystem isw_subsys;

const char *isw_redundancy_name(enum isw_redundancy r)
{
	switch (r) {
	case ISW_REDUNDANCY_NONE:
		return "none";
	case ISW_REDUNDANCY_BACKUP:
		return "backup";
	case ISW_REDUNDANCY_UNSET:
		break;
	}
	return "unset";
}

/* ---- values ------------------------------------------------------------- */

#define VALUE_MAX	64

/* Length of the value without the line end. */
static size_t value_len(const char *page, size_t count)
{
	while (count && isspace(page[count - 1]))
		count--;
	return count;
}

/* The value as a string in @buf of VALUE_MAX bytes; false: it does not fit. */
static bool value_copy(const char *page, size_t count, char *buf)
{
	size_t len = value_len(page, count);

	if (len >= VALUE_MAX)
		return false;
	memcpy(buf, page, len);
	buf[len] = '\0';
	return true;
}

/* For "%*pE": escaped, a value cannot pass for a line of its own. */
static int value_width(const char *page, size_t count)
{
	return min_t(size_t, value_len(page, count), VALUE_MAX);
}

/* Report a refusal and return @error. */
static int refuse(struct isw_device *dev, const char *attr, const char *page,
		  size_t count, const char *why, int error)
{
	isw_err(dev, "%s: %*pE: %s\n", attr, value_width(page, count), page,
		why);
	return error;
}

static int refuse_donor(struct isw_donor *donor, const char *attr,
			const char *page, size_t count, const char *why,
			int error)
{
	isw_donor_err(donor, "%s: %*pE: %s\n", attr,
		      value_width(page, count), page, why);
	return error;
}

/* Bytes: digits and K, M, G or T. memparse() would not notice an overflow. */
static int parse_size(const char *page, size_t count, u64 *bytes)
{
	static const char units[] = "kmgt";
	char buf[VALUE_MAX], *unit;
	unsigned int shift = 0;
	int ret;

	if (!value_copy(page, count, buf) || !isdigit(buf[0]))
		return -EINVAL;
	unit = strchr(units, tolower(buf[strlen(buf) - 1]));
	if (unit) {
		shift = 10 * (unit - units + 1);
		buf[strlen(buf) - 1] = '\0';
	}
	ret = kstrtoull(buf, 10, bytes);
	if (ret || *bytes > U64_MAX >> shift)
		return -EINVAL;
	*bytes <<= shift;
	return 0;
}

static struct isw_device *to_device(struct config_item *item)
{
	return container_of(to_config_group(item), struct isw_device, group);
}

static struct isw_donor *to_donor(struct config_item *item)
{
	return container_of(item, struct isw_donor, item);
}

/* ---- attributes of a device --------------------------------------------- */

static ssize_t isw_dev_size_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%llu\n", to_device(item)->cfg.size);
}

static ssize_t isw_dev_size_store(struct config_item *item, const char *page,
				  size_t count)
{
	struct isw_device *dev = to_device(item);
	int ret = 0;
	u64 bytes;

	mutex_lock(&dev->power_lock);
	if (dev->powered)
		ret = refuse(dev, "size", page, count, "device is powered", -EBUSY);
	else if (parse_size(page, count, &bytes))
		ret = refuse(dev, "size", page, count, "not a size", -EINVAL);
	else if (!bytes || bytes & (ISW_PAGE_SIZE - 1) || bytes >> 48)
		ret = refuse(dev, "size", page, count,
			     "not a multiple of 4096 from 4096 to below 256T",
			     -EINVAL);
	else
		dev->cfg.size = bytes;
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_dev_, size);

static ssize_t isw_dev_slab_size_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%llu\n", to_device(item)->cfg.slab_size);
}

static ssize_t isw_dev_slab_size_store(struct config_item *item,
				       const char *page, size_t count)
{
	struct isw_device *dev = to_device(item);
	int ret = 0;
	u64 bytes;

	mutex_lock(&dev->power_lock);
	if (dev->powered)
		ret = refuse(dev, "slab_size", page, count, "device is powered",
			     -EBUSY);
	else if (parse_size(page, count, &bytes) || !isw_slab_size_valid(bytes))
		ret = refuse(dev, "slab_size", page, count,
			     "not a power of two from 1M to 4G", -EINVAL);
	else
		dev->cfg.slab_size = bytes;
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_dev_, slab_size);

static ssize_t isw_dev_redundancy_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%s\n",
			  isw_redundancy_name(to_device(item)->cfg.redundancy));
}

static ssize_t isw_dev_redundancy_store(struct config_item *item,
					const char *page, size_t count)
{
	struct isw_device *dev = to_device(item);
	int ret = 0;

	mutex_lock(&dev->power_lock);
	if (dev->powered)
		ret = refuse(dev, "redundancy", page, count,
			     "device is powered", -EBUSY);
	else if (sysfs_streq(page, "none"))
		dev->cfg.redundancy = ISW_REDUNDANCY_NONE;
	else if (sysfs_streq(page, "backup"))
		dev->cfg.redundancy = ISW_REDUNDANCY_BACKUP;
	else if (sysfs_streq(page, "mirror"))
		ret = refuse(dev, "redundancy", page, count, "not built yet",
			     -EOPNOTSUPP);
	else
		ret = refuse(dev, "redundancy", page, count,
			     "not a redundancy: backup and none are", -EINVAL);
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_dev_, redundancy);

static ssize_t isw_dev_backup_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%s\n", to_device(item)->cfg.backup);
}

static ssize_t isw_dev_backup_store(struct config_item *item, const char *page,
				    size_t count)
{
	struct isw_device *dev = to_device(item);
	size_t len = value_len(page, count);
	int ret = 0;

	mutex_lock(&dev->power_lock);
	if (dev->powered)
		ret = refuse(dev, "backup", page, count, "device is powered",
			     -EBUSY);
	else if (len && *page != '/')
		ret = refuse(dev, "backup", page, count,
			     "not the full path of a block device", -EINVAL);
	else if (len >= sizeof(dev->cfg.backup))
		ret = refuse(dev, "backup", page, count, "too long",
			     -ENAMETOOLONG);
	else
		strscpy(dev->cfg.backup, page, len + 1);
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_dev_, backup);

static ssize_t isw_dev_staging_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%llu\n", to_device(item)->cfg.staging);
}

static ssize_t isw_dev_staging_store(struct config_item *item,
				     const char *page, size_t count)
{
	struct isw_device *dev = to_device(item);
	int ret = 0;
	u64 bytes;

	mutex_lock(&dev->power_lock);
	if (dev->powered)
		ret = refuse(dev, "staging", page, count, "device is powered",
			     -EBUSY);
	else if (parse_size(page, count, &bytes))
		ret = refuse(dev, "staging", page, count, "not a size", -EINVAL);
	else if (bytes && (bytes < SZ_1M || bytes > (16ull << 30)))
		ret = refuse(dev, "staging", page, count,
			     "not 0 or a size from 1M to 16G", -EINVAL);
	else
		dev->cfg.staging = bytes;
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_dev_, staging);

static ssize_t isw_dev_integrity_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%d\n", to_device(item)->cfg.integrity);
}

static ssize_t isw_dev_integrity_store(struct config_item *item,
				       const char *page, size_t count)
{
	struct isw_device *dev = to_device(item);
	int ret = 0;
	u8 on;

	mutex_lock(&dev->power_lock);
	if (dev->powered)
		ret = refuse(dev, "integrity", page, count, "device is powered",
			     -EBUSY);
	else if (kstrtou8(page, 10, &on) || on > 1)
		ret = refuse(dev, "integrity", page, count, "not 0 or 1",
			     -EINVAL);
	else
		dev->cfg.integrity = on;
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_dev_, integrity);

static int store_number(struct isw_device *dev, const char *attr,
			const char *page, size_t count, unsigned int *value,
			unsigned int lo, unsigned int hi, bool live)
{
	char why[48];
	unsigned int v;
	int ret = 0;

	mutex_lock(&dev->power_lock);
	snprintf(why, sizeof(why), "not a number from %u to %u", lo, hi);
	if (dev->powered && !live)
		ret = refuse(dev, attr, page, count, "device is powered",
			     -EBUSY);
	else if (kstrtouint(page, 10, &v) || v < lo || v > hi)
		ret = refuse(dev, attr, page, count, why, -EINVAL);
	else
		WRITE_ONCE(*value, v);
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}

#define NUMBER_ATTR(_name, _lo, _hi, _live)				\
static ssize_t isw_dev_##_name##_show(struct config_item *item,	\
				      char *page)			\
{									\
	return sysfs_emit(page, "%u\n", to_device(item)->cfg._name);	\
}									\
static ssize_t isw_dev_##_name##_store(struct config_item *item,	\
				       const char *page, size_t count)	\
{									\
	struct isw_device *dev = to_device(item);			\
									\
	return store_number(dev, #_name, page, count, &dev->cfg._name,	\
			    _lo, _hi, _live);				\
}									\
CONFIGFS_ATTR(isw_dev_, _name)

NUMBER_ATTR(queues, 1, ISW_MAX_QUEUES, false);
NUMBER_ATTR(queue_depth, 4, 256, false);
NUMBER_ATTR(max_sessions, 1, ISW_MAX_SESSIONS, false);
NUMBER_ATTR(spares, 0, 32, true);
NUMBER_ATTR(ready_grants, 1, ISW_READY_MAX, true);
NUMBER_ATTR(stall_ms, 400, 600000, true);
NUMBER_ATTR(donor_loss_timeout, 0, 86400, true);
NUMBER_ATTR(slab_idle_timeout, 0, 86400, true);

/* ---- power -------------------------------------------------------------- */

static int pin(struct config_item *item)
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
		ret = pin(&donor->item);
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

	ret = pin(&dev->group.cg_item);
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

/* ---- a donor ------------------------------------------------------------ */

/*
 * No address: the donor takes no part and can be removed. While powered that
 * is possible only once it holds nothing of ours.
 */
static int donor_clear_address(struct isw_donor *donor, const char *page,
			       size_t count)
{
	struct isw_device *dev = donor->dev;

	if (!dev->powered) {
		donor->addr.ss_family = 0;
		return 0;
	}
	if (!donor->addr.ss_family)
		return 0;
	if (!donor->drain || READ_ONCE(donor->state) != ISW_DONOR_IDLE)
		return refuse_donor(donor, "address", page, count,
				    "not drained: set drain and wait for state drained",
				    -EBUSY);
	isw_device_forget_donor(dev, donor);
	configfs_undepend_item(&donor->item);
	return 0;
}

/* An address that one host has: not "any", not a broadcast, not a group. */
static bool is_host_address(const struct sockaddr_storage *addr)
{
	const struct in6_addr *v6 = &((struct sockaddr_in6 *)addr)->sin6_addr;
	__be32 v4 = ((struct sockaddr_in *)addr)->sin_addr.s_addr;

	if (addr->ss_family == AF_INET)
		return v4 && !ipv4_is_lbcast(v4) && !ipv4_is_multicast(v4);
	return !ipv6_addr_any(v6) && !ipv6_addr_is_multicast(v6);
}

/* The address can be set while powered if it was not before: a live addition. */
static int donor_set_address(struct isw_donor *donor, const char *text)
{
	struct isw_device *dev = donor->dev;
	struct sockaddr_storage addr = {};
	char port[8];
	int ret;

	snprintf(port, sizeof(port), "%u", donor->port);
	if (inet_pton_with_scope(&init_net, AF_UNSPEC, text, port, &addr) ||
	    !is_host_address(&addr))
		return -EINVAL;
	/* in4_pton() ends at a colon and does not say so */
	if (addr.ss_family == AF_INET && strchr(text, ':'))
		return -EINVAL;
	if (dev->powered) {
		ret = pin(&donor->item);
		if (ret)
			return ret;
	}
	mutex_lock(&dev->lock);
	donor->addr = addr;
	mutex_unlock(&dev->lock);
	if (!dev->powered)
		return 0;
	isw_map_kick(dev);
	return isw_sysfs_add_donor(donor);
}

static ssize_t isw_donor_address_show(struct config_item *item, char *page)
{
	struct isw_donor *donor = to_donor(item);

	if (!donor->addr.ss_family)
		return sysfs_emit(page, "\n");
	return sysfs_emit(page, "%pISc\n", &donor->addr);
}

static ssize_t isw_donor_address_store(struct config_item *item,
				       const char *page, size_t count)
{
	struct isw_donor *donor = to_donor(item);
	struct isw_device *dev = donor->dev;
	char text[VALUE_MAX];
	int ret = -EINVAL;

	mutex_lock(&dev->power_lock);
	if (!value_len(page, count)) {
		ret = donor_clear_address(donor, page, count);
	} else if (dev->powered && donor->addr.ss_family) {
		ret = refuse_donor(donor, "address", page, count,
				   "device is powered", -EBUSY);
	} else {
		if (value_copy(page, count, text))
			ret = donor_set_address(donor, text);
		if (ret == -EINVAL)
			refuse_donor(donor, "address", page, count,
				     "not an IPv4 or IPv6 address of a host",
				     ret);
	}
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_donor_, address);

static ssize_t isw_donor_port_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%u\n", to_donor(item)->port);
}

static ssize_t isw_donor_port_store(struct config_item *item, const char *page,
				    size_t count)
{
	struct isw_donor *donor = to_donor(item);
	struct isw_device *dev = donor->dev;
	int ret = 0;
	u16 port;

	mutex_lock(&dev->power_lock);
	if (dev->powered && donor->addr.ss_family) {
		ret = refuse_donor(donor, "port", page, count,
				   "device is powered", -EBUSY);
	} else if (kstrtou16(page, 10, &port) || !port) {
		ret = refuse_donor(donor, "port", page, count,
				   "not a number from 1 to 65535", -EINVAL);
	} else {
		donor->port = port;
		/* sin_port and sin6_port are at the same place */
		if (donor->addr.ss_family)
			((struct sockaddr_in *)&donor->addr)->sin_port =
				cpu_to_be16(port);
	}
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_donor_, port);

static ssize_t isw_donor_drain_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%d\n", READ_ONCE(to_donor(item)->drain));
}

static ssize_t isw_donor_drain_store(struct config_item *item, const char *page,
				     size_t count)
{
	struct isw_donor *donor = to_donor(item);
	struct isw_device *dev = donor->dev;
	int ret = 0;
	u8 drain;

	mutex_lock(&dev->power_lock);
	if (kstrtou8(page, 10, &drain) || drain > 1)
		ret = refuse_donor(donor, "drain", page, count, "not 0 or 1",
				   -EINVAL);
	else
		WRITE_ONCE(donor->drain, drain);
	isw_map_kick(dev);
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_donor_, drain);

static struct configfs_attribute *donor_attrs[] = {
	&isw_donor_attr_address,
	&isw_donor_attr_port,
	&isw_donor_attr_drain,
	NULL
};

static void donor_release(struct config_item *item)
{
	isw_donor_free(to_donor(item));
}

static struct configfs_item_operations donor_item_ops = {
	.release = donor_release,
};

static const struct config_item_type donor_type = {
	.ct_item_ops = &donor_item_ops,
	.ct_attrs = donor_attrs,
	.ct_owner = THIS_MODULE,
};

/* It stands between others in lines of the log, of debugfs and of uevents. */
static bool is_plain(const char *name)
{
	while (isascii(*name) && isgraph(*name))
		name++;
	return !*name;
}

static struct config_item *donor_make(struct config_group *group,
				      const char *name)
{
	struct isw_device *dev = container_of(group, struct isw_device,
					      donors_group);
	struct isw_donor *donor;

	if (strlen(name) >= sizeof(donor->name)) {
		isw_err(dev, "donors: %s: longer than %zu characters\n", name,
			sizeof(donor->name) - 1);
		return ERR_PTR(-ENAMETOOLONG);
	}
	if (!is_plain(name)) {
		isw_err(dev, "donors: %*pE: has a space or a character that is not printable ASCII\n",
			(int)strlen(name), name);
		return ERR_PTR(-EINVAL);
	}
	donor = isw_donor_create(dev, name);
	if (!donor)
		return ERR_PTR(-ENOMEM);
	config_item_init_type_name(&donor->item, name, &donor_type);
	mutex_lock(&dev->power_lock);	/* who holds it walks the list */
	mutex_lock(&dev->lock);
	list_add_tail(&donor->node, &dev->donors);
	mutex_unlock(&dev->lock);
	mutex_unlock(&dev->power_lock);
	return &donor->item;
}

/* Not powered, or never given an address: nothing knows it but the list. */
static void donor_drop(struct config_group *group, struct config_item *item)
{
	struct isw_donor *donor = to_donor(item);
	struct isw_device *dev = donor->dev;

	mutex_lock(&dev->power_lock);
	mutex_lock(&dev->lock);
	list_del(&donor->node);
	mutex_unlock(&dev->lock);
	mutex_unlock(&dev->power_lock);
	config_item_put(item);
}

static struct configfs_group_operations donors_group_ops = {
	.make_item = donor_make,
	.drop_item = donor_drop,
};

static const struct config_item_type donors_type = {
	.ct_group_ops = &donors_group_ops,
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
	config_group_init_type_name(&dev->donors_group, "donors", &donors_type);
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
