// SPDX-License-Identifier: GPL-2.0-only
/*
 * daemon_test - infiniswapd against a client in userspace
 *
 *	daemon_test --address 10.7.0.101 [--daemon /usr/sbin/infiniswapd]
 *		    [--only WORDS] [--verbose]
 *
 * Runs on one machine that has an RDMA device with that address, and starts
 * the daemon itself, on ports of its own. Without --address only the tests
 * that need no device run. --only takes tests whose name contains WORDS,
 * --verbose shows the daemon's log of each.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../lib/ktap.h"
#include "test.h"

#define FIRST_PORT	9500
#define CLIENTS_MAX	64

static const struct test_list *const lists[] = {
	&config_tests, &session_tests, &grant_tests, &message_tests,
	&limit_tests, &evict_tests, &admin_tests, &reload_tests, &end_tests,
};

static jmp_buf test_end;
static char reason[512];
static bool skipped, donor_may_be_gone, verbose;
static pid_t child;
static struct client clients[CLIENTS_MAX];
static unsigned int client_count;
static const char *self;

/* ---- how a test ends ---------------------------------------------------- */

void test_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	longjmp(test_end, 1);
}

void test_skip(const char *why)
{
	skipped = true;
	snprintf(reason, sizeof(reason), "%s", why);
	longjmp(test_end, 1);
}

void test_donor_ended(void)
{
	donor_may_be_gone = true;
}

void test_child(pid_t pid)
{
	child = pid;
}

static void clean_up(void)
{
	int status;

	if (child) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		child = 0;
	}
	while (client_count)
		client_drop(&clients[--client_count]);
	if (!donor.pid) {
		if (!donor_may_be_gone && !*reason && *donor.log)
			snprintf(reason, sizeof(reason), "the daemon is gone");
		return;
	}
	if (!donor_alive() && !*reason)
		snprintf(reason, sizeof(reason), "the daemon died");
	status = donor_stop();
	if (status && !*reason)
		snprintf(reason, sizeof(reason), "the daemon ended with %d",
			 status);
}

static void run_test(const struct test *test)
{
	*reason = '\0';
	skipped = false;
	donor_may_be_gone = false;
	if (!setjmp(test_end))
		test->run();
	clean_up();
	if (skipped) {
		ktap_skip(test->name, reason);
	} else if (*reason) {
		ktap_result(false, "%s # %s", test->name, reason);
	} else {
		ktap_result(true, "%s", test->name);
	}
	if (verbose || (*reason && !skipped))
		donor_log_show();
	donor_log_forget();
}

/* ---- helpers ------------------------------------------------------------ */

void sleep_ms(int ms)
{
	nanosleep(&(struct timespec) { ms / 1000, ms % 1000 * 1000000L }, NULL);
}

struct client *test_client(void)
{
	struct client *c = &clients[client_count++];

	if (client_count > CLIENTS_MAX)
		abort();
	client_init(c, donor.address, donor.port);
	return c;
}

struct client *test_connected(void)
{
	struct client *c = test_client();

	REQUIRE_EQ(client_connect(c), 0);
	return c;
}

void fill(uint8_t *buffer, uint32_t len, uint32_t seed)
{
	uint32_t i, word;

	for (i = 0; i < len; i += 4) {
		word = (i + 1) * 2654435761u ^ seed * 2246822519u;
		memcpy(buffer + i, &word, 4);
	}
}

bool filled(const uint8_t *buffer, uint32_t len, uint32_t seed)
{
	uint8_t *expected = malloc(len);
	bool same;

	fill(expected, len, seed);
	same = !memcmp(buffer, expected, len);
	free(expected);
	return same;
}

bool all_zero(const uint8_t *buffer, uint32_t len)
{
	return !*buffer && !memcmp(buffer, buffer + 1, len - 1);
}

/* Pieces of 64 KiB, as a client's requests would be at most. */
#define PIECE	(64u << 10)

void write_grant(struct client *c, const struct isw_grant_info *g,
		 uint32_t seed)
{
	uint64_t at;

	for (at = 0; at < g->length; at += PIECE) {
		fill(c->buffer, PIECE, seed + (uint32_t)(at / PIECE));
		REQUIRE_EQ(client_write(c, g->addr + at, g->rkey, PIECE),
			   IBV_WC_SUCCESS);
	}
}

void check_grant(struct client *c, const struct isw_grant_info *g,
		 uint32_t seed)
{
	uint64_t at;

	for (at = 0; at < g->length; at += PIECE) {
		memset(c->buffer, 0x55, PIECE);
		REQUIRE_EQ(client_read(c, g->addr + at, g->rkey, PIECE),
			   IBV_WC_SUCCESS);
		REQUIRE(filled(c->buffer, PIECE, seed + (uint32_t)(at / PIECE)),
			"wrong bytes at offset %llu", (unsigned long long)at);
	}
}

