// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes, sets and drops configfs items. A refusal is an errno and nothing more; the
 * module says the rest in the kernel log ("infiniswap: infiniswap0: size: 5:
 * not a multiple of slab_size"), and this file finds that line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "infiniswapctl.h"

#define MODULE	"infiniswap: "

/* From now on; -1 when the log may not be read. */
static int kmsg_open(void)
{
	const char *path = secure_getenv("INFINISWAP_KMSG");
	int fd;

	fd = open(path ? path : "/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* Moves @text past "@word: " if it begins so. */
static const char *skip(const char *text, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(text, word, len) || strncmp(text + len, ": ", 2))
		return text;
	return text + len + 2;
}

/* Moves @text past each part of "a/b/c" in turn: the log names donor and attribute. */
static const char *skip_parts(const char *text, const char *parts)
{
	char *copy __free_str = xstrdup(parts);
	char *part, *rest = copy;

	text = skip(text, parts);
	while ((part = strsep(&rest, "/")))
		text = skip(text, part);
	return text;
}

struct reason {
	char *text;	/* NULL: none found */
	bool exact;	/* the line names the attribute, not the device alone */
};

/*
 * Takes the reason out of "infiniswap: DEVICE: ATTR: VALUE: reason". Later lines
 * count more, and none as much as one about the attribute: when a device
 * fails to power on, its donors have something to say as well.
 */
static void reason_take(struct reason *found, const char *line,
			const char *device, const char *attr, const char *value)
{
	const char *about_device, *about_attr, *text = line + strlen(MODULE);

	if (strncmp(line, MODULE, strlen(MODULE)))
		return;
	about_device = skip(text, device);
	if (about_device == text)
		return;
	about_attr = skip_parts(about_device, attr);
	if (about_attr == about_device && found->exact)
		return;
	free(found->text);
	found->text = xstrdup(skip(about_attr, value));
	found->exact = about_attr != about_device;
}

/* A record is "prefix;text\n", then lines that begin with a space. */
static void scan(char *records, const char *device, const char *attr,
		 const char *value, struct reason *found)
{
	char *line, *text;

	while ((line = strsep(&records, "\n"))) {
		text = strchr(line, ';');
		if (line[0] != ' ' && text)
			reason_take(found, text + 1, device, attr, value);
	}
}

/* What the log has said since @fd was opened, or NULL. */
static char *kmsg_reason(int fd, const char *device, const char *attr,
			 const char *value)
{
	struct reason found = { NULL, false };
	char buf[8192];
	ssize_t len;

	if (fd < 0)
		return NULL;
	for (;;) {
		len = read(fd, buf, sizeof(buf) - 1);
		if (len < 0 && errno == EPIPE)
			continue;	/* records were overwritten: go on */
		if (len <= 0)
			return found.text;
		buf[len] = '\0';
		scan(buf, device, attr, value, &found);
	}
}

/* "infiniswap0: size: 5: reason (errno)", as much of it as there is. */
static void refused(int log, const char *device, const char *attr,
		    const char *value, int err)
{
	char *reason __free_str = kmsg_reason(log, device, attr, value);

	const char *colon = *value ? ": " : "";

	if (reason)
		failed("%s: %s%s%s: %s (%s)", device, attr, colon, value, reason,
		       strerror(-err));
	else
		failed("%s: %s%s%s: %s", device, attr, colon, value,
		       strerror(-err));
}

/*
 * One write(2): the kernel takes a value whole or not at all. It takes nothing at
 * all for an error, so what is empty is an empty line.
 */
static int file_write(const char *path, const char *value)
{
	char *line __free_str = xasprintf("%s\n", value);
	int fd, err = 0;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, line, strlen(line)) < 0)
		err = -errno;
	close(fd);
	return err;
}

int setting_try(const char *device, const char *attr, const char *value)
{
	char *path __free_str = config_path(device, NULL, attr);

	return file_write(path, value);
}

int setting_write(const char *device, const char *donor, const char *attr,
		  const char *value)
{
	char *path __free_str = config_path(device, donor, attr);
	char *name __free_str = donor ? xasprintf("donors/%s/%s", donor, attr) :
					xstrdup(attr);
	int log = kmsg_open();
	int err;

	err = file_write(path, value);
	if (err)
		refused(log, device, name, value, err);
	if (log >= 0)
		close(log);
	return err;
}

int item_make(const char *device, const char *donor)
{
	char *path __free_str = config_path(device, donor, NULL);
	char *reason __free_str = NULL;
	int log = kmsg_open();
	int err;

	err = mkdir(path, 0755) ? -errno : 0;
	if (err && err != -EEXIST)
		reason = kmsg_reason(log, device, donor ? donor : "", "");
	if (log >= 0)
		close(log);
	if (reason)
		failed("%s: cannot create %s: %s (%s)", device, path, reason,
		       strerror(-err));
	else if (err && err != -EEXIST)
		failed("%s: cannot create %s: %s", device, path, strerror(-err));
	return err;
}

int item_drop(const char *device, const char *donor)
{
	char *path __free_str = config_path(device, donor, NULL);

	if (!rmdir(path))
		return 0;
	failed("%s: cannot remove %s: %s", device, path, strerror(errno));
	return -errno;
}
