/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Donors that want grants back: how much their slabs are used, and what becomes
 * of those that are evicted. A grant with evict_at set is unwanted: the copier
 * replaces it, and at that time it goes, whatever it holds.
 */
#ifndef _ISW_EVICT_H
#define _ISW_EVICT_H

#include <linux/types.h>

struct isw_device;
struct isw_grant;
struct work_struct;

/* process context, dev->power_lock held */
int isw_evict_alloc(struct isw_device *dev);
void isw_evict_free(struct isw_device *dev);

void isw_evict_work(struct work_struct *work);	/* dev->evict_work */
/* dev->lock held: donors that have got back what they wanted may lend again */
void isw_evict_settle(struct isw_device *dev);
/* dev->lock held: a new session lists @g */
void isw_evict_resume(struct isw_grant *g);
void isw_evict_kick(struct isw_device *dev);	/* a message waits; any context */

#endif /* _ISW_EVICT_H */
