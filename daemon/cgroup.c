// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory.max, memory.high and memory.current. What is lent is charged to the
 * daemon's cgroup and to those that it is in, and the kernel can reclaim none of
 * it: at a limit of any the daemon would be killed. Pages of the files that it
 * reads and writes, its log among them, are charged too; those the kernel takes
 * back by itself, and they are no reason to lend less (memory.stat tells them
 * apart).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "log.h"
#include "options.h"

/* Larger than any kernel's: one read is one consistent snapshot. */
#define STAT_MAX	8192

static char directory[PATH_MAX];	/* empty: no cgroup with limits */

/* "0::/system.slice/infiniswapd.service" is the line of version 2. */
static void find_own(void)
{
	char line[PATH_MAX];
	FILE *f = fopen("/proc/self/cgroup", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::/", 4))
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(directory, sizeof(directory), "/sys/fs/cgroup%.*s",
			 PATH_MAX - 32, line + 3);
	}
	if (f)
		fclose(f);
}

/* False: there is no such file in @dir. */
static bool read_file(const char *dir, const char *name, char *text,
		      size_t size)
{
	char path[PATH_MAX + 32];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, text, size - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len > 0;
}

/* @value is as it was if there is no such file; "max" is no limit. */
static void read_value(const char *dir, const char *name, __u64 *value)
{
	char text[32];

	if (!read_file(dir, name, text, sizeof(text)))
		return;
	if (*text >= '0' && *text <= '9')
		*value = strtoull(text, NULL, 10);
}

/* A line of memory.stat is a name, a space and bytes; 0 if there is none. */
static __u64 stat_field(const char *text, const char *name)
{
	size_t len = strlen(name);

	while (text) {
		if (!strncmp(text, name, len) && text[len] == ' ')
			return strtoull(text + len, NULL, 10);
		text = strchr(text, '\n');
		text += !!text;
	}
	return 0;
}

/* Of memory.current: what the kernel takes back rather than kill anybody. */
static __u64 reclaimable(const char *dir)
{
	char text[STAT_MAX];

	if (!read_file(dir, "memory.stat", text, sizeof(text)))
		return 0;
	return stat_field(text, "inactive_file") +
	       stat_field(text, "active_file") +
	       stat_field(text, "slab_reclaimable");
}

void cgroup_init(void)
{
	size_t len;

	if (*opt->cgroup)
		snprintf(directory, sizeof(directory), "%s", opt->cgroup);
	else
		find_own();
	/* "/" is what a cgroup namespace calls its own */
	len = strlen(directory);
	if (len && directory[len - 1] == '/')
		directory[len - 1] = '\0';
	log_debug("cgroup: %s", *directory ? directory : "none");
}

/* What is left up to the limit; below 0 when it is passed. */
static __s64 slack(__u64 limit, __u64 current)
{
	return (__s64)(limit - current);
}

/*
 * @m is as it was if another cgroup is nearer to its limit than @dir. One above the
 * daemon's own has others in it, which may want more, as on the host: headroom is
 * left to them too, but no more than an eighth.
 */
static void read_level(const char *dir, struct isw_memory *m)
{
	__u64 max = ISW_UNLIMITED, high = ISW_UNLIMITED, current = 0, limit;

	read_value(dir, "memory.max", &max);
	read_value(dir, "memory.high", &high);
	limit = isw_pressure_limit(max, high);
	if (limit == ISW_UNLIMITED)
		return;
	if (strcmp(dir, directory))
		limit -= opt->headroom < limit / 8 ? opt->headroom : limit / 8;
	read_value(dir, "memory.current", &current);
	current = isw_pressure_less(current, reclaimable(dir));
	if (m->limit != ISW_UNLIMITED &&
	    slack(limit, current) >= slack(m->limit, m->current))
		return;
	m->limit = limit;
	m->current = current;
}

/* Above the first there are no such files. */
void cgroup_read(struct isw_memory *m)
{
	char dir[PATH_MAX], *slash;

	m->limit = ISW_UNLIMITED;
	m->current = 0;
	strcpy(dir, directory);
	while (*dir) {
		read_level(dir, m);
		slash = strrchr(dir, '/');
		*(slash ?: dir) = '\0';
	}
}
