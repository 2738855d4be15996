// SPDX-License-Identifier: GPL-2.0-only
/* SIGHUP: what can change does at once, all else stays and is named. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "test.h"

#define WAIT_MS		5000

static char path[64];

static void file_write(const char *text)
{
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.reload", getpid());
	f = fopen(path, "we");
	if (!f || fputs(text, f) < 0 || fclose(f))
		test_fail("cannot write %s", path);
}

static void start(const char *text)
{
	file_write(text);
	REQUIRE(donor_start_config(path), "no start");
}

/* The file has @text now, and the daemon must say @words about it. */
static void reload(const char *text, const char *words)
{
	file_write(text);
	donor_signal(SIGHUP);
	REQUIRE(donor_log_wait(words, WAIT_MS), "not said: %s", words);
}

/* The daemon must say "PATH:@words". */
static void reload_named(const char *text, const char *words)
{
	char expected[256];

	snprintf(expected, sizeof(expected), "%s:%s", path, words);
	reload(text, expected);
}

static void test_limits(void)
{
	struct isw_grant_info g;
	struct isw_status status;
	struct client *c;

	start("headroom = 0\nmemory = 16M\nclient_quota = 4M\nprepare = 0\n");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), 0);
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), ISW_ERR_QUOTA);
	reload("headroom = 0\nmemory = 16M\nclient_quota = 12M\nprepare = 0\n",
	       "client_quota = 12M, was 4M");
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), 0);
	/* Less than is lent: that stays lent, and no more is. */
	reload("headroom = 0\nmemory = 4M\nclient_quota = 12M\nprepare = 0\n",
	       "memory = 4M, was 16M");
	REQUIRE_EQ(client_query(c, &status), 0);
	REQUIRE_EQ(status.limit, 4 * MIB);
	REQUIRE_EQ(status.donated, 8 * MIB);
	REQUIRE_EQ(client_grant(c, MIB, &g), ISW_ERR_NO_MEMORY);
	write_grant(c, &g, 1);
	check_grant(c, &g, 1);
	/* More than at the start, in grants of the smallest size. */
	reload("headroom = 0\nmemory = 32M\nclient_quota = 32M\nprepare = 0\n",
	       "memory = 32M, was 4M");
	for (status.donated = 8 * MIB; status.donated < 32 * MIB;
	     status.donated += MIB)
		REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	REQUIRE_EQ(client_grant(c, MIB, &g), ISW_ERR_NO_MEMORY);
}

static void test_headroom(void)
{
	struct isw_grant_info g;
	struct client *c;

	start("headroom = 0\nprepare = 0\n");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	reload("headroom = 1T\nprepare = 0\n", "headroom = 1048576M, was 0");
	REQUIRE_EQ(client_grant(c, MIB, &g), ISW_ERR_NO_MEMORY);
	reload("headroom = 0\nprepare = 0\n", "headroom = 0, was 1048576M");
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
}

static void wait_rss(long least, long most)
{
	int ms;

	for (ms = 0; ms < 10000; ms += 100) {
		if (donor_rss_kib() >= least && donor_rss_kib() <= most)
			return;
		sleep_ms(100);
	}
	test_fail("resident: %ld KiB, expected %ld to %ld", donor_rss_kib(),
		  least, most);
}

static void test_prepare(void)
{
	long kib;

	start("headroom = 0\nprepare = 0\nslab_size = 16M\n");
	kib = donor_rss_kib();
	reload("headroom = 0\nprepare = 2\nslab_size = 16M\n",
	       "prepare = 2, was 0");
	wait_rss(kib + (24 << 10), kib + (40 << 10));
	reload("headroom = 0\nprepare = 0\nslab_size = 16M\n",
	       "prepare = 0, was 2");
	wait_rss(0, kib + (8 << 10));
}

static void test_clients(void)
{
	struct client *a, *b, *c;

	start("max_clients = 1\n");
	a = test_connected();
	c = test_client();
	REQUIRE_EQ(client_connect(c), ISW_REJ_FULL);
	reload("max_clients = 2\n", "max_clients = 2, was 1");
	b = test_connected();
	c = test_client();
	REQUIRE_EQ(client_connect(c), ISW_REJ_FULL);
	reload("max_clients = 1\n", "max_clients = 1, was 2");
	REQUIRE_EQ(client_ping(a), 0);
	REQUIRE_EQ(client_ping(b), 0);
	REQUIRE_EQ(client_bye(b), 0);
	c = test_client();
	REQUIRE_EQ(client_connect(c), ISW_REJ_FULL);
	REQUIRE_EQ(client_bye(a), 0);
	test_connected();
}

