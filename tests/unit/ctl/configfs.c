// SPDX-License-Identifier: GPL-2.0-only
/*
 * A preloaded library that makes a directory behave like the module's configfs
 * root ($INFINISWAP_CONFIGFS): mkdir makes an item with its attributes, rmdir
 * takes it away, a write is accepted or refused as the module would, and a
 * refusal leaves its line in $INFINISWAP_KMSG.
 *
 * $REFUSE lists refusals, one a line: ATTRIBUTE VALUE ERRNO REASON; the VALUE "-" is an
 * empty one. $FAKE_LINE is a line of the log that follows each.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const device_attrs[][2] = {
	{ "size", "0" }, { "slab_size", "67108864" }, { "redundancy", "unset" },
	{ "backup", "" }, { "staging", "0" }, { "integrity", "1" },
	{ "queues", "1" }, { "queue_depth", "40" }, { "max_sessions", "16" },
	{ "spares", "4" }, { "ready_grants", "2" }, { "stall_ms", "5000" },
	{ "donor_loss_timeout", "30" }, { "slab_idle_timeout", "5" },
	{ "slab_cold_timeout", "0" }, { "hot_slab", "0" }, { "copy_rate", "4294967296" },
	{ "power", "0" },
};

static const char *const donor_attrs[][2] = {
	{ "address", "" }, { "port", "9400" }, { "domain", "" }, { "drain", "0" },
};

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static int real_mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

static int real_rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* What @path is below the root: "infiniswap0/donors/a"; NULL: not there. */
static const char *item_of(const char *path)
{
	const char *root = getenv("INFINISWAP_CONFIGFS");
	size_t len = root ? strlen(root) : 0;

	if (!len || strncmp(path, root, len) || path[len] != '/')
		return NULL;
	return path + len + 1;
}

static void attrs_make(const char *path, const char *const attrs[][2], size_t count)
{
	char file[PATH_MAX];
	FILE *f;

	for (size_t i = 0; i < count; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, attrs[i][0]);
		f = fopen(file, "w");
		if (!f)
			abort();
		fprintf(f, "%s\n", attrs[i][1]);
		fclose(f);
	}
}

static void attrs_drop(const char *path, const char *const attrs[][2], size_t count)
{
	char file[PATH_MAX];

	for (size_t i = 0; i < count; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, attrs[i][0]);
		unlink(file);
	}
}

int mkdir(const char *path, mode_t mode)
{
	const char *item = item_of(path);
	char donors[PATH_MAX];
	int err = real_mkdir(path, mode);

	if (err || !item)
		return err;
	if (strchr(item, '/')) {
		attrs_make(path, donor_attrs, COUNT(donor_attrs));
		return 0;
	}
	attrs_make(path, device_attrs, COUNT(device_attrs));
	snprintf(donors, sizeof(donors), "%s/donors", path);
	return real_mkdir(donors, mode);
}

int rmdir(const char *path)
{
	const char *item = item_of(path);
	char donors[PATH_MAX];

	if (!item)
		return real_rmdir(path);
	if (strchr(item, '/')) {
		attrs_drop(path, donor_attrs, COUNT(donor_attrs));
		return real_rmdir(path);
	}
	snprintf(donors, sizeof(donors), "%s/donors", path);
	if (real_rmdir(donors))
		return -1;
	attrs_drop(path, device_attrs, COUNT(device_attrs));
	return real_rmdir(path);
}

static void say(const char *item, const char *value, const char *reason)
{
	FILE *log = fopen(getenv("INFINISWAP_KMSG"), "a");
	char path[PATH_MAX];
	char *part, *rest = path;

	if (!log)
		return;
	snprintf(path, sizeof(path), "%s", item);
	fputs("4,77,12345678,-;infiniswap: ", log);
	while ((part = strsep(&rest, "/"))) {
		if (strcmp(part, "donors"))
			fprintf(log, "%s: ", part);
	}
	fprintf(log, "%s: %s\n SUBSYSTEM=fake\n", value, reason);
	if (getenv("FAKE_LINE"))
		fprintf(log, "4,78,12345679,-;%s\n", getenv("FAKE_LINE"));
	fclose(log);
}

/* 0, or the errno with which a write of @value to @item is refused. */
static int refusal(const char *item, const char *value)
{
	const char *list = getenv("REFUSE");
	FILE *f = list ? fopen(list, "r") : NULL;
	char attr[64], refused[64], reason[128];
	int number, found = 0;

	while (f && !found && fscanf(f, "%63s %63s %d %127[^\n]", attr, refused,
				     &number, reason) == 4) {
		if (strcmp(strrchr(item, '/') + 1, attr) || strcmp(*value ? value : "-", refused))
			continue;
		say(item, value, reason);
		found = number;
	}
	if (f)
		fclose(f);
	return found;
}

ssize_t write(int fd, const void *data, size_t len)
{
	static ssize_t (*next)(int fd, const void *data, size_t len);
	char link[64], path[PATH_MAX], value[128];
	const char *item;
	ssize_t size;

	if (!next)
		next = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof(path) - 1);
	path[size < 0 ? 0 : size] = '\0';
	item = item_of(path);
	if (!item)
		return next(fd, data, len);
	snprintf(value, sizeof(value), "%.*s", (int)len, (const char *)data);
	value[strcspn(value, "\n")] = '\0';
	errno = len ? refusal(item, value) : EFAULT;
	if (errno)
		return -1;
	if (ftruncate(fd, 0))
		return -1;
	return next(fd, data, len);
}