uint64_t donated(struct client *c)
{
	struct isw_status status;

	REQUIRE_EQ(client_query(c, &status), 0);
	return status.donated;
}

void wait_donated(struct client *c, uint64_t bytes, int timeout_ms)
{
	uint64_t now = 0;

	for (; timeout_ms > 0; timeout_ms -= 100) {
		now = donated(c);
		if (now == bytes)
			return;
		sleep_ms(100);
	}
	test_fail("donated %llu, waited for %llu", (unsigned long long)now,
		  (unsigned long long)bytes);
}

static void write_host(const char *path, uint64_t total_mib,
		       uint64_t available_mib, unsigned int huge,
		       unsigned int reserved)
{
	char part[80];
	FILE *f;

	snprintf(part, sizeof(part), "%s.new", path);
	f = fopen(part, "we");
	if (!f)
		test_fail("cannot write %s", part);
	fprintf(f, "MemTotal:       %8llu kB\nMemFree:         4242 kB\n"
		"MemAvailable:   %8llu kB\nHugePages_Free: %8u\n"
		"HugePages_Rsvd: %8u\nHugepagesize:       2048 kB\n",
		(unsigned long long)total_mib * 1024,
		(unsigned long long)available_mib * 1024, huge, reserved);
	fclose(f);
	rename(part, path);
}

void write_meminfo_huge(const char *path, uint64_t available_mib,
			unsigned int huge, unsigned int reserved)
{
	write_host(path, 256, available_mib, huge, reserved);
}

void write_meminfo(const char *path, uint64_t available_mib)
{
	write_meminfo_huge(path, available_mib, 0, 0);
}

void write_meminfo_of(const char *path, uint64_t total_mib,
		      uint64_t available_mib)
{
	write_host(path, total_mib, available_mib, 0, 0);
}

/* ---- another client, that can be killed --------------------------------- */

/* Waits until it says that it is ready. */
static pid_t start_self(const char *what, const char *grants,
			const char *length)
{
	char port[16], said[8];
	int fds[2];
	pid_t pid;

	REQUIRE_EQ(pipe(fds), 0);
	snprintf(port, sizeof(port), "%u", donor.port);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		execl("/proc/self/exe", self, what, donor.address, port, grants,
		      length, NULL);
		_exit(127);
	}
	close(fds[1]);
	if (read(fds[0], said, sizeof(said)) <= 0) {
		close(fds[0]);
		waitpid(pid, NULL, 0);
		test_fail("the other client did not get its grants");
	}
	close(fds[0]);
	return pid;
}

pid_t start_other_client(unsigned int grants, uint64_t length)
{
	char count[16], bytes[32];

	snprintf(count, sizeof(count), "%u", grants);
	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)length);
	return start_self("--be-client", count, bytes);
}

pid_t start_flood(void)
{
	return start_self("--be-flood", NULL, NULL);
}

pid_t start_connects(void)
{
	return start_self("--be-connects", NULL, NULL);
}

static void say_ready(void)
{
	printf("ready\n");
	fflush(stdout);
}

/* Pings as a client should, until killed or stopped. */
static int be_client(char **argv)
{
	unsigned int grants = (unsigned int)atoi(argv[2]);
	struct isw_grant_info g;
	struct client c;

	client_init(&c, argv[0], (uint16_t)atoi(argv[1]));
	if (client_connect(&c))
		return 1;
	while (grants--)
		if (client_grant(&c, strtoull(argv[3], NULL, 10), &g))
			return 1;
	say_ready();
	while (!client_ping(&c))
		sleep_ms(500);
	pause();
	return 0;
}

/* Requests under way: twice as many as there may be. */
#define FLOOD		(2 * ISW_CTRL_CREDITS)

/* Asks for whatever costs the donor most, as fast as it can, while there is a session. */
static void flood(struct client *c)
{
	static const uint16_t types[] = {
		ISW_MSG_GRANT, ISW_MSG_QUERY, ISW_MSG_LIST, ISW_MSG_PING,
	};
	uint8_t buf[ISW_MSG_MAX] __attribute__((aligned(8)));
	union {
		struct isw_msg_hdr hdr;
		struct isw_msg_grant grant;
		struct isw_msg_list list;
		struct isw_msg_release release;
	} msg;
	unsigned int i, under_way = 0;
	struct isw_msg m = { 0 };
	int ret = -ETIMEDOUT;

	for (i = 0; ret != -ECONNRESET; i++) {
		if (under_way == FLOOD) {
			ret = client_recv(c, buf, &m, 1000);
			under_way -= !ret;
			continue;
		}
		memset(&msg, 0, sizeof(msg));	/* reserved bytes are */
		client_hdr(c, &msg.hdr, types[i % ARRAY_SIZE(types)]);
		if (types[i % ARRAY_SIZE(types)] == ISW_MSG_GRANT)
			msg.grant.length = __cpu_to_le64(MIB);
		if (!ret && m.type == ISW_MSG_GRANTED) {
			client_hdr(c, &msg.hdr, ISW_MSG_RELEASE);
			msg.release.id.index = __cpu_to_le32(m.grant.id.index);
			msg.release.id.generation =
				__cpu_to_le32(m.grant.id.generation);
		}
		ret = client_send(c, &msg, __le16_to_cpu(msg.hdr.length));
		if (ret)
			break;
		under_way++;
		ret = client_recv(c, buf, &m, 0);
		under_way -= !ret;
	}
	fprintf(stderr, "# the flood ends: %s (%s), message %u, %u under way\n",
		strerror(-ret), ibv_wc_status_str(c->failed), i, under_way);
}

