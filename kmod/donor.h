/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One donor of one device: its state (fsm.h), its session, its counters.
 */
#ifndef _ISW_DONOR_H
#define _ISW_DONOR_H

#include <linux/configfs.h>
#include <linux/kfifo.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/socket.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <infiniswap/fsm.h>

#include "session.h"
#include "slab.h"
#include "stats.h"

struct isw_device;
struct isw_kobj;

#define ISW_DOMAIN_MAX		32

struct isw_donor {
	struct isw_device *dev;
	struct list_head node;		/* dev->donors, under dev->lock */
	char name[CONFIGFS_ITEM_NAME_LEN];
	struct sockaddr_storage addr;	/* ss_family 0: not set yet */
	u16 port;
	char domain[ISW_DOMAIN_MAX];	/* of failure; "": its own */
	u8 client_id[ISW_CLIENT_ID_LEN]; /* what we are to it, as long as powered */

	spinlock_t lock;		/* state changes */
	u8 state;			/* enum isw_donor_state; read anywhere */
	const char *error;		/* why the present session is no good, or NULL */
	u64 epoch;			/* of the daemon that lent our grants */

	struct isw_session session;
	struct work_struct fail_work;	/* io_wq: drain a broken session */
	struct delayed_work work;	/* conn_wq: connect, resume, leave */
	unsigned long broken_at;	/* jiffies: requests held since */
	unsigned long retry_at;		/* jiffies: do not connect earlier */
	unsigned long pinged_at;	/* jiffies: last heartbeat */
	unsigned int failures;		/* attempts in a row */
	bool broke;			/* next UP counts as reconnect */
	bool resuming;			/* its session stands, and waits for dev->lock */
	bool twin;			/* last seen to be another donor's daemon; logged */
	bool draining;			/* wants its grants back, takes no more */
	bool drain;			/* the operator wants to do without it */

	/* under dev->lock */
	u32 nr_slabs;			/* legs of published mappings */
	u32 nr_ready;			/* grants in dev->ready */
	bool evicting;			/* some of its grants have evict_at */
	bool owes_grant;		/* the last one asked for is not there yet */
	u16 refusal;			/* of the last grant asked for; logged once */

	struct isw_msg_grants *list_buf;

	struct isw_donor_stats __percpu *stats;
	struct config_item item;
	struct isw_kobj *kobj;
	DECLARE_KFIFO(uevents, u8, 8);	/* in under lock, out in uevent_work */
	struct work_struct uevent_work;
};

static inline bool isw_donor_live(const struct isw_donor *donor)
{
	/* pairs with the release in donor_event(): the session is whole */
	return smp_load_acquire(&donor->state) == ISW_DONOR_LIVE;
}

/* Of attempts that fail in a row the first is logged, and ever fewer of the others. */
static inline bool isw_donor_failure_is_news(const struct isw_donor *donor)
{
	return !donor->failures || is_power_of_2(donor->failures);
}

/* No new slab goes there, and the empty ones go back. */
static inline bool isw_donor_draining(const struct isw_donor *donor)
{
	return READ_ONCE(donor->draining) || READ_ONCE(donor->drain);
}

/* May it be asked for memory? dev->lock held. */
static inline bool isw_donor_lends(const struct isw_donor *donor)
{
	return !isw_donor_draining(donor) && !donor->evicting;
}

/*
 * May requests use leg @g? Not from evict_at on, though it may take until the leg
 * is off: dev->lock may be held that long, for a donor that is silent.
 */
static inline bool isw_leg_live(const struct isw_grant *g)
{
	unsigned long at = READ_ONCE(g->evict_at);

	return (likely(!at) || time_before(jiffies, at)) &&
	       isw_donor_live(g->donor);
}

/* The legs of @m, which may be NULL, that requests may use, a bit each. */
static inline unsigned int isw_legs_live(const struct isw_mapping *m)
{
	unsigned int legs = 0, leg;

	for (leg = 0; m && leg < ISW_MAX_LEGS; leg++)
		if (m->used & BIT(leg) && isw_leg_live(&m->leg[leg]))
			legs |= BIT(leg);
	return legs;
}

/* Is a slab to be rid of its leg @g? */
static inline bool isw_leg_unwanted(const struct isw_grant *g)
{
	return READ_ONCE(g->evict_at) || isw_donor_draining(g->donor);
}

/* Are they in one domain of failure, which "" is not? */
static inline bool isw_donors_share(const struct isw_donor *a,
				    const struct isw_donor *b)
{
	return *a->domain && !strcmp(a->domain, b->domain);
}

/* power_lock held: the first donor of @dev with @addr, port and all, or NULL. */
struct isw_donor *isw_donor_at(struct isw_device *dev,
			       const struct sockaddr_storage *addr);

struct isw_donor *isw_donor_create(struct isw_device *dev, const char *name);
void isw_donor_free(struct isw_donor *donor);

/* any context; @why is a literal */
void isw_donor_error(struct isw_donor *donor, const char *why);

/* process context, dev->lock held where map.c calls */
bool isw_donor_connect(struct isw_donor *donor);
void isw_donor_leave(struct isw_donor *donor);
void isw_donor_give_up(struct isw_donor *donor, const char *why);
void isw_donor_tick(struct isw_donor *donor);
void isw_donor_quiesce(struct isw_donor *donor);
void isw_donor_shutdown(struct isw_donor *donor);
void isw_donor_reset(struct isw_donor *donor);

#define isw_donor_info(d, fmt, ...) \
	pr_info("%s: %s: " fmt, (d)->dev->name, (d)->name, ##__VA_ARGS__)
#define isw_donor_err(d, fmt, ...) \
	pr_err("%s: %s: " fmt, (d)->dev->name, (d)->name, ##__VA_ARGS__)
#define isw_donor_warn(d, fmt, ...) \
	pr_warn("%s: %s: " fmt, (d)->dev->name, (d)->name, ##__VA_ARGS__)

#endif /* _ISW_DONOR_H */
