/* SPDX-License-Identifier: GPL-2.0-only */
/* /sys/kernel/config/infiniswap/: devices are made and set up here. */
#ifndef _ISW_CONFIGFS_H
#define _ISW_CONFIGFS_H

#include "device.h"

extern const struct config_item_type isw_donors_type;	/* configfs_donor.c */

int isw_configfs_init(void);
void isw_configfs_exit(void);

/* dev->power_lock held: no rmdir from here on; EBUSY. configfs_undepend_item() */
int isw_configfs_pin(struct config_item *item);

const char *isw_redundancy_name(enum isw_redundancy r);

#endif /* _ISW_CONFIGFS_H */
