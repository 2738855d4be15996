// SPDX-License-Identifier: GPL-2.0-only
/* infiniswapctl add-donor: one more donor for a device, in use or not. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "infiniswapctl.h"

/* [ADDRESS] or [ADDRESS]:PORT: the part in brackets, and what follows the colon. */
static bool split_brackets(struct donor *donor)
{
	char *end = strchr(donor->address, ']');

	if (!end || (end[1] && end[1] != ':'))
		return false;
	donor->port = end[1] ? end + 2 : NULL;
	*end = '\0';
	donor->address++;
	return true;
}

/* ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT. An IPv6 address may stand alone. */
static bool split_address(struct donor *donor)
{
	char *colon;

	if (donor->address[0] == '[')
		return split_brackets(donor);
	colon = strchr(donor->address, ':');
	if (!colon || strchr(colon + 1, ':'))
		return true;
	*colon = '\0';
	donor->port = colon + 1;
	return true;
}

bool donor_parse(struct donor *donor, const char *arg)
{
	*donor = (struct donor){ .name = xstrdup(arg) };
	donor->address = strchr(donor->name, '=');
	if (donor->address)
		*donor->address++ = '\0';
	if (donor->address && split_address(donor) && donor->address[0] &&
	    (!donor->port || donor->port[0]) && is_item_name(donor->name))
		return true;
	free(donor->name);
	return false;
}

/* The address last: with one, a donor of a device in use can be changed no more. */
static int donor_write(const char *device, const struct donor *donor)
{
	int err = 0;

	if (donor->port)
		err = setting_write(device, donor->name, "port", donor->port);
	if (!err && donor->domain)
		err = setting_write(device, donor->name, "domain", donor->domain);
	if (!err)
		err = setting_write(device, donor->name, "address", donor->address);
	return err;
}

int donor_make(const char *device, const struct donor *donor)
{
	int err = item_make(device, donor->name);

	if (err)
		return err;
	err = donor_write(device, donor);
	if (err)
		item_drop(device, donor->name);
	return err;
}

static int add(const char *arg, const struct donor *donor)
{
	const char *device = device_name(arg);
	int err;

	if (!device || !device_exists(device))
		return failed("%s: no such device", arg);
	err = donor_make(device, donor);
	/* else it is another one's address that it cannot have */
	if (err == -EEXIST && donor_exists(device, donor->name))
		failed("%s: %s: there is such a donor already", device,
		       donor->name);
	return err ? CTL_FAILED : CTL_OK;
}

int cmd_add_donor(int argc, char **argv)
{
	static const struct option options[] = {
		{ "domain", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *domain = NULL;
	struct donor donor;
	int opt, status;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (opt) {
		case 'd':
			domain = optarg;
			break;
		case 'h':
			puts("Usage: infiniswapctl add-donor DEVICE NAME=ADDRESS[:PORT] [OPTIONS]\n\n"
			     "The device may be in use. [ADDRESS]:PORT for IPv6.\n\n"
			     "Options:\n"
			     "      --domain DOMAIN  donors of one domain fail together\n"
			     "  -h, --help           this text");
			return CTL_OK;
		default:
			return try_help();
		}
	}
	if (argc - optind != 2)
		return misused("add-donor: expected DEVICE and NAME=ADDRESS[:PORT]");
	if (domain && !*domain)
		return misused("add-donor: --domain: the value is empty");
	if (!donor_parse(&donor, argv[optind + 1]))
		return misused("add-donor: %s: expected NAME=ADDRESS[:PORT]",
			       argv[optind + 1]);
	donor.domain = domain;
	status = add(argv[optind], &donor);
	free(donor.name);
	return status;
}
