// SPDX-License-Identifier: GPL-2.0-only
/* Connecting, resuming, and what is rejected. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

static void test_connect_and_query(void)
{
	struct isw_status status;
	struct client *c;

	REQUIRE(donor_start("--memory=32M", "--lease=7", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(c->welcome.lease_ms, 7000);
	REQUIRE_EQ(client_ping(c), 0);
	REQUIRE_EQ(client_query(c, &status), 0);
	REQUIRE_EQ(status.donated, 0);
	REQUIRE_EQ(status.limit, 32 * MIB);
	REQUIRE_EQ(status.flags, 0);
	REQUIRE(status.used > 0 && status.used < status.total,
		"used %llu of %llu", (unsigned long long)status.used,
		(unsigned long long)status.total);
	REQUIRE_EQ(client_bye(c), 0);
}

static void test_many_queues(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_client();
	c->queues = ISW_MAX_QUEUES;
	REQUIRE_EQ(client_connect(c), 0);
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	c->write[0] = c->write[ISW_MAX_QUEUES - 1];
	c->read[0] = c->read[ISW_MAX_QUEUES - 1];
	write_grant(c, &g, 1);
	check_grant(c, &g, 1);
	/* Only to be dropped once. */
	c->write[0] = c->read[0] = (struct link) { 0 };
}

static void test_two_clients(void)
{
	struct client *a, *b;

	REQUIRE(donor_start(NULL), "no start");
	a = test_connected();
	b = test_connected();
	REQUIRE(a->welcome.epoch == b->welcome.epoch, "epochs differ");
	REQUIRE(a->welcome.session != b->welcome.session, "one session for two");
	REQUIRE_EQ(client_ping(a), 0);
	REQUIRE_EQ(client_ping(b), 0);
}

/* ---- resume ------------------------------------------------------------- */

#define GRANTS	3

static void resume_with(bool drop_first)
{
	struct isw_grant_info before[GRANTS], after[GRANTS + 1];
	struct client *c, *again;
	uint64_t session;
	uint32_t i;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	for (i = 0; i < GRANTS; i++) {
		REQUIRE_EQ(client_grant(c, MIB, &before[i]), 0);
		write_grant(c, &before[i], 100 * i);
	}
	session = c->welcome.session;
	if (drop_first)
		client_drop(c);

	again = test_client();
	memcpy(again->id, c->id, sizeof(c->id));
	REQUIRE_EQ(client_connect(again), 0);
	REQUIRE(again->welcome.session != session, "the same session number");
	REQUIRE_EQ(client_list(again, after, GRANTS + 1), GRANTS);
	for (i = 0; i < GRANTS; i++) {
		REQUIRE_EQ(after[i].id.index, before[i].id.index);
		REQUIRE_EQ(after[i].id.generation, before[i].id.generation);
		REQUIRE_EQ(after[i].length, before[i].length);
		REQUIRE_EQ(after[i].addr, before[i].addr);
		REQUIRE(after[i].rkey != before[i].rkey, "the same key");
		check_grant(again, &after[i], 100 * i);
	}
	REQUIRE(donor_log_has("resumed"), "not logged");
	if (drop_first)
		return;
	/* The old session's queue pairs are gone. */
	REQUIRE(client_write(c, before[0].addr, before[0].rkey, 4096) !=
		IBV_WC_SUCCESS, "the old session still writes");
	REQUIRE(client_write(c, after[0].addr, after[0].rkey, 4096) !=
		IBV_WC_SUCCESS, "the old session still writes");
}

static void test_resume(void)
{
	resume_with(true);
}

static void test_resume_over_live_session(void)
{
	resume_with(false);
}

static void test_resume_often(void)
{
	struct isw_grant_info g[2];
	struct client *c;
	int i;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g[0]), 0);
	write_grant(c, &g[0], 5);
	/* Some come while the last one's registrations are under way. */
	for (i = 0; i < 10; i++) {
		client_drop(c);
		REQUIRE_EQ(client_connect(c), 0);
	}
	REQUIRE_EQ(client_list(c, g, 2), 1);
	check_grant(c, &g[0], 5);
}

static void test_old_key_after_resume(void)
{
	struct isw_grant_info old, new;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &old), 0);
	client_drop(c);
	REQUIRE_EQ(client_connect(c), 0);
	REQUIRE_EQ(client_list(c, &new, 1), 1);
	REQUIRE_EQ(client_read(c, old.addr, old.rkey, 4096),
		   IBV_WC_REM_ACCESS_ERR);
}

/* ---- rejects ------------------------------------------------------------ */

static void test_stale_data_connection(void)
{
	struct client *c;
	uint64_t old;

	REQUIRE(donor_start(NULL), "no start");
	c = test_client();
	REQUIRE_EQ(client_connect_control(c), 0);
	old = c->welcome.session;
	REQUIRE_EQ(client_connect_data(c, ISW_ROLE_WRITE, 0, old + 1),
		   ISW_REJ_STALE);
	REQUIRE_EQ(client_connect_data(c, ISW_ROLE_WRITE, 0, old), 0);
	client_drop(c);
	REQUIRE_EQ(client_connect_control(c), 0);
	REQUIRE_EQ(client_connect_data(c, ISW_ROLE_WRITE, 0, old),
		   ISW_REJ_STALE);
	REQUIRE_EQ(client_connect_data(c, ISW_ROLE_WRITE, 0,
				       c->welcome.session), 0);
}

