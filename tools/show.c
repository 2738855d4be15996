// SPDX-License-Identifier: GPL-2.0-only
/*
 * infiniswapctl show: all settings and counters of a device. Files are read as
 * they come, so a counter that a later kernel module adds is shown as well.
 */
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "infiniswapctl.h"

static const char *const donor_attrs[] = {
	"address", "port", "domain", "drain", "state", "slabs", "pages_in",
	"pages_out", "errors", "crc_errors", "evictions",
};

#define DONOR_ATTRS	(sizeof(donor_attrs) / sizeof(donor_attrs[0]))

typedef char *(*attr_get)(const char *device, const char *attr);

/* What the kernel module says, else what was set: a device may be off. */
static char *donor_attr(const char *device, const char *donor, const char *attr)
{
	char *value;

	if (!strcmp(attr, "state"))
		return donor_state(device, donor);
	value = donor_status(device, donor, attr);
	return value ? value : donor_setting(device, donor, attr);
}

/* ---- for people ---------------------------------------------------------- */

static void print_attrs(const char *title, const char *device,
			struct names attrs, attr_get get)
{
	if (attrs.count)
		printf("%s:\n", title);
	for (size_t i = 0; i < attrs.count; i++) {
		char *value __free_str = get(device, attrs.name[i]);

		printf("  %-20s %s\n", attrs.name[i], value ? value : "?");
	}
	names_free(&attrs);
}

static void show_text(const char *device)
{
	static const struct table_format format = { .columns =
		"DONOR,ADDRESS,STATE,SLABS,PAGES-IN,PAGES-OUT,ERRORS,CRC-ERRORS,EVICTIONS,DRAIN,DOMAIN" };
	struct table *table;

	printf("%s: /dev/%s, swap %s\n", device, device,
	       device_is_swap(device) ? "on" : "off");
	print_attrs("settings", device, setting_names(device), device_setting);
	print_attrs("status", device, status_names(device), device_status);
	puts("donors:");
	table = table_new("donors", donor_columns, &format);
	donors_add_rows(table, device);
	table_print(table);
}

/* ---- for programs -------------------------------------------------------- */

/* What somebody may have made up of digits. */
static bool is_text(const char *key)
{
	return !strcmp(key, "domain") || !strcmp(key, "name");
}

/* Digits become a number; everything else, unread values too, a string or null. */
static void put(struct json_object *object, const char *key, const char *value)
{
	struct json_object *json = NULL;

	if (value && is_number(value) && !is_text(key))
		json = json_object_new_uint64(strtoull(value, NULL, 10));
	else if (value)
		json = json_object_new_string(value);
	json_object_object_add(object, key, json);
}

static struct json_object *attrs_json(const char *device, struct names attrs,
				      attr_get get)
{
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < attrs.count; i++) {
		char *value __free_str = get(device, attrs.name[i]);

		put(object, attrs.name[i], value);
	}
	names_free(&attrs);
	return object;
}

static struct json_object *donor_json(const char *device, const char *donor)
{
	struct json_object *object = json_object_new_object();

	put(object, "name", donor);
	for (size_t i = 0; i < DONOR_ATTRS; i++) {
		char *value __free_str = donor_attr(device, donor, donor_attrs[i]);

		put(object, donor_attrs[i], value);
	}
	return object;
}

static struct json_object *donors_json(const char *device)
{
	struct json_object *array = json_object_new_array();
	struct names donors = donor_names(device);

	for (size_t i = 0; i < donors.count; i++)
		json_object_array_add(array, donor_json(device, donors.name[i]));
	names_free(&donors);
	return array;
}

static void show_json(const char *device)
{
	char *path __free_str = xasprintf("/dev/%s", device);
	char *state __free_str = device_state(device);
	struct json_object *object = json_object_new_object();
	struct json_object *status = attrs_json(device, status_names(device),
						device_status);

	put(status, "state", state);
	put(object, "name", device);
	put(object, "path", path);
	json_object_object_add(object, "swap",
			       json_object_new_boolean(device_is_swap(device)));
	json_object_object_add(object, "settings",
			       attrs_json(device, setting_names(device),
					  device_setting));
	json_object_object_add(object, "status", status);
	json_object_object_add(object, "donors", donors_json(device));
	puts(json_object_to_json_string_ext(object,
					    JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

int cmd_show(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *device;
	bool json = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "Jh", options, NULL)) >= 0) {
		switch (opt) {
		case 'J':
			json = true;
			break;
		case 'h':
			puts("Usage: infiniswapctl show NAME [OPTIONS]\n\nOptions:\n"
			     "  -J, --json  print JSON\n"
			     "  -h, --help  this text");
			return CTL_OK;
		default:
			return try_help();
		}
	}
	if (argc - optind != 1)
		return misused("show: which device?");
	device = device_name(argv[optind]);
	if (!device || !device_exists(device))
		return failed("%s: no such device", argv[optind]);
	if (json)
		show_json(device);
	else
		show_text(device);
	return CTL_OK;
}
