// SPDX-License-Identifier: GPL-2.0-only
/*
 * Options: one table of keys serves the config file, the command line, --help
 * and --dump-config. A wrong key or value ends the daemon with status 2 and
 * a line that says where, which key, which value and why.
 */
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <infiniswap/wire.h>

#include "options.h"
#include "util.h"

#ifndef INFINISWAP_VERSION
#define INFINISWAP_VERSION	"0.1.0"
#endif

#define DEFAULT_CONFIG	"/etc/infiniswap/infiniswapd.conf"
#define EXIT_USAGE	2
#define MIB		((uint64_t)1 << 20)
#define UNSET		UINT64_MAX	/* default depends on the host */

enum kind {
	KIND_TEXT,
	KIND_NUMBER,
	KIND_SIZE,
	KIND_SLAB,
	KIND_SECONDS,	/* kept in milliseconds */
	KIND_LEVEL,
};

struct key {
	const char *name;
	enum kind kind;
	size_t offset;
	uint64_t min, max;
	const char *help;
};

#define KEY(name_, field, kind_, min_, max_, help_) \
	{ name_, kind_, offsetof(struct options, field), min_, max_, help_ }

/* In milliseconds it fits the __le32 on the wire. */
#define SECONDS_MAX	(7 * 24 * 3600ull)
#define SIZE_MOST	(1ull << 50)

static const struct key keys[] = {
	KEY("bind", bind, KIND_TEXT, 0, 0,
	    "address to listen on (default: all)"),
	KEY("port", port, KIND_NUMBER, 1, 65535,
	    "port to listen on (default 9400)"),
	KEY("memory", memory, KIND_SIZE, MIB, SIZE_MOST,
	    "most memory to lend (default: half of RAM)"),
	KEY("headroom", headroom, KIND_SIZE, 0, SIZE_MOST,
	    "memory that stays available here (default: RAM/16, at least 64M)"),
	KEY("client_quota", client_quota, KIND_SIZE, MIB, SIZE_MOST,
	    "most memory for one client (default: = memory)"),
	KEY("max_clients", max_clients, KIND_NUMBER, 1, 4096,
	    "clients served at a time (default 32)"),
	KEY("slab_size", slab_size, KIND_SLAB, 0, 0,
	    "slab size prepared at start (default 64M)"),
	KEY("prepare", prepare, KIND_NUMBER, 0, 1024,
	    "slabs kept prepared ahead of demand (default 2)"),
	KEY("lease", lease_ms, KIND_SECONDS, 1, SECONDS_MAX,
	    "seconds that grants outlive a lost session (default 60)"),
	KEY("client_timeout", client_timeout_ms, KIND_SECONDS, 1, SECONDS_MAX,
	    "seconds of silence that end a session (default 10)"),
	KEY("drain_timeout", drain_timeout_ms, KIND_SECONDS, 0, SECONDS_MAX,
	    "seconds that SIGTERM waits for clients (default 30)"),
	KEY("log_level", log_level, KIND_LEVEL, 0, 0,
	    "error, warning, info or debug (default info)"),
	KEY("meminfo", meminfo, KIND_TEXT, 0, 0,
	    "file to read instead of /proc/meminfo (for tests)"),
};

static struct options options = {
	.port = ISW_PORT,
	.memory = UNSET,
	.headroom = UNSET,
	.client_quota = UNSET,
	.max_clients = 32,
	.slab_size = 64 * MIB,
	.prepare = 2,
	.lease_ms = 60000,
	.client_timeout_ms = 10000,
	.drain_timeout_ms = 30000,
	.log_level = LOG_INFO,
	.meminfo = "/proc/meminfo",
};

const struct options *const opt = &options;

/* ---- values ------------------------------------------------------------- */

static uint64_t *key_u64(const struct key *key)
{
	return (uint64_t *)((char *)&options + key->offset);
}

static char *key_text(const struct key *key)
{
	return (char *)&options + key->offset;
}

/* Digits alone: strtoull would take "-1", " 7" and "0x10" as well. */
static const char *parse_digits(const char *text, uint64_t *value, char **end)
{
	if (*text < '0' || *text > '9')
		return "not a number";
	errno = 0;
	*value = strtoull(text, end, 10);
	return errno ? "number too large" : NULL;
}

static unsigned int suffix_shift(char c)
{
	switch (c) {
	case 'k': case 'K':
		return 10;
	case 'm': case 'M':
		return 20;
	case 'g': case 'G':
		return 30;
	case 't': case 'T':
		return 40;
	}
	return 0;
}

