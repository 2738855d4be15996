// SPDX-License-Identifier: GPL-2.0-only
/*
 * Options: one table of keys serves the config file, the command line, --help
 * and --dump-config. A wrong key or value is named with its place and why. It
 * ends the daemon with status 2; on reload it leaves all as it was.
 */
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <infiniswap/pressure.h>
#include <infiniswap/wire.h>

#include "client.h"
#include "options.h"
#include "util.h"

#define DEFAULT_CONFIG	"/etc/infiniswap/infiniswapd.conf"
#define EXIT_USAGE	2
#define MIB		((uint64_t)1 << 20)
#define UNSET		UINT64_MAX	/* default depends on the host */
#define PERCENT		((uint64_t)1 << 62)	/* and the number: a share */

enum kind {
	KIND_TEXT,
	KIND_NUMBER,
	KIND_SIZE,	/* or a share, until options_settle() */
	KIND_SLAB,
	KIND_SECONDS,	/* kept in milliseconds */
	KIND_LEVEL,
};

struct key {
	const char *name;
	enum kind kind;
	size_t offset;
	uint64_t min, max;
	bool fixed;	/* from the start to the end of the daemon */
	const char *help;
};

#define KEY_(name_, field, kind_, min_, max_, fixed_, help_) \
	{ name_, kind_, offsetof(struct options, field), min_, max_, fixed_, help_ }
#define KEY(name_, field, kind_, min_, max_, help_) \
	KEY_(name_, field, kind_, min_, max_, false, help_)
#define FIXED(name_, field, kind_, min_, max_, help_) \
	KEY_(name_, field, kind_, min_, max_, true, help_)

/* In milliseconds it fits the __le32 on the wire. */
#define SECONDS_MAX	(7 * 24 * 3600ull)
#define SIZE_MOST	(1ull << 50)

static const struct key keys[] = {
	FIXED("bind", bind, KIND_TEXT, 0, 0,
	    "address to listen on (default: all)"),
	FIXED("port", port, KIND_NUMBER, 1, 65535,
	    "port to listen on (default 9400)"),
	KEY("memory", memory, KIND_SIZE, MIB, SIZE_MOST,
	    "most memory to lend, size or % of RAM (default: 50%)"),
	KEY("headroom", headroom, KIND_SIZE, 0, SIZE_MOST,
	    "stays available here, size or % of RAM (default: RAM/16, 64M)"),
	KEY("client_quota", client_quota, KIND_SIZE, MIB, SIZE_MOST,
	    "most for one client, size or % of memory (default: 100%)"),
	KEY("max_clients", max_clients, KIND_NUMBER, 1, CLIENTS_MAX,
	    "clients served at a time (default 32)"),
	FIXED("slab_size", slab_size, KIND_SLAB, 0, 0,
	    "slab size prepared at start (default 64M)"),
	KEY("prepare", prepare, KIND_NUMBER, 0, 1024,
	    "slabs kept prepared ahead of demand (default 2)"),
	KEY("lease", lease_ms, KIND_SECONDS, 1, SECONDS_MAX,
	    "seconds that grants outlive a lost session (default 60)"),
	KEY("client_timeout", client_timeout_ms, KIND_SECONDS, 1, SECONDS_MAX,
	    "seconds of silence that end a session (default 10)"),
	KEY("drain_timeout", drain_timeout_ms, KIND_SECONDS, 0, SECONDS_MAX,
	    "seconds that SIGTERM waits for clients (default 30)"),
	KEY("evict_deadline", evict_deadline_ms, KIND_SECONDS, 1, SECONDS_MAX,
	    "seconds that clients have to give back what is evicted (default 3)"),
	KEY("evict_extra", evict_extra, KIND_NUMBER, 0, 1000,
	    "slabs asked for activity beyond those evicted, in % (default 100)"),
	KEY("log_level", log_level, KIND_LEVEL, 0, 0,
	    "error, warning, info or debug (default info)"),
	FIXED("socket", socket, KIND_TEXT, 0, 0,
	    "admin socket (default: /run/infiniswap/infiniswapd.sock)"),
	FIXED("meminfo", meminfo, KIND_TEXT, 0, 0,
	    "file to read instead of /proc/meminfo (for tests)"),
	FIXED("cgroup", cgroup, KIND_TEXT, 0, 0,
	    "directory with memory.max instead of its own cgroup (for tests)"),
};

#define KEYS	ARRAY_SIZE(keys)

static const struct options defaults = {
	.port = ISW_PORT,
	.memory = PERCENT | 50,
	.headroom = UNSET,
	.client_quota = PERCENT | 100,
	.max_clients = 32,
	.slab_size = 64 * MIB,
	.prepare = 2,
	.lease_ms = 60000,
	.client_timeout_ms = 10000,
	.drain_timeout_ms = 30000,
	.evict_deadline_ms = 3000,
	.evict_extra = 100,
	.log_level = LOG_INFO,
	.socket = "/run/infiniswap/infiniswapd.sock",
	.meminfo = "/proc/meminfo",
};

static struct options options;	/* in force */
static bool in_force;		/* they are: the daemon runs */