static void test_data_connection_of_nobody(void)
{
	struct client *c, *stranger;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	stranger = test_client();
	REQUIRE_EQ(client_connect_control(stranger), 0);
	REQUIRE_EQ(client_connect_data(stranger, ISW_ROLE_READ, 0,
				       c->welcome.session), ISW_REJ_STALE);
}

static void test_queue_taken_twice(void)
{
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_connect_data(c, ISW_ROLE_READ, 0, c->welcome.session),
		   ISW_REJ_MALFORMED);
	c->queues = 2;	/* not what the control connection said */
	REQUIRE_EQ(client_connect_data(c, ISW_ROLE_READ, 1, c->welcome.session),
		   ISW_REJ_MALFORMED);
	REQUIRE_EQ(client_ping(c), 0);
}

static void rejected(void (*spoil)(struct isw_cm_req *req), uint8_t len,
		     int reason, const char *what)
{
	struct client *c = test_client();
	struct isw_cm_req req;
	int got;

	client_fill_req(c, &req, ISW_ROLE_CONTROL, 0, 0);
	spoil(&req);
	got = client_connect_raw(c, &req, len);
	REQUIRE(got == reason, "%s: %d, expected %d", what, got, reason);
}

#define SPOIL(name, statement) \
	static void spoil_##name(struct isw_cm_req *req) { statement; }

SPOIL(nothing, (void)req)
SPOIL(magic, req->magic = __cpu_to_le32(0x12345678))
SPOIL(version, req->version = __cpu_to_le16(ISW_VERSION + 1))
SPOIL(role_0, req->role = 0)
SPOIL(role_4, req->role = 4)
SPOIL(queues_0, req->queues = 0)
SPOIL(queues_5, req->queues = ISW_MAX_QUEUES + 1)
SPOIL(queue, req->queue = 1)
SPOIL(session, req->session = __cpu_to_le64(1))
SPOIL(client, memset(req->client, 0, sizeof(req->client)))
SPOIL(reserved, req->reserved[3] = 1)
SPOIL(data_session, req->role = ISW_ROLE_READ)
SPOIL(data_stale, req->role = ISW_ROLE_READ; req->session = __cpu_to_le64(1))
SPOIL(data_queue, req->role = ISW_ROLE_WRITE; req->session = __cpu_to_le64(1);
      req->queue = 1)

#define REJECTED(name, len, reason) \
	rejected(spoil_##name, len, reason, #name)

static void test_wrong_requests(void)
{
	const uint8_t all = sizeof(struct isw_cm_req);
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	REJECTED(magic, all, ISW_REJ_MALFORMED);
	REJECTED(version, all, ISW_REJ_VERSION);
	REJECTED(role_0, all, ISW_REJ_MALFORMED);
	REJECTED(role_4, all, ISW_REJ_MALFORMED);
	REJECTED(queues_0, all, ISW_REJ_MALFORMED);
	REJECTED(queues_5, all, ISW_REJ_MALFORMED);
	REJECTED(queue, all, ISW_REJ_MALFORMED);
	REJECTED(session, all, ISW_REJ_MALFORMED);
	REJECTED(client, all, ISW_REJ_MALFORMED);
	REJECTED(reserved, all, ISW_REJ_MALFORMED);
	REJECTED(data_session, all, ISW_REJ_MALFORMED);
	REJECTED(data_stale, all, ISW_REJ_STALE);
	REJECTED(data_queue, all, ISW_REJ_MALFORMED);
	/* Cut short or not there: the transport pads with zeros. */
	REJECTED(nothing, 3, ISW_REJ_MALFORMED);
	REJECTED(nothing, 0, ISW_REJ_MALFORMED);
	c = test_connected();
	REQUIRE_EQ(client_ping(c), 0);
}

static void test_version_is_told(void)
{
	struct isw_cm_req req;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_client();
	client_fill_req(c, &req, ISW_ROLE_CONTROL, 0, 0);
	req.version = __cpu_to_le16(77);
	REQUIRE_EQ(client_connect_raw(c, &req, sizeof(req)), ISW_REJ_VERSION);
	REQUIRE_EQ(c->rej_version, ISW_VERSION);
}

static void test_full_table(void)
{
	struct client *a, *c;

	REQUIRE(donor_start("--max_clients=2", NULL), "no start");
	a = test_connected();
	test_connected();
	c = test_client();
	REQUIRE_EQ(client_connect(c), ISW_REJ_FULL);
	/* Who is known may resume; who leaves makes room. */
	client_drop(a);
	REQUIRE_EQ(client_connect(a), 0);
	REQUIRE_EQ(client_bye(a), 0);
	REQUIRE(donor_log_wait("gone", 5000), "a did not go");
	REQUIRE_EQ(client_connect(c), 0);
}

/* ---- nothing is left behind --------------------------------------------- */

struct resources {
	int fds, pd, cq, qp, cm_id, mr;
};

static void count_resources(struct resources *r)
{
	char line[256];
	FILE *f = popen("rdma resource show 2>/dev/null", "re");
	bool seen = false;

	*r = (struct resources) { .fds = donor_fds() };
	while (f && fgets(line, sizeof(line), f)) {
		struct resources one = { 0 };

		if (sscanf(line, "%*d: %*s pd %d cq %d qp %d cm_id %d mr %d",
			   &one.pd, &one.cq, &one.qp, &one.cm_id, &one.mr) != 5)
			continue;
		seen = true;
		r->pd += one.pd;
		r->cq += one.cq;
		r->qp += one.qp;
		r->cm_id += one.cm_id;
		r->mr += one.mr;
	}
	if (f)
		pclose(f);
	REQUIRE(seen, "`rdma resource show` says nothing");
}

static void cycle(int i)
{
	struct isw_grant_info g;
	struct client *c = test_client();

	REQUIRE_EQ(client_connect(c), 0);
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	if (i % 2)
		REQUIRE_EQ(client_release(c, g.id), 0);
	REQUIRE_EQ(client_bye(c), 0);
}

static bool same(const struct resources *a, const struct resources *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static void test_cycles_leave_nothing(void)
{
	struct resources before, after;
	int i;

	REQUIRE(donor_start(NULL), "no start");
	cycle(0);	/* devices are opened for good */
	sleep_ms(300);
	count_resources(&before);
	for (i = 0; i < 50; i++)
		cycle(i);
	/* The last disconnect takes effect a little later. */
	for (i = 0; i < 50; i++) {
		count_resources(&after);
		if (same(&before, &after))
			return;
		sleep_ms(100);
	}
	test_fail("fds %d -> %d, pd %d -> %d, cq %d -> %d, qp %d -> %d, cm_id %d -> %d, mr %d -> %d",
		  before.fds, after.fds, before.pd, after.pd, before.cq,
		  after.cq, before.qp, after.qp, before.cm_id, after.cm_id,
		  before.mr, after.mr);
}

static void test_state_table(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 2 * MIB, &g), 0);
	donor_signal(SIGUSR1);
	REQUIRE(donor_log_wait("1 grants, 2 MiB, 3 of 3 connections", 5000),
		"no line for the client");
	REQUIRE(donor_log_has("2 of "), "no line for memory");
}

