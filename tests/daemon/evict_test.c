// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eviction: a host that gets short, which a file in place of /proc/meminfo
 * says, has lent memory back by a deadline, whatever clients do.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <infiniswap/evict.h>

#include "test.h"

#define HEADROOM	"--headroom=64M"
#define SLABS_MAX	250

static char meminfo[64], meminfo_arg[80];

/* What a client hears of eviction, and what it says of its slabs. */
struct heard {
	unsigned int questions;
	unsigned int asked;			/* slabs in them */
	unsigned int count;			/* slabs in EVICT */
	struct isw_grant_id id[SLABS_MAX];
	uint32_t deadline_ms;			/* of the last EVICT */
	bool called_off;
	bool silent;				/* do not answer */
	uint32_t activity[SLABS_MAX];		/* by index of the grant */
};

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void name_meminfo(void)
{
	snprintf(meminfo, sizeof(meminfo), "/tmp/daemon_test.%d.meminfo",
		 getpid());
	snprintf(meminfo_arg, sizeof(meminfo_arg), "--meminfo=%s", meminfo);
}

static bool start(uint64_t available_mib, const char *a, const char *b)
{
	name_meminfo();
	write_meminfo(meminfo, available_mib);
	return donor_start(meminfo_arg, HEADROOM, "--memory=192M", a, b, NULL);
}

static void answer(struct client *c, struct heard *h, const struct isw_msg *m)
{
	struct isw_msg_activity msg;
	uint32_t i, index;

	memset(&msg, 0, sizeof(msg));
	isw_msg_hdr_init(&msg.hdr, ISW_MSG_ACTIVITY, m->seq, c->welcome.epoch,
			 c->welcome.session);
	msg.count = __cpu_to_le32(m->ids.count);
	for (i = 0; i < m->ids.count; i++) {
		index = isw_wire_id_decode(&m->ids.wire[i]).index;
		REQUIRE(index < SLABS_MAX, "asked for grant %u", index);
		msg.slab[i].id = m->ids.wire[i];
		msg.slab[i].activity = __cpu_to_le32(h->activity[index]);
	}
	REQUIRE_EQ(client_send(c, &msg, sizeof(msg)), 0);
}

static void hear(struct client *c, struct heard *h, const struct isw_msg *m)
{
	uint32_t i;

	if (m->type == ISW_MSG_CHECK_ACTIVITY) {
		h->questions++;
		h->asked += m->ids.count;
		if (!h->silent)
			answer(c, h, m);
	} else if (m->type == ISW_MSG_EVICT && !m->ids.deadline_ms) {
		h->called_off = true;
	} else if (m->type == ISW_MSG_EVICT) {
		h->deadline_ms = m->ids.deadline_ms;
		for (i = 0; i < m->ids.count && h->count < SLABS_MAX; i++)
			h->id[h->count++] = isw_wire_id_decode(&m->ids.wire[i]);
	}
}

static bool evicted(const struct heard *h)
{
	return h->count;
}

static bool called_off(const struct heard *h)
{
	return h->called_off;
}

static bool never(const struct heard *h)
{
	(void)h;
	return false;
}

/* Take messages until @done or @ms have passed; whether it was @done. */
static bool listen_until(struct client *c, struct heard *h,
			 bool (*done)(const struct heard *h), int ms)
{
	static uint8_t buf[ISW_MSG_MAX] __attribute__((aligned(8)));
	uint64_t end = clock_ms() + (uint64_t)ms;
	struct isw_msg m;
	int ret;

	while (!done(h) && clock_ms() < end) {
		ret = client_recv(c, buf, &m, 50);
		REQUIRE(!ret || ret == -ETIMEDOUT, "the session is gone: %d",
			ret);
		if (!ret)
			hear(c, h, &m);
	}
	return done(h);
}

static void grant_many(struct client *c, unsigned int n, uint64_t length,
		       struct isw_grant_info *g)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		REQUIRE_EQ(client_grant(c, length, &g[i]), 0);
}

static bool in(const struct heard *h, struct isw_grant_id id)
{
	unsigned int i;

	for (i = 0; i < h->count; i++)
		if (h->id[i].index == id.index &&
		    h->id[i].generation == id.generation)
			return true;
	return false;
}

/* ---- whom it hits --------------------------------------------------------- */

