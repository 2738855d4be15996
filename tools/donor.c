// SPDX-License-Identifier: GPL-2.0-only
/* infiniswapctl donor: infiniswapd's admin socket, as tables. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "infiniswapctl.h"

#define DEFAULT_SOCKET	"/run/infiniswap/infiniswapd.sock"
#define ANSWER_MAX	(16u << 20)
#define TIMEOUT_S	5

/* ---- the socket --------------------------------------------------------- */

static const char *socket_path(void)
{
	return getenv("INFINISWAP_SOCKET") ?: DEFAULT_SOCKET;
}

/*
 * A descriptor, or -errno. A daemon that hangs takes no more callers than the
 * kernel lets in: the next ones wait in connect(), which heeds SO_SNDTIMEO.
 */
static int socket_open(void)
{
	const struct timeval limit = { .tv_sec = TIMEOUT_S };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = socket_path();
	int fd, error;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

/* All that comes, as one string; NULL and errno if it does not end well. */
static char *read_all(int fd)
{
	size_t len = 0, room = 0;
	char *text = NULL;
	ssize_t n;

	for (;;) {
		if (len + 1 >= room) {
			room = room ? 2 * room : 4096;
			text = xreallocarray(text, room, 1);
		}
		n = read(fd, text + len, room - len - 1);
		if (n <= 0)
			break;
		len += (size_t)n;
		if (len > ANSWER_MAX) {
			errno = EMSGSIZE;
			n = -1;
			break;
		}
	}
	text[len] = '\0';
	if (!n)
		return text;
	free(text);
	return NULL;
}

static void socket_failed(int error)
{
	if (error == EAGAIN)
		failed("%s: infiniswapd has not answered in %d s: it hangs, or is stopped",
		       socket_path(), TIMEOUT_S);
	else if (error == ENOENT || error == ECONNREFUSED)
		failed("%s: %s: is infiniswapd running?", socket_path(),
		       strerror(error));
	else
		failed("%s: %s", socket_path(), strerror(error));
}

/* The answer to @word, or NULL after saying what is wrong. */
static struct json_object *daemon_ask(const char *word)
{
	char *request __free_str = xasprintf("%s\n", word);
	struct json_object *answer;
	char *text __free_str = NULL;
	int fd = socket_open();

	if (fd < 0) {
		socket_failed(-fd);
		return NULL;
	}
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
		text = read_all(fd);
	if (!text)
		socket_failed(errno);
	close(fd);
	if (!text)
		return NULL;
	answer = json_tokener_parse(text);
	if (!answer)
		failed("%s: not an answer of infiniswapd", socket_path());
	return answer;
}

/* ---- columns ------------------------------------------------------------ */

/* NULL: the daemon does not say. */
static char *value_of(const struct row *row, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(row->json, key, &value) || !value)
		return NULL;
	if (json_object_is_type(value, json_type_boolean))
		return xstrdup(json_object_get_boolean(value) ? "yes" : "no");
	return xstrdup(json_object_get_string(value));
}

static char *size_of(const struct row *row, const struct table_format *format,
		     const char *key)
{
	char *value = value_of(row, key);
	char *human;

	if (!value || format->bytes)
		return value;
	human = human_size(value);
	free(value);
	return human;
}

