/* SPDX-License-Identifier: GPL-2.0-only */
/* Giving back slabs that hold nothing any more. */
#ifndef _ISW_IDLE_H
#define _ISW_IDLE_H

struct isw_device;

#define ISW_IDLE_BATCH	16

/* dev->lock held, map_wq */
unsigned int isw_idle_give_back(struct isw_device *dev, unsigned long idle);

#endif /* _ISW_IDLE_H */
