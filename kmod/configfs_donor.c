// SPDX-License-Identifier: GPL-2.0-only
/*
 * The donors of a device in configfs: docs/ABI/configfs-infiniswap. A donor can
 * be added while the device is powered, and taken away when it is drained.
 */
#include <linux/inet.h>
#include <net/ipv6.h>
#include <net/net_namespace.h>

#include "configfs.h"
#include "device.h"
#include "donor.h"
#include "map.h"
#include "sysfs.h"
#include "value.h"

static struct isw_donor *to_donor(struct config_item *item)
{
	return container_of(item, struct isw_donor, item);
}

/* Say in the kernel log which attribute, which value and why; return @error. */
static int refuse(struct isw_donor *donor, const char *attr, const char *page,
		  size_t count, const char *why, int error)
{
	isw_donor_err(donor, "%s: %*pE: %s\n", attr,
		      isw_value_width(page, count), page, why);
	return error;
}

/* ---- attributes --------------------------------------------------------- */

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
	if (!donor->drain || isw_device_forget_donor(dev, donor))
		return refuse(donor, "address", page, count,
			      "not drained: set drain and wait for state drained",
			      -EBUSY);
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
	if (dev->powered && isw_donor_at(dev, &addr))
		return -EEXIST;
	if (dev->powered) {
		ret = isw_configfs_pin(&donor->item);
		if (ret)
			return ret;
		ret = isw_sysfs_add_donor(donor);
		if (ret) {
			configfs_undepend_item(&donor->item);
			return ret;
		}
	}
	mutex_lock(&dev->lock);
	isw_donor_reset(donor);		/* what is known is of another one */
	donor->addr = addr;
	mutex_unlock(&dev->lock);
	if (dev->powered)
		isw_map_kick(dev);
	return 0;
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
	char text[ISW_VALUE_MAX];
	int ret = -EINVAL;

	mutex_lock(&dev->power_lock);
	if (!isw_value_len(page, count)) {
		ret = donor_clear_address(donor, page, count);
	} else if (dev->powered && donor->addr.ss_family) {
		ret = refuse(donor, "address", page, count,
			     "device is powered", -EBUSY);
	} else {
		if (isw_value_copy(page, count, text))
			ret = donor_set_address(donor, text);
		if (ret == -EINVAL)
			refuse(donor, "address", page, count,
			       "not an IPv4 or IPv6 address of a host", ret);
		else if (ret == -EEXIST)
			refuse(donor, "address", page, count,
			       "another donor has it", ret);
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
		ret = refuse(donor, "port", page, count,
			     "device is powered", -EBUSY);
	} else if (kstrtou16(page, 10, &port) || !port) {
		ret = refuse(donor, "port", page, count,
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

static ssize_t isw_donor_domain_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%s\n", to_donor(item)->domain);
}

static ssize_t isw_donor_domain_store(struct config_item *item,
				      const char *page, size_t count)
{
	struct isw_donor *donor = to_donor(item);
	struct isw_device *dev = donor->dev;
	char text[ISW_VALUE_MAX];
	int ret = 0;

	mutex_lock(&dev->power_lock);
	if (dev->powered && donor->addr.ss_family) {
		ret = refuse(donor, "domain", page, count,
			     "device is powered", -EBUSY);
	} else if (!isw_value_copy(page, count, text) || !isw_value_is_plain(text) ||
		   strlen(text) >= sizeof(donor->domain)) {
		ret = refuse(donor, "domain", page, count,
			     "not a word of up to 31 printable ASCII characters",
			     -EINVAL);
	} else {
		strscpy(donor->domain, text, sizeof(donor->domain));
	}
	mutex_unlock(&dev->power_lock);
	return ret ?: count;
}
CONFIGFS_ATTR(isw_donor_, domain);

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
		ret = refuse(donor, "drain", page, count, "not 0 or 1",
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
	&isw_donor_attr_domain,
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

/* ---- donors/ ------------------------------------------------------------ */

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
	if (!isw_value_is_plain(name)) {
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

/*
 * Not powered, or never given an address: nothing knows it but the list. Before the
 * item leaves the tree, for power_on() pins what it finds in the list, and that would
 * look for what the item is in.
 */
static void donor_disconnect(struct config_group *group, struct config_item *item)
{
	struct isw_donor *donor = to_donor(item);
	struct isw_device *dev = donor->dev;

	mutex_lock(&dev->power_lock);
	mutex_lock(&dev->lock);
	list_del(&donor->node);
	mutex_unlock(&dev->lock);
	mutex_unlock(&dev->power_lock);
}

static struct configfs_group_operations donors_group_ops = {
	.make_item = donor_make,
	.disconnect_notify = donor_disconnect,
};

const struct config_item_type isw_donors_type = {
	.ct_group_ops = &donors_group_ops,
	.ct_owner = THIS_MODULE,
};

