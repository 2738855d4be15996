/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A test is a function that returns if all is well. Around each, main.c looks
 * after what it leaves: the daemon must still be there, unless the test ended
 * it, and must end with status 0 (a sanitizer's report makes it another).
 */
#ifndef TESTS_DAEMON_TEST_H
#define TESTS_DAEMON_TEST_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "donor.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MIB		(1u << 20)

struct test {
	const char *name;
	void (*run)(void);
};

struct test_list {
	const struct test *tests;
	unsigned int count;
	bool needs_device;
};

extern const struct test_list config_tests, session_tests, grant_tests,
			      message_tests, limit_tests, evict_tests,
			      admin_tests, reload_tests, end_tests;

/* End the test, failed; the reason is for people. */
__attribute__((format(printf, 1, 2), noreturn))
void test_fail(const char *format, ...);
/* The test did not end the daemon: that is expected, do not miss it. */
/* Killed when the test ends, however it does. */
void test_child(pid_t pid);
void test_donor_ended(void);
/* Leave at once, not failed. */
__attribute__((noreturn))
void test_skip(const char *reason);

#define REQUIRE(condition, ...) do {		\
	if (!(condition))			\
		test_fail(__VA_ARGS__);		\
} while (0)

/* @call must give @expected, both numbers. */
#define REQUIRE_EQ(call, expected) do {					\
	long long got_ = (long long)(call);				\
	long long expected_ = (long long)(expected);			\
	if (got_ != expected_)						\
		test_fail("%s:%d: %s is %lld, expected %lld", __FILE__,	\
			  __LINE__, #call, got_, expected_);		\
} while (0)

/* ---- helpers, main.c ---------------------------------------------------- */

/* A client of the running daemon. */
struct client *test_client(void);
/* The same, connected. */
struct client *test_connected(void);

/* A pattern that tells positions and @seed apart. */
void fill(uint8_t *buffer, uint32_t len, uint32_t seed);
bool filled(const uint8_t *buffer, uint32_t len, uint32_t seed);
bool all_zero(const uint8_t *buffer, uint32_t len);

/* Write to and check all of a grant. */
void write_grant(struct client *c, const struct isw_grant_info *g,
		 uint32_t seed);
void check_grant(struct client *c, const struct isw_grant_info *g,
		 uint32_t seed);

/* What the donor says it has lent. */
uint64_t donated(struct client *c);
/* Wait until the donor has lent @bytes. */
void wait_donated(struct client *c, uint64_t bytes, int timeout_ms);
void sleep_ms(int ms);

/* A host of 256 MiB, for --meminfo; with @huge pages of 2 MiB set aside. */
void write_meminfo(const char *path, uint64_t available_mib);
void write_meminfo_huge(const char *path, uint64_t available_mib,
			unsigned int huge, unsigned int reserved);
/* Of another size. */
void write_meminfo_of(const char *path, uint64_t total_mib,
		      uint64_t available_mib);

/* This program again, as a client that connects, takes grants and stays. */
pid_t start_other_client(unsigned int grants, uint64_t length);
/* The same, as one that asks without end and as fast as it can. */
pid_t start_flood(void);
/* The same, as one that connects without end. */
pid_t start_connects(void);

#endif
