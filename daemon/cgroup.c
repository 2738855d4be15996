// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory.max, memory.high and memory.current. What is lent is charged to the
 * daemon's cgroup, and the kernel can reclaim none of it: at its limit the
 * daemon would be killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "log.h"
#include "options.h"

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

/* @value is as it was if there is no such file; "max" is no limit. */
static void read_value(const char *name, __u64 *value)
{
	char path[PATH_MAX + 32], text[32];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return;
	text[len] = '\0';
	if (*text >= '0' && *text <= '9')
		*value = strtoull(text, NULL, 10);
}

void cgroup_init(void)
{
	if (*opt->cgroup)
		snprintf(directory, sizeof(directory), "%s", opt->cgroup);
	else
		find_own();
	log_debug("cgroup: %s", *directory ? directory : "none");
}

void cgroup_read(struct isw_memory *m)
{
	__u64 max = ISW_UNLIMITED, high = ISW_UNLIMITED;

	m->current = 0;
	if (*directory) {
		read_value("memory.max", &max);
		read_value("memory.high", &high);
		read_value("memory.current", &m->current);
	}
	m->limit = isw_pressure_limit(max, high);
}
