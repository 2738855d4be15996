// SPDX-License-Identifier: GPL-2.0-only
/*
 * infiniswapctl create: makes the configfs items of a device, sets them and
 * switches it on. What fails half-way is taken back.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "infiniswapctl.h"

#define MAX_DEVICES	32	/* infiniswap0 to infiniswap31 */

struct setting {
	char *attr;
	char *value;
};

struct plan {
	char *device;		/* NULL: the first free name */
	struct setting *settings;
	size_t setting_count;
	struct donor *donors;
	size_t donor_count;
	const char **domains;	/* NAME=DOMAIN as given */
	size_t domain_count;
	bool force;
};

static volatile sig_atomic_t interrupted;

static const char usage[] =
	"Usage: infiniswapctl create [NAME] --size SIZE --redundancy MODE\n"
	"                            --donor NAME=ADDRESS[:PORT]... [OPTIONS]\n\n"
	"Create a device, switch it on and print its path. NAME is infiniswap0 to\n"
	"infiniswap31, by default the first that is free.\n\n"
	"Options:\n"
	"      --size SIZE               size of the device (K, M, G or T may follow)\n"
	"      --redundancy MODE         backup: a local disk has a copy of every page;\n"
	"                                mirror: two donors have, and the disk if given;\n"
	"                                none: a lost donor loses the pages it holds\n"
	"      --backup PATH             the disk, as large as the device; it is overwritten\n"
	"      --force                   overwrite it also if it holds something\n"
	"      --donor NAME=ADDRESS[:PORT]\n"
	"                                a donor; [ADDRESS]:PORT for IPv6; repeatable\n"
	"      --domain NAME=DOMAIN      donors of one domain fail together: no page has\n"
	"                                both its copies there; repeatable\n"
	"      --slab-size SIZE          1M to 4G, a power of two (64M)\n"
	"      --staging SIZE            memory for pages on their way to the disk\n"
	"      --integrity 0|1           check a CRC of each page that is read (1)\n"
	"      --queues N                hardware queues per direction, 1 to 4\n"
	"      --queue-depth N           requests per hardware queue, 4 to 256 (40)\n"
	"      --max-sessions N          donors connected at most, 1 to 64 (16)\n"
	"      --spares N                connected donors without a slab (4)\n"
	"      --ready-grants N          grants held in advance, 1 to 16 (2)\n"
	"      --stall-ms MS             a session without progress is broken (5000)\n"
	"      --donor-loss-timeout SEC  how long pages of a lost donor are waited for (30)\n"
	"      --slab-idle-timeout SEC   when an empty slab goes back to its donor (5)\n"
	"      --slab-cold-timeout SEC   redundancy backup: when one goes back that nobody\n"
	"                                touches and the disk has; 0: never (0)\n"
	"      --hot-slab N              pages per second, in and out, from which on a slab\n"
	"                                gets memory, with a disk; 0: when written to (0)\n"
	"      --copy-rate SIZE          per second, what rebuilding and drains copy at\n"
	"                                most; 0: no limit (4G)\n"
	"  -o, --option ATTR=VALUE       any setting by its name in configfs\n"
	"  -h, --help                    this text\n";

/* ---- options --------------------------------------------------------------- */

/* getopt values from here on are settings: the option's name is the attribute's. */
#define OPT_SETTING	0x100
#define OPT_DONOR	0x101
#define OPT_DOMAIN	0x102

