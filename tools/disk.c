// SPDX-License-Identifier: GPL-2.0-only
/* What is on a disk that is about to be overwritten. */
#include <blkid/blkid.h>
#include <string.h>

#include "infiniswapctl.h"

#define AMBIVALENT	(-2)	/* of blkid_do_safeprobe() */

static const char *value_of(blkid_probe probe, const char *name)
{
	const char *value;

	return blkid_probe_lookup_value(probe, name, &value, NULL) ? NULL : value;
}

/*
 * Swap is not in the way: nothing in it outlives a reboot, and mkswap of the
 * device leaves its signature on the backup disk. Nor is a disk that cannot be
 * read: the kernel has better words for that.
 */
static char *disk_contents(blkid_probe probe)
{
	const char *table, *type;
	int found;

	blkid_probe_enable_superblocks(probe, true);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE);
	blkid_probe_enable_partitions(probe, true);
	found = blkid_do_safeprobe(probe);
	if (found == AMBIVALENT)
		return xstrdup("more than one file system's signature");
	if (found)
		return NULL;
	table = value_of(probe, "PTTYPE");
	if (table)
		return xasprintf("a partition table (%s)", table);
	type = value_of(probe, "TYPE");
	return type && strcmp(type, "swap") ? xstrdup(type) : NULL;
}

int disk_unused(const char *path)
{
	blkid_probe probe = blkid_new_probe_from_filename(path);
	char *contents __free_str = probe ? disk_contents(probe) : NULL;

	blkid_free_probe(probe);
	if (!contents)
		return CTL_OK;
	failed("backup: %s: has %s: wipefs -a it if that may go, or say --force",
	       path, contents);
	return CTL_USAGE;	/* to try again will not help */
}
