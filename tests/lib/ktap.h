/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KTAP for C programs that run in the lab's guests, where the kernel's harness
 * (one process per test) does not fit: tests share connections and devices.
 *
 *	ktap_plan(2);
 *	ktap_result(fd >= 0, "the device opens");
 *	ktap_skip("trim", "the backup disk cannot discard");
 *	return ktap_finish();
 */
#ifndef TESTS_KTAP_H
#define TESTS_KTAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
	unsigned int planned, number, failures, skips;
} ktap;

/* Say that @n results follow. Each line leaves at once: guests may die. */
static inline void ktap_plan(unsigned int n)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	ktap.planned = n;
	printf("KTAP version 1\n1..%u\n", n);
}

/* One line for the reader, not for the count. */
__attribute__((format(printf, 1, 2)))
static inline void ktap_diag(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("# ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

/* One result; @format is the test's name. Gives @passed back. */
__attribute__((format(printf, 2, 3)))
static inline bool ktap_result(bool passed, const char *format, ...)
{
	va_list args;

	if (!passed)
		ktap.failures++;
	va_start(args, format);
	printf("%s %u ", passed ? "ok" : "not ok", ++ktap.number);
	vprintf(format, args);
	printf("\n");
	va_end(args);
	return passed;
}

static inline void ktap_skip(const char *name, const char *reason)
{
	ktap.skips++;
	printf("ok %u %s # SKIP %s\n", ++ktap.number, name, reason);
}

/* kselftest's exit status: 0 passed, 4 all skipped, 1 otherwise. */
static inline int ktap_finish(void)
{
	if (ktap.number != ktap.planned) {
		ktap_diag("planned %u tests, saw %u", ktap.planned, ktap.number);
		return 1;
	}
	if (ktap.failures)
		return 1;
	return ktap.skips == ktap.number ? 4 : 0;
}

#endif /* TESTS_KTAP_H */