/* A session keeps the lease that it was told. */
static void test_lease(void)
{
	struct isw_grant_info g;
	struct client *a;

	start("headroom = 0\nlease = 600\nprepare = 0\n");
	a = test_connected();
	REQUIRE_EQ(client_grant(a, MIB, &g), 0);
	reload("headroom = 0\nlease = 1\nprepare = 0\n", "lease = 1, was 600");
	REQUIRE_EQ(test_connected()->welcome.lease_ms, 1000);
	client_drop(a);
	sleep_ms(3000);		/* longer than the new lease */
	REQUIRE_EQ(client_connect(a), 0);
	REQUIRE_EQ(client_list(a, &g, 1), 1);
}

static void test_log_level(void)
{
	struct isw_grant_info g;
	struct client *c;

	start("headroom = 0\nprepare = 0\n");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	REQUIRE(!donor_log_has("debug:"), "it says too much");
	reload("headroom = 0\nprepare = 0\nlog_level = debug\n",
	       "log_level = debug, was info");
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	REQUIRE(donor_log_wait("debug: client", WAIT_MS), "it says too little");
}

static void test_fixed(void)
{
	struct client *c;

	start("bind = \nslab_size = 16M\n");
	c = test_connected();
	reload_named("bind = 192.0.2.1\nslab_size = 32M\nport = 9\nlease = 9\n",
		     "1: bind = 192.0.2.1: needs a restart, nothing stays");
	reload_named("bind = \nslab_size = 8M\nlease = 8\n",
		     "2: slab_size = 8M: needs a restart, 16M stays");
	reload("lease = 7\n", "slab_size is not set: needs a restart, 16M stays");
	reload_named("slab_size = 16M\nmeminfo = /dev/null\n",
		     "2: meminfo = /dev/null: needs a restart, /proc/meminfo stays");
	/* What stood beside them was taken, and the port is the old one. */
	REQUIRE(donor_log_has("lease = 8, was 9"), "lease not changed");
	REQUIRE_EQ(client_ping(c), 0);
	REQUIRE_EQ(client_ping(test_connected()), 0);
}

static void test_broken(void)
{
	struct isw_grant_info g;
	struct client *c;

	start("headroom = 0\nclient_quota = 1M\nprepare = 0\n");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	reload_named("client_quota = 8M\nmemory = 1X\n",
		     "2: memory = 1X: not a size");
	reload_named("client_quota = 8M\ncolour = red\n",
		     "2: colour = red: no such key");
	reload_named("client_quota = 8M\nnonsense\n",
		     "2: not \"key = value\"");
	unlink(path);
	donor_signal(SIGHUP);
	REQUIRE(donor_log_wait("No such file or directory", WAIT_MS),
		"not said that the file is gone");
	REQUIRE(donor_log_wait("not loaded, all stays", WAIT_MS), "not said");
	REQUIRE(!donor_log_has(", was"), "something changed");
	REQUIRE_EQ(client_grant(c, MIB, &g), ISW_ERR_QUOTA);
}

static void test_command_line_wins(void)
{
	char arg[80];

	file_write("lease = 5\n");
	snprintf(arg, sizeof(arg), "--config=%s", path);
	REQUIRE(donor_start(arg, "--lease=7", "--client_quota=8M", NULL),
		"no start");
	reload("lease = 9\nmax_clients = 3\n", "max_clients = 3, was 32");
	REQUIRE(!donor_log_has("lease = "), "lease changed");
	REQUIRE_EQ(test_connected()->welcome.lease_ms, 7000);
}

static const struct test tests[] = {
	{ "reload: limits change for grants to come", test_limits },
	{ "reload: headroom", test_headroom },
	{ "reload: prepare", test_prepare },
	{ "reload: max_clients turns nobody out", test_clients },
	{ "reload: lease is that of new sessions", test_lease },
	{ "reload: log_level", test_log_level },
	{ "reload: what needs a restart is named and stays", test_fixed },
	{ "reload: a broken file changes nothing", test_broken },
	{ "reload: the command line wins as before", test_command_line_wins },
};

const struct test_list reload_tests = { tests, ARRAY_SIZE(tests), true };
