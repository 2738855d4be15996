// SPDX-License-Identifier: GPL-2.0-only
/*
 * A donor's life: connect, live, break, be drained, resume or be given up,
 * leave. The table in fsm.h says what may follow what; this file holds the
 * actions. Four contexts act on a donor, and its state keeps them apart:
 *
 *   any          isw_donor_error() takes LIVE to BROKEN, once
 *   fail_work    runs in BROKEN: drains, hands over to RECONNECTING
 *   work         runs in CONNECTING, RECONNECTING, LEAVING, LOST: the only one
 *                that makes and destroys connections
 *   map_work     gives up (RECONNECTING to LOST), under dev->lock
 */
#include <linux/slab.h>

#include "ctrl.h"
#include "device.h"
#include "donor.h"
#include "map.h"
#include "resume.h"
#include "session.h"
#include "sysfs.h"
#include "trace.h"

#define HEARTBEAT		HZ
#define RETRY_MIN		msecs_to_jiffies(100)
#define RETRY_MAX		msecs_to_jiffies(2000)
#define IDLE_RETRY_MAX		(30 * HZ)
#define TWIN_RETRY		(300 * HZ)	/* another donor would have to go first */

static bool donor_event_locked(struct isw_donor *donor,
			       enum isw_donor_event event)
{
	u8 from = donor->state, next = isw_donor_next(from, event);

	lockdep_assert_held(&donor->lock);
	if (next == ISW_FSM_REFUSED)
		return false;
	/* pairs with isw_donor_live(): what LIVE promises was done before */
	smp_store_release(&donor->state, next);
	trace_isw_donor_state(donor, from, event, next);
	return true;
}

/* Returns whether the state changed; the one caller for whom it did acts. */
static bool donor_event(struct isw_donor *donor, enum isw_donor_event event)
{
	unsigned long flags;
	bool changed;

	spin_lock_irqsave(&donor->lock, flags);
	changed = donor_event_locked(donor, event);
	spin_unlock_irqrestore(&donor->lock, flags);
	return changed;
}

/* One that no other event can have come before: the model goes through all orders. */
static void donor_must(struct isw_donor *donor, enum isw_donor_event event)
{
	WARN_ON_ONCE(!donor_event(donor, event));
}

/*
 * The session is no good any more. The first report in LIVE starts the
 * fail-over; before that, it makes the attempt to connect fail.
 */
void isw_donor_error(struct isw_donor *donor, const char *why)
{
	unsigned long flags;
	bool broke;

	spin_lock_irqsave(&donor->lock, flags);
	if (!donor->error)
		WRITE_ONCE(donor->error, why);
	broke = donor_event_locked(donor, ISW_DONOR_EV_ERROR);
	if (broke) {
		donor->broken_at = jiffies;
		queue_work(isw_io_wq, &donor->fail_work);
	}
	isw_ctrl_abort(donor);	/* of this session: the next one takes the lock */
	spin_unlock_irqrestore(&donor->lock, flags);
	if (broke) {
		trace_isw_session_broken(donor, why);
		isw_sysfs_uevent(donor, ISW_UEVENT_BROKEN);
		isw_donor_warn(donor, "session broken: %s\n", why);
	}
}

static void donor_fail_work(struct work_struct *work)
{
	struct isw_donor *donor = container_of(work, struct isw_donor,
					       fail_work);

	isw_session_drain(donor);
	isw_stat_inc(donor->dev->stats, failovers);
	donor->failures = 0;
	donor->broke = true;
	donor_must(donor, ISW_DONOR_EV_DRAINED);
	mod_delayed_work(isw_conn_wq, &donor->work, 0);
	isw_map_kick(donor->dev);	/* legs that retire may be needed again */
}

/* ---- session slots ------------------------------------------------------ */

static bool slot_get(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;
	unsigned int i;
	bool found = false;

	spin_lock(&dev->active_lock);
	for (i = 0; i < dev->cfg.max_sessions && !found; i++) {
		if (!dev->active[i]) {
			WRITE_ONCE(dev->active[i], donor);
			found = true;
		}
	}
	spin_unlock(&dev->active_lock);
	return found;
}