static const struct option options[] = {
	{ "size", required_argument, NULL, OPT_SETTING },
	{ "redundancy", required_argument, NULL, OPT_SETTING },
	{ "backup", required_argument, NULL, OPT_SETTING },
	{ "staging", required_argument, NULL, OPT_SETTING },
	{ "integrity", required_argument, NULL, OPT_SETTING },
	{ "slab-size", required_argument, NULL, OPT_SETTING },
	{ "queues", required_argument, NULL, OPT_SETTING },
	{ "queue-depth", required_argument, NULL, OPT_SETTING },
	{ "max-sessions", required_argument, NULL, OPT_SETTING },
	{ "spares", required_argument, NULL, OPT_SETTING },
	{ "ready-grants", required_argument, NULL, OPT_SETTING },
	{ "stall-ms", required_argument, NULL, OPT_SETTING },
	{ "donor-loss-timeout", required_argument, NULL, OPT_SETTING },
	{ "slab-idle-timeout", required_argument, NULL, OPT_SETTING },
	{ "slab-cold-timeout", required_argument, NULL, OPT_SETTING },
	{ "hot-slab", required_argument, NULL, OPT_SETTING },
	{ "copy-rate", required_argument, NULL, OPT_SETTING },
	{ "donor", required_argument, NULL, OPT_DONOR },
	{ "domain", required_argument, NULL, OPT_DOMAIN },
	{ "option", required_argument, NULL, 'o' },
	{ "force", no_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* "slab-size" and "slab_size" are the same attribute. */
static void add_setting(struct plan *plan, const char *attr, size_t len,
			const char *value)
{
	struct setting *setting;
	size_t n = plan->setting_count++;

	plan->settings = xreallocarray(plan->settings, n + 1,
				       sizeof(*plan->settings));
	setting = &plan->settings[n];
	setting->attr = xasprintf("%.*s", (int)len, attr);
	setting->value = xstrdup(value);
	for (char *c = setting->attr; *c; c++) {
		if (*c == '-')
			*c = '_';
	}
}

static int parse_setting(struct plan *plan, const char *arg)
{
	const char *value = strchr(arg, '=');

	if (!value || value == arg || memchr(arg, '/', (size_t)(value - arg)) || !value[1])
		return misused("create: %s: expected ATTR=VALUE", arg);
	add_setting(plan, arg, (size_t)(value - arg), value + 1);
	return CTL_OK;
}

/* @option is the one that @arg is the value of. */
static int parse_option(struct plan *plan, const char *option, const char *arg)
{
	if (!*arg)
		return misused("create: --%s: the value is empty", option);
	add_setting(plan, option, strlen(option), arg);
	return CTL_OK;
}

/* The donor whose name are the @len characters at @name, or NULL. */
static struct donor *donor_named(const struct plan *plan, const char *name, size_t len)
{
	for (size_t i = 0; i < plan->donor_count; i++) {
		struct donor *donor = &plan->donors[i];

		if (strlen(donor->name) == len && !strncmp(donor->name, name, len))
			return donor;
	}
	return NULL;
}

static int parse_donor(struct plan *plan, const char *arg)
{
	struct donor donor;

	if (!donor_parse(&donor, arg))
		return misused("create: %s: expected NAME=ADDRESS[:PORT]", arg);
	if (donor_named(plan, donor.name, strlen(donor.name))) {
		free(donor.name);
		return misused("create: %s: this donor is named twice", arg);
	}
	plan->donors = xreallocarray(plan->donors, plan->donor_count + 1,
				     sizeof(*plan->donors));
	plan->donors[plan->donor_count++] = donor;
	return CTL_OK;
}

static void add_domain(struct plan *plan, const char *arg)
{
	plan->domains = xreallocarray(plan->domains, plan->domain_count + 1,
				      sizeof(*plan->domains));
	plan->domains[plan->domain_count++] = arg;
}

/* When all donors are known: they may stand behind their domains. */
static int resolve_domains(struct plan *plan)
{
	for (size_t i = 0; i < plan->domain_count; i++) {
		const char *arg = plan->domains[i];
		const char *domain = strchr(arg, '=');
		struct donor *donor;

		if (!domain || domain == arg || !domain[1])
			return misused("create: --domain %s: expected NAME=DOMAIN", arg);
		donor = donor_named(plan, arg, (size_t)(domain - arg));
		if (!donor)
			return misused("create: --domain %s: there is no --donor of this name", arg);
		donor->domain = domain + 1;
	}
	return CTL_OK;
}

static bool has_setting(const struct plan *plan, const char *attr)
{
	for (size_t i = 0; i < plan->setting_count; i++) {
		if (!strcmp(plan->settings[i].attr, attr))
			return true;
	}
	return false;
}

static int parse_name(struct plan *plan, int argc, char **argv)
{
	const char *name;

	if (argc - optind > 1)
		return misused("create: %s: one device at a time", argv[optind + 1]);
	if (optind == argc)
		return CTL_OK;
	name = device_name(argv[optind]);
	if (!name || !is_item_name(name))
		return misused("create: %s: not a device name (infiniswapN)",
			       argv[optind]);
	plan->device = xstrdup(name);
	return CTL_OK;
}

/* Returns -1 to go on, else the exit status. */
static int parse(struct plan *plan, int argc, char **argv)
{
	int status = CTL_OK;
	int index, opt;

	while (status == CTL_OK &&
	       (opt = getopt_long(argc, argv, "o:h", options, &index)) >= 0) {
		switch (opt) {
		case OPT_SETTING:
			status = parse_option(plan, options[index].name, optarg);
			break;
		case OPT_DONOR:
			status = parse_donor(plan, optarg);
			break;
		case OPT_DOMAIN:
			add_domain(plan, optarg);
			break;
		case 'o':
			status = parse_setting(plan, optarg);
			break;
		case 'f':
			plan->force = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return CTL_OK;
		default:
			return try_help();
		}
	}
	if (status == CTL_OK)
		status = parse_name(plan, argc, argv);
	if (status == CTL_OK)
		status = resolve_domains(plan);
	if (status != CTL_OK)
		return status;
	if (!has_setting(plan, "size"))
		return misused("create: --size is missing");
	if (!has_setting(plan, "redundancy"))
		return misused("create: --redundancy is missing: backup (with --backup) keeps every page on a disk too; mirror on two donors; none: a lost donor loses the pages it holds");
	if (!plan->donor_count)
		return misused("create: --donor is missing");
	return -1;
}

static void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->setting_count; i++) {
		free(plan->settings[i].attr);
		free(plan->settings[i].value);
	}
	for (size_t i = 0; i < plan->donor_count; i++)
		free(plan->donors[i].name);
	free(plan->settings);
	free(plan->donors);
	free(plan->domains);
	free(plan->device);
}

