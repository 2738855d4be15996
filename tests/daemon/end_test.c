// SPDX-License-Identifier: GPL-2.0-only
/* How clients and the daemon itself end. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

/* ---- clients ------------------------------------------------------------ */

static void end_client(int sig)
{
	struct client *watcher;
	long before;
	pid_t pid;

	REQUIRE(donor_start("--memory=64M", "--lease=2", "--client_timeout=4",
			    NULL), "no start");
	watcher = test_connected();
	before = donor_rss_kib();
	pid = start_other_client(2, 8 * MIB);
	REQUIRE_EQ(donated(watcher), 16 * MIB);
	kill(pid, sig);
	if (sig == SIGKILL)
		waitpid(pid, NULL, 0);
	/* The lease holds first. */
	sleep_ms(500);
	REQUIRE_EQ(donated(watcher), 16 * MIB);
	wait_donated(watcher, 0, 10000);
	if (sig != SIGKILL) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	REQUIRE(donor_log_has(sig == SIGKILL ? "disconnected" :
			      "nothing heard from it"), "not logged");
	REQUIRE(donor_log_has("lease ended, 2 grants"), "not logged");
	REQUIRE(donor_rss_kib() < before + 2048, "%ld KiB, was %ld",
		donor_rss_kib(), before);
}

static int send_ping(struct client *c)
{
	struct isw_msg_hdr ping;

	client_hdr(c, &ping, ISW_MSG_PING);
	return client_send(c, &ping, sizeof(ping));
}

static void test_killed_client(void)
{
	end_client(SIGKILL);
}

static void test_silent_client(void)
{
	end_client(SIGSTOP);
}

/*
 * Nothing goes out to it, so no send to it fails: it once could stay so for ever, with
 * its place in the table.
 */
static void test_client_that_only_answers(void)
{
	struct isw_msg_hdr pong;
	struct client *c;
	int i;

	REQUIRE(donor_start("--client_timeout=1", NULL), "no start");
	c = test_connected();
	for (i = 0; i < 50 && !donor_log_has("nothing heard from it"); i++) {
		client_hdr(c, &pong, ISW_MSG_PONG);
		if (client_send(c, &pong, sizeof(pong)))
			break;
		sleep_ms(100);
	}
	REQUIRE(donor_log_wait("nothing heard from it", 1000),
		"its session goes on");
}

/*
 * The donor stands still for longer than a client may be silent, and the client
 * has pinged on. Its session once ended before its pings were looked at.
 */
static void test_donor_stands_still(void)
{
	struct client *c;
	int i;

	REQUIRE(donor_start("--client_timeout=1", NULL), "no start");
	c = test_connected();
	/* What it sees first is a matter of luck. */
	for (i = 0; i < 6; i++) {
		REQUIRE_EQ(client_ping(c), 0);
		donor_signal(SIGSTOP);
		sleep_ms(700);
		REQUIRE_EQ(send_ping(c), 0);
		sleep_ms(700 + 100 * i);
		REQUIRE_EQ(send_ping(c), 0);
		donor_signal(SIGCONT);
		REQUIRE_EQ(client_ping(c), 0);
	}
	REQUIRE(!donor_log_has("nothing heard"), "its session is ended");
}