static void slot_put(struct isw_donor *donor)
{
	struct isw_device *dev = donor->dev;
	unsigned int i;

	spin_lock(&dev->active_lock);
	for (i = 0; i < dev->cfg.max_sessions; i++)
		if (dev->active[i] == donor)
			WRITE_ONCE(dev->active[i], NULL);
	spin_unlock(&dev->active_lock);
}

/* ---- conn_wq ------------------------------------------------------------ */

/* The session stands and its grants are compared: go live, unless it broke. */
static bool donor_up(struct isw_donor *donor)
{
	unsigned long flags;
	bool up;

	spin_lock_irqsave(&donor->lock, flags);
	up = !donor->error && donor_event_locked(donor, ISW_DONOR_EV_UP);
	spin_unlock_irqrestore(&donor->lock, flags);
	if (!up)
		return false;

	donor->failures = 0;
	donor->twin = false;
	if (donor->broke)
		isw_stat_inc(donor->dev->stats, reconnects);
	donor->broke = false;
	return true;
}

/*
 * Another donor that is this very daemon, by another of its addresses? To it we are
 * two clients, and two copies there are one.
 */
static const struct isw_donor *donor_twin(struct isw_donor *donor)
{
	struct isw_donor *other;

	list_for_each_entry(other, &donor->dev->donors, node) {
		u8 state = READ_ONCE(other->state);

		if (other != donor && other->epoch == donor->session.epoch &&
		    state != ISW_DONOR_IDLE && state != ISW_DONOR_CONNECTING &&
		    state != ISW_DONOR_LOST)
			return other;
	}
	return NULL;
}

static int donor_try(struct isw_donor *donor)
{
	const struct isw_donor *twin;
	struct isw_device *dev = donor->dev;
	const char *error;
	int ret;

	WRITE_ONCE(donor->error, NULL);
	if (READ_ONCE(donor->state) == ISW_DONOR_CONNECTING)
		WRITE_ONCE(donor->draining, false);	/* else it still does */
	ret = isw_session_connect(donor);
	if (ret)
		return ret;
	ret = isw_resume_await(donor);
	if (ret)
		goto err_unusable;

	/* It is back: how long we wait for each other is not its fault. */
	WRITE_ONCE(donor->resuming, true);
	mutex_lock(&dev->lock);
	twin = donor_twin(donor);
	if (donor->state != ISW_DONOR_CONNECTING &&
	    donor->state != ISW_DONOR_RECONNECTING) {
		ret = -ESTALE;	/* given up meanwhile: nothing to compare */
	} else if (donor->state == ISW_DONOR_RECONNECTING &&
		   donor->session.epoch != donor->epoch) {
		isw_donor_give_up(donor, "daemon was started anew");
		ret = -ESTALE;
	} else if (twin) {
		if (!donor->twin)
			isw_donor_warn(donor, "%pISpc: is the daemon of donor %s\n",
				       &donor->addr, twin->name);
		donor->twin = true;
		ret = -EEXIST;
	} else {
		ret = isw_resume_compare(donor);
	}
	if (!ret) {
		donor->epoch = donor->session.epoch;
		ret = donor_up(donor) ? 0 : -ECONNRESET;
	}
	if (!ret)
		isw_resume_kick(donor);
	WRITE_ONCE(donor->resuming, false);
	mutex_unlock(&dev->lock);
	if (!ret)
		return 0;

err_unusable:
	error = READ_ONCE(donor->error);
	/* nothing new: given up, started anew, a twin; or the device goes off */
	if (ret != -ESTALE && ret != -EEXIST && (error || ret != -ECONNRESET) &&
	    isw_donor_failure_is_news(donor))
		isw_donor_warn(donor, "%pISpc: no use of the session: %s (%d)\n",
			       &donor->addr, error ?: "what it lent us is not known", ret);
	isw_session_destroy(donor);
	return ret;
}