static void test_least_active_go(void)
{
	struct heard h = { .activity = {
		900, 100, 800, 50, 700, 60, 600, 70, 1, 950, 2, 960,
	} };
	struct isw_grant_info g[12];
	struct client *c;
	uint32_t i, most = 0, least = UINT32_MAX;

	REQUIRE(start(66, "--evict_extra=1000", NULL), "no start");
	c = test_connected();
	grant_many(c, 12, 2 * MIB, g);
	/* 5 MiB short, and others took 7 in a second: six slabs. */
	sleep_ms(2500);
	write_meminfo(meminfo, 59);
	REQUIRE(listen_until(c, &h, evicted, 5000), "nothing is evicted");
	write_meminfo(meminfo, 200);
	REQUIRE_EQ(h.asked, 12);
	REQUIRE(h.count < 12, "all are evicted");
	for (i = 0; i < 12; i++) {
		if (in(&h, g[i].id) && h.activity[g[i].id.index] > most)
			most = h.activity[g[i].id.index];
		if (!in(&h, g[i].id) && h.activity[g[i].id.index] < least)
			least = h.activity[g[i].id.index];
	}
	REQUIRE(most < least, "one of activity %u goes, one of %u stays", most,
		least);
	unlink(meminfo);
}

static void test_as_many_again_are_asked_for(void)
{
	struct isw_grant_info g[40];
	struct heard h = { 0 };
	struct client *c;

	REQUIRE(start(66, NULL, NULL), "no start");
	c = test_connected();
	grant_many(c, 40, MIB, g);
	sleep_ms(2500);
	write_meminfo(meminfo, 60);
	REQUIRE(listen_until(c, &h, evicted, 5000), "nothing is evicted");
	write_meminfo(meminfo, 200);
	REQUIRE_EQ(h.questions, 1);
	REQUIRE(h.asked == 2 * h.count || h.asked == 40,
		"%u asked for, %u evicted", h.asked, h.count);
	unlink(meminfo);
}

static void test_prepared_goes_first(void)
{
	struct isw_grant_info g;
	struct heard h = { 0 };
	struct isw_status status = { 0 };
	struct client *c;
	int i;

	REQUIRE(start(200, "--prepare=4", "--slab_size=8M"), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), 0);
	/* 56 MiB used, 32 of them prepared. */
	for (i = 0; i < 80 && status.used != 24ull * MIB; i++) {
		REQUIRE_EQ(client_query(c, &status), 0);
		sleep_ms(100);
	}
	REQUIRE_EQ(status.used, 24ull * MIB);
	write_meminfo(meminfo, 80);
	sleep_ms(4500);		/* growth is forgotten */
	write_meminfo(meminfo, 63);
	/*
	 * Until some of it is gone. What this host says does not change by
	 * itself, so what comes after that would say nothing.
	 */
	for (i = 0; i < 150 && status.used <= 161ull * MIB; i++) {
		REQUIRE_EQ(client_query(c, &status), 0);
		sleep_ms(20);
	}
	write_meminfo(meminfo, 200);
	REQUIRE(status.used > 161ull * MIB, "nothing goes");
	REQUIRE(!listen_until(c, &h, evicted, 1000),
		"lent memory goes before prepared memory");
	unlink(meminfo);
}

/* Each EVICT has slabs of the client that it goes to, and all of these. */
static void test_each_is_told_of_its_own(void)
{
	struct isw_grant_info g[3][5];
	struct heard h[3] = { { .count = 0 } };
	struct client *c[3];
	unsigned int i, k;

	REQUIRE(start(120, "--evict_deadline=10", NULL), "no start");
	for (i = 0; i < 3; i++)
		c[i] = test_connected();
	for (k = 0; k < 5; k++)		/* in turn, none next to its own */
		for (i = 0; i < 3; i++)
			grant_many(c[i], 1, MIB << i, &g[i][k]);
	write_meminfo(meminfo, 10);	/* all of it is needed */
	for (i = 0; i < 3; i++) {
		listen_until(c[i], &h[i], evicted, 5000);
		REQUIRE_EQ(h[i].count, 5);
		for (k = 0; k < 5; k++)
			REQUIRE(in(&h[i], g[i][k].id), "client %u, slab %u", i,
				k);
	}
	unlink(meminfo);
}

#define MANY_SLABS	250	/* more than one batch, hence more than four EVICTs */

