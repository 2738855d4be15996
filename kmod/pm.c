// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sleep states. A machine that sleeps is silent: its donors end the lease and
 * lend the memory to others. So while donors hold pages of a device, neither
 * suspend nor hibernation; and no hibernation while the device is open, for
 * the image might be written to it. Idle devices connect again after resume.
 *
 * Tasks run on for a while after that was looked at, and kernel threads longer:
 * donors get no first page of a slab until the machine is awake again. Who waits
 * for that cannot be frozen, and then it does not sleep.
 */
#include <linux/suspend.h>

#include "device.h"
#include "pm.h"

static bool asleep;	/* or about to be */

bool isw_pm_asleep(void)
{
	return READ_ONCE(asleep);
}

static void wake(void)
{
	WRITE_ONCE(asleep, false);
	isw_devices_wake();
}

/* Nobody else is called for a sleep that is refused here. */
static int prepare(bool hibernation)
{
	int ret;

	WRITE_ONCE(asleep, true);
	ret = isw_devices_check_sleep(hibernation);
	if (ret)
		wake();
	return ret;
}

static int pm_event(struct notifier_block *nb, unsigned long event, void *data)
{
	switch (event) {
	case PM_SUSPEND_PREPARE:
		return notifier_from_errno(prepare(false));
	case PM_HIBERNATION_PREPARE:
		return notifier_from_errno(prepare(true));
	case PM_POST_SUSPEND:
	case PM_POST_HIBERNATION:
		wake();
		return NOTIFY_OK;
	default:
		return NOTIFY_DONE;
	}
}

static struct notifier_block pm_notifier = {
	.notifier_call = pm_event,
};

int isw_pm_init(void)
{
	return register_pm_notifier(&pm_notifier);
}

void isw_pm_exit(void)
{
	unregister_pm_notifier(&pm_notifier);
}
