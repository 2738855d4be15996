/* SPDX-License-Identifier: GPL-2.0-only */
/* /sys/kernel/debug/infiniswap/<device>/: tables for people, faults for tests. */
#ifndef _ISW_DEBUGFS_H
#define _ISW_DEBUGFS_H

struct isw_device;

void isw_debugfs_init(void);
void isw_debugfs_exit(void);
void isw_debugfs_add(struct isw_device *dev);
void isw_debugfs_remove(struct isw_device *dev);

#endif /* _ISW_DEBUGFS_H */