static bool told_of_a_batch(const struct heard *h)
{
	return h->count >= ISW_EVICT_MAX;
}

static bool told_of_all(const struct heard *h)
{
	return h->count == MANY_SLABS;
}

#define MANY_TOTAL	420	/* MiB: what others use does not grow by much */
#define MANY_SHORT	130	/* MiB available: all are needed, and not at once */

/* A client has that many slabs. */
static struct client *start_many(void)
{
	static struct isw_grant_info g[MANY_SLABS];
	struct client *c;

	name_meminfo();
	write_meminfo_of(meminfo, MANY_TOTAL, MANY_TOTAL);
	REQUIRE(donor_start(meminfo_arg, "--headroom=380M", "--memory=250M",
			    "--evict_deadline=60", NULL), "no start");
	c = test_connected();
	grant_many(c, MANY_SLABS, MIB, g);
	return c;
}

/*
 * Once one batch went with each look, a second apart, and a batch is little of what
 * the host needs if slabs are small.
 */
static void test_batch_follows_batch(void)
{
	struct client *c = start_many();
	struct heard h = { 0 };
	uint64_t from;

	write_meminfo_of(meminfo, MANY_TOTAL, MANY_SHORT);
	REQUIRE(listen_until(c, &h, evicted, 5000), "nothing is evicted");
	from = clock_ms();
	REQUIRE(listen_until(c, &h, told_of_all, 5000), "%u are evicted",
		h.count);
	REQUIRE(clock_ms() - from < 900, "the last %llu ms after the first",
		(unsigned long long)(clock_ms() - from));
	write_meminfo_of(meminfo, MANY_TOTAL, MANY_TOTAL);
	unlink(meminfo);
}

static bool asked(const struct heard *h)
{
	return h->questions;
}

/*
 * A client of 40 slabs of 1 MiB does not answer, and the donor stands still until
 * answers are not awaited any more. Meanwhile so much is available.
 */
static struct client *asked_then(struct heard *h, uint64_t available_mib)
{
	struct isw_grant_info g[40];
	struct client *c;

	REQUIRE(start(66, "--evict_deadline=60", NULL), "no start");
	c = test_connected();
	grant_many(c, 40, MIB, g);
	sleep_ms(2500);
	write_meminfo(meminfo, 54);
	REQUIRE(listen_until(c, h, asked, 5000), "nobody is asked");
	donor_signal(SIGSTOP);
	write_meminfo(meminfo, available_mib);
	sleep_ms(1200);
	donor_signal(SIGCONT);
	return c;
}

/* It once went on with what was missing when it began. */
static void test_takes_no_more_than_is_missing_now(void)
{
	struct heard h = { .silent = true };
	struct client *c = asked_then(&h, 65);

	REQUIRE(!listen_until(c, &h, evicted, 1500), "%u are evicted", h.count);
	unlink(meminfo);
}

/* The rest once had to wait until that was over. */
static void test_takes_what_is_missing_now(void)
{
	struct heard h = { .silent = true };
	struct client *c = asked_then(&h, 24);
	uint64_t from;

	REQUIRE(listen_until(c, &h, evicted, 2000), "nothing is evicted");
	from = clock_ms();
	while (h.count < 40 && clock_ms() - from < 800)
		listen_until(c, &h, never, 50);
	REQUIRE_EQ(h.count, 40);
	unlink(meminfo);
}

/* A client of four grants has heard that some are evicted. */
static struct client *start_evicted(const char *deadline, uint64_t length,
				    struct heard *h)
{
	struct isw_grant_info g[4];
	struct client *c;

	REQUIRE(start(70, deadline, NULL), "no start");
	c = test_connected();
	grant_many(c, 4, length, g);
	write_meminfo(meminfo, 54);
	REQUIRE(listen_until(c, h, evicted, 5000), "nothing is evicted");
	return c;
}

/* ---- what a client can do ------------------------------------------------- */

/* What it does not take stands in its receives, and once those of each batch did. */
static void test_silent_is_asked_once(void)
{
	struct client *c = start_many();
	struct heard h = { .silent = true };

	write_meminfo_of(meminfo, MANY_TOTAL, MANY_SHORT);
	REQUIRE(listen_until(c, &h, told_of_all, 5000), "%u are evicted",
		h.count);
	REQUIRE_EQ(h.asked, MANY_SLABS);
	write_meminfo_of(meminfo, MANY_TOTAL, MANY_TOTAL);
	unlink(meminfo);
}