/* Each line once waited for its reader, and all that the daemon does with it. */
static void test_log_that_nobody_reads(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start_unread(), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	REQUIRE_EQ(client_release(c, g.id), 0);
	REQUIRE_EQ(client_bye(c), 0);
}

static void test_address_of_no_device(void)
{
	test_donor_ended();
	REQUIRE(!donor_start("--bind=192.0.2.1", NULL), "it started");
	REQUIRE_EQ(donor_wait(5000), 1);
	REQUIRE(donor_log_has("cannot listen on 192.0.2.1"), "not said why");
}

static void test_taken_port(void)
{
	char port[16];

	REQUIRE(donor_start(NULL), "no start");
	snprintf(port, sizeof(port), "%u", donor.port);
	REQUIRE_EQ(donor_run_beside("--port", port, NULL), 1);
	REQUIRE_EQ(client_ping(test_connected()), 0);
}

static void test_bound_to_address(void)
{
	char bind[64];

	snprintf(bind, sizeof(bind), "--bind=%s", donor.address);
	REQUIRE(donor_start(bind, NULL), "no start");
	REQUIRE_EQ(client_ping(test_connected()), 0);
}

static const struct test tests[] = {
	{ "session: connect, ping and query", test_connect_and_query },
	{ "session: as many queues as there may be", test_many_queues },
	{ "session: two clients at once", test_two_clients },
	{ "session: a resumed session has the same grants, new keys",
	  test_resume },
	{ "session: a resume ends the session that is there",
	  test_resume_over_live_session },
	{ "session: resumed ten times in a row", test_resume_often },
	{ "session: a key from before the resume opens nothing",
	  test_old_key_after_resume },
	{ "session: a data connection to a stale session is rejected",
	  test_stale_data_connection },
	{ "session: a data connection to another's session is rejected",
	  test_data_connection_of_nobody },
	{ "session: a queue taken or not agreed on is rejected",
	  test_queue_taken_twice },
	{ "session: wrong connect requests are rejected with the reason",
	  test_wrong_requests },
	{ "session: the version spoken is told", test_version_is_told },
	{ "session: a full table rejects strangers alone", test_full_table },
	{ "session: 50 connects leave nothing behind",
	  test_cycles_leave_nothing },
	{ "session: SIGUSR1 logs the state", test_state_table },
	{ "session: a log that nobody reads holds nothing up",
	  test_log_that_nobody_reads },
	{ "session: an address without a device is an error",
	  test_address_of_no_device },
	{ "session: a port that is taken is an error", test_taken_port },
	{ "session: bound to one address", test_bound_to_address },
};

const struct test_list session_tests = { tests, ARRAY_SIZE(tests), true };
