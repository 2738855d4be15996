/* SPDX-License-Identifier: GPL-2.0-only */
/* /sys/block/<device>/infiniswap/: state and counters, one value a file. */
#ifndef _ISW_SYSFS_H
#define _ISW_SYSFS_H

struct isw_device;
struct isw_donor;

int isw_sysfs_add(struct isw_device *dev);
void isw_sysfs_remove(struct isw_device *dev);
int isw_sysfs_add_donor(struct isw_donor *donor);
void isw_sysfs_remove_donor(struct isw_donor *donor);

const char *isw_device_state(struct isw_device *dev);

#endif /* _ISW_SYSFS_H */
