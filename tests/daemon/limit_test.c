// SPDX-License-Identifier: GPL-2.0-only
/* Sizes, quota, limit and headroom. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static void test_sizes(void)
{
	struct isw_grant_info g;
	struct client *c;

	REQUIRE(donor_start("--memory=16M", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 0, &g), ISW_ERR_SIZE);
	REQUIRE_EQ(client_grant(c, 3 * MIB, &g), ISW_ERR_SIZE);
	REQUIRE_EQ(client_grant(c, MIB / 2, &g), ISW_ERR_SIZE);
	REQUIRE_EQ(client_grant(c, MIB + 1, &g), ISW_ERR_SIZE);
	REQUIRE_EQ(client_grant(c, 1ull << 33, &g), ISW_ERR_SIZE);
	REQUIRE_EQ(client_grant(c, 1ull << 63, &g), ISW_ERR_SIZE);
	REQUIRE_EQ(client_grant(c, 32 * MIB, &g), ISW_ERR_SIZE);
	REQUIRE_EQ(client_grant(c, 16 * MIB, &g), 0);
	REQUIRE_EQ(client_release(c, g.id), 0);
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
}

static void test_quota_and_limit(void)
{
	struct isw_grant_info g;
	struct client *a, *b, *c;

	REQUIRE(donor_start("--memory=16M", "--client_quota=8M", NULL),
		"no start");
	a = test_connected();
	b = test_connected();
	c = test_connected();
	REQUIRE_EQ(client_grant(a, 4 * MIB, &g), 0);
	REQUIRE_EQ(client_grant(a, 8 * MIB, &g), ISW_ERR_QUOTA);
	REQUIRE_EQ(client_grant(a, 4 * MIB, &g), 0);
	REQUIRE_EQ(client_grant(a, MIB, &g), ISW_ERR_QUOTA);
	REQUIRE_EQ(client_grant(b, 8 * MIB, &g), 0);
	REQUIRE_EQ(client_grant(c, MIB, &g), ISW_ERR_NO_MEMORY);
	REQUIRE_EQ(client_bye(a), 0);
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
}

static void test_headroom(void)
{
	char path[64], arg[80];
	struct isw_grant_info g;
	struct isw_status status;
	struct client *c;

	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.meminfo", getpid());
	snprintf(arg, sizeof(arg), "--meminfo=%s", path);
	write_meminfo(path, 200);
	REQUIRE(donor_start(arg, "--headroom=64M", "--memory=128M", NULL),
		"no start");
	c = test_connected();
	REQUIRE_EQ(client_query(c, &status), 0);
	REQUIRE_EQ(status.total, 256ull * MIB);
	REQUIRE_EQ(status.used, 56ull * MIB);
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), 0);
	write_meminfo(path, 67);
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), ISW_ERR_NO_MEMORY);
	REQUIRE_EQ(client_grant(c, 2 * MIB, &g), 0);
	write_meminfo(path, 10);
	REQUIRE_EQ(client_grant(c, MIB, &g), ISW_ERR_NO_MEMORY);
	/* What is lent stays lent; the file comes back, and so do grants. */
	REQUIRE_EQ(donated(c), 6 * MIB);
	write_meminfo(path, 200);
	REQUIRE_EQ(client_grant(c, MIB, &g), 0);
	unlink(path);
	/* A host that does not say what it has lends nothing, and lives. */
	REQUIRE_EQ(client_grant(c, MIB, &g), ISW_ERR_NO_MEMORY);
	REQUIRE_EQ(client_query(c, &status), 0);
	REQUIRE_EQ(status.used, status.total);
}