static void test_given_back_in_time(void)
{
	struct heard h = { 0 };
	struct client *c = start_evicted("--evict_deadline=2", 4 * MIB, &h);
	unsigned int i;

	write_meminfo(meminfo, 200);
	REQUIRE(h.deadline_ms && h.deadline_ms <= 2000, "deadline %u ms",
		h.deadline_ms);
	for (i = 0; i < h.count; i++)
		REQUIRE_EQ(client_release(c, h.id[i]), 0);
	REQUIRE_EQ(donated(c), (4 - h.count) * 4ull * MIB);
	sleep_ms(2500);
	REQUIRE(!donor_log_has("not given back"), "taken all the same");
	unlink(meminfo);
}

/*
 * The donor stands still until the deadline is over, and what it asked for came
 * in time. It once looked at the clock first.
 */
static void test_given_back_to_one_who_stands_still(void)
{
	struct heard h = { 0 };
	struct client *c = start_evicted("--evict_deadline=1", 4 * MIB, &h);
	unsigned int i;

	donor_signal(SIGSTOP);
	write_meminfo(meminfo, 200);
	for (i = 0; i < h.count; i++)
		REQUIRE_EQ(client_release_send(c, h.id[i]), 0);
	sleep_ms(1500);
	donor_signal(SIGCONT);
	wait_donated(c, (4 - h.count) * 4ull * MIB, 2000);
	REQUIRE(!donor_log_has("not given back"), "taken all the same");
	unlink(meminfo);
}

/* When @a has heard of its deadline, by the clock; @b, who answers, has none. */
static uint64_t deadline_of(struct client *a, struct heard *deaf,
			    struct client *b, struct heard *h)
{
	uint64_t end = clock_ms() + 1000 + 500 + 1000;

	while (!evicted(deaf) && clock_ms() < end) {
		listen_until(a, deaf, evicted, 20);
		REQUIRE(!listen_until(b, h, evicted, 20),
			"who answers is hit before who does not");
	}
	REQUIRE(h->questions, "it was not asked");
	REQUIRE(evicted(deaf), "nothing is evicted");
	return clock_ms() + deaf->deadline_ms;
}

/* When the daemon lends @left and holds @kib, or after @end. */
static uint64_t time_of_return(struct client *c, uint64_t left, long kib,
			       uint64_t end)
{
	while ((donated(c) != left || donor_rss_kib() > kib) &&
	       clock_ms() < end)
		sleep_ms(10);
	return clock_ms();
}

/* Deaf to everything; its neighbour sees nothing of it. */
static void test_ignored(void)
{
	struct isw_grant_info g[4], other;
	struct heard deaf = { .silent = true }, h = { 0 };
	struct client *a, *b;
	uint64_t deadline, back;
	long rss;

	REQUIRE(start(72, "--evict_deadline=1", "--evict_extra=1000"),
		"no start");
	a = test_connected();
	b = test_connected();
	grant_many(a, 4, 4 * MIB, g);
	REQUIRE_EQ(client_grant(b, 4 * MIB, &other), 0);
	memset(h.activity, 0x77, sizeof(h.activity));
	write_grant(b, &other, 7);
	REQUIRE_EQ(client_write(a, g[0].addr, g[0].rkey, 4096), IBV_WC_SUCCESS);
	sleep_ms(2500);
	rss = donor_rss_kib();
	/* 3 MiB short, and others took 11: all that the silent one has. */
	write_meminfo(meminfo, 61);
	deadline = deadline_of(a, &deaf, b, &h);
	back = time_of_return(b, 4 * MIB, rss - 15 * 1024, deadline + 5000);
	printf("# memory is back %lld ms after the deadline\n",
	       (long long)(back - deadline));
	REQUIRE(back <= deadline + 1000, "%ld KiB, was %ld: memory is not back",
		donor_rss_kib(), rss);
	write_meminfo(meminfo, 200);
	REQUIRE(donor_log_has("not given back in time, taken"), "not logged");
	/* Late: the key opens nothing. */
	REQUIRE_EQ(client_write(a, g[0].addr, g[0].rkey, 4096),
		   IBV_WC_REM_ACCESS_ERR);
	check_grant(b, &other, 7);
	unlink(meminfo);
}

