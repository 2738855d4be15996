// SPDX-License-Identifier: GPL-2.0-only
/*
 * infiniswapctl drain-donor and remove-donor: a device, in use or not, does
 * without a donor.
 */
#include <errno.h>
#include <getopt.h>

#include "infiniswapctl.h"

struct at {
	const char *device;
	const char *donor;
};

/* DEVICE and NAME at argv[optind]; 0, or the exit status. */
static int find(struct at *at, const char *command, int argc, char **argv)
{
	if (argc - optind != 2)
		return misused("%s: expected DEVICE and the donor's NAME", command);
	at->device = device_name(argv[optind]);
	at->donor = argv[optind + 1];
	if (!at->device || !device_exists(at->device))
		return failed("%s: no such device", argv[optind]);
	if (!donor_exists(at->device, at->donor))
		return failed("%s: %s: no such donor", at->device, at->donor);
	return CTL_OK;
}

int cmd_drain_donor(int argc, char **argv)
{
	static const struct option options[] = {
		{ "cancel", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *drain = "1";
	struct at at;
	int opt, status;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (opt) {
		case 'c':
			drain = "0";
			break;
		case 'h':
			puts("Usage: infiniswapctl drain-donor DEVICE NAME [OPTIONS]\n\n"
			     "Move the device's pages to other donors. It goes on in the background:\n"
			     "`infiniswapctl donors` shows the state `drained` when it is done.\n\n"
			     "Options:\n"
			     "      --cancel  use the donor as before\n"
			     "  -h, --help    this text");
			return CTL_OK;
		default:
			return try_help();
		}
	}
	status = find(&at, "drain-donor", argc, argv);
	if (status != CTL_OK)
		return status;
	return setting_write(at.device, at.donor, "drain", drain) ? CTL_FAILED :
								    CTL_OK;
}

/* Without an address it takes no part; that is what the kernel may refuse. */
static int donor_remove(const struct at *at)
{
	int err = setting_write(at->device, at->donor, "address", "");

	if (err == -EBUSY)
		failed("infiniswapctl drain-donor %s %s first, then wait for the state drained",
		       at->device, at->donor);
	return err ? err : item_drop(at->device, at->donor);
}

int cmd_remove_donor(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct at at;
	int opt, status;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		if (opt != 'h')
			return try_help();
		puts("Usage: infiniswapctl remove-donor DEVICE NAME\n\n"
		     "While the device is switched on, the donor must be drained:\n"
		     "see infiniswapctl drain-donor.");
		return CTL_OK;
	}
	status = find(&at, "remove-donor", argc, argv);
	if (status != CTL_OK)
		return status;
	return donor_remove(&at) ? CTL_FAILED : CTL_OK;
}
