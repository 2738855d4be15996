/* SPDX-License-Identifier: GPL-2.0-only */
/* /sys/kernel/config/infiniswap/: devices are made and set up here. */
#ifndef _ISW_CONFIGFS_H
#define _ISW_CONFIGFS_H

#include "device.h"

int isw_configfs_init(void);
void isw_configfs_exit(void);

const char *isw_redundancy_name(enum isw_redundancy r);

#endif /* _ISW_CONFIGFS_H */
