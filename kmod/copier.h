/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The copier: brings slabs the legs, and pages the copies, that they lack, and
 * takes legs off that are to go. Rebuild, repair and migration are all this.
 */
#ifndef _ISW_COPIER_H
#define _ISW_COPIER_H

#include <linux/types.h>

struct isw_device;

extern struct workqueue_struct *isw_copy_wq;

/* process context, dev->power_lock held */
int isw_copier_alloc(struct isw_device *dev);
void isw_copier_free(struct isw_device *dev);
void isw_copier_start(struct isw_device *dev);
/* the device is dying: nothing parks any more */
void isw_copier_stop(struct isw_device *dev);

/* process context: look whether there is something to do */
void isw_copier_kick(struct isw_device *dev);

#endif /* _ISW_COPIER_H */