static void test_back_within_lease(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start("--lease=3", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	write_grant(c, &g, 9);
	client_drop(c);
	sleep_ms(1500);
	REQUIRE_EQ(client_connect(c), 0);
	sleep_ms(3000);		/* the lease of the lost session counts no more */
	REQUIRE_EQ(client_list(c, &g, 1), 1);
	check_grant(c, &g, 9);
}

static void test_back_after_lease(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start("--lease=1", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	client_drop(c);
	REQUIRE(donor_log_wait("gone", 10000), "the client is still known");
	REQUIRE_EQ(client_connect(c), 0);
	REQUIRE_EQ(client_list(c, &g, 1), 0);
}

static void test_bye_while_granting(void)
{
	struct isw_msg_grant grant;
	struct isw_msg_hdr bye;
	struct client *c, *watcher;
	uint8_t buf[ISW_MSG_MAX] __attribute__((aligned(8)));
	struct isw_msg m;
	int i, answers = 0;

	REQUIRE(donor_start("--memory=64M", NULL), "no start");
	watcher = test_connected();
	c = test_connected();
	for (i = 0; i < 8; i++) {
		client_hdr(c, &grant.hdr, ISW_MSG_GRANT);
		grant.length = __cpu_to_le64(4 * MIB);
		REQUIRE_EQ(client_send(c, &grant, sizeof(grant)), 0);
	}
	client_hdr(c, &bye, ISW_MSG_BYE);
	REQUIRE_EQ(client_send(c, &bye, sizeof(bye)), 0);
	do {
		REQUIRE_EQ(client_recv(c, buf, &m, CLIENT_TIMEOUT_MS), 0);
		answers++;
	} while (m.type != ISW_MSG_BYE_OK);
	REQUIRE_EQ(answers, 9);
	REQUIRE_EQ(donated(watcher), 0);
}

static void test_drop_while_granting(void)
{
	struct isw_msg_grant grant;
	struct isw_grant_info g[9];
	struct client *c;
	int i, n;

	REQUIRE(donor_start("--memory=64M", NULL), "no start");
	c = test_connected();
	for (i = 0; i < 8; i++) {
		client_hdr(c, &grant.hdr, ISW_MSG_GRANT);
		grant.length = __cpu_to_le64(4 * MIB);
		REQUIRE_EQ(client_send(c, &grant, sizeof(grant)), 0);
	}
	client_drop(c);
	REQUIRE_EQ(client_connect(c), 0);
	/* What the client was not told of is not kept for it for ever. */
	n = client_list(c, g, 9);
	REQUIRE(n >= 0 && n <= 8, "list: %d", n);
	wait_donated(c, (uint64_t)client_list(c, g, 9) * 4 * MIB, 5000);
}

/* ---- the daemon --------------------------------------------------------- */

static void test_term_without_grants(void)
{
	REQUIRE(donor_start(NULL), "no start");
	test_connected();
	donor_signal(SIGTERM);
	test_donor_ended();
	REQUIRE_EQ(donor_wait(5000), 0);
}

static void expect_draining(struct client *c)
{
	uint8_t buf[ISW_MSG_MAX] __attribute__((aligned(8)));
	struct isw_msg m;

	REQUIRE_EQ(client_recv(c, buf, &m, 5000), 0);
	REQUIRE_EQ(m.type, ISW_MSG_STATUS);
	REQUIRE_EQ(m.seq, 0);
	REQUIRE_EQ(m.status.flags, ISW_STATUS_DRAINING);
}

static void test_term_with_grants(void)
{
	struct isw_grant_info g, other;
	struct isw_status status;
	struct client *c;

	REQUIRE(donor_start("--drain_timeout=60", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	write_grant(c, &g, 1);
	donor_signal(SIGTERM);
	expect_draining(c);
	REQUIRE_EQ(client_query(c, &status), 0);
	REQUIRE_EQ(status.flags, ISW_STATUS_DRAINING);
	REQUIRE_EQ(client_grant(c, MIB, &other), ISW_ERR_DRAINING);
	REQUIRE_EQ(client_connect(test_client()), ISW_REJ_DRAINING);
	/* Who has pages here must be able to fetch them. */
	client_drop(c);
	REQUIRE_EQ(client_connect(c), 0);
	/* It may not have heard of the drain, or have forgotten it. */
	expect_draining(c);
	REQUIRE_EQ(client_list(c, &g, 1), 1);
	check_grant(c, &g, 1);
	REQUIRE(donor_alive(), "it has ended already");
	REQUIRE_EQ(client_release(c, g.id), 0);
	test_donor_ended();
	REQUIRE_EQ(donor_wait(5000), 0);
}

static void test_term_and_drain_timeout(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start("--drain_timeout=5", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	donor_signal(SIGINT);
	test_donor_ended();
	REQUIRE_EQ(donor_wait(500), -1);
	REQUIRE_EQ(donor_wait(15000), 0);
	REQUIRE(donor_log_has("drain timed out, 1 grants"), "not logged");
	REQUIRE(client_is_cut_off(c, 5000), "the session goes on");
}

static void test_second_term(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start("--drain_timeout=60", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	donor_signal(SIGTERM);
	REQUIRE(donor_log_wait("draining", 5000), "it does not drain");
	test_donor_ended();
	donor_signal(SIGTERM);
	REQUIRE_EQ(donor_wait(5000), 0);
}

/* ---- under systemd ------------------------------------------------------ */

static char notify_path[64];

/* What Type=notify and WatchdogSec= mean to a daemon; systemd's end of it. */
static int start_notified(void)
{
	const struct timeval limit = { .tv_sec = 5 };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	bool started;
	int fd;

	snprintf(notify_path, sizeof(notify_path), "/tmp/daemon_test.%d.notify",
		 getpid());
	strcpy(sa.sun_path, notify_path);
	unlink(notify_path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	REQUIRE(!bind(fd, (struct sockaddr *)&sa, sizeof(sa)), "%s: no socket",
		notify_path);
	setenv("NOTIFY_SOCKET", notify_path, 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	started = donor_start("--drain_timeout=60", NULL);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	REQUIRE(started, "no start");
	return fd;
}

/* The next thing said, not counting signs of life unless one is expected. */
static void expect_notified(int fd, const char *what)
{
	char said[64];
	ssize_t n;

	do {
		n = read(fd, said, sizeof(said) - 1);
		said[n > 0 ? n : 0] = '\0';
	} while (strcmp(said, what) && !strcmp(said, "WATCHDOG=1"));
	REQUIRE(!strcmp(said, what), "said \"%s\", expected \"%s\"", said,
		what);
}

/* `systemctl stop`: what is lent is given back first, and nobody takes it for dead. */
static void test_notifies_ready_life_and_drain(void)
{
	struct isw_grant_info g;
	struct client *c;
	int fd;

	fd = start_notified();
	expect_notified(fd, "READY=1");
	expect_notified(fd, "WATCHDOG=1");
	expect_notified(fd, "WATCHDOG=1");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	write_grant(c, &g, 3);
	donor_signal(SIGTERM);
	/* drain_timeout and 10 s to end in, whatever TimeoutStopSec= is */
	expect_notified(fd, "STOPPING=1\nEXTEND_TIMEOUT_USEC=70000000");
	expect_draining(c);
	expect_notified(fd, "WATCHDOG=1");
	expect_notified(fd, "WATCHDOG=1");
	check_grant(c, &g, 3);
	REQUIRE(donor_alive(), "ended with a grant out");
	REQUIRE_EQ(client_release(c, g.id), 0);
	test_donor_ended();
	REQUIRE_EQ(donor_wait(5000), 0);
	close(fd);
	unlink(notify_path);
}

/* Somebody who does not read, until there is no room, and then nobody. */
static void test_notifies_nobody(void)
{
	int fd = start_notified(), full;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct client *c = test_connected();

	expect_notified(fd, "READY=1");
	strcpy(sa.sun_path, notify_path);
	full = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	REQUIRE(!connect(full, (struct sockaddr *)&sa, sizeof(sa)), "no socket");
	while (send(full, "x", 1, MSG_DONTWAIT) > 0)
		;
	sleep_ms(2500);
	REQUIRE_EQ(client_ping(c), 0);
	close(full);
	close(fd);
	unlink(notify_path);
	sleep_ms(1500);
	REQUIRE_EQ(client_ping(c), 0);
}

static void test_epoch_changes(void)
{
	struct isw_grant_info g;
	uint64_t epoch;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	epoch = c->welcome.epoch;
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	donor_signal(SIGKILL);
	REQUIRE_EQ(donor_wait(5000), 128 + SIGKILL);
	client_drop(c);
	REQUIRE(donor_start(NULL), "no second start");
	c->port = donor.port;
	REQUIRE_EQ(client_connect(c), 0);
	REQUIRE(c->welcome.epoch != epoch, "the same epoch");
	REQUIRE_EQ(client_list(c, &g, 1), 0);
}

static void test_same_port_again(void)
{
	uint16_t port;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	port = donor.port;
	test_connected();
	donor_signal(SIGKILL);
	donor_wait(5000);
	donor.port = (uint16_t)(port - 1);
	REQUIRE(donor_start(NULL), "the port is still taken");
	c = test_connected();
	REQUIRE_EQ(client_ping(c), 0);
}

/* RELEASE and the end of the session come together; it once looked at the end first. */
static void test_last_words_are_heard(void)
{
	struct isw_grant_info g[2];
	struct client *a, *b;

	REQUIRE(donor_start(NULL), "no start");
	a = test_connected();
	b = test_connected();
	REQUIRE_EQ(client_grant(a, MIB, &g[0]), 0);
	REQUIRE_EQ(client_grant(a, MIB, &g[1]), 0);
	donor_signal(SIGSTOP);
	REQUIRE_EQ(client_release_send(a, g[0].id), 0);
	sleep_ms(200);
	client_drop(a);
	sleep_ms(200);
	donor_signal(SIGCONT);
	REQUIRE(donor_log_wait("session lost", 5000), "it is not gone");
	wait_donated(b, MIB, 2000);
}

static const struct test tests[] = {
	{ "end: a killed client's lease ends and its memory returns",
	  test_killed_client },
	{ "end: a client from which only answers come is silent",
	  test_client_that_only_answers },
	{ "end: a donor that stood still hears its clients first",
	  test_donor_stands_still },
	{ "end: a silent client's lease ends and its memory returns",
	  test_silent_client },
	{ "end: what a client said last is heard before its end",
	  test_last_words_are_heard },
	{ "end: back within the lease, all is there", test_back_within_lease },
	{ "end: back after the lease, nothing is", test_back_after_lease },
	{ "end: BYE while grants are made", test_bye_while_granting },
	{ "end: a client lost while grants are made", test_drop_while_granting },
	{ "end: SIGTERM without grants ends the daemon",
	  test_term_without_grants },
	{ "end: SIGTERM with grants drains", test_term_with_grants },
	{ "end: a drain has a time limit", test_term_and_drain_timeout },
	{ "end: a second SIGTERM ends at once", test_second_term },
	{ "end: systemd hears of readiness, life and a drain that ends",
	  test_notifies_ready_life_and_drain },
	{ "end: nobody who listens is no trouble", test_notifies_nobody },
	{ "end: a new daemon has a new epoch and no grants",
	  test_epoch_changes },
	{ "end: a new daemon takes a killed one's port", test_same_port_again },
};

const struct test_list end_tests = { tests, ARRAY_SIZE(tests), true };
