// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes settings. A write to configfs returns an errno and nothing more; the
 * module says the rest in the kernel log ("infiniswap: infiniswap0: size: 5:
 * not a multiple of slab_size"), and this file finds that line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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

/* What is new in a line of the module about @device; NULL for other lines. */
static const char *reason_in(const char *line, const char *device,
			     const char *attr, const char *value)
{
	const char *text = line, *rest;

	if (strncmp(text, MODULE, strlen(MODULE)))
		return NULL;
	text += strlen(MODULE);
	rest = skip(text, device);
	if (rest == text)
		return NULL;
	return skip(skip_parts(rest, attr), value);
}

/* A record is "prefix;text\n", then lines that begin with a space. */
static void scan(char *records, const char *device, const char *attr,
		 const char *value, char **found)
{
	char *line, *text;
	const char *reason;

	while ((line = strsep(&records, "\n"))) {
		text = strchr(line, ';');
		if (line[0] == ' ' || !text)
			continue;
		reason = reason_in(text + 1, device, attr, value);
		if (!reason)
			continue;
		free(*found);
		*found = xstrdup(reason);
	}
}

/* The last new line about @attr, or NULL. */
static char *kmsg_reason(int fd, const char *device, const char *attr,
		  const char *value)
{
	char *found = NULL;
	char buf[8192];
	ssize_t len;

	if (fd < 0)
		return NULL;
	for (;;) {
		len = read(fd, buf, sizeof(buf) - 1);
		if (len < 0 && errno == EPIPE)
			continue;	/* records were overwritten: go on */
		if (len <= 0)
			return found;
		buf[len] = '\0';
		scan(buf, device, attr, value, &found);
	}
}

/* One write(2): the kernel takes a value whole or not at all. */
static int file_write(const char *path, const char *value)
{
	int fd, err = 0;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		err = -errno;
	close(fd);
	return err;
}

int setting_write(const char *device, const char *donor, const char *attr,
		  const char *value)
{
	char *path __free_str = config_path(device, donor, attr);
	char *name __free_str = donor ? xasprintf("donors/%s/%s", donor, attr) :
					xstrdup(attr);
	char *reason __free_str = NULL;
	int log = kmsg_open();
	int err;

	err = file_write(path, value);
	if (err)
		reason = kmsg_reason(log, device, name, value);
	if (log >= 0)
		close(log);
	if (err && reason)
		failed("%s: %s: %s: %s (%s)", device, name, value, reason,
		       strerror(-err));
	else if (err)
		failed("%s: %s: %s: %s", device, name, value, strerror(-err));
	return err;
}
