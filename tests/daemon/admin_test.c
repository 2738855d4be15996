// SPDX-License-Identifier: GPL-2.0-only
/* The admin socket: what it says, and that nobody holds the daemon up by it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "test.h"

static char path[64], path_arg[80];

static bool start(const char *arg)
{
	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.sock", getpid());
	snprintf(path_arg, sizeof(path_arg), "--socket=%s", path);
	return donor_start(path_arg, "--memory=64M", arg, NULL);
}

static int call(void)
{
	const struct timeval limit = { .tv_sec = 15 };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	REQUIRE(!connect(fd, (struct sockaddr *)&sa, sizeof(sa)),
		"%s: nobody listens", path);
	return fd;
}

/* All that is said until the end, or up to the time limit. */
static const char *hear(int fd)
{
	static char text[65536];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd);
	REQUIRE(!n, "no end after %zu bytes", len);
	return text;
}

static const char *ask(const char *request)
{
	int fd = call();

	REQUIRE_EQ(send(fd, request, strlen(request), MSG_NOSIGNAL),
		   strlen(request));
	return hear(fd);
}

static void says(const char *request, const char *what)
{
	const char *text = ask(request);

	REQUIRE(strstr(text, what), "%s: %s is not in: %.300s", request, what,
		text);
}

static void test_state(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(start("--headroom=32M"), "no start");
	says("clients\n", "{\"clients\":[]}");
	says("evictions\n", "{\"evictions\":[]}");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), 0);
	says("status\n", "\"pressure\":\"none\"");
	says("status\n", "\"headroom\":33554432,\"memory\":67108864,"
	     "\"granted\":4194304,\"grants\":1,\"evicting\":0,\"prepared\":0,"
	     "\"clients\":1}");
	says("clients\n", "\"session\":true");
	says("clients\n", "\"grants\":1,\"granted\":4194304}");
}

static void test_evictions(void)
{
	char meminfo[64], arg[80];
	struct isw_grant_info g;
	struct client *c;

	snprintf(meminfo, sizeof(meminfo), "/tmp/daemon_test.%d.meminfo",
		 getpid());
	snprintf(arg, sizeof(arg), "--meminfo=%s", meminfo);
	write_meminfo(meminfo, 100);
	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.sock", getpid());
	snprintf(path_arg, sizeof(path_arg), "--socket=%s", path);
	REQUIRE(donor_start(path_arg, arg, "--headroom=64M", "--memory=128M",
			    NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), 0);
	write_meminfo(meminfo, 10);
	wait_donated(c, 0, 5000);
	says("status\n", "\"pressure\":\"urgent\"");
	says("evictions\n", "\"reason\":\"headroom\",\"urgent\":true,"
	     "\"drawn\":1,\"questions\":1,\"answers\":0,\"evicted\":1,"
	     "\"bytes\":4194304,\"released\":0,\"revoked\":1,\"called_off\":0}");
	unlink(meminfo);
}

static void test_nonsense(void)
{
	char much[4096];

	REQUIRE(start(NULL), "no start");
	says("\n", "{\"error\":\"no such request\"}");
	says("STATUS\n", "{\"error\":\"no such request\"}");
	says("status clients\n", "{\"error\":\"no such request\"}");
	memset(much, 'x', sizeof(much) - 1);
	much[sizeof(much) - 1] = '\0';
	/* Its end may come as a reset: what it sent is not read. */
	close(call());
	REQUIRE(send(call(), much, sizeof(much), MSG_NOSIGNAL) > 0, "send");
	says("status\n", "\"status\":[");
}

/* More of them than there are places, and none says a word. */
static void test_silent_callers(void)
{
	int fds[12];
	size_t i;

	REQUIRE(start(NULL), "no start");
	for (i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = call();
	/* They are let go, or were not let in. */
	for (i = 0; i < ARRAY_SIZE(fds); i++)
		REQUIRE_EQ(strlen(hear(fds[i])), 0);
	says("status\n", "\"status\":[");
}

static void test_rights_and_leftovers(void)
{
	struct stat st;

	REQUIRE(start(NULL), "no start");
	REQUIRE(!stat(path, &st), "no socket");
	REQUIRE_EQ(st.st_mode & 0777, 0700);
	donor_signal(SIGKILL);
	donor_wait(5000);
	REQUIRE(!stat(path, &st), "it is not a leftover");
	REQUIRE(start(NULL), "no start");
	says("status\n", "\"status\":[");
	REQUIRE_EQ(donor_stop(), 0);
	REQUIRE(stat(path, &st), "the socket stays behind");
	test_donor_ended();
}

/* The operator has named a file that is something else. */
static void test_no_file_is_removed(void)
{
	char link[80];
	struct stat st;
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.sock", getpid());
	snprintf(link, sizeof(link), "%s.link", path);
	f = fopen(path, "we");
	REQUIRE(f && fputs("precious", f) >= 0 && !fclose(f), "no file");
	REQUIRE(start(NULL), "no start");
	REQUIRE(donor_log_has("no admin socket"), "not said");
	REQUIRE_EQ(donor_stop(), 0);
	REQUIRE(!stat(path, &st), "the file is gone");
	REQUIRE(S_ISREG(st.st_mode) && st.st_size == 8, "it is another file");
	/* Nor by way of a link, which is no socket whatever it leads to. */
	REQUIRE(!rename(path, link) && !symlink(link, path), "no link");
	REQUIRE(start(NULL), "no start");
	REQUIRE_EQ(donor_stop(), 0);
	REQUIRE(!lstat(path, &st) && S_ISLNK(st.st_mode), "the link is gone");
	unlink(path);
	unlink(link);
	test_donor_ended();
}

static void test_drain(void)
{
	REQUIRE(start(NULL), "no start");
	says("drain\n", "{\"draining\":true}");
	REQUIRE_EQ(donor_wait(5000), 0);
	test_donor_ended();
}

/* `donor drain`, and then the unit is stopped: the pages are still to be fetched. */
static void test_signal_after_drain(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(start("--drain_timeout=60"), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	write_grant(c, &g, 1);
	says("drain\n", "{\"draining\":true}");
	donor_signal(SIGTERM);
	REQUIRE(donor_log_wait("SIGTERM: draining already, 1 grants", 5000),
		"it does not say so");
	REQUIRE_EQ(donor_wait(1000), -1);
	says("drain\n", "{\"draining\":true}");
	check_grant(c, &g, 1);
	donor_signal(SIGTERM);
	REQUIRE_EQ(donor_wait(5000), 0);
	test_donor_ended();
}

static const struct test tests[] = {
	{ "admin: status and clients", test_state },
	{ "admin: evictions and their reasons", test_evictions },
	{ "admin: what is no request is refused", test_nonsense },
	{ "admin: silent callers keep nobody out for long",
	  test_silent_callers },
	{ "admin: the socket is its user's, and a leftover no obstacle",
	  test_rights_and_leftovers },
	{ "admin: a file that is no socket is left alone",
	  test_no_file_is_removed },
	{ "admin: drain", test_drain },
	{ "admin: a signal after a drain lets it go on", test_signal_after_drain },
};

const struct test_list admin_tests = { tests, ARRAY_SIZE(tests), true };