static const char *parse_size(const char *text, uint64_t *value)
{
	unsigned int shift;
	const char *why;
	char *end;

	why = parse_digits(text, value, &end);
	if (why)
		return why;
	shift = suffix_shift(*end);
	if (shift)
		end++;
	if (*end)
		return "not a size: digits, then K, M, G or T";
	if (*value > UINT64_MAX >> shift)
		return "number too large";
	*value <<= shift;
	return NULL;
}

static const char *parse_number(const char *text, uint64_t *value)
{
	const char *why;
	char *end;

	why = parse_digits(text, value, &end);
	if (!why && *end)
		why = "not a number";
	return why;
}

static const char *parse_level(const char *text, uint64_t *value)
{
	enum log_level level;

	for (level = LOG_ERROR; level <= LOG_DEBUG; level++) {
		if (!strcmp(text, log_level_name(level))) {
			*value = level;
			return NULL;
		}
	}
	return "not one of error, warning, info, debug";
}

static const char *parse_value(enum kind kind, const char *text,
			       uint64_t *value)
{
	switch (kind) {
	case KIND_LEVEL:
		return parse_level(text, value);
	case KIND_SIZE:
	case KIND_SLAB:
		return parse_size(text, value);
	default:
		return parse_number(text, value);
	}
}

static const char *check_range(const struct key *key, uint64_t value)
{
	static char why[80];

	if (key->kind == KIND_SLAB)
		return isw_slab_size_valid(value) ? NULL :
		       "not a power of two from 1M to 4G";
	if (!key->max || (value >= key->min && value <= key->max))
		return NULL;
	if (key->kind == KIND_SIZE)
		snprintf(why, sizeof(why), "must be from %" PRIu64 "M to %"
			 PRIu64 "T", key->min >> 20, key->max >> 40);
	else
		snprintf(why, sizeof(why), "must be from %" PRIu64 " to %"
			 PRIu64, key->min, key->max);
	return why;
}

static const char *set_text(const struct key *key, const char *text)
{
	if (strlen(text) >= OPTIONS_TEXT)
		return "too long";
	strcpy(key_text(key), text);
	return NULL;
}

/* Returns NULL, or what is wrong with @text as a value of @key. */
static const char *key_set(const struct key *key, const char *text)
{
	uint64_t value = 0;
	const char *why;

	if (key->kind == KIND_TEXT)
		return set_text(key, text);
	why = parse_value(key->kind, text, &value);
	if (!why)
		why = check_range(key, value);
	if (!why)
		*key_u64(key) = key->kind == KIND_SECONDS ?
				value * 1000 : value;
	return why;
}

static const struct key *key_find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(name, keys[i].name))
			return &keys[i];
	return NULL;
}

/* ---- config file -------------------------------------------------------- */

struct config {
	const char *path;
	FILE *file;
	int line;		/* inih as packaged does not pass it on */
	bool failed;
};

static char *config_getline(char *buf, int len, void *arg)
{
	struct config *config = arg;
	char *got = fgets(buf, len, config->file);

	if (got)
		config->line++;
	return got;
}

static int config_value(void *arg, const char *section, const char *name,
			const char *value)
{
	struct config *config = arg;
	const struct key *key = key_find(name);
	const char *why;

	if (config->failed)
		return 1;
	if (*section)
		why = "sections are not used here";
	else if (!key)
		why = "no such key";
	else
		why = key_set(key, value);
	if (!why)
		return 1;
	fprintf(stderr, "infiniswapd: %s:%d: %s = %s: %s\n",
		config->path, config->line, name, value, why);
	config->failed = true;
	return 0;
}

/* A default file that is not there is no error; one that was named is. */
static void config_read(const char *path, bool named)
{
	struct config config = { .path = path };
	int bad_line;

	config.file = fopen(path, "re");
	if (!config.file) {
		if (!named && errno == ENOENT)
			return;
		fprintf(stderr, "infiniswapd: %s: %s\n", path, strerror(errno));
		exit(EXIT_USAGE);
	}
	bad_line = ini_parse_stream(config_getline, &config, config_value,
				    &config);
	fclose(config.file);
	if (bad_line && !config.failed)
		fprintf(stderr, "infiniswapd: %s:%d: not \"key = value\"\n",
			path, bad_line);
	if (bad_line || config.failed)
		exit(EXIT_USAGE);
}

/* ---- output ------------------------------------------------------------- */

