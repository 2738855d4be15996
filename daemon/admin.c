// SPDX-License-Identifier: GPL-2.0-only
/* A UNIX socket in the loop; nobody on the other side can hold it up. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin.h"
#include "drain.h"
#include "log.h"
#include "loop.h"
#include "options.h"
#include "report.h"
#include "util.h"

#define CALLERS_MAX	8
#define CALLER_MS	5000
#define BACKLOG		8

struct caller {
	struct source source;
	bool used;
	uint64_t since;
	char word[32];
	size_t got;
	char *answer;		/* NULL: not asked yet */
	size_t len, sent;
};

static struct source listener = { .fd = -1 };
static struct caller callers[CALLERS_MAX];

/* ---- requests ----------------------------------------------------------- */

static void drain(FILE *f)
{
	drain_start("admin socket");
	fputs("{\"draining\":true}\n", f);
}

static const struct request {
	const char *word;
	void (*run)(FILE *f);
} requests[] = {
	{ "status", report_status },
	{ "clients", report_clients },
	{ "evictions", report_evictions },
	{ "drain", drain },
};

/* Out of memory there is no answer, and the caller is let go. */
static void answer(struct caller *caller)
{
	FILE *f = open_memstream(&caller->answer, &caller->len);
	size_t i;

	if (!f)
		return;
	for (i = 0; i < ARRAY_SIZE(requests); i++)
		if (!strcmp(caller->word, requests[i].word))
			break;
	if (i < ARRAY_SIZE(requests))
		requests[i].run(f);
	else
		fputs("{\"error\":\"no such request\"}\n", f);
	if (fclose(f)) {
		free(caller->answer);
		caller->answer = NULL;
	}
}

/* ---- callers ------------------------------------------------------------ */

static void caller_gone(struct source *src)
{
	struct caller *caller = container_of(src, struct caller, source);

	free(caller->answer);
	caller->answer = NULL;
	caller->used = false;
}

static void caller_end(struct caller *caller)
{
	int fd = caller->source.fd;

	if (fd < 0)
		return;
	caller->source.fd = -1;
	loop_del(&caller->source, caller_gone);
	/* The poll holds the file open for a while; nobody need wait for that. */
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

/* Returns whether there is more to come. */
static bool caller_read(struct caller *caller)
{
	char *newline;
	ssize_t n;

	while (!caller->answer && caller->got < sizeof(caller->word) - 1) {
		n = read(caller->source.fd, caller->word + caller->got,
			 sizeof(caller->word) - 1 - caller->got);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0)
			return false;
		caller->got += (size_t)n;
		newline = memchr(caller->word, '\n', caller->got);
		if (newline) {
			*newline = '\0';
			answer(caller);
			return caller->answer;
		}
	}
	return caller->answer;	/* else too long to be a request */
}

static bool caller_write(struct caller *caller)
{
	ssize_t n;

	while (caller->sent < caller->len) {
		n = send(caller->source.fd, caller->answer + caller->sent,
			 caller->len - caller->sent, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		caller->sent += (size_t)n;
	}
	return false;
}

static void caller_ready(struct source *src)
{
	struct caller *caller = container_of(src, struct caller, source);
	bool more;

	if (src->fd < 0)
		return;
	more = caller_read(caller);
	if (more && caller->answer)
		more = caller_write(caller);
	if (!more)
		caller_end(caller);
}

static struct caller *caller_place(void)
{
	size_t i;

	for (i = 0; i < CALLERS_MAX; i++)
		if (!callers[i].used)
			return &callers[i];
	return NULL;
}

static void listener_ready(struct source *src)
{
	struct caller *caller;
	int fd;

	while ((fd = accept4(src->fd, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		caller = caller_place();
		if (!caller) {
			close(fd);
			continue;
		}
		*caller = (struct caller) {
			.source = {
				.fd = fd,
				.events = POLLIN | POLLOUT,
				.ready = caller_ready,
			},
			.used = true,
			.since = now_ms(),
		};
		if (loop_add(&caller->source))
			caller_end(caller);
	}
}

void admin_tick(void)
{
	size_t i;

	for (i = 0; i < CALLERS_MAX; i++)
		if (callers[i].used && now_ms() - callers[i].since > CALLER_MS)
			caller_end(&callers[i]);
}

/* ---- the socket --------------------------------------------------------- */

static void make_directory(const char *path)
{
	char dir[OPTIONS_TEXT];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		mkdir(dir, 0755);	/* its parent is there, or bind() tells */
	}
}

/*
 * Whether somebody listens there; else the socket is a leftover. One who hangs, and
 * has as many callers waiting as he may, is no reason to wait with them.
 */
static bool is_served(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool served;

	if (fd < 0)
		return true;
	served = !connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) ||
		 errno != ECONNREFUSED;
	close(fd);
	return served;
}

static bool is_socket(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISSOCK(st.st_mode);
}

/* Never anything but a socket, whatever the operator has named. */
static bool is_leftover(const struct sockaddr_un *sa)
{
	return is_socket(sa->sun_path) && !is_served(sa);
}

static int listen_at(const struct sockaddr_un *sa)
{
	const struct sockaddr *address = (const struct sockaddr *)sa;
	mode_t mask;
	int fd, ret;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	mask = umask(0077);
	ret = bind(fd, address, sizeof(*sa)) ? -errno : 0;
	if (ret == -EADDRINUSE && is_leftover(sa)) {
		unlink(sa->sun_path);
		ret = bind(fd, address, sizeof(*sa)) ? -errno : 0;
	}
	umask(mask);
	if (!ret)
		ret = listen(fd, BACKLOG) ? -errno : 0;
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

void admin_init(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int ret = -ENAMETOOLONG;

	if (!*opt->socket)
		return;
	if (strlen(opt->socket) < sizeof(sa.sun_path)) {
		strcpy(sa.sun_path, opt->socket);
		make_directory(opt->socket);
		ret = listen_at(&sa);
	}
	if (ret >= 0) {
		listener.fd = ret;
		listener.ready = listener_ready;
		ret = loop_add(&listener);
	}
	if (ret < 0)
		log_warn("%s: %s: no admin socket", opt->socket,
			 strerror(-ret));
}

void admin_exit(void)
{
	size_t i;

	if (listener.fd < 0)
		return;
	if (is_socket(opt->socket))
		unlink(opt->socket);
	for (i = 0; i < CALLERS_MAX; i++)
		free(callers[i].answer);
}
