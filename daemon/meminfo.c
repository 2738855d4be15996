// SPDX-License-Identifier: GPL-2.0-only
/* /proc/meminfo, or the file that a test puts in its place. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "meminfo.h"
#include "options.h"

/* Large enough for the whole file: one read is one consistent snapshot. */
#define MEMINFO_MAX	8192

static int meminfo_field(const char *text, const char *name, uint64_t *value)
{
	const char *at = text;
	size_t len = strlen(name);

	while (at) {
		if (*at == '\n')
			at++;
		if (!strncmp(at, name, len) && at[len] == ':')
			return sscanf(at + len + 1, "%" SCNu64, value) == 1 ?
			       0 : -EINVAL;
		at = strchr(at, '\n');
	}
	return -ENOENT;
}

static int meminfo_text(char *text, size_t size)
{
	FILE *f = fopen(opt->meminfo, "re");
	size_t len;

	if (!f)
		return -errno;
	len = fread(text, 1, size - 1, f);
	text[len] = '\0';
	fclose(f);
	return len ? 0 : -EIO;
}

int meminfo_read(struct meminfo *info)
{
	uint64_t huge_pages = 0, huge_kib = 0;
	char text[MEMINFO_MAX];
	int ret;

	ret = meminfo_text(text, sizeof(text));
	if (!ret)
		ret = meminfo_field(text, "MemTotal", &info->total);
	if (!ret)
		ret = meminfo_field(text, "MemAvailable", &info->available);
	if (!ret && !info->total)
		ret = -EINVAL;
	if (ret) {
		log_limited(LOG_ERROR, "%s: no MemTotal and MemAvailable: %s",
			    opt->meminfo, strerror(-ret));
		return ret;
	}
	/* Kernels without huge pages have no such lines. */
	if (meminfo_field(text, "HugePages_Free", &huge_pages) ||
	    meminfo_field(text, "Hugepagesize", &huge_kib) || huge_kib != 2048)
		huge_pages = 0;
	info->total <<= 10;
	info->available <<= 10;
	info->huge_free = huge_pages << 21;
	if (info->available > info->total)
		info->available = info->total;
	return 0;
}
