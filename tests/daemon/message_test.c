// SPDX-License-Identifier: GPL-2.0-only
/* Control messages: wrong ones, too many of them, and nonsense. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "test.h"

static uint8_t buf[ISW_MSG_MAX] __attribute__((aligned(8)));

/* The donor refuses what was sent last with @code. */
static void refused(struct client *c, uint32_t seq, uint16_t type, int code)
{
	struct isw_msg m;

	REQUIRE_EQ(client_recv(c, buf, &m, CLIENT_TIMEOUT_MS), 0);
	REQUIRE_EQ(m.type, ISW_MSG_ERROR);
	REQUIRE_EQ(m.seq, seq);
	REQUIRE_EQ(m.error.type, type);
	REQUIRE_EQ(m.error.code, code);
}

static void test_wrong_headers(void)
{
	struct isw_msg_hdr hdr;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();

	client_hdr(c, &hdr, ISW_MSG_PING);
	hdr.epoch = ~hdr.epoch;
	REQUIRE_EQ(client_send(c, &hdr, sizeof(hdr)), 0);
	refused(c, c->seq, ISW_MSG_PING, ISW_ERR_MALFORMED);

	client_hdr(c, &hdr, ISW_MSG_BYE);
	hdr.session = ~hdr.session;
	REQUIRE_EQ(client_send(c, &hdr, sizeof(hdr)), 0);
	refused(c, c->seq, ISW_MSG_BYE, ISW_ERR_MALFORMED);

	client_hdr(c, &hdr, ISW_MSG_PING);
	hdr.length = __cpu_to_le16(sizeof(hdr) + 8);
	REQUIRE_EQ(client_send(c, &hdr, sizeof(hdr)), 0);
	refused(c, c->seq, ISW_MSG_PING, ISW_ERR_MALFORMED);
	REQUIRE_EQ(client_ping(c), 0);
}

static void test_wrong_types(void)
{
	static const uint16_t types[] = {
		0, 14, 17, 21, 99, 0xffff, ISW_MSG_STATUS, ISW_MSG_GRANTED,
		ISW_MSG_RELEASED, ISW_MSG_GRANTS, ISW_MSG_BYE_OK,
	};
	struct isw_msg_hdr *hdr = (void *)buf;
	struct isw_msg_status *status = (void *)buf;
	struct isw_msg_granted *granted = (void *)buf;
	struct client *c;
	unsigned int i;
	uint16_t len;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	/* More than the malformed messages that a session survives. */
	for (i = 0; i < 2 * ARRAY_SIZE(types); i++) {
		uint16_t type = types[i % ARRAY_SIZE(types)];

		memset(buf, 0, sizeof(buf));
		len = isw_msg_size(type) ? (uint16_t)isw_msg_size(type) :
		      (uint16_t)sizeof(*hdr);
		if (type == ISW_MSG_STATUS)
			status->total = __cpu_to_le64(1);
		if (type == ISW_MSG_GRANTED) {
			granted->grant.length = __cpu_to_le64(MIB);
			granted->grant.addr = __cpu_to_le64(4096);
		}
		isw_msg_hdr_init(hdr, type, ++c->seq, c->welcome.epoch,
				 c->welcome.session);
		hdr->length = __cpu_to_le16(len);
		REQUIRE_EQ(client_send(c, buf, len), 0);
		refused(c, c->seq, type, ISW_ERR_TYPE);
	}
	REQUIRE_EQ(client_ping(c), 0);
}

/* Answers are not answered: two sides could go on for ever. */
static void test_answers_are_taken(void)
{
	struct isw_msg_error error;
	struct isw_msg_hdr pong;
	struct client *c;
	struct isw_msg m;
	int i;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	for (i = 0; i < 100; i++) {
		client_hdr(c, &error.hdr, ISW_MSG_ERROR);
		error.code = __cpu_to_le16(ISW_ERR_TYPE);
		REQUIRE_EQ(client_send(c, &error, sizeof(error)), 0);
		client_hdr(c, &pong, ISW_MSG_PONG);
		REQUIRE_EQ(client_send(c, &pong, sizeof(pong)), 0);
		if (i % 4 == 3)
			REQUIRE_EQ(client_ping(c), 0);
	}
	REQUIRE_EQ(client_recv(c, buf, &m, 300), -ETIMEDOUT);
}