static void test_late_release(void)
{
	struct isw_grant_info g[2];
	struct heard h = { .silent = true };
	struct client *c;

	REQUIRE(start(80, "--evict_deadline=1", NULL), "no start");
	c = test_connected();
	grant_many(c, 2, 4 * MIB, g);
	write_meminfo(meminfo, 40);
	REQUIRE(listen_until(c, &h, evicted, 5000), "nothing is evicted");
	wait_donated(c, 0, 5000);
	write_meminfo(meminfo, 200);
	REQUIRE_EQ(client_release(c, h.id[0]), ISW_ERR_NO_GRANT);
	/* It is a client like any other. */
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g[0]), 0);
	unlink(meminfo);
}

static void test_called_off(void)
{
	struct isw_grant_info g[4];
	struct heard h = { 0 };
	struct client *c;
	unsigned int i;

	REQUIRE(start(70, "--evict_deadline=4", NULL), "no start");
	c = test_connected();
	grant_many(c, 4, 2 * MIB, g);
	for (i = 0; i < 4; i++)
		write_grant(c, &g[i], i);
	write_meminfo(meminfo, 54);
	REQUIRE(listen_until(c, &h, evicted, 5000), "nothing is evicted");
	write_meminfo(meminfo, 200);
	REQUIRE(listen_until(c, &h, called_off, 3000), "not called off");
	sleep_ms(4000);
	REQUIRE_EQ(donated(c), 8 * MIB);
	for (i = 0; i < 4; i++)
		check_grant(c, &g[i], i);
	unlink(meminfo);
}

/* The client is away after that. */
static struct client *evicted_and_dropped(const char *deadline, struct heard *h)
{
	struct client *c = start_evicted(deadline, 2 * MIB, h);

	client_drop(c);
	return c;
}

static void test_resumed(void)
{
	struct isw_grant_info listed[4];
	struct heard h = { 0 }, again = { 0 };
	struct client *c = evicted_and_dropped("--evict_deadline=8", &h);

	REQUIRE_EQ(client_connect(c), 0);
	REQUIRE_EQ(client_list(c, listed, 4), 4);
	REQUIRE(listen_until(c, &again, evicted, 3000), "EVICT is not repeated");
	REQUIRE(again.deadline_ms < h.deadline_ms,
		"the deadline moved: %u ms, then %u ms", h.deadline_ms,
		again.deadline_ms);
	unlink(meminfo);
}

/* The client is away when it happens, and still counts on its deadline. */
static void test_called_off_without_session(void)
{
	struct isw_grant_info listed[4];
	struct heard h = { 0 }, again = { 0 };
	struct client *c = evicted_and_dropped("--evict_deadline=60", &h);

	write_meminfo(meminfo, 200);
	REQUIRE(donor_log_wait("called off", 5000), "not called off");
	REQUIRE_EQ(client_connect(c), 0);
	REQUIRE_EQ(client_list(c, listed, 4), 4);
	REQUIRE(listen_until(c, &again, called_off, 3000),
		"the client never hears of it");
	REQUIRE(!again.count, "evicted again");
	unlink(meminfo);
}

static void test_no_session(void)
{
	struct isw_grant_info g[4];
	struct client *a, *b;

	REQUIRE(start(80, "--evict_deadline=1", NULL), "no start");
	a = test_connected();
	b = test_connected();
	grant_many(a, 4, 4 * MIB, g);
	client_drop(a);
	write_meminfo(meminfo, 40);
	wait_donated(b, 0, 6000);
	unlink(meminfo);
}

/* Its session is broken: it can neither say what it uses nor copy it away. */
static void test_absent_goes_last(void)
{
	struct isw_grant_info g[4], many[12], listed[4];
	struct heard h = { 0 }, absent = { 0 };
	struct client *a, *b;
	unsigned int i;

	REQUIRE(start(66, "--evict_extra=1000", "--evict_deadline=60"),
		"no start");
	a = test_connected();
	b = test_connected();
	grant_many(a, 4, 2 * MIB, g);
	grant_many(b, 12, 2 * MIB, many);
	for (i = 0; i < SLABS_MAX; i++)
		h.activity[i] = 5000;
	client_drop(a);
	REQUIRE(donor_log_wait("session lost", 5000), "it is not gone");
	sleep_ms(2500);
	/* Six slabs, of all sixteen, as in "the least active go". */
	write_meminfo(meminfo, 59);
	REQUIRE(listen_until(b, &h, evicted, 5000), "nothing is evicted");
	REQUIRE_EQ(client_connect(a), 0);
	REQUIRE_EQ(client_list(a, listed, 4), 4);
	REQUIRE(!listen_until(a, &absent, evicted, 500),
		"who is not there is hit first");
	write_meminfo(meminfo, 200);
	unlink(meminfo);
}