const struct options *const opt = &options;

/* What is wrong with the configuration, to the one who starts or reloads. */
__attribute__((format(printf, 1, 2)))
static void complain(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (in_force)
		log_error("%s", text);
	else
		fprintf(stderr, "infiniswapd: %s\n", text);
}

/* ---- values ------------------------------------------------------------- */

static uint64_t *key_u64(const struct key *key, struct options *o)
{
	return (uint64_t *)((char *)o + key->offset);
}

static char *key_text(const struct key *key, struct options *o)
{
	return (char *)o + key->offset;
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
		return "not a size: digits, then K, M, G, T or %";
	/* From there on it would be a share. */
	if (*value > (PERCENT - 1) >> shift)
		return "number too large";
	*value <<= shift;
	return NULL;
}

/* "25%" */
static const char *parse_share(const char *text, uint64_t *value)
{
	const char *why;
	char *end;

	why = parse_digits(text, value, &end);
	if (why)
		return why;
	if (*value > 100)
		return "more than 100 %";
	*value |= PERCENT;
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
		if (*text && text[strlen(text) - 1] == '%' &&
		    strspn(text, "0123456789") == strlen(text) - 1)
			return parse_share(text, value);
		return parse_size(text, value);
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
	if (key->kind == KIND_SIZE && value & PERCENT)
		return key->min && value == PERCENT ?
		       "must be from 1% to 100%" : NULL;
	if (key->kind == KIND_SIZE)
		snprintf(why, sizeof(why), "must be from %" PRIu64 "M to %"
			 PRIu64 "T", key->min >> 20, key->max >> 40);
	else
		snprintf(why, sizeof(why), "must be from %" PRIu64 " to %"
			 PRIu64, key->min, key->max);
	return why;
}

static const char *set_text(const struct key *key, struct options *o,
			    const char *text)
{
	if (strlen(text) >= OPTIONS_TEXT)
		return "too long";
	strcpy(key_text(key, o), text);
	return NULL;
}

/* Returns NULL, or what is wrong with @text as a value of @key. */
static const char *key_set(const struct key *key, struct options *o,
			   const char *text)
{
	uint64_t value = 0;
	const char *why;

	if (key->kind == KIND_TEXT)
		return set_text(key, o, text);
	why = parse_value(key->kind, text, &value);
	if (!why)
		why = check_range(key, value);
	if (!why)
		*key_u64(key, o) = key->kind == KIND_SECONDS ?
				   value * 1000 : value;
	return why;
}

static const struct key *key_find(const char *name)
{
	size_t i;

	for (i = 0; i < KEYS; i++)
		if (!strcmp(name, keys[i].name))
			return &keys[i];
	return NULL;
}

static void size_text(uint64_t value, char *text, size_t size)
{
	if (value && !(value & (MIB - 1)))
		snprintf(text, size, "%" PRIu64 "M", value / MIB);
	else
		snprintf(text, size, "%" PRIu64, value);
}

/* The value as a file has it. */
static const char *key_get(const struct key *key, struct options *o, char *text,
			   size_t size)
{
	uint64_t value = key->kind == KIND_TEXT ? 0 : *key_u64(key, o);

	switch (key->kind) {
	case KIND_TEXT:
		snprintf(text, size, "%s", key_text(key, o));
		break;
	case KIND_LEVEL:
		snprintf(text, size, "%s",
			 log_level_name((enum log_level)value));
		break;
	case KIND_SIZE:
	case KIND_SLAB:
		size_text(value, text, size);
		break;
	case KIND_SECONDS:
		snprintf(text, size, "%" PRIu64, value / 1000);
		break;
	case KIND_NUMBER:
		snprintf(text, size, "%" PRIu64, value);
		break;
	}
	return text;
}

/* ---- config file -------------------------------------------------------- */

struct config {
	struct options options;
	int lines[KEYS];	/* where each key stands; 0: nowhere */
	const char *path;
	FILE *file;
	int line;		/* inih as packaged does not pass it on */
	bool failed;
};

/* inih takes an indented line for more of the value above it: no line is one. */
static char *config_getline(char *buf, int len, void *arg)
{
	struct config *config = arg;
	size_t got, blanks;

	if (!fgets(buf, len, config->file))
		return NULL;
	config->line++;
	got = strlen(buf);
	if (got == (size_t)len - 1 && buf[got - 1] != '\n') {
		complain("%s:%d: longer than %d characters", config->path,
			 config->line, len - 2);
		config->failed = true;
		return NULL;
	}
	blanks = strspn(buf, " \t\v\f\r");
	memmove(buf, buf + blanks, got - blanks + 1);
	return buf;
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
		why = key_set(key, &config->options, value);
	if (!why) {
		config->lines[key - keys] = config->line;
		return 1;
	}
	complain("%s:%d: %s = %s: %s", config->path, config->line, name, value,
		 why);
	config->failed = true;
	return 0;
}

