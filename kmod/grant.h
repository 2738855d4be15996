/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Grants: asking donors for them, keeping some ready, giving them back. One that
 * is for a slab lies @beside the legs that the slab has, NULL: it has none.
 * All under dev->lock, in process context.
 */
#ifndef _ISW_GRANT_H
#define _ISW_GRANT_H

#include <infiniswap/place.h>
#include <infiniswap/wire.h>

struct isw_call;
struct isw_device;
struct isw_donor;
struct isw_grant;
struct isw_mapping;

#define ISW_MAX_SESSIONS	64

/* The live donors that may be asked, and what place.h has to know of them. */
struct isw_draw {
	unsigned int n;
	struct isw_donor *donor[ISW_MAX_SESSIONS];
	struct isw_candidate cand[ISW_MAX_SESSIONS];
};

int isw_grant_get(struct isw_device *dev, const struct isw_mapping *beside);
/* what a donor answered when its grant was not waited for any more */
void isw_grant_late(struct isw_donor *donor, const struct isw_msg *m);
bool isw_grant_obtain(struct isw_device *dev, const struct isw_mapping *beside,
		      struct isw_grant *grant);
int isw_grants_refill(struct isw_device *dev);
void isw_grants_spare(struct isw_device *dev, const struct isw_mapping *was,
		      unsigned int legs);
void isw_grants_trim(struct isw_device *dev);
int isw_grant_return(struct isw_donor *donor, struct isw_grant_id id);
void isw_grant_return_send(const struct isw_grant *g, struct isw_call *call);

/* a donor's ready grants when its session is new, or lost */
bool isw_grant_is(const struct isw_grant *g, const struct isw_donor *donor,
		  struct isw_grant_id id);
bool isw_grant_resume(struct isw_donor *donor, const struct isw_grant_info *g);
void isw_grants_forget(struct isw_donor *donor, bool resumed_too);

#endif /* _ISW_GRANT_H */