/* @c takes nothing any more, and news are in all places but those for EVICT. */
static void fill_places(struct client *c)
{
	unsigned int i;

	REQUIRE_EQ(client_deafen(c), 0);
	for (i = 1; i <= 8; i++) {
		donor_signal(SIGHUP);
		REQUIRE(donor_log_wait_times("SIGHUP", i, 2000), "no reload");
	}
}

/*
 * What else there is to be said to a client stands in the queue, and it does not
 * listen. EVICT once waited for that, and was told with what was left of the time.
 */
static void test_does_not_wait_for_other_news(void)
{
	struct isw_grant_info g[4];
	struct heard h = { 0 };
	struct client *c;

	REQUIRE(start(70, "--evict_deadline=8", NULL), "no start");
	c = test_connected();
	grant_many(c, 4, 2 * MIB, g);
	fill_places(c);
	write_meminfo(meminfo, 54);
	REQUIRE(donor_log_wait("evicting", 3000), "nothing is evicted");
	sleep_ms(300);
	REQUIRE_EQ(client_hear_again(c), 0);
	REQUIRE(listen_until(c, &h, evicted, 5000), "the client is not told");
	REQUIRE(h.deadline_ms > 7900, "told with %u ms left", h.deadline_ms);
	write_meminfo(meminfo, 200);
	unlink(meminfo);
}

/*
 * All places for EVICT are taken, and there is more to tell. It once waited for the
 * next look, up to a second, when an urgent deadline is half of one.
 */
static void test_told_as_soon_as_there_is_a_place(void)
{
	struct client *c = start_many();
	struct heard h = { 0 };
	uint64_t from;

	fill_places(c);
	write_meminfo_of(meminfo, MANY_TOTAL, MANY_SHORT);
	REQUIRE(donor_log_wait("evicting", 3000), "nothing is evicted");
	REQUIRE_EQ(client_hear_again(c), 0);
	REQUIRE(listen_until(c, &h, told_of_a_batch, 5000), "%u are evicted",
		h.count);
	from = clock_ms();
	REQUIRE(listen_until(c, &h, told_of_all, 5000), "%u are evicted",
		h.count);
	REQUIRE(clock_ms() - from < 400, "the last %llu ms after the first",
		(unsigned long long)(clock_ms() - from));
	write_meminfo_of(meminfo, MANY_TOTAL, MANY_TOTAL);
	unlink(meminfo);
}

/*
 * A client that asks again and again what it has, and does not listen, is owed
 * the word that its eviction is off. Until it had that its slabs were not drawn.
 */
static void test_not_listening_keeps_nothing(void)
{
	struct heard h = { 0 };
	struct client *c = start_evicted("--evict_deadline=2", 2 * MIB, &h);
	struct isw_msg_list list;
	unsigned int i;

	write_meminfo(meminfo, 200);
	fill_places(c);
	REQUIRE(donor_log_wait("called off", 2000), "not called off");
	write_meminfo(meminfo, 54);
	for (i = 0; i < 6; i++) {
		client_hdr(c, &list.hdr, ISW_MSG_LIST);
		REQUIRE_EQ(client_send(c, &list, sizeof(list)), 0);
	}
	/* The donor gives the session up after another second and more. */
	REQUIRE(donor_log_wait_times("evicting", 2, 2700), "not drawn");
	write_meminfo(meminfo, 200);
	unlink(meminfo);
}