/* Nor are those that are malformed; they count as such. */
static void test_malformed_answers(void)
{
	struct isw_msg_error error;
	struct isw_msg_hdr pong;
	struct client *c;
	struct isw_msg m;
	int i;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	client_hdr(c, &error.hdr, ISW_MSG_ERROR);
	client_hdr(c, &pong, ISW_MSG_PONG);
	pong.epoch = ~pong.epoch;
	for (i = 0; i < 15; i++) {
		if (i % 2)
			REQUIRE_EQ(client_send(c, &error, sizeof(error) - 8), 0);
		else
			REQUIRE_EQ(client_send(c, &pong, sizeof(pong)), 0);
	}
	REQUIRE_EQ(client_recv(c, buf, &m, 300), -ETIMEDOUT);
	REQUIRE_EQ(client_ping(c), 0);
	REQUIRE_EQ(client_send(c, &pong, sizeof(pong)), 0);
	REQUIRE(client_is_cut_off(c, 5000), "the session goes on");
}

static void test_short_messages(void)
{
	struct isw_msg_hdr hdr;
	struct client *c;
	size_t len;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	client_hdr(c, &hdr, ISW_MSG_PING);
	for (len = 0; len < sizeof(hdr); len += 3) {
		REQUIRE_EQ(client_send(c, &hdr, len), 0);
		refused(c, 0, 0, ISW_ERR_MALFORMED);
	}
	REQUIRE_EQ(client_ping(c), 0);
}

static void test_long_messages(void)
{
	struct isw_msg_hdr hdr;
	struct client *a, *b;
	uint8_t big[2048] = { 0 };

	REQUIRE(donor_start(NULL), "no start");
	a = test_connected();
	b = test_connected();
	client_hdr(a, &hdr, ISW_MSG_PING);
	memcpy(big, &hdr, sizeof(hdr));
	REQUIRE_EQ(client_send(a, big, 100), 0);
	refused(a, a->seq, ISW_MSG_PING, ISW_ERR_MALFORMED);
	REQUIRE_EQ(client_send(a, big, ISW_MSG_MAX), 0);
	refused(a, a->seq, ISW_MSG_PING, ISW_ERR_MALFORMED);
	/* Nothing on the donor's side is as long as that. */
	REQUIRE_EQ(client_send(a, big, ISW_MSG_MAX + 1), 0);
	REQUIRE(client_is_cut_off(a, 5000), "the session goes on");
	REQUIRE_EQ(client_ping(b), 0);
}

static void test_reserved_bytes(void)
{
	struct isw_msg_list list;
	struct client *c;

	REQUIRE(donor_start(NULL), "no start");
	c = test_connected();
	client_hdr(c, &list.hdr, ISW_MSG_LIST);
	list.reserved[1] = 1;
	REQUIRE_EQ(client_send(c, &list, sizeof(list)), 0);
	refused(c, c->seq, ISW_MSG_LIST, ISW_ERR_MALFORMED);
	REQUIRE_EQ(client_ping(c), 0);
}

static void test_malformed_limit(void)
{
	struct client *a, *b;
	int i;

	REQUIRE(donor_start(NULL), "no start");
	a = test_connected();
	b = test_connected();
	for (i = 0; i < 15; i++) {
		REQUIRE_EQ(client_send(a, "short", 5), 0);
		refused(a, 0, 0, ISW_ERR_MALFORMED);
	}
	REQUIRE_EQ(client_ping(a), 0);
	REQUIRE_EQ(client_send(a, "short", 5), 0);
	REQUIRE(client_is_cut_off(a, 5000), "the session goes on");
	REQUIRE(donor_log_has("too many malformed"), "not logged");
	REQUIRE_EQ(client_ping(b), 0);
}

/* ---- many at once ------------------------------------------------------- */

static void test_pipelined_requests(void)
{
	struct isw_msg_grant msg;
	bool seen[ISW_CTRL_CREDITS] = { false };
	struct client *c;
	struct isw_msg m;
	uint32_t first;
	int i;

	REQUIRE(donor_start("--memory=64M", NULL), "no start");
	c = test_connected();
	first = c->seq + 1;
	for (i = 0; i < ISW_CTRL_CREDITS; i++) {
		client_hdr(c, &msg.hdr, ISW_MSG_GRANT);
		msg.length = __cpu_to_le64(MIB);
		REQUIRE_EQ(client_send(c, &msg, sizeof(msg)), 0);
	}
	for (i = 0; i < ISW_CTRL_CREDITS; i++) {
		REQUIRE_EQ(client_recv(c, buf, &m, CLIENT_TIMEOUT_MS), 0);
		REQUIRE_EQ(m.type, ISW_MSG_GRANTED);
		REQUIRE(m.seq >= first && m.seq - first < ISW_CTRL_CREDITS &&
			!seen[m.seq - first], "answer %u twice or unasked",
			m.seq);
		seen[m.seq - first] = true;
	}
	REQUIRE_EQ(donated(c), ISW_CTRL_CREDITS * MIB);
}

