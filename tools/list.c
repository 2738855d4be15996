// SPDX-License-Identifier: GPL-2.0-only
/* infiniswapctl list: one line per device. */
#include <getopt.h>
#include <stdlib.h>

#include "infiniswapctl.h"

static char *get_name(const struct row *row, const struct table_format *format)
{
	(void)format;
	return xstrdup(row->device);
}

static char *size_of(const struct row *row, const struct table_format *format,
		     const char *attr)
{
	char *bytes = device_setting(row->device, attr);
	char *human;

	if (!bytes || format->bytes)
		return bytes;
	human = human_size(bytes);
	free(bytes);
	return human;
}

static char *get_size(const struct row *row, const struct table_format *format)
{
	return size_of(row, format, "size");
}

static char *get_slab_size(const struct row *row,
			   const struct table_format *format)
{
	return size_of(row, format, "slab_size");
}

static char *get_redundancy(const struct row *row,
			    const struct table_format *format)
{
	(void)format;
	return device_setting(row->device, "redundancy");
}

/* A device that is not switched on has no block device and so no state. */
static char *get_state(const struct row *row, const struct table_format *format)
{
	(void)format;
	return device_state(row->device);
}

static char *get_slabs(const struct row *row, const struct table_format *format)
{
	(void)format;
	return device_status(row->device, "slabs");
}

static char *get_mapped(const struct row *row, const struct table_format *format)
{
	(void)format;
	return device_status(row->device, "slabs_mapped");
}

static char *get_donors(const struct row *row, const struct table_format *format)
{
	struct names donors = donor_names(row->device);
	char *count = xasprintf("%zu", donors.count);

	(void)format;
	names_free(&donors);
	return count;
}

static char *get_pages_in(const struct row *row,
			  const struct table_format *format)
{
	(void)format;
	return device_status(row->device, "pages_in_remote");
}

static char *get_pages_out(const struct row *row,
			   const struct table_format *format)
{
	(void)format;
	return device_status(row->device, "pages_out_remote");
}

static char *get_swap(const struct row *row, const struct table_format *format)
{
	(void)format;
	return xstrdup(device_is_swap(row->device) ? "on" : "off");
}

static const struct column columns[] = {
	{ "NAME", false, "name of the device", get_name },
	{ "SIZE", true, "size of the device", get_size },
	{ "SLAB-SIZE", true, "size of a slab", get_slab_size },
	{ "REDUNDANCY", false, "what else holds a page", get_redundancy },
	{ "STATE", false, "up or degraded; off: not switched on", get_state },
	{ "SLABS", true, "slabs of the device", get_slabs },
	{ "MAPPED", true, "slabs that have remote memory now", get_mapped },
	{ "DONORS", true, "donors listed", get_donors },
	{ "PAGES-IN", true, "pages read from donors", get_pages_in },
	{ "PAGES-OUT", true, "pages written to donors", get_pages_out },
	{ "SWAP", false, "on: the system swaps to it", get_swap },
	{ NULL, false, NULL, NULL },
};

int cmd_list(int argc, char **argv)
{
	struct table_format format = { 0 };
	struct names devices;
	struct table *table;
	int done;

	done = table_options(argc, argv, "list [OPTIONS]", columns, &format);
	if (done >= 0)
		return done;
	if (optind < argc)
		return misused("list: %s: takes no argument", argv[optind]);
	table = table_new("devices", columns, &format);
	if (!table)
		return CTL_USAGE;
	devices = device_names();
	for (size_t i = 0; i < devices.count; i++)
		table_add(table, &(struct row){ .device = devices.name[i] });
	table_print(table);
	names_free(&devices);
	return CTL_OK;
}
