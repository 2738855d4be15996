/* SPDX-License-Identifier: GPL-2.0-only */
/* Which donors to be connected with, whose memory to take, for which slab. */
#ifndef _ISW_MAP_H
#define _ISW_MAP_H

#include <infiniswap/place.h>

struct isw_device;
struct isw_donor;
struct work_struct;

#define ISW_MAX_SESSIONS	64

/* The live donors that may be asked, and what place.h has to know of them. */
struct isw_draw {
	unsigned int n;
	struct isw_donor *donor[ISW_MAX_SESSIONS];
	struct isw_candidate cand[ISW_MAX_SESSIONS];
};

void isw_map_work(struct work_struct *work);	/* dev->map_work */
void isw_map_tick(struct work_struct *work);	/* dev->tick_work */
void isw_map_kick(struct isw_device *dev);	/* run map_work soon; any context */

/* conn_wq, no locks: until the donor has made our grants usable again */
int isw_map_await_grants(struct isw_donor *donor);

/* dev->lock held */
int isw_map_compare(struct isw_donor *donor);
void isw_map_forget(struct isw_donor *donor);
void isw_map_kick_donor(struct isw_donor *donor);

#endif /* _ISW_MAP_H */
