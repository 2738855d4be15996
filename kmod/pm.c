// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sleep states. A machine that sleeps is silent: its donors end the lease and
 * lend the memory to others. So while donors hold pages of a device, neither
 * suspend nor hibernation; and no hibernation while the device is open, for
 * the image might be written to it. Idle devices connect again after resume.
 */
#include <linux/suspend.h>

#include "device.h"
#include "pm.h"

static int pm_event(struct notifier_block *nb, unsigned long event, void *data)
{
	switch (event) {
	case PM_SUSPEND_PREPARE:
		return notifier_from_errno(isw_devices_check_sleep(false));
	case PM_HIBERNATION_PREPARE:
		return notifier_from_errno(isw_devices_check_sleep(true));
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
