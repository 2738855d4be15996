// SPDX-License-Identifier: GPL-2.0-only
/* Grants: memory that is the client's own, and zero before it was. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static void test_write_and_read_back(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), 0);
	REQUIRE_EQ(g.length, 4 * MIB);
	write_grant(c, &g, 42);
	check_grant(c, &g, 42);
}

static void test_first_page_and_last(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	REQUIRE_EQ(client_read(c, g.addr + g.length - 4096, g.rkey, 4096),
		   IBV_WC_SUCCESS);
	REQUIRE_EQ(client_read(c, g.addr + g.length - 4096, g.rkey, 4097),
		   IBV_WC_REM_ACCESS_ERR);
}

/* What one client leaves, the next must not find. */
static void residue(const char *prepare)
{
	struct isw_grant_info g[4];
	struct client *a, *b;
	uint32_t i, at;

	REQUIRE(donor_start(prepare, "--slab_size=1M", "--memory=4M", NULL),
		"no start");
	a = test_connected();
	for (i = 0; i < 4; i++) {
		REQUIRE_EQ(client_grant(a, MIB, &g[i]), 0);
		write_grant(a, &g[i], i);
	}
	REQUIRE_EQ(client_release(a, g[0].id), 0);
	REQUIRE_EQ(client_bye(a), 0);
	b = test_connected();
	for (i = 0; i < 4; i++) {
		REQUIRE_EQ(client_grant(b, MIB, &g[i]), 0);
		for (at = 0; at < MIB; at += 65536) {
			memset(b->buffer, 0xff, 65536);
			REQUIRE_EQ(client_read(b, g[i].addr + at, g[i].rkey,
					       65536), IBV_WC_SUCCESS);
			REQUIRE(all_zero(b->buffer, 65536),
				"grant %u, offset %u: not zero", i, at);
		}
	}
}

static void test_no_residue(void)
{
	residue("--prepare=0");
}

static void test_no_residue_prepared(void)
{
	residue("--prepare=3");
}

/* @b uses @g, which is another client's; @a's session is not touched. */
static void test_foreign_key(void)
{
	struct isw_grant_info g, own;
	struct client *a, *b;

	REQUIRE(donor_start(NULL), "no start");
	a = test_connected();
	REQUIRE_EQ(client_grant(a, MIB, &g), 0);
	write_grant(a, &g, 7);
	b = test_connected();
	REQUIRE_EQ(client_grant(b, MIB, &own), 0);
	REQUIRE_EQ(client_read(b, g.addr, g.rkey, 4096), IBV_WC_REM_ACCESS_ERR);
	client_drop(b);
	REQUIRE_EQ(client_connect(b), 0);
	memset(b->buffer, 0xaa, 4096);
	REQUIRE_EQ(client_write(b, g.addr, g.rkey, 4096),
		   IBV_WC_REM_ACCESS_ERR);
	REQUIRE_EQ(client_ping(a), 0);
	check_grant(a, &g, 7);
}

static void test_guessed_keys(void)
{
	struct isw_grant_info g;
	struct client *a, *b;
	uint32_t i;

	REQUIRE(donor_start(NULL), "no start");
	a = test_connected();
	REQUIRE_EQ(client_grant(a, MIB, &g), 0);
	b = test_client();
	for (i = 0; i < 8; i++) {
		REQUIRE_EQ(client_connect(b), 0);
		REQUIRE_EQ(client_read(b, g.addr, g.rkey ^ (1u << 4 * i), 4096),
			   IBV_WC_REM_ACCESS_ERR);
		client_drop(b);
	}
	REQUIRE_EQ(client_ping(a), 0);
}

static void test_released_is_closed(void)
{
	struct isw_grant_info g[2], left;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g[0]), 0);
	REQUIRE_EQ(client_grant(c, MIB, &g[1]), 0);
	write_grant(c, &g[1], 3);
	REQUIRE_EQ(client_release(c, g[0].id), 0);
	REQUIRE_EQ(client_list(c, &left, 1), 1);
	REQUIRE_EQ(left.id.index, g[1].id.index);
	check_grant(c, &g[1], 3);
	REQUIRE_EQ(client_read(c, g[0].addr, g[0].rkey, 4096),
		   IBV_WC_REM_ACCESS_ERR);
	/* That broke the session, no more: the other grant is still there. */
	client_drop(c);
	REQUIRE_EQ(client_connect(c), 0);
	REQUIRE_EQ(client_list(c, &left, 1), 1);
	check_grant(c, &left, 3);
}

