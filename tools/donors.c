// SPDX-License-Identifier: GPL-2.0-only
/* infiniswapctl donors: one line per donor. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "infiniswapctl.h"

static char *get_device(const struct row *row, const struct table_format *format)
{
	(void)format;
	return xstrdup(row->device);
}

static char *get_donor(const struct row *row, const struct table_format *format)
{
	(void)format;
	return xstrdup(row->donor);
}

static char *get_address(const struct row *row,
			 const struct table_format *format)
{
	char *address __free_str = donor_setting(row->device, row->donor, "address");
	char *port __free_str = donor_setting(row->device, row->donor, "port");

	(void)format;
	if (!address || !*address || !port)
		return NULL;
	return xasprintf(strchr(address, ':') ? "[%s]:%s" : "%s:%s", address, port);
}

static char *get_state(const struct row *row, const struct table_format *format)
{
	(void)format;
	return donor_state(row->device, row->donor);
}

static char *get_slabs(const struct row *row, const struct table_format *format)
{
	(void)format;
	return donor_status(row->device, row->donor, "slabs");
}

static char *get_pages_in(const struct row *row,
			  const struct table_format *format)
{
	(void)format;
	return donor_status(row->device, row->donor, "pages_in");
}

static char *get_pages_out(const struct row *row,
			   const struct table_format *format)
{
	(void)format;
	return donor_status(row->device, row->donor, "pages_out");
}

static char *get_errors(const struct row *row, const struct table_format *format)
{
	(void)format;
	return donor_status(row->device, row->donor, "errors");
}

static char *get_crc_errors(const struct row *row,
			    const struct table_format *format)
{
	(void)format;
	return donor_status(row->device, row->donor, "crc_errors");
}

static char *get_evictions(const struct row *row,
			   const struct table_format *format)
{
	(void)format;
	return donor_status(row->device, row->donor, "evictions");
}

static char *get_domain(const struct row *row,
			const struct table_format *format)
{
	(void)format;
	return donor_setting(row->device, row->donor, "domain");
}

static char *get_drain(const struct row *row, const struct table_format *format)
{
	(void)format;
	return donor_setting(row->device, row->donor, "drain");
}

const struct column donor_columns[] = {
	{ "DEVICE", false, "device that lists the donor", get_device },
	{ "DONOR", false, "name of the donor", get_donor },
	{ "ADDRESS", false, "address and port of its daemon", get_address },
	{ "STATE", false, "state of the session; off: device not switched on",
	  get_state },
	{ "SLABS", true, "slabs that it holds now", get_slabs },
	{ "PAGES-IN", true, "pages read from it", get_pages_in },
	{ "PAGES-OUT", true, "pages written to it", get_pages_out },
	{ "ERRORS", true, "failed reads and writes", get_errors },
	{ "CRC-ERRORS", true, "pages that came back other than written", get_crc_errors },
	{ "EVICTIONS", true, "grants that it wanted back", get_evictions },
	{ "DRAIN", true, "1: it is to be done without", get_drain },
	{ "DOMAIN", false, "what it fails together with", get_domain },
	{ NULL, false, NULL, NULL },
};

void donors_add_rows(struct table *table, const char *device)
{
	struct names donors = donor_names(device);

	for (size_t i = 0; i < donors.count; i++)
		table_add(table, &(struct row){ .device = device,
						.donor = donors.name[i] });
	names_free(&donors);
}

static void add_all(struct table *table)
{
	struct names devices = device_names();

	for (size_t i = 0; i < devices.count; i++)
		donors_add_rows(table, devices.name[i]);
	names_free(&devices);
}

int cmd_donors(int argc, char **argv)
{
	struct table_format format = { 0 };
	const char *device = NULL;
	struct table *table;
	int done;

	done = table_options(argc, argv, "donors [NAME] [OPTIONS]", donor_columns,
			     &format);
	if (done >= 0)
		return done;
	if (argc - optind > 1)
		return misused("donors: %s: one device at most", argv[optind + 1]);
	if (optind < argc) {
		device = device_name(argv[optind]);
		if (!device || !device_exists(device))
			return failed("%s: no such device", argv[optind]);
	}
	table = table_new("donors", donor_columns, &format);
	if (!table)
		return CTL_USAGE;
	if (device)
		donors_add_rows(table, device);
	else
		add_all(table);
	table_print(table);
	return CTL_OK;
}