/* Says how many huge pages there are; none if the kernel has none. */
static unsigned int set_huge_pages(unsigned int n)
{
	const char *path = "/proc/sys/vm/nr_hugepages";
	FILE *f = fopen(path, "we");

	if (f) {
		fprintf(f, "%u\n", n);
		fclose(f);
	}
	f = fopen(path, "re");
	if (!f || fscanf(f, "%u", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

/*
 * The file says that huge pages are free, and they are not: what was granted
 * because of them came out of the headroom.
 */
static void test_huge_pages_are_no_way_around_headroom(void)
{
	char path[64], arg[80];
	struct isw_grant_info g;
	struct client *c;

	REQUIRE_EQ(set_huge_pages(0), 0);
	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.meminfo", getpid());
	snprintf(arg, sizeof(arg), "--meminfo=%s", path);
	write_meminfo_huge(path, 40, 32, 0);
	REQUIRE(donor_start(arg, "--headroom=64M", "--memory=128M", NULL),
		"no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), ISW_ERR_NO_MEMORY);
	REQUIRE_EQ(donated(c), 0);
	/* Half a huge page is none. */
	REQUIRE_EQ(client_grant(c, MIB, &g), ISW_ERR_NO_MEMORY);
	/* And there is nothing wrong with this donor. */
	write_meminfo(path, 100);
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), 0);
	unlink(path);
}

static void test_reserved_huge_pages_are_not_free(void)
{
	char path[64], arg[80];
	struct isw_grant_info g;
	struct client *c;
	int error;

	if (set_huge_pages(8) != 8) {
		set_huge_pages(0);
		test_skip("no huge pages to be had here");
	}
	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.meminfo", getpid());
	snprintf(arg, sizeof(arg), "--meminfo=%s", path);
	write_meminfo_huge(path, 40, 8, 7);
	REQUIRE(donor_start(arg, "--headroom=64M", "--memory=128M", NULL),
		"no start");
	c = test_connected();
	error = client_grant(c, 4 * MIB, &g);
	if (error == ISW_ERR_NO_MEMORY) {
		write_meminfo_huge(path, 40, 8, 0);
		error = client_grant(c, 4 * MIB, &g);
	} else {
		error = -1;	/* of what is another's */
	}
	unlink(path);
	set_huge_pages(0);	/* those in use go when they are given back */
	REQUIRE_EQ(error, 0);
	REQUIRE(donor_log_has("huge pages"), "in ordinary memory");
}

static void test_pool_makes_way(void)
{
	char path[64], arg[80];
	struct isw_status status;
	struct client *c;
	int i;

	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.meminfo", getpid());
	snprintf(arg, sizeof(arg), "--meminfo=%s", path);
	write_meminfo(path, 200);
	REQUIRE(donor_start(arg, "--headroom=64M", "--memory=128M",
			    "--prepare=3", "--slab_size=4M", NULL), "no start");
	c = test_connected();
	/* Prepared memory counts as free: 56 MiB used, 12 of them ready. */
	for (i = 0; i < 50; i++) {
		REQUIRE_EQ(client_query(c, &status), 0);
		if (status.used == 44ull * MIB)
			break;
		sleep_ms(100);
	}
	REQUIRE_EQ(status.used, 44ull * MIB);
	write_meminfo(path, 50);
	for (i = 0; i < 50; i++) {
		REQUIRE_EQ(client_query(c, &status), 0);
		if (status.used == 206ull * MIB)
			break;
		sleep_ms(100);
	}
	unlink(path);
	REQUIRE_EQ(status.used, 206ull * MIB);
}

/* A file of a fake cgroup. */
__attribute__((format(printf, 3, 4)))
static void write_cgroup_file(const char *dir, const char *name,
			      const char *format, ...)
{
	char path[112], part[128];
	va_list args;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(part, sizeof(part), "%s.new", path);
	f = fopen(part, "we");
	if (!f)
		test_fail("cannot write %s", part);
	va_start(args, format);
	vfprintf(f, format, args);
	va_end(args);
	fclose(f);
	rename(part, path);
}

/* memory.max, and what is used of it. */
static void write_cgroup(const char *dir, unsigned int max_mib,
			 unsigned int current_mib)
{
	write_cgroup_file(dir, "memory.max", "%llu\n", max_mib * 1ull * MIB);
	write_cgroup_file(dir, "memory.current", "%llu\n",
			  current_mib * 1ull * MIB);
}

/* Of what is used: pages of files. */
static void write_cgroup_cache(const char *dir, unsigned int inactive_mib,
			       unsigned int active_mib)
{
	write_cgroup_file(dir, "memory.stat", "anon 4096\nfile_mapped 8192\n"
			  "inactive_file %llu\nactive_file %llu\n"
			  "unevictable 0\nslab_reclaimable 4096\n",
			  inactive_mib * 1ull * MIB, active_mib * 1ull * MIB);
}

/* One without limits; @arg tells the daemon of it. */
static const char *make_cgroup(char *arg, size_t size)
{
	static const char option[] = "--cgroup=";
	const char *dir = arg + sizeof(option) - 1;

	snprintf(arg, size, "%s/tmp/daemon_test.%d.cgroup", option, getpid());
	mkdir(dir, 0700);
	return dir;
}

static void remove_cgroup(const char *dir)
{
	static const char *const names[] = {
		"memory.max", "memory.high", "memory.current", "memory.stat",
	};
	char path[112];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static void test_cgroup(void)
{
	struct isw_grant_info g;
	char arg[80];
	const char *dir = make_cgroup(arg, sizeof(arg));
	struct client *c;

	/* An eighth of it is left alone. */
	write_cgroup(dir, 32, 24);
	REQUIRE(donor_start(arg, "--memory=128M", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), ISW_ERR_NO_MEMORY);
	REQUIRE_EQ(client_grant(c, 4 * MIB, &g), 0);
	write_cgroup(dir, 32, 28);
	REQUIRE_EQ(client_grant(c, MIB, &g), ISW_ERR_NO_MEMORY);
	write_cgroup(dir, 64, 28);
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), 0);
	remove_cgroup(dir);
	/* No limit is none, and no file neither. */
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), 0);
}

