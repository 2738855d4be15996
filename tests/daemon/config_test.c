// SPDX-License-Identifier: GPL-2.0-only
/* Options and config file: what is wrong is named. No device needed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static char path[64];

static const char *config_file(const char *text)
{
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.conf", getpid());
	f = fopen(path, "we");
	if (!f || fputs(text, f) < 0 || fclose(f))
		test_fail("cannot write %s", path);
	return path;
}

/* The daemon refuses @text with status 2 and a line that contains @words. */
static void refused_file(const char *text, const char *words)
{
	char expected[256];
	int status;

	test_donor_ended();
	status = donor_run("--config", config_file(text), "--dump-config",
			   NULL);
	unlink(path);
	REQUIRE_EQ(status, 2);
	snprintf(expected, sizeof(expected), "%s:%s", path, words);
	REQUIRE(donor_log_has(expected), "not said: %s", expected);
}

/* What it makes of @text is in its log. */
static void accepted_file(const char *text)
{
	test_donor_ended();
	REQUIRE_EQ(donor_run("--config", config_file(text), "--dump-config",
			     NULL), 0);
	unlink(path);
}

static void refused_argument(const char *arg, const char *words)
{
	test_donor_ended();
	REQUIRE_EQ(donor_run(arg, "--dump-config", NULL), 2);
	REQUIRE(donor_log_has(words), "not said: %s", words);
}

static void test_file_is_read(void)
{
	accepted_file("# a comment\n"
		      "memory = 3G\n"
		      "; another\n"
		      "lease = 7   ; after a value\n"
		      "bind = 192.0.2.1\n"
		      "log_level = debug\n");
	REQUIRE(donor_log_has("memory = 3072M\n"), "memory not read");
	REQUIRE(donor_log_has("lease = 7\n"), "lease not read");
	REQUIRE(donor_log_has("bind = 192.0.2.1\n"), "bind not read");
	REQUIRE(donor_log_has("log_level = debug\n"), "log_level not read");
	REQUIRE(donor_log_has("client_quota = 3072M\n"),
		"client_quota does not follow memory");
}

static void test_indented_lines(void)
{
	accepted_file("    bind = 192.0.2.1\n"
		      "    memory = 3G\n"
		      "\n"
		      "\t# a comment\n"
		      "\tlease = 7\n");
	REQUIRE(donor_log_has("bind = 192.0.2.1\n"), "bind not read");
	REQUIRE(donor_log_has("memory = 3072M\n"), "memory not read");
	REQUIRE(donor_log_has("lease = 7\n"), "lease not read");
	refused_file("memory = 3G\n  lease = x\n", "2: lease = x: not a number");
}

/* Not cut in two, of which the second would be a line of its own. */
static void test_long_lines(void)
{
	char text[512];

	snprintf(text, sizeof(text), "lease = 7\n# %0*d\n", 196, 0);
	accepted_file(text);
	snprintf(text, sizeof(text), "lease = 7\n# %0*d lease = 8\n", 197, 0);
	refused_file(text, "2: longer than 198 characters");
}

static void test_no_headroom_as_a_share(void)
{
	test_donor_ended();
	REQUIRE_EQ(donor_run("--headroom=0%", "--dump-config", NULL), 0);
	REQUIRE(donor_log_has("headroom = 0\n"), "headroom is not 0");
}

static void test_command_line_wins(void)
{
	test_donor_ended();
	REQUIRE_EQ(donor_run("--client-quota=64M", "--config",
			     config_file("client_quota = 32M\nlease = 5\n"),
			     "--dump-config", "--port", "1234", NULL), 0);
	unlink(path);
	REQUIRE(donor_log_has("client_quota = 64M\n"), "argument lost");
	REQUIRE(donor_log_has("lease = 5\n"), "file lost");
	REQUIRE(donor_log_has("port = 1234\n"), "separate value lost");
}

/* What --dump-config prints is a config file that gives the same. */
static void test_dump_is_config(void)
{
	char text[2048] = "", line[256];
	FILE *f;

	test_donor_ended();
	REQUIRE_EQ(donor_run("--memory=12345678", "--headroom=0",
			     "--dump-config", NULL), 0);
	f = fopen(donor.log, "re");
	while (f && fgets(line, sizeof(line), f) &&
	       sizeof(text) - strlen(text) > sizeof(line))
		strcat(text, line);
	if (f)
		fclose(f);
	accepted_file(text);
	REQUIRE(donor_log_has(text), "the second dump differs");
}

