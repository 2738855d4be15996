/* SPDX-License-Identifier: GPL-2.0-only */
/* The legs that slabs should have. */
#ifndef _ISW_MEND_H
#define _ISW_MEND_H

#include <linux/types.h>
#include <infiniswap/legs.h>

struct isw_device;
struct isw_mapping;
struct isw_slab;

#define ISW_LEGS_AT_ONCE	16	/* changed with one drain */

struct isw_mend {
	struct isw_slab *changed[ISW_LEGS_AT_ONCE];
	unsigned int nr_changed;	/* slabs with other legs since the last drain */
	u32 from;			/* slab to look first at, whose turn it is */
	unsigned int refusals;		/* no donor had memory, in this go */
	bool hurries;			/* some slabs have a deadline; the caller clears it */
};

/* in an RCU section, or dev->lock held */
struct isw_legs isw_legs_view(const struct isw_mapping *m);
bool isw_slab_hurries(const struct isw_mapping *m);

/* process context, take dev->lock; isw_mend_legs(): false if there may be more to do */
bool isw_mend_legs(struct isw_device *dev, struct isw_mend *mend);
void isw_mend_drop(struct isw_device *dev, struct isw_slab *slab);

#endif /* _ISW_MEND_H */