static void usage(void)
{
	size_t i;

	printf("Usage: infiniswapd [--config FILE] [--KEY=VALUE]...\n"
	       "Lend this machine's free memory to infiniswap clients over RDMA.\n\n"
	       "  --config FILE      read keys from FILE (default %s)\n"
	       "  --dump-config      show the values in force and end\n"
	       "  --help, --version\n\nKeys, in FILE as \"key = value\":\n",
	       DEFAULT_CONFIG);
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		printf("  --%-16s %s\n", keys[i].name, keys[i].help);
	printf("\nSIGTERM drains: clients are asked to give their grants back.\n"
	       "SIGUSR1 logs a table of clients, grants and memory.\n");
}

static void dump_size(const struct key *key, uint64_t value)
{
	if (value && !(value & (MIB - 1)))
		printf("%s = %" PRIu64 "M\n", key->name, value / MIB);
	else
		printf("%s = %" PRIu64 "\n", key->name, value);
}

static void dump_key(const struct key *key)
{
	switch (key->kind) {
	case KIND_TEXT:
		printf("%s = %s\n", key->name, key_text(key));
		break;
	case KIND_LEVEL:
		printf("%s = %s\n", key->name,
		       log_level_name((enum log_level)*key_u64(key)));
		break;
	case KIND_SIZE:
	case KIND_SLAB:
		dump_size(key, *key_u64(key));
		break;
	case KIND_SECONDS:
		printf("%s = %" PRIu64 "\n", key->name, *key_u64(key) / 1000);
		break;
	case KIND_NUMBER:
		printf("%s = %" PRIu64 "\n", key->name, *key_u64(key));
		break;
	}
}

/* ---- command line ------------------------------------------------------- */

enum {
	OPT_CONFIG = 256,
	OPT_DUMP,
	OPT_HELP,
	OPT_VERSION,
	OPT_KEY,	/* + index into keys */
};

#define OPTS_BEFORE_KEYS	4

static struct option long_options[OPTS_BEFORE_KEYS + ARRAY_SIZE(keys) + 1] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "dump-config", no_argument, NULL, OPT_DUMP },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
};

static const char *config_path;
static bool dump_wanted;

/* --client-quota=1G is taken for --client_quota=1G. */
static void unify_dashes(int argc, char **argv)
{
	char *p;
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (strncmp(argv[i], "--", 2) || !strcmp(argv[i], "--dump-config"))
			continue;
		for (p = argv[i] + 2; *p && *p != '='; p++)
			if (*p == '-')
				*p = '_';
	}
}

static void take_key(const struct key *key, const char *value)
{
	const char *why = key_set(key, value);

	if (!why)
		return;
	fprintf(stderr, "infiniswapd: --%s=%s: %s\n", key->name, value, why);
	exit(EXIT_USAGE);
}

static void take_option(int c)
{
	switch (c) {
	case OPT_CONFIG:
		config_path = optarg;
		break;
	case OPT_DUMP:
		dump_wanted = true;
		break;
	case OPT_HELP:
		usage();
		exit(EXIT_SUCCESS);
	case OPT_VERSION:
		printf("infiniswapd %s (protocol %d)\n", INFINISWAP_VERSION,
		       ISW_VERSION);
		exit(EXIT_SUCCESS);
	case '?':
		fprintf(stderr, "infiniswapd: try --help\n");
		exit(EXIT_USAGE);
	}
}

static void name_keys(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		long_options[OPTS_BEFORE_KEYS + i] = (struct option) {
			keys[i].name, required_argument, NULL, OPT_KEY + (int)i
		};
}

/* Two passes, so that the command line wins wherever --config stands. */
void options_parse(int argc, char **argv)
{
	int c;

	name_keys();
	unify_dashes(argc, argv);
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		take_option(c);
	if (optind < argc) {
		fprintf(stderr, "infiniswapd: \"%s\": not an option\n",
			argv[optind]);
		exit(EXIT_USAGE);
	}
	config_read(config_path ?: DEFAULT_CONFIG, config_path != NULL);
	optind = 1;
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (c >= OPT_KEY)
			take_key(&keys[c - OPT_KEY], optarg);
}

void options_settle(uint64_t mem_total)
{
	size_t i;

	if (options.memory == UNSET)
		options.memory = mem_total / 2 > MIB ? mem_total / 2 : MIB;
	if (options.headroom == UNSET)
		options.headroom = mem_total / 16 > 64 * MIB ?
				   mem_total / 16 : 64 * MIB;
	if (options.client_quota == UNSET)
		options.client_quota = options.memory;
	if (!dump_wanted)
		return;
	/* What comes out is a config file. */
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		dump_key(&keys[i]);
	exit(EXIT_SUCCESS);
}
