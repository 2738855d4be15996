/* SPDX-License-Identifier: GPL-2.0-only */
/* Which donors to be connected with, which slab to map, which to unmap. */
#ifndef _ISW_MAP_H
#define _ISW_MAP_H

struct isw_device;
struct work_struct;

void isw_map_work(struct work_struct *work);	/* dev->map_work */
void isw_map_tick(struct work_struct *work);	/* dev->tick_work */
void isw_map_kick(struct isw_device *dev);	/* run map_work soon; any context */

#endif /* _ISW_MAP_H */