/* 100 ms, doubled with each failure, 2 s at most. */
static unsigned long retry_delay(unsigned int failures)
{
	return min(RETRY_MIN << min(failures, 6U), RETRY_MAX);
}

static void donor_connecting(struct isw_donor *donor)
{
	int ret = donor_try(donor);

	if (!ret) {
		isw_donor_info(donor, "connected\n");
	} else {
		donor->failures++;
		donor->retry_at = jiffies + min_t(unsigned long, IDLE_RETRY_MAX,
						  HZ << min(donor->failures, 6U));
		if (ret == -EEXIST)
			donor->retry_at = jiffies + TWIN_RETRY;
		slot_put(donor);
		donor_must(donor, ISW_DONOR_EV_FAILED);
		wake_up_all(&donor->dev->ready_wait);
	}
	isw_map_kick(donor->dev);
}

static void donor_reconnecting(struct isw_donor *donor)
{
	int ret;

	isw_session_destroy(donor);
	ret = donor_try(donor);
	if (!ret) {
		trace_isw_session_resumed(donor);
		isw_sysfs_uevent(donor, ISW_UEVENT_RESUMED);
		isw_donor_info(donor, "session resumed after %u ms\n",
			       jiffies_to_msecs(jiffies - donor->broken_at));
	} else if (READ_ONCE(donor->state) == ISW_DONOR_RECONNECTING) {
		mod_delayed_work(isw_conn_wq, &donor->work,
				 retry_delay(donor->failures++));
	}
	isw_map_kick(donor->dev);
}

static void donor_leaving(struct isw_donor *donor)
{
	struct isw_msg_hdr bye = {};
	struct isw_call call = {};

	if (!READ_ONCE(donor->error) &&
	    isw_call(donor, &call, &bye, ISW_MSG_BYE))
		isw_donor_warn(donor, "did not answer our good-bye\n");
	isw_session_destroy(donor);
	donor->broke = false;
	slot_put(donor);
	donor_must(donor, ISW_DONOR_EV_DRAINED);
}

static void donor_lost(struct isw_donor *donor)
{
	isw_session_destroy(donor);
	slot_put(donor);
	donor_must(donor, ISW_DONOR_EV_FORGOTTEN);
	isw_map_kick(donor->dev);
}

static void donor_work(struct work_struct *work)
{
	struct isw_donor *donor = container_of(to_delayed_work(work),
					       struct isw_donor, work);

	switch (READ_ONCE(donor->state)) {
	case ISW_DONOR_CONNECTING:
		donor_connecting(donor);
		break;
	case ISW_DONOR_RECONNECTING:
		donor_reconnecting(donor);
		break;
	case ISW_DONOR_LEAVING:
		donor_leaving(donor);
		break;
	case ISW_DONOR_LOST:
		donor_lost(donor);
		break;
	default:	/* a retry that something overtook */
		break;
	}
}

/* ---- decisions of map.c ------------------------------------------------- */

/* Start to connect. False: no session slot is free, or not idle. */
bool isw_donor_connect(struct isw_donor *donor)
{
	if (donor->state != ISW_DONOR_IDLE || !slot_get(donor))
		return false;
	if (!donor_event(donor, ISW_DONOR_EV_CONNECT)) {
		slot_put(donor);
		return false;
	}
	mod_delayed_work(isw_conn_wq, &donor->work, 0);
	return true;
}

/* Start to end the session; its grants go back to the donor. */
void isw_donor_leave(struct isw_donor *donor)
{
	if (donor_event(donor, ISW_DONOR_EV_BYE))
		mod_delayed_work(isw_conn_wq, &donor->work, 0);
}

/*
 * Held for too long, or the donor's memory is gone: its pages are lost unless
 * another copy exists. dev->lock held. The donor may be connected again later
 * and starts from nothing.
 */