/*
 * Until killed, as one client: a connection that finds no receive posted so many times
 * is given up, which happens on a busy machine.
 */
static int be_flood(char **argv)
{
	struct client c;

	client_init(&c, argv[0], (uint16_t)atoi(argv[1]));
	c.waits = true;
	if (client_connect(&c))
		return 1;
	say_ready();
	do {
		flood(&c);
		client_drop(&c);
	} while (!client_connect(&c));
	fprintf(stderr, "# the flood does not come in again\n");
	return 1;
}

/* Connects under way. */
#define CONNECTS	64

static bool connect_begin(struct rdma_event_channel *channel,
			  struct sockaddr_in *to)
{
	struct rdma_cm_id *id;

	return !rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) &&
	       !rdma_resolve_addr(id, NULL, (struct sockaddr *)to, 2000);
}

/* Asks for session after session, each of which ends the last one. */
static int be_connects(char **argv)
{
	struct rdma_event_channel *channel = rdma_create_event_channel();
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])),
	};
	struct isw_cm_req req;
	struct rdma_conn_param param = {
		.private_data = &req, .private_data_len = sizeof(req),
		.qp_num = 77,	/* there is none */
	};
	enum rdma_cm_event_type type;
	struct rdma_cm_event *event;
	struct rdma_cm_id *id;
	struct client c;
	unsigned int i;

	client_init(&c, argv[0], to.sin_port);
	client_fill_req(&c, &req, ISW_ROLE_CONTROL, 0, 0);
	if (inet_pton(AF_INET, argv[0], &to.sin_addr) != 1)
		return 1;
	for (i = 0; i < CONNECTS; i++)
		if (!connect_begin(channel, &to))
			return 1;
	say_ready();
	while (!rdma_get_cm_event(channel, &event)) {
		id = event->id;
		type = event->event;
		rdma_ack_cm_event(event);
		if (type == RDMA_CM_EVENT_ADDR_RESOLVED) {
			rdma_resolve_route(id, 2000);
		} else if (type == RDMA_CM_EVENT_ROUTE_RESOLVED) {
			rdma_connect(id, &param);
		} else {	/* accepted or not */
			rdma_destroy_id(id);
			if (!connect_begin(channel, &to))
				return 1;
		}
	}
	return 1;
}

/* ---- main --------------------------------------------------------------- */

static bool chosen(const struct test *test, const char *only)
{
	return !only || strstr(test->name, only);
}

static void run_list(const struct test_list *list, const char *only)
{
	unsigned int i;

	for (i = 0; i < list->count; i++) {
		if (!chosen(&list->tests[i], only))
			continue;
		if (list->needs_device && !donor.address)
			ktap_skip(list->tests[i].name,
				  "no --address of an RDMA device");
		else
			run_test(&list->tests[i]);
	}
}

static unsigned int count_tests(const char *only)
{
	unsigned int i, j, n = 0;

	for (i = 0; i < ARRAY_SIZE(lists); i++)
		for (j = 0; j < lists[i]->count; j++)
			n += chosen(&lists[i]->tests[j], only);
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "daemon", required_argument, NULL, 'd' },
		{ "address", required_argument, NULL, 'a' },
		{ "only", required_argument, NULL, 'o' },
		{ "verbose", no_argument, NULL, 'v' },
		{ 0 }
	};
	const char *only = NULL;
	unsigned int i;
	int c;

	self = argv[0];
	if (argc == 6 && !strcmp(argv[1], "--be-client"))
		return be_client(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "--be-flood"))
		return be_flood(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "--be-connects"))
		return be_connects(argv + 2);
	donor.program = "/usr/sbin/infiniswapd";
	donor.port = FIRST_PORT;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			donor.program = optarg;
			break;
		case 'a':
			donor.address = optarg;
			break;
		case 'o':
			only = optarg;
			break;
		case 'v':
			verbose = true;
			break;
		default:
			return 2;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	ktap_plan(count_tests(only));
	for (i = 0; i < ARRAY_SIZE(lists); i++)
		run_list(lists[i], only);
	return ktap_finish();
}