static void test_bad_files(void)
{
	refused_file("port = 9400\nmemmory = 1G\n",
		     "2: memmory = 1G: no such key");
	refused_file("\n\nmemory = 1X\n", "3: memory = 1X: not a size");
	refused_file("memory = -1\n", "1: memory = -1: not a number");
	refused_file("memory = 99999999999999999999\n",
		     "1: memory = 99999999999999999999: number too large");
	refused_file("memory = 99999999999T\n",
		     "1: memory = 99999999999T: number too large");
	/* 2^62, 2^62 and 50, 2^64 - 1 */
	refused_file("memory = 4611686018427387904\n",
		     "1: memory = 4611686018427387904: number too large");
	refused_file("client_quota = 4611686018427387954\n",
		     "1: client_quota = 4611686018427387954: number too large");
	refused_file("headroom = 18446744073709551615\n",
		     "1: headroom = 18446744073709551615: number too large");
	refused_file("memory = 4194304T\n",
		     "1: memory = 4194304T: number too large");
	refused_file("memory = 4194303T\n",
		     "1: memory = 4194303T: must be from 1M to 1024T");
	refused_file("memory = 0%\n",
		     "1: memory = 0%: must be from 1% to 100%");
	refused_file("client_quota = 0%\n",
		     "1: client_quota = 0%: must be from 1% to 100%");
	refused_file("headroom = 101%\n",
		     "1: headroom = 101%: more than 100 %");
	refused_file("memory = 1023K\n",
		     "1: memory = 1023K: must be from 1M to 1024T");
	refused_file("slab_size = 3M\n", "1: slab_size = 3M: not a power");
	refused_file("slab_size = 8G\n", "1: slab_size = 8G: not a power");
	refused_file("port = 65536\n",
		     "1: port = 65536: must be from 1 to 65535");
	refused_file("lease = 1.5\n", "1: lease = 1.5: not a number");
	refused_file("lease = 0\n", "1: lease = 0: must be from 1");
	refused_file("log_level = loud\n",
		     "1: log_level = loud: not one of");
	refused_file("port = 9400\n[donor]\nport = 9401\n",
		     "3: port = 9401: sections are not used");
	refused_file("port = 9400\nnonsense\n", "2: not \"key = value\"");
	refused_file("memory =\n", "1: memory = : not a number");
}

static void test_bad_arguments(void)
{
	refused_argument("--memory=lots", "--memory=lots: not a number");
	refused_argument("--slab-size=5M", "--slab_size=5M: not a power");
	refused_argument("--port=0", "--port=0: must be from 1 to 65535");
	refused_argument("--nonsense", "nonsense");
	refused_argument("stray", "\"stray\": not an option");
	refused_argument("--config=/nonexistent/file",
			 "/nonexistent/file: No such file");
	refused_argument("--config=/tmp", "/tmp: Is a directory");
}

static void test_help_and_version(void)
{
	test_donor_ended();
	REQUIRE_EQ(donor_run("--help", NULL), 0);
	REQUIRE(donor_log_has("--client_quota"), "--help lacks a key");
	REQUIRE_EQ(donor_run("--version", NULL), 0);
	REQUIRE(donor_log_has("protocol 1"), "--version lacks the protocol");
}

static void test_meminfo_without_answer(void)
{
	const char *arg = "--meminfo=/dev/null";

	test_donor_ended();
	REQUIRE_EQ(donor_run(arg, NULL), 1);
	REQUIRE(donor_log_has("/dev/null: no MemTotal"), "not said why");
}

static const struct test tests[] = {
	{ "config: the file is read", test_file_is_read },
	{ "config: indented lines are lines of their own", test_indented_lines },
	{ "config: a line that is too long is refused, and not cut in two",
	  test_long_lines },
	{ "config: a headroom of 0 % is none", test_no_headroom_as_a_share },
	{ "config: the command line wins over the file", test_command_line_wins },
	{ "config: --dump-config prints a config file", test_dump_is_config },
	{ "config: a wrong file is refused with line, key, value and reason",
	  test_bad_files },
	{ "config: a wrong argument is refused with its reason",
	  test_bad_arguments },
	{ "config: --help and --version", test_help_and_version },
	{ "config: a host without meminfo is refused", test_meminfo_without_answer },
};

const struct test_list config_tests = { tests, ARRAY_SIZE(tests), false };