/* More than the credits allow: the client waits, the donor does not. */
static void test_flood(void)
{
	struct isw_msg_hdr ping;
	struct client *a, *b;
	unsigned int i, got = 0;
	struct isw_msg m;

	REQUIRE(donor_start(NULL), "no start");
	a = test_connected();
	b = test_connected();
	for (i = 0; i < CLIENT_SENDS - 1; i++) {
		client_hdr(a, &ping, ISW_MSG_PING);
		REQUIRE_EQ(client_send(a, &ping, sizeof(ping)), 0);
	}
	REQUIRE_EQ(client_ping(b), 0);
	while (got < i && !client_recv(a, buf, &m, CLIENT_TIMEOUT_MS))
		got += m.type == ISW_MSG_PONG;
	REQUIRE_EQ(got, i);
}

static long ms_of(int (*ask)(struct client *c), struct client *c)
{
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	REQUIRE_EQ(ask(c), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (to.tv_sec - from.tv_sec) * 1000 +
	       (to.tv_nsec - from.tv_nsec) / 1000000;
}

static int grant_and_release(struct client *c)
{
	struct isw_grant_info g;
	int ret = client_grant(c, MIB, &g);

	return ret ? ret : client_release(c, g.id);
}

/*
 * Of memory there is enough for both; what they share is the donor's time. Four of the
 * 40 may be late: a host that stalls delays some, a donor that is held up all.
 */
static void beside(pid_t (*start)(void), unsigned int n)
{
	long ms, ping = 0, grant = 0;
	unsigned int k, late = 0;
	struct client *c;
	pid_t pid[8];
	int i;

	REQUIRE(donor_start("--memory=64M", "--client_quota=16M",
			    "--log_level=info", NULL), "no start");
	c = test_connected();
	for (k = 0; k < n; k++)
		pid[k] = start();
	for (i = 0; i < 40; i++) {
		ms = ms_of(client_ping, c);
		late += ms >= 500;
		ping = ms > ping ? ms : ping;
		ms = ms_of(grant_and_release, c);
		late += ms >= 1000;
		grant = ms > grant ? ms : grant;
		sleep_ms(50);
	}
	for (k = 0; k < n; k++) {
		REQUIRE(waitpid(pid[k], NULL, WNOHANG) == 0,
			"the flood has ended");
		kill(pid[k], SIGKILL);
		waitpid(pid[k], NULL, 0);
	}
	printf("# longest ping %ld ms, grant and release %ld ms\n", ping, grant);
	REQUIRE(late <= 4, "%u late, ping %ld ms, grant %ld ms", late, ping,
		grant);
}

static void test_flood_beside(void)
{
	beside(start_flood, 1);
}

/* The donor once took connect requests until there were none. */
static void test_connects_beside(void)
{
	beside(start_connects, 6);
	REQUIRE(donor_log_has("joined from"), "nobody connected");
}

static void test_client_that_never_receives(void)
{
	struct isw_msg_hdr ping;
	struct client *a, *b;
	int i;

	REQUIRE(donor_start(NULL), "no start");
	a = test_client();
	a->no_receives = true;
	REQUIRE_EQ(client_connect(a), 0);
	b = test_connected();
	for (i = 0; i < ISW_CTRL_RECVS; i++) {
		client_hdr(a, &ping, ISW_MSG_PING);
		REQUIRE_EQ(client_send(a, &ping, sizeof(ping)), 0);
	}
	REQUIRE(donor_log_wait("session lost: RNR retry counter exceeded",
			       20000), "its session is not ended");
	REQUIRE_EQ(client_ping(b), 0);
}

/* ---- nonsense ----------------------------------------------------------- */

static uint64_t state;

static uint32_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16);
}

static void start_random(void)
{
	const char *given = getenv("DAEMON_TEST_SEED");

	state = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	state = state ? state : 1;
	printf("# DAEMON_TEST_SEED=%llu\n", (unsigned long long)state);
}

/* Half of them all random, half with a header that is right but for a bit. */
static size_t random_message(struct client *c, uint8_t *msg)
{
	struct isw_msg_hdr *hdr = (void *)msg;
	size_t i, len = next_random() % (ISW_MSG_MAX + 1);
	uint16_t type = (uint16_t)(next_random() % 24);

	for (i = 0; i < ISW_MSG_MAX; i++)
		msg[i] = (uint8_t)next_random();
	if (next_random() % 2)
		return len;
	/* BYE would end the session for good: that is not what is tried here. */
	if (type == ISW_MSG_BYE)
		type = ISW_MSG_LIST;
	if (isw_msg_size(type))
		len = isw_msg_size(type);
	isw_msg_hdr_init(hdr, type, next_random(), c->welcome.epoch,
			 c->welcome.session);
	if (next_random() % 2)
		msg[next_random() % sizeof(*hdr)] ^= (uint8_t)next_random();
	/* A flipped bit may have made one. */
	if (hdr->type == __cpu_to_le16(ISW_MSG_BYE))
		hdr->type = 0;
	return len;
}