void isw_donor_give_up(struct isw_donor *donor, const char *why)
{
	u32 slabs = donor->nr_slabs;

	lockdep_assert_held(&donor->dev->lock);
	if (!donor_event(donor, ISW_DONOR_EV_GIVE_UP))
		return;
	isw_donor_warn(donor, "given up with %u slabs: %s\n", slabs, why);
	isw_sysfs_uevent(donor, ISW_UEVENT_LOST);
	isw_resume_forget(donor);
	donor->retry_at = jiffies;
	donor->failures = 0;
	/* donor_lost() follows: what is left of a session is destroyed there */
	mod_delayed_work(isw_conn_wq, &donor->work, 0);
}

/*
 * Every 50 ms while the donor has a session slot. Heartbeats start with the
 * control connection: a daemon may need long to make old grants usable again.
 */
void isw_donor_tick(struct isw_donor *donor)
{
	unsigned long beat = min_t(unsigned long, HEARTBEAT,
				   isw_stall_jiffies(donor->dev) / 4);

	if (isw_donor_live(donor) && isw_session_stalled(donor)) {
		isw_donor_error(donor, "no progress for stall_ms");
		return;
	}
	if (time_after(jiffies, donor->pinged_at + beat)) {
		donor->pinged_at = jiffies;
		isw_ctrl_ping(donor);
	}
}

/* Its HCA is going away: no connection is left when this returns. */
void isw_donor_quiesce(struct isw_donor *donor)
{
	isw_donor_error(donor, "HCA removed");
	flush_work(&donor->fail_work);
	mod_delayed_work(isw_conn_wq, &donor->work, 0);
	flush_delayed_work(&donor->work);
}

/* Power-off: back to idle, whatever the state. No new connects any more. */
void isw_donor_shutdown(struct isw_donor *donor)
{
	while (READ_ONCE(donor->state) != ISW_DONOR_IDLE) {
		isw_donor_leave(donor);
		flush_work(&donor->fail_work);
		flush_delayed_work(&donor->work);
	}
	flush_work(&donor->fail_work);	/* it may be about to queue donor->work */
	cancel_delayed_work_sync(&donor->work);
}

struct isw_donor *isw_donor_at(struct isw_device *dev,
			       const struct sockaddr_storage *addr)
{
	struct isw_donor *donor;

	list_for_each_entry(donor, &dev->donors, node)
		if (!memcmp(&donor->addr, addr, sizeof(*addr)))
			return donor;
	return NULL;
}

/* Power-on: the past is forgotten. */
void isw_donor_reset(struct isw_donor *donor)
{
	get_random_bytes(donor->client_id, sizeof(donor->client_id));
	donor->failures = 0;
	donor->twin = false;
	donor->retry_at = jiffies;
	donor->pinged_at = jiffies;
	donor->broke = false;
	donor->draining = false;
	donor->evicting = false;
	donor->owes_grant = false;
	donor->refusal = 0;
}

struct isw_donor *isw_donor_create(struct isw_device *dev, const char *name)
{
	struct isw_donor *donor = kzalloc(sizeof(*donor), GFP_KERNEL);

	if (!donor)
		return NULL;
	donor->dev = dev;
	strscpy(donor->name, name, sizeof(donor->name));
	donor->port = ISW_PORT;
	isw_donor_reset(donor);
	INIT_LIST_HEAD(&donor->node);
	spin_lock_init(&donor->lock);
	mutex_init(&donor->session.setup);
	INIT_WORK(&donor->fail_work, donor_fail_work);
	INIT_KFIFO(donor->uevents);
	INIT_WORK(&donor->uevent_work, isw_sysfs_uevent_work);
	INIT_DELAYED_WORK(&donor->work, donor_work);
	donor->stats = alloc_percpu(struct isw_donor_stats);
	donor->list_buf = kzalloc(sizeof(*donor->list_buf), GFP_KERNEL);
	if (!donor->stats || !donor->list_buf || isw_ctrl_alloc(donor)) {
		isw_donor_free(donor);
		return NULL;
	}
	return donor;
}

void isw_donor_free(struct isw_donor *donor)
{
	cancel_work_sync(&donor->uevent_work);
	isw_ctrl_free(donor);
	free_percpu(donor->stats);
	kfree(donor->list_buf);
	kfree(donor);
}