/* Numbers that nobody gave, grants of others, again and again. */
static void test_false_activity(void)
{
	struct isw_grant_info g[2], other;
	struct isw_msg_activity msg;
	struct heard h = { 0 };
	struct client *a, *b;
	unsigned int i;

	REQUIRE(start(80, "--evict_extra=1000", NULL), "no start");
	a = test_connected();
	b = test_connected();
	grant_many(a, 2, MIB, g);
	REQUIRE_EQ(client_grant(b, MIB, &other), 0);
	memset(&msg, 0, sizeof(msg));
	for (i = 0; i < 300; i++) {
		isw_msg_hdr_init(&msg.hdr, ISW_MSG_ACTIVITY, i,
				 b->welcome.epoch, b->welcome.session);
		msg.count = __cpu_to_le32(2);
		msg.slab[0].id = isw_wire_id_encode(&g[i % 2].id);
		msg.slab[1].id = (struct isw_wire_id) {
			__cpu_to_le32(i * 0x01000193u), __cpu_to_le32(i),
		};
		REQUIRE_EQ(client_send(b, &msg, sizeof(msg)), 0);
		if (i % ISW_CTRL_CREDITS == 0)
			REQUIRE_EQ(client_ping(b), 0);
	}
	REQUIRE_EQ(client_ping(b), 0);
	/* It still evicts by what owners say. */
	h.activity[other.id.index] = 0;
	sleep_ms(3000);
	write_meminfo(meminfo, 63);
	REQUIRE(listen_until(b, &h, evicted, 5000), "nothing is evicted");
	unlink(meminfo);
}

static void test_urgent(void)
{
	struct isw_grant_info g[4];
	struct heard h = { .silent = true };
	struct client *c;
	uint64_t from, told, took;

	REQUIRE(start(80, "--evict_deadline=60", NULL), "no start");
	c = test_connected();
	grant_many(c, 4, 8 * MIB, g);
	write_meminfo(meminfo, 10);
	from = clock_ms();
	REQUIRE(listen_until(c, &h, evicted, 4000), "nothing is evicted");
	told = clock_ms();
	REQUIRE(h.deadline_ms <= 500, "deadline %u ms", h.deadline_ms);
	wait_donated(c, 0, 5000);
	took = clock_ms() - told;
	printf("# memory is back %llu ms after it became urgent\n",
	       (unsigned long long)took);
	REQUIRE(took <= 1000, "back after %llu ms", (unsigned long long)took);
	/* a look in a file, which tells nobody, may be a second later, and a guest slow */
	REQUIRE(told - from < 2000, "told after %llu ms",
		(unsigned long long)(told - from));
	unlink(meminfo);
}

/* The host is short of memory as soon as the daemon has begun to map. */
static int grant_while_short(struct client *c, uint64_t length,
			     struct isw_grant_info *g)
{
	uint8_t buf[ISW_MSG_MAX] __attribute__((aligned(8)));
	struct isw_msg_grant msg;
	struct isw_msg m;

	client_hdr(c, &msg.hdr, ISW_MSG_GRANT);
	msg.length = __cpu_to_le64(length);
	REQUIRE_EQ(client_send(c, &msg, sizeof(msg)), 0);
	REQUIRE_EQ(client_ping(c), 0);		/* it is taken */
	write_meminfo(meminfo, 10);
	do {
		REQUIRE_EQ(client_recv(c, buf, &m, CLIENT_TIMEOUT_MS), 0);
	} while (m.type != ISW_MSG_GRANTED && m.type != ISW_MSG_ERROR);
	if (m.type == ISW_MSG_GRANTED)
		*g = m.grant;
	return m.type == ISW_MSG_ERROR ? m.error.code : 0;
}

/*
 * The daemon looks once a second: the moment is found by its log, and the client
 * asks just before. What is through by then was mapped too soon: once more.
 */
static void test_mapping_stops(void)
{
	struct isw_grant_info g;
	uint64_t look, phase;
	struct client *c;
	int i, error = 0;

	REQUIRE(start(200, NULL, NULL), "no start");
	c = test_connected();
	write_meminfo(meminfo, 10);
	REQUIRE(donor_log_wait("pressure: urgent", 3000), "no pressure");
	look = clock_ms();
	for (i = 0; i < 48 && !error; i++) {
		write_meminfo(meminfo, 220);
		do {
			sleep_ms(2);
			phase = (clock_ms() - look) % 1000;
		} while (phase < 970 - 20 * (unsigned int)i || phase > 990);
		write_meminfo(meminfo, 220);
		error = grant_while_short(c, 128ull * MIB, &g);
		if (!error)
			client_release(c, g.id);
	}
	REQUIRE_EQ(error, ISW_ERR_NO_MEMORY);
	REQUIRE(donor_log_has("mapping of 128 MiB is stopped"),
		"refused for another reason");
	unlink(meminfo);
}

/* ---- a host that is real ---------------------------------------------------- */