/* A default file that is not there is no error; one that was named is. */
static bool config_read(struct config *config, bool named)
{
	int bad_line;

	config->file = fopen(config->path, "re");
	if (!config->file) {
		if (!named && errno == ENOENT)
			return true;
		complain("%s: %s", config->path, strerror(errno));
		return false;
	}
	bad_line = ini_parse_stream(config_getline, config, config_value,
				    config);
	if (ferror(config->file)) {
		complain("%s: %s", config->path, strerror(errno));
		config->failed = true;
	} else if (bad_line && !config->failed) {
		complain("%s:%d: not \"key = value\"", config->path, bad_line);
		config->failed = true;
	}
	fclose(config->file);
	return !config->failed;
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
	for (i = 0; i < KEYS; i++)
		printf("  --%-16s%c %s\n", keys[i].name,
		       keys[i].fixed ? '*' : ' ', keys[i].help);
	printf("\nSIGTERM drains: clients are asked to give their grants back.\n"
	       "SIGHUP reads FILE again; * is what needs a restart.\n"
	       "SIGUSR1 logs a table of clients, grants and memory.\n");
}

/* What comes out is a config file. */
static void dump(void)
{
	char text[OPTIONS_TEXT];
	size_t i;

	for (i = 0; i < KEYS; i++)
		printf("%s = %s\n", keys[i].name,
		       key_get(&keys[i], &options, text, sizeof(text)));
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

static struct option long_options[OPTS_BEFORE_KEYS + KEYS + 1] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "dump-config", no_argument, NULL, OPT_DUMP },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
};

static const char *config_path;
static const char *arguments[KEYS];	/* values that win over the file's */
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
	struct options scratch;
	const char *why = key_set(key, &scratch, value);

	if (why) {
		complain("--%s=%s: %s", key->name, value, why);
		exit(EXIT_USAGE);
	}
	arguments[key - keys] = value;
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
	default:
		take_key(&keys[c - OPT_KEY], optarg);
	}
}

static void name_keys(void)
{
	size_t i;

	for (i = 0; i < KEYS; i++)
		long_options[OPTS_BEFORE_KEYS + i] = (struct option) {
			keys[i].name, required_argument, NULL, OPT_KEY + (int)i
		};
}

/* Defaults, then the file, then the command line. */
static bool configure(struct config *config)
{
	size_t i;

	config->options = defaults;
	config->path = config_path ?: DEFAULT_CONFIG;
	if (!config_read(config, config_path != NULL))
		return false;
	for (i = 0; i < KEYS; i++)
		if (arguments[i])
			key_set(&keys[i], &config->options, arguments[i]);
	return true;
}

void options_parse(int argc, char **argv)
{
	struct config config = { .line = 0 };
	int c;

	name_keys();
	unify_dashes(argc, argv);
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		take_option(c);
	if (optind < argc) {
		complain("\"%s\": not an option", argv[optind]);
		exit(EXIT_USAGE);
	}
	if (!configure(&config))
		exit(EXIT_USAGE);
	options = config.options;
}

static uint64_t bytes_of(uint64_t value, uint64_t whole)
{
	return value & PERCENT ?
	       isw_pressure_share(whole, (uint32_t)(value & ~PERCENT)) : value;
}

static void settle(struct options *o, uint64_t mem_total)
{
	if (o->headroom == UNSET)
		o->headroom = mem_total / 16 > 64 * MIB ?
			      mem_total / 16 : 64 * MIB;
	o->memory = bytes_of(o->memory, mem_total);
	if (o->memory < MIB)
		o->memory = MIB;
	o->headroom = bytes_of(o->headroom, mem_total);
	o->client_quota = bytes_of(o->client_quota, o->memory);
}

void options_settle(uint64_t mem_total)
{
	settle(&options, mem_total);
	if (dump_wanted) {
		dump();
		exit(EXIT_SUCCESS);
	}
	in_force = true;
}

/* ---- reload ------------------------------------------------------------- */

static const char *shown(const char *text)
{
	return *text ? text : "nothing";
}

/* @next has another value: take it, or say why not. */
static void key_change(const struct key *key, struct config *next,
		       const char *from, const char *to)
{
	int line = next->lines[key - keys];

	if (!key->fixed) {
		log_info("%s = %s, was %s", key->name, to, from);
		memcpy(key_u64(key, &options), key_u64(key, &next->options),
		       sizeof(uint64_t));
	} else if (line) {
		log_warn("%s:%d: %s = %s: needs a restart, %s stays",
			 next->path, line, key->name, to, shown(from));
	} else {
		log_warn("%s: %s is not set: needs a restart, %s stays",
			 next->path, key->name, shown(from));
	}
}

bool options_reload(uint64_t mem_total)
{
	struct config next = { .line = 0 };
	char from[OPTIONS_TEXT], to[OPTIONS_TEXT];
	size_t i;

	if (!configure(&next)) {
		log_error("%s: not loaded, all stays as it was", next.path);
		return false;
	}
	settle(&next.options, mem_total);
	for (i = 0; i < KEYS; i++) {
		key_get(&keys[i], &options, from, sizeof(from));
		key_get(&keys[i], &next.options, to, sizeof(to));
		if (strcmp(from, to))
			key_change(&keys[i], &next, from, to);
	}
	return true;
}
