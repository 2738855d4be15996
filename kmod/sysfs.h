/* SPDX-License-Identifier: GPL-2.0-only */
/* /sys/block/<device>/infiniswap/: state and counters, one value a file. */
#ifndef _ISW_SYSFS_H
#define _ISW_SYSFS_H

#include <linux/types.h>

struct isw_device;
struct isw_donor;
struct work_struct;

enum isw_uevent {
	ISW_UEVENT_BROKEN,
	ISW_UEVENT_RESUMED,
	ISW_UEVENT_LOST,
};

int isw_sysfs_add(struct isw_device *dev);
void isw_sysfs_remove(struct isw_device *dev);
int isw_sysfs_add_donor(struct isw_donor *donor);
void isw_sysfs_remove_donor(struct isw_donor *donor);

/* any context; neither allocates nor waits */
void isw_sysfs_uevent(struct isw_donor *donor, enum isw_uevent event);
void isw_sysfs_uevent_work(struct work_struct *work);

#endif /* _ISW_SYSFS_H */