/* Half the headroom each second, and not all of that at once. */
#define HOG_BYTES	(256u << 20)
#define HOG_STEP	(4u << 20)
#define HOG_STEP_MS	125

/* Takes memory and keeps it; says so, and ends when it is told to. */
static pid_t start_hog(int *done)
{
	char *memory;
	unsigned int i;
	int fds[2];
	pid_t pid;

	REQUIRE_EQ(pipe(fds), 0);
	fflush(stdout);
	pid = fork();
	if (pid) {
		close(fds[1]);
		*done = fds[0];
		return pid;
	}
	for (i = 0; i < HOG_BYTES; i += HOG_STEP) {
		memory = mmap(NULL, HOG_STEP, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			_exit(1);
		memset(memory, 0x5a, HOG_STEP);
		sleep_ms(HOG_STEP_MS);
	}
	if (write(fds[1], "done", 4) != 4)
		_exit(1);
	pause();
	_exit(0);
}

/* The client takes all that there is, and gives nothing back by itself. */
static void test_growth_of_an_application(void)
{
	struct heard h = { .silent = true };
	struct isw_grant_info g;
	uint64_t before, after;
	struct client *c;
	char said[4];
	ssize_t n;
	int fd;

	REQUIRE(donor_start(HEADROOM, "--memory=2G", NULL), "no start");
	c = test_connected();
	while (!client_grant(c, 8 * MIB, &g))
		;
	before = donated(c);
	REQUIRE(before >= 64ull * MIB, "no memory to lend: %llu",
		(unsigned long long)before);
	test_child(start_hog(&fd));	/* no later test is to be short of its memory */
	while (!poll(&(struct pollfd) { .fd = fd, .events = POLLIN }, 1, 0))
		listen_until(c, &h, never, 50);
	n = read(fd, said, sizeof(said));
	close(fd);
	after = donated(c);
	REQUIRE_EQ(n, 4);	/* else it was killed while it grew */
	REQUIRE(donor_log_has("not given back in time"), "nothing was taken");
	REQUIRE(before - after + 64ull * MIB >= HOG_BYTES,
		"%llu MiB lent, then %llu", (unsigned long long)before / MIB,
		(unsigned long long)after / MIB);
}

static const struct test tests[] = {
	{ "evict: of those asked for, the least active go",
	  test_least_active_go },
	{ "evict: as many again are asked for", test_as_many_again_are_asked_for },
	{ "evict: prepared memory goes first", test_prepared_goes_first },
	{ "evict: batch follows batch while the need is not met",
	  test_batch_follows_batch },
	{ "evict: no more is taken than is missing when answers are over",
	  test_takes_no_more_than_is_missing_now },
	{ "evict: what is missing by then is taken at once",
	  test_takes_what_is_missing_now },
	{ "evict: each client is told of its own slabs",
	  test_each_is_told_of_its_own },
	{ "evict: what is given back in time is not taken",
	  test_given_back_in_time },
	{ "evict: what is given back while the donor stands still is not taken",
	  test_given_back_to_one_who_stands_still },
	{ "evict: who ignores it loses the memory, a neighbour nothing",
	  test_ignored },
	{ "evict: who does not answer is not asked again for the same need",
	  test_silent_is_asked_once },
	{ "evict: a release after the deadline is refused", test_late_release },
	{ "evict: called off when the host has memory again", test_called_off },
	{ "evict: said again after a resume, with the time left", test_resumed },
	{ "evict: a client that was away hears that it is called off",
	  test_called_off_without_session },
	{ "evict: a client without a session is no exception",
	  test_no_session },
	{ "evict: who has no session goes last", test_absent_goes_last },
	{ "evict: it does not wait for other news",
	  test_does_not_wait_for_other_news },
	{ "evict: who could not be told is told as soon as there is a place",
	  test_told_as_soon_as_there_is_a_place },
	{ "evict: who does not listen keeps nothing by it",
	  test_not_listening_keeps_nothing },
	{ "evict: activity that nobody asked for changes nothing",
	  test_false_activity },
	{ "evict: a host about to run out does not wait", test_urgent },
	{ "evict: what is being mapped is refused when the host gets short",
	  test_mapping_stops },
	{ "evict: an application grows by half the headroom each second",
	  test_growth_of_an_application },
};

const struct test_list evict_tests = { tests, ARRAY_SIZE(tests), true };