/* Of memory.high nothing is left alone: nobody is killed there. */
static void test_cgroup_high(void)
{
	struct isw_grant_info g;
	char arg[80];
	const char *dir = make_cgroup(arg, sizeof(arg));
	struct client *c;

	write_cgroup(dir, 64, 24);
	write_cgroup_file(dir, "memory.high", "%llu\n", 32ull * MIB);
	REQUIRE(donor_start(arg, "--memory=128M", "--evict_deadline=1", NULL),
		"no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 16 * MIB, &g), ISW_ERR_NO_MEMORY);
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), 0);
	write_cgroup_file(dir, "memory.high", "max\n");
	REQUIRE_EQ(client_grant(c, 16 * MIB, &g), 0);
	/* Over it, memory goes back. */
	REQUIRE(!donor_log_has("evicting"), "evicted for no limit");
	write_cgroup_file(dir, "memory.high", "%llu\n", 16ull * MIB);
	REQUIRE(donor_log_wait("cgroup: evicting", 3000), "its limit is passed");
	remove_cgroup(dir);
}

/* A slice's limit holds for all that are in it. */
static void test_cgroup_above(void)
{
	struct isw_grant_info g;
	char arg[80], inner[80];
	const char *dir = make_cgroup(arg, sizeof(arg));

	write_cgroup(dir, 32, 24);
	strcat(arg, "/inner");
	mkdir(dir, 0700);
	write_cgroup(dir, 64, 8);
	REQUIRE(donor_start(arg, "--memory=128M", NULL), "no start");
	REQUIRE_EQ(client_grant(test_connected(), 8 * MIB, &g),
		   ISW_ERR_NO_MEMORY);
	snprintf(inner, sizeof(inner), "%s", dir);
	remove_cgroup(inner);
	*strrchr(inner, '/') = '\0';
	write_cgroup(inner, 64, 24);
	REQUIRE_EQ(client_grant(test_connected(), 8 * MIB, &g), 0);
	remove_cgroup(inner);
}

/* Of the slice's 64 MiB an eighth is left alone, and an eighth of the rest is headroom. */
static void test_headroom_in_cgroup_above(void)
{
	struct isw_grant_info g;
	char arg[80], inner[80];
	const char *dir = make_cgroup(arg, sizeof(arg));
	struct client *c;

	write_cgroup(dir, 64, 44);
	strcat(arg, "/inner");
	mkdir(dir, 0700);
	REQUIRE(donor_start(arg, "--memory=128M", "--headroom=16M", NULL),
		"no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), ISW_ERR_NO_MEMORY);
	snprintf(inner, sizeof(inner), "%s", dir);
	*strrchr(inner, '/') = '\0';
	write_cgroup(inner, 64, 40);
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), 0);
	remove_cgroup(dir);
	remove_cgroup(inner);
}

/* In a cgroup namespace "/" is one's own, and none is above it. */
static void test_cgroup_of_namespace(void)
{
	struct isw_grant_info g;
	char arg[80], dir[80];

	snprintf(dir, sizeof(dir), "%s", make_cgroup(arg, sizeof(arg)));
	write_cgroup(dir, 64, 44);
	strcat(arg, "/");
	REQUIRE(donor_start(arg, "--memory=128M", "--headroom=16M", NULL),
		"no start");
	REQUIRE_EQ(client_grant(test_connected(), 8 * MIB, &g), 0);
	remove_cgroup(dir);
}

/*
 * The daemon's log, or any file that it reads, is charged to its cgroup as well.
 * That once looked as if its limit had been passed, and what was lent was evicted.
 */