/* ---- making it ------------------------------------------------------------- */

static int device_make_any(struct plan *plan)
{
	int err;

	for (int i = 0; i < MAX_DEVICES; i++) {
		plan->device = xasprintf("infiniswap%d", i);
		err = item_make(plan->device, NULL);
		if (err != -EEXIST)
			return err;
		free(plan->device);
		plan->device = NULL;
	}
	return -ENOSPC;
}

static int device_make(struct plan *plan)
{
	int err = plan->device ? item_make(plan->device, NULL) :
				 device_make_any(plan);

	if (!plan->device)
		failed("all %d names are taken", MAX_DEVICES);
	else if (err == -EEXIST)
		failed("%s: exists already", plan->device);
	return err;
}

/* A signal must not leave half a device behind: it is looked at between steps. */
static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static int go_on(const char *device)
{
	if (!interrupted)
		return 0;
	failed("%s: interrupted", device);
	return -EINTR;
}

static int set(const char *device, const char *attr, const char *value)
{
	int err = go_on(device);

	return err ? err : setting_write(device, NULL, attr, value);
}

/* A setting that the module does not have is as wrong as one that it refuses. */
static int settings_write(const struct plan *plan)
{
	int err = 0;

	for (size_t i = 0; i < plan->setting_count && !err; i++)
		err = set(plan->device, plan->settings[i].attr,
			  plan->settings[i].value);
	return err == -ENOENT ? -EINVAL : err;
}

/* Adds the donors and counts in @made how many there are to take back. */
static int donors_make(const struct plan *plan, size_t *made)
{
	int err = 0;

	for (*made = 0; *made < plan->donor_count; ++*made) {
		err = go_on(plan->device);
		if (!err)
			err = donor_make(plan->device, &plan->donors[*made]);
		if (err)
			break;
	}
	return err;
}

static int device_create(struct plan *plan)
{
	size_t made = 0;
	int err;

	err = device_make(plan);
	if (err)
		return err;
	err = settings_write(plan);
	if (!err)
		err = donors_make(plan, &made);
	if (!err)
		err = set(plan->device, "power", "1");
	if (!err)
		return 0;
	while (made)
		item_drop(plan->device, plan->donors[--made].name);
	item_drop(plan->device, NULL);
	return err;
}

/* Before anything is made: the kernel overwrites whatever is there. */
static int backup_unused(const struct plan *plan)
{
	int status = CTL_OK;

	for (size_t i = 0; i < plan->setting_count && status == CTL_OK; i++) {
		if (!strcmp(plan->settings[i].attr, "backup"))
			status = disk_unused(plan->settings[i].value);
	}
	return status;
}

/* What will not be better when it is tried again, says the module. */
static int status_of(int err)
{
	switch (err) {
	case 0:
		return CTL_OK;
	case -EINVAL:
	case -ENAMETOOLONG:
	case -EDESTADDRREQ:
	case -ENOTBLK:
		return CTL_USAGE;
	default:
		return CTL_FAILED;
	}
}

static int plan_run(struct plan *plan)
{
	int status = plan->force ? CTL_OK : backup_unused(plan);

	if (status == CTL_OK)
		status = config_ready();
	if (status != CTL_OK)
		return status;
	catch_signals();
	status = status_of(device_create(plan));
	if (status == CTL_OK)
		printf("/dev/%s\n", plan->device);
	return status;
}

int cmd_create(int argc, char **argv)
{
	struct plan plan = { 0 };
	int status;

	status = parse(&plan, argc, argv);
	if (status < 0)
		status = plan_run(&plan);
	plan_free(&plan);
	return status;
}