static void test_unknown_grants(void)
{
	struct isw_grant_info g;
	struct client *a, *b;

	REQUIRE(donor_start(NULL), "no start");
	a = test_connected();
	REQUIRE_EQ(client_grant(a, MIB, &g), 0);
	REQUIRE_EQ(client_release(a, (struct isw_grant_id) {
			g.id.index, g.id.generation + 1 }), ISW_ERR_NO_GRANT);
	REQUIRE_EQ(client_release(a, (struct isw_grant_id) {
			g.id.index, g.id.generation - 1 }), ISW_ERR_NO_GRANT);
	REQUIRE_EQ(client_release(a, (struct isw_grant_id) {
			g.id.index + 1, g.id.generation }), ISW_ERR_NO_GRANT);
	REQUIRE_EQ(client_release(a, (struct isw_grant_id) { UINT32_MAX, 1 }),
		   ISW_ERR_NO_GRANT);
	b = test_connected();
	REQUIRE_EQ(client_release(b, g.id), ISW_ERR_NO_GRANT);
	REQUIRE_EQ(client_release(a, g.id), 0);
	REQUIRE_EQ(client_release(a, g.id), ISW_ERR_NO_GRANT);
}

static void test_generation_moves(void)
{
	struct isw_grant_info g, next;
	struct client *c;

	REQUIRE(donor_start("--memory=1M", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	REQUIRE_EQ(client_release(c, g.id), 0);
	REQUIRE_EQ(client_grant(c, MIB, &next), 0);
	REQUIRE_EQ(next.id.index, g.id.index);
	REQUIRE(next.id.generation > g.id.generation, "generation %u, was %u",
		next.id.generation, g.id.generation);
	REQUIRE_EQ(client_release(c, g.id), ISW_ERR_NO_GRANT);
}

#define MANY	(ISW_GRANTS_MAX + 5)

static void test_long_list(void)
{
	struct isw_grant_info g[MANY], listed[MANY + 1];
	struct client *a, *b;
	uint32_t i;

	REQUIRE(donor_start("--memory=64M", NULL), "no start");
	a = test_connected();
	b = test_connected();
	REQUIRE_EQ(client_list(b, listed, 1), 0);
	/* In turn, so that neither's are next to each other. */
	for (i = 0; i < MANY; i++) {
		REQUIRE_EQ(client_grant(a, MIB, &g[i]), 0);
		if (i % 4 == 0)
			REQUIRE_EQ(client_grant(b, MIB, &listed[0]), 0);
	}
	REQUIRE_EQ(client_list(b, listed, MANY + 1), (MANY + 3) / 4);
	REQUIRE_EQ(client_list(a, listed, MANY + 1), MANY);
	for (i = 0; i < MANY; i++) {
		REQUIRE_EQ(listed[i].id.index, g[i].id.index);
		REQUIRE_EQ(listed[i].rkey, g[i].rkey);
		REQUIRE_EQ(listed[i].addr, g[i].addr);
	}
	REQUIRE_EQ(client_bye(a), 0);
	REQUIRE_EQ(client_list(b, listed, MANY + 1), (MANY + 3) / 4);
}

static void test_bye_gives_back(void)
{
	struct isw_grant_info g;
	struct client *a, *b;
	long before;
	int i;

	REQUIRE(donor_start("--memory=64M", NULL), "no start");
	b = test_connected();
	a = test_connected();
	before = donor_rss_kib();
	for (i = 0; i < 4; i++)
		REQUIRE_EQ(client_grant(a, 8 * MIB, &g), 0);
	REQUIRE(donor_rss_kib() > before + 32 * 1024 - 1024,
		"grants are not backed by memory: %ld -> %ld KiB", before,
		donor_rss_kib());
	REQUIRE_EQ(donated(b), 32 * MIB);
	REQUIRE_EQ(client_bye(a), 0);
	REQUIRE_EQ(donated(b), 0);
	REQUIRE(donor_rss_kib() < before + 2048, "%ld KiB, was %ld",
		donor_rss_kib(), before);
}

static void test_release_gives_back(void)
{
	struct isw_grant_info g;
	struct client *c;
	long before;

	REQUIRE(donor_start("--memory=64M", NULL), "no start");
	c = test_connected();
	before = donor_rss_kib();
	REQUIRE_EQ(client_grant(c, 32 * MIB, &g), 0);
	REQUIRE_EQ(client_release(c, g.id), 0);
	REQUIRE_EQ(donated(c), 0);
	REQUIRE(donor_rss_kib() < before + 2048, "%ld KiB, was %ld",
		donor_rss_kib(), before);
}

#define HAND_OVERS	1000

/* One megabyte, from client to client; each leaves something on every page. */
static void test_many_hand_overs(void)
{
	struct isw_grant_info g;
	struct client *c[2];
	uint32_t i, at;

	REQUIRE(donor_start("--memory=1M", NULL), "no start");
	c[0] = test_connected();
	c[1] = test_connected();
	for (i = 0; i < HAND_OVERS; i++) {
		struct client *now = c[i % 2];

		REQUIRE_EQ(client_grant(now, MIB, &g), 0);
		now->buffer[0] = 0xff;
		REQUIRE_EQ(client_read(now, g.addr, g.rkey, MIB),
			   IBV_WC_SUCCESS);
		REQUIRE(all_zero(now->buffer, MIB), "hand-over %u: not zero",
			i);
		for (at = 0; at < MIB; at += 4096)
			now->buffer[at + i % 4096] = 0xa5;
		REQUIRE_EQ(client_write(now, g.addr, g.rkey, MIB),
			   IBV_WC_SUCCESS);
		REQUIRE_EQ(client_release(now, g.id), 0);
	}
}

static void wait_prepared(const char *table, int timeout_ms)
{
	for (; timeout_ms > 0; timeout_ms -= 300) {
		donor_signal(SIGUSR1);
		if (donor_log_wait(table, 300))
			return;
	}
	test_fail("the table never said: %s", table);
}

static void test_prepared_ahead(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start("--prepare=2", "--slab_size=8M", "--memory=64M",
			    NULL), "no start");
	wait_prepared("0 of 64 MiB granted, 16 MiB prepared", 5000);
	/* Filled anew after a grant. */
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), 0);
	wait_prepared("8 of 64 MiB granted, 16 MiB prepared", 5000);
	/* Another size is asked for: this one is kept ten seconds more. */
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), 0);
	wait_prepared("12 of 64 MiB granted, 24 MiB prepared", 5000);
	wait_prepared("12 of 64 MiB granted, 8 MiB prepared", 20000);
}