static void test_random_messages(void)
{
	uint8_t msg[ISW_MSG_MAX] __attribute__((aligned(8)));
	unsigned int i, answers = 0, sessions = 1;
	struct client *a, *b;
	struct isw_msg m;
	int ret;

	start_random();
	REQUIRE(donor_start("--memory=16M", NULL), "no start");
	a = test_connected();
	b = test_connected();
	for (i = 0; i < 1000; i++) {
		ret = client_send(a, msg, random_message(a, msg));
		if (!ret)
			ret = client_recv(a, buf, &m, 50);
		if (!ret)
			answers++;
		REQUIRE(!ret || ret == -ETIMEDOUT || ret == -ECONNRESET,
			"message %u: %d", i, ret);
		if (ret != -ECONNRESET)
			continue;
		client_drop(a);
		REQUIRE_EQ(client_connect(a), 0);
		sessions++;
	}
	printf("# %u answers, %u sessions\n", answers, sessions);
	REQUIRE(answers > 500, "only %u answers", answers);
	REQUIRE_EQ(client_ping(b), 0);
	client_drop(a);
	REQUIRE_EQ(client_connect(a), 0);
	REQUIRE_EQ(client_bye(a), 0);
	REQUIRE_EQ(donated(b), 0);
}

static void test_random_connects(void)
{
	struct isw_cm_req req;
	uint8_t *byte = (void *)&req;
	struct client *c;
	int i, ret;

	start_random();
	REQUIRE(donor_start("--max_clients=4", NULL), "no start");
	for (i = 0; i < 60; i++) {
		struct client attempt;

		client_init(&attempt, donor.address, donor.port);
		client_fill_req(&attempt, &req, ISW_ROLE_CONTROL, 0, 0);
		byte[next_random() % sizeof(req)] ^= (uint8_t)next_random();
		ret = client_connect_raw(&attempt, &req, sizeof(req));
		REQUIRE(ret >= 0, "attempt %d: %d", i, ret);
		client_drop(&attempt);
	}
	c = test_client();
	for (i = 0; i < 50; i++) {	/* the last guests go first */
		ret = client_connect(c);
		if (ret != ISW_REJ_FULL)
			break;
		sleep_ms(100);
	}
	REQUIRE_EQ(ret, 0);
	REQUIRE_EQ(client_ping(c), 0);
}

/* SEND on a data connection finds no receive: that is the sender's problem. */
static void test_send_on_data_connection(void)
{
	struct client *a, *b;
	struct link control;

	REQUIRE(donor_start(NULL), "no start");
	a = test_connected();
	b = test_connected();
	control = a->control;
	a->control = a->write[0];
	REQUIRE_EQ(client_send(a, "hello", 5), 0);
	a->control = control;
	sleep_ms(200);
	REQUIRE_EQ(client_ping(b), 0);
}

static const struct test tests[] = {
	{ "message: wrong epoch, session and length are refused",
	  test_wrong_headers },
	{ "message: unknown types and answers are refused, and no more",
	  test_wrong_types },
	{ "message: PONG and ERROR are not answered", test_answers_are_taken },
	{ "message: malformed PONG and ERROR are not answered either",
	  test_malformed_answers },
	{ "message: short ones are refused", test_short_messages },
	{ "message: long ones are refused, too long ones end the session",
	  test_long_messages },
	{ "message: reserved bytes must be zero", test_reserved_bytes },
	{ "message: 16 malformed ones end the session", test_malformed_limit },
	{ "message: requests under way are all answered",
	  test_pipelined_requests },
	{ "message: a flood is answered in the donor's time", test_flood },
	{ "message: a flood delays no neighbour", test_flood_beside },
	{ "message: connects without end delay no neighbour",
	  test_connects_beside },
	{ "message: a client that never receives is ended",
	  test_client_that_never_receives },
	{ "message: random bytes", test_random_messages },
	{ "message: random connect requests", test_random_connects },
	{ "message: a message on a data connection does no harm",
	  test_send_on_data_connection },
};

const struct test_list message_tests = { tests, ARRAY_SIZE(tests), true };
