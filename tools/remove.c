// SPDX-License-Identifier: GPL-2.0-only
/* infiniswapctl remove: switches a device off and takes its items away. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <time.h>

#include "infiniswapctl.h"

static int donors_remove(const char *device)
{
	struct names donors = donor_names(device);
	int err = 0;

	for (size_t i = 0; i < donors.count && !err; i++)
		err = item_drop(device, donors.name[i]);
	names_free(&donors);
	return err;
}

/* Between power-off and the last item, which would leave half a device. */
static void hold_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(how, &set, NULL);
}

/*
 * Who holds it open is not for the kernel to say; what to do about it is. udev does
 * so for a moment at each event of a disk: that is waited for, 3 s in all.
 */
static int power_off(const char *device)
{
	const struct timespec wait = { .tv_nsec = 250000000 };
	int err;

	for (int i = 0; i < 12 && setting_try(device, "power", "0") == -EBUSY; i++) {
		hold_signals(SIG_UNBLOCK);
		nanosleep(&wait, NULL);
		hold_signals(SIG_BLOCK);
	}
	err = setting_write(device, NULL, "power", "0");
	if (err == -EBUSY)
		failed("%s: close what has /dev/%s open first", device, device);
	return err;
}

static int device_remove(const char *arg)
{
	const char *device = device_name(arg);
	int err;

	if (!device || !device_exists(device))
		return failed("%s: no such device", arg);
	if (device_is_swap(device))
		return failed("%s: in use as swap: swapoff /dev/%s first", device,
			      device);
	hold_signals(SIG_BLOCK);
	err = power_off(device);
	if (!err)
		err = donors_remove(device);
	if (!err)
		err = item_drop(device, NULL);
	hold_signals(SIG_UNBLOCK);
	return err ? CTL_FAILED : CTL_OK;
}

int cmd_remove(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int status = CTL_OK;
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		if (opt != 'h')
			return try_help();
		puts("Usage: infiniswapctl remove NAME...\n\n"
		     "The device must not be in use: swapoff it first.");
		return CTL_OK;
	}
	if (optind == argc)
		return misused("remove: which device?");
	for (; optind < argc; optind++) {
		if (device_remove(argv[optind]) != CTL_OK)
			status = CTL_FAILED;
	}
	return status;
}