/* What is asked for does not fit: prepared slabs go if it then would, only then. */
static void test_prepared_goes_if_that_helps(void)
{
	char path[64], arg[80];
	struct isw_grant_info g;
	struct client *c;

	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.meminfo", getpid());
	snprintf(arg, sizeof(arg), "--meminfo=%s", path);
	write_meminfo(path, 200);
	REQUIRE(donor_start(arg, "--headroom=64M", "--memory=192M",
			    "--prepare=4", "--slab_size=8M", NULL), "no start");
	wait_prepared("0 of 192 MiB granted, 32 MiB prepared", 5000);
	write_meminfo(path, 80);
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 64 * MIB, &g), ISW_ERR_NO_MEMORY);
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), 0);
	wait_prepared("4 of 192 MiB granted, 32 MiB prepared", 600);
	REQUIRE_EQ(client_grant(c, 32 * MIB, &g), ISW_ERR_NO_MEMORY);
	wait_prepared("4 of 192 MiB granted, 0 MiB prepared", 600);
	unlink(path);
}

static void ask_for_grant(struct client *c, uint64_t length)
{
	struct isw_msg_grant msg;

	client_hdr(c, &msg.hdr, ISW_MSG_GRANT);
	msg.length = __cpu_to_le64(length);
	REQUIRE_EQ(client_send(c, &msg, sizeof(msg)), 0);
}