#define VALUE(key)							\
static char *get_##key(const struct row *row,				\
		       const struct table_format *format)		\
{									\
	(void)format;							\
	return value_of(row, #key);					\
}

#define SIZE(key)							\
static char *get_##key(const struct row *row,				\
		       const struct table_format *format)		\
{									\
	return size_of(row, format, #key);				\
}

VALUE(epoch)
VALUE(draining)
VALUE(pressure)
SIZE(total)
SIZE(available)
SIZE(headroom)
SIZE(memory)
SIZE(granted)
VALUE(grants)
SIZE(evicting)
SIZE(prepared)
VALUE(clients)

static const struct column status_columns[] = {
	{ "PRESSURE", false, "none, some (headroom is short) or urgent", get_pressure },
	{ "AVAILABLE", true, "memory available on this machine", get_available },
	{ "HEADROOM", true, "what is to stay available", get_headroom },
	{ "MEMORY", true, "most memory to lend", get_memory },
	{ "GRANTED", true, "memory lent", get_granted },
	{ "PREPARED", true, "memory prepared to be lent", get_prepared },
	{ "EVICTING", true, "memory that clients are to give back", get_evicting },
	{ "GRANTS", true, "slabs lent", get_grants },
	{ "CLIENTS", true, "clients", get_clients },
	{ "DRAINING", false, "whether the daemon is about to end", get_draining },
	{ "TOTAL", true, "memory of this machine", get_total },
	{ "EPOCH", false, "number of the daemon's start", get_epoch },
	{ NULL, false, NULL, NULL },
};

VALUE(client)
VALUE(address)
VALUE(session)
VALUE(silent_ms)
VALUE(lease_ms)

static const struct column client_columns[] = {
	{ "CLIENT", false, "start of the client's id", get_client },
	{ "ADDRESS", false, "where it connected from", get_address },
	{ "SESSION", false, "whether it is connected", get_session },
	{ "GRANTS", true, "slabs lent to it", get_grants },
	{ "GRANTED", true, "memory lent to it", get_granted },
	{ "SILENT-MS", true, "since its last message", get_silent_ms },
	{ "LEASE-MS", true, "until its memory is taken back: no session",
	  get_lease_ms },
	{ NULL, false, NULL, NULL },
};

VALUE(age_ms)
VALUE(reason)
VALUE(urgent)
VALUE(drawn)
VALUE(questions)
VALUE(answers)
VALUE(evicted)
SIZE(bytes)
VALUE(released)
VALUE(revoked)
VALUE(called_off)

static const struct column eviction_columns[] = {
	{ "AGE-MS", true, "how long ago", get_age_ms },
	{ "REASON", false, "headroom, cgroup (its limit) or stall", get_reason },
	{ "URGENT", false, "whether the machine was about to run out", get_urgent },
	{ "DRAWN", true, "slabs drawn at random", get_drawn },
	{ "QUESTIONS", true, "to their clients, about activity", get_questions },
	{ "ANSWERS", true, "in time", get_answers },
	{ "EVICTED", true, "slabs evicted: the least active", get_evicted },
	{ "SIZE", true, "of these", get_bytes },
	{ "RELEASED", true, "of these, given back by their clients", get_released },
	{ "REVOKED", true, "taken at the deadline", get_revoked },
	{ "CALLED-OFF", true, "no longer needed", get_called_off },
	{ NULL, false, NULL, NULL },
};

/* ---- the command -------------------------------------------------------- */

static const struct view {
	const char *name;	/* the request, and the array in the answer */
	const struct column *columns;
} views[] = {
	{ "status", status_columns },
	{ "clients", client_columns },
	{ "evictions", eviction_columns },
};

static void add_rows(struct table *table, struct json_object *answer,
		     const char *name)
{
	struct json_object *rows;
	size_t i, n;

	if (!json_object_object_get_ex(answer, name, &rows) ||
	    !json_object_is_type(rows, json_type_array))
		return;
	n = json_object_array_length(rows);
	for (i = 0; i < n; i++)
		table_add(table, &(struct row){
			.json = json_object_array_get_idx(rows, i) });
}

static const char usage[] = "donor [status|clients|evictions|drain] [OPTIONS]";

static int show(const struct view *view, int argc, char **argv)
{
	struct table_format format = { 0 };
	struct json_object *answer;
	struct table *table;
	int done;

	done = table_options(argc, argv, usage, view->columns, &format);
	if (done >= 0)
		return done;
	if (optind < argc)
		return misused("donor: %s: not understood", argv[optind]);
	table = table_new(view->name, view->columns, &format);
	if (!table)
		return CTL_USAGE;
	answer = daemon_ask(view->name);
	if (answer)
		add_rows(table, answer, view->name);
	if (answer)
		table_print(table);
	json_object_put(answer);
	return answer ? CTL_OK : CTL_FAILED;
}

static int drain_begin(void)
{
	struct json_object *answer = daemon_ask("drain"), *value;
	bool begun;

	if (!answer)
		return CTL_FAILED;
	begun = json_object_object_get_ex(answer, "draining", &value) &&
		json_object_get_boolean(value);
	if (!begun)
		failed("%s: infiniswapd does not drain: %s", socket_path(),
		       json_object_to_json_string(answer));
	json_object_put(answer);
	return begun ? CTL_OK : CTL_FAILED;
}

static int drain(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		if (opt != 'h')
			return try_help();
		printf("Usage: infiniswapctl %s\n\n"
		       "`drain` asks clients to give all back, then the daemon ends, as with the\n"
		       "first SIGTERM. Of its options there is --help alone.\n",
		       usage);
		return CTL_OK;
	}
	if (optind < argc)
		return misused("donor drain: %s: not understood", argv[optind]);
	return drain_begin();
}

int cmd_donor(int argc, char **argv)
{
	const char *word = "status";
	size_t i;

	if (argc > 1 && argv[1][0] != '-') {
		word = argv[1];
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	if (!strcmp(word, "drain"))
		return drain(argc, argv);
	for (i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		if (!strcmp(word, views[i].name))
			return show(&views[i], argc, argv);
	return misused("donor: %s: not status, clients, evictions or drain",
		       word);
}
