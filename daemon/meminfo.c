// SPDX-License-Identifier: GPL-2.0-only
/* /proc/meminfo, or the file that a test puts in its place. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "meminfo.h"
#include "options.h"

/* Large enough for the whole file: one read is one consistent snapshot. */
#define MEMINFO_MAX	8192

/* @name begins a line: "\nMemTotal:". */
static int field(const char *text, const char *name, uint64_t *value)
{
	const char *at = strstr(text, name);

	if (!at)
		return -ENOENT;
	*value = strtoull(at + strlen(name), NULL, 10);
	return 0;
}

static int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -errno;
	text[0] = '\n';
	len = read(fd, text + 1, size - 2);
	close(fd);
	if (len <= 0)
		return len ? -EIO : -ENODATA;
	text[1 + len] = '\0';
	return 0;
}

/* Kernels without huge pages have no such lines. */
static uint64_t huge_bytes(const char *text)
{
	uint64_t pages, reserved, kib;

	if (field(text, "\nHugePages_Free:", &pages) ||
	    field(text, "\nHugePages_Rsvd:", &reserved) || pages <= reserved ||
	    field(text, "\nHugepagesize:", &kib) || kib != 2048)
		return 0;
	return (pages - reserved) * kib << 10;
}

int meminfo_read(struct meminfo *info)
{
	char text[MEMINFO_MAX];
	int ret;

	ret = read_text(opt->meminfo, text, sizeof(text));
	if (!ret)
		ret = field(text, "\nMemTotal:", &info->total);
	if (!ret)
		ret = field(text, "\nMemAvailable:", &info->available);
	if (!ret && !info->total)
		ret = -EINVAL;
	if (ret) {
		log_limited(LOG_ERROR, "%s: no MemTotal and MemAvailable: %s",
			    opt->meminfo, strerror(-ret));
		return ret;
	}
	if (info->available > info->total)
		info->available = info->total;
	info->total <<= 10;
	info->available <<= 10;
	info->huge_free = huge_bytes(text);
	return 0;
}

/* The second number is what is resident, in pages; huge ones are not in it. */
uint64_t meminfo_own(void)
{
	char text[256], *end;

	if (read_text("/proc/self/statm", text, sizeof(text)))
		return 0;
	strtoull(text, &end, 10);
	return strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}