/* Both workers once had to be through with them first, seconds for a gigabyte. */
static void test_large_ones_do_not_delay_a_release(void)
{
	uint8_t buf[ISW_MSG_MAX] __attribute__((aligned(8)));
	struct isw_grant_info g;
	struct client *c;
	struct isw_msg m;

	REQUIRE(donor_start("--memory=256M", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	ask_for_grant(c, 64 * MIB);
	ask_for_grant(c, 64 * MIB);
	REQUIRE_EQ(client_release_send(c, g.id), 0);
	REQUIRE_EQ(client_recv(c, buf, &m, CLIENT_TIMEOUT_MS), 0);
	REQUIRE_EQ(m.type, ISW_MSG_RELEASED);
	REQUIRE_EQ(client_recv(c, buf, &m, CLIENT_TIMEOUT_MS), 0);
	REQUIRE_EQ(m.type, ISW_MSG_GRANTED);
	REQUIRE_EQ(client_recv(c, buf, &m, CLIENT_TIMEOUT_MS), 0);
	REQUIRE_EQ(m.type, ISW_MSG_GRANTED);
}

/* Of a large one and a small one, asked for in this order. */
static void test_large_ones_do_not_delay_small_ones(void)
{
	struct isw_grant_info g;
	struct client *a, *b;

	REQUIRE(donor_start("--memory=256M", NULL), "no start");
	a = test_connected();
	b = test_connected();
	ask_for_grant(a, 64 * MIB);
	ask_for_grant(a, 64 * MIB);
	ask_for_grant(a, 64 * MIB);
	REQUIRE_EQ(client_ping(a), 0);
	REQUIRE_EQ(client_grant(b, MIB, &g), 0);
	REQUIRE(!donor_log_has(", 64 MiB, new"),
		"a neighbour's large ones came first");
}

static void test_nothing_is_mapped_for_nobody(void)
{
	struct client *c, *watcher;

	REQUIRE(donor_start("--memory=256M", NULL), "no start");
	watcher = test_connected();
	c = test_connected();
	ask_for_grant(c, 256 * MIB);
	REQUIRE_EQ(client_ping(c), 0);
	client_drop(c);
	REQUIRE(donor_log_wait("mapping of 256 MiB is stopped", 5000),
		"mapped for a client that is gone");
	wait_donated(watcher, 0, 5000);
}

/* 128 MiB a second, and it begins with as much: a third slab is the next one's. */
static void test_prepared_slowly(void)
{
	REQUIRE(donor_start("--prepare=3", "--slab_size=64M", "--memory=256M",
			    NULL), "no start");
	sleep_ms(700);
	donor_signal(SIGUSR1);
	REQUIRE(donor_log_wait("MiB prepared", 2000), "no table");
	REQUIRE(!donor_log_has("192 MiB prepared"), "all at once");
	wait_prepared("0 of 256 MiB granted, 192 MiB prepared", 8000);
}

#define RENEWED	160

/* All that a resumed client has is registered anew: that once came first. */
static void test_renewals_beside(void)
{
	static struct isw_grant_info g[RENEWED];
	uint8_t buf[ISW_MSG_MAX] __attribute__((aligned(8)));
	struct isw_grant_info small;
	struct isw_msg_list list;
	struct client *a, *b;
	struct isw_msg m;
	int i;

	REQUIRE(donor_start("--memory=200M", NULL), "no start");
	a = test_connected();
	b = test_connected();
	for (i = 0; i < RENEWED; i++)
		REQUIRE_EQ(client_grant(a, MIB, &g[i]), 0);
	client_drop(a);
	REQUIRE_EQ(client_connect_control(a), 0);
	client_hdr(a, &list.hdr, ISW_MSG_LIST);
	REQUIRE_EQ(client_send(a, &list, sizeof(list)), 0);
	REQUIRE_EQ(client_grant(b, MIB, &small), 0);
	/* Not all are done, nor almost. */
	REQUIRE_EQ(client_recv(a, buf, &m, 10), -ETIMEDOUT);
	REQUIRE_EQ(client_recv(a, buf, &m, CLIENT_TIMEOUT_MS), 0);
	REQUIRE_EQ(m.type, ISW_MSG_GRANTS);
	REQUIRE_EQ(client_list(a, g, RENEWED), RENEWED);
	/* Some are given back before their turn comes. */
	client_drop(a);
	REQUIRE_EQ(client_connect(a), 0);
	REQUIRE_EQ(client_release(a, g[RENEWED - 1].id), 0);
	REQUIRE_EQ(client_release(a, g[0].id), 0);
	REQUIRE_EQ(client_list(a, g, RENEWED), RENEWED - 2);
	write_grant(a, &g[RENEWED - 3], 3);
	check_grant(a, &g[RENEWED - 3], 3);
	REQUIRE_EQ(client_bye(a), 0);
	REQUIRE_EQ(donated(b), MIB);
}

static const struct test tests[] = {
	{ "grant: write by RDMA and read back", test_write_and_read_back },
	{ "grant: it ends where it ends", test_first_page_and_last },
	{ "grant: memory that another client had is zero", test_no_residue },
	{ "grant: prepared memory is zero", test_no_residue_prepared },
	{ "grant: another client's key opens nothing", test_foreign_key },
	{ "grant: guessed keys open nothing", test_guessed_keys },
	{ "grant: a released one is closed, others stay", test_released_is_closed },
	{ "grant: unknown grants and generations are refused",
	  test_unknown_grants },
	{ "grant: a place used again has another generation",
	  test_generation_moves },
	{ "grant: a long list comes in pages", test_long_list },
	{ "grant: BYE gives all memory back", test_bye_gives_back },
	{ "grant: RELEASE gives memory back", test_release_gives_back },
	{ "grant: slabs are prepared ahead", test_prepared_ahead },
	{ "grant: they are prepared at a bounded rate", test_prepared_slowly },
	{ "grant: prepared ones go if that helps who is refused",
	  test_prepared_goes_if_that_helps },
	{ "grant: making large ones does not delay a release",
	  test_large_ones_do_not_delay_a_release },
	{ "grant: making large ones does not delay a neighbour's small one",
	  test_large_ones_do_not_delay_small_ones },
	{ "grant: a resumed client's many delay no neighbour's grant",
	  test_renewals_beside },
	{ "grant: what is made for a client that is gone is not mapped",
	  test_nothing_is_mapped_for_nobody },
	{ "grant: 1000 hand-overs, all zero", test_many_hand_overs },
};

const struct test_list grant_tests = { tests, ARRAY_SIZE(tests), true };
