// SPDX-License-Identifier: GPL-2.0-only
/* infiniswapctl remove: switches a device off and takes its items away. */
#include <errno.h>
#include <getopt.h>

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

/* Who holds it open is not for the kernel to say; what to do about it is. */
static int power_off(const char *device)
{
	int err = setting_write(device, NULL, "power", "0");

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
	err = power_off(device);
	if (!err)
		err = donors_remove(device);
	if (!err)
		err = item_drop(device, NULL);
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