static void test_cgroup_with_files(void)
{
	struct isw_grant_info g;
	char arg[80];
	const char *dir = make_cgroup(arg, sizeof(arg));
	struct client *c;

	write_cgroup(dir, 64, 8);
	REQUIRE(donor_start(arg, "--memory=128M", "--evict_deadline=1", NULL),
		"no start");
	c = test_connected();
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), 0);
	/* 56 may be used. Of 63, 40 are files'. */
	write_cgroup_cache(dir, 25, 15);
	write_cgroup(dir, 64, 63);
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), 0);
	sleep_ms(3500);		/* looks, and a deadline */
	REQUIRE_EQ(donated(c), 16 * MIB);
	REQUIRE(!donor_log_has("evicting"), "evicted for the sake of files");
	/* And it does heed what is none. */
	write_cgroup_cache(dir, 1, 0);
	REQUIRE_EQ(client_grant(c, MIB, &g), ISW_ERR_NO_MEMORY);
	REQUIRE(donor_log_wait("evicting", 3000), "its limit is passed");
	remove_cgroup(dir);
}

static void test_shares(void)
{
	struct isw_status status;
	struct isw_grant_info g;
	char path[64], arg[80];
	struct client *c;

	snprintf(path, sizeof(path), "/tmp/daemon_test.%d.meminfo", getpid());
	snprintf(arg, sizeof(arg), "--meminfo=%s", path);
	write_meminfo(path, 200);
	REQUIRE(donor_start(arg, "--memory=50%", "--headroom=75%",
			    "--client_quota=25%", NULL), "no start");
	c = test_connected();
	REQUIRE_EQ(client_query(c, &status), 0);
	REQUIRE_EQ(status.limit, 128ull * MIB);
	REQUIRE_EQ(client_grant(c, 64 * MIB, &g), ISW_ERR_QUOTA);
	REQUIRE_EQ(client_grant(c, 16 * MIB, &g), ISW_ERR_NO_MEMORY);
	REQUIRE_EQ(client_grant(c, 8 * MIB, &g), 0);
	unlink(path);
}

/* 64 MiB of 1 TiB are 4 of 60000 places. */
static void test_places_are_shared(void)
{
	struct isw_grant_info g;
	struct client *a, *b;
	int i;

	REQUIRE(donor_start("--memory=1T", "--client_quota=64M", NULL),
		"no start");
	a = test_connected();
	b = test_connected();
	for (i = 0; i < 4; i++)
		REQUIRE_EQ(client_grant(a, MIB, &g), 0);
	REQUIRE_EQ(client_grant(a, MIB, &g), ISW_ERR_QUOTA);
	REQUIRE_EQ(client_grant(b, MIB, &g), 0);
}

static void test_all_memory_in_small_grants(void)
{
	struct isw_grant_info g[9];
	struct client *c;
	int i;

	/* The table has as many places as the smallest slabs fit. */
	REQUIRE(donor_start("--memory=8M", NULL), "no start");
	c = test_connected();
	for (i = 0; i < 8; i++)
		REQUIRE_EQ(client_grant(c, MIB, &g[i]), 0);
	REQUIRE_EQ(client_grant(c, MIB, &g[8]), ISW_ERR_NO_MEMORY);
	for (i = 0; i < 8; i++)
		REQUIRE_EQ(client_release(c, g[i].id), 0);
	for (i = 0; i < 8; i++)
		REQUIRE_EQ(client_grant(c, MIB, &g[i]), 0);
}

static const struct test tests[] = {
	{ "limit: only powers of two within bounds are granted", test_sizes },
	{ "limit: quota of a client and limit of all", test_quota_and_limit },
	{ "limit: the host keeps its headroom", test_headroom },
	{ "limit: huge pages that are not there are no way around headroom",
	  test_huge_pages_are_no_way_around_headroom },
	{ "limit: huge pages that are reserved are not free",
	  test_reserved_huge_pages_are_not_free },
	{ "limit: prepared memory makes way for the host", test_pool_makes_way },
	{ "limit: the daemon's cgroup is heeded", test_cgroup },
	{ "limit: memory.high of the daemon's cgroup is heeded",
	  test_cgroup_high },
	{ "limit: files in the daemon's cgroup are no use of its limit",
	  test_cgroup_with_files },
	{ "limit: a cgroup's limit holds for those in it", test_cgroup_above },
	{ "limit: headroom is left to others in a cgroup above",
	  test_headroom_in_cgroup_above },
	{ "limit: a cgroup namespace's own cgroup is not above itself",
	  test_cgroup_of_namespace },
	{ "limit: shares of the host's memory", test_shares },
	{ "limit: small grants do not use up the table",
	  test_places_are_shared },
	{ "limit: all memory in the smallest grants",
	  test_all_memory_in_small_grants },
};

const struct test_list limit_tests = { tests, ARRAY_SIZE(tests), true };
