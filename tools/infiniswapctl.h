/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * infiniswapctl: what its files share. The commands know words and tables;
 * tree.c alone knows where the kernel keeps things.
 */
#ifndef INFINISWAPCTL_H
#define INFINISWAPCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
	CTL_OK		= 0,
	CTL_FAILED	= 1,
	CTL_USAGE	= 2,
};

/* ---- the commands, one file each ---------------------------------------- */

int cmd_create(int argc, char **argv);
int cmd_remove(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_donors(int argc, char **argv);
int cmd_add_donor(int argc, char **argv);
int cmd_drain_donor(int argc, char **argv);
int cmd_remove_donor(int argc, char **argv);
int cmd_donor(int argc, char **argv);

/* ---- util.c ------------------------------------------------------------- */

void freep(void *p);
#define __free_str	__attribute__((cleanup(freep)))

/* Allocation failure ends the program: there is nothing to undo by then. */
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *xstrdup(const char *s);
void *xreallocarray(void *p, size_t count, size_t size);

/* Prints "infiniswapctl: …" to stderr and returns CTL_FAILED or CTL_USAGE. */
int failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
int misused(const char *format, ...) __attribute__((format(printf, 1, 2)));
int try_help(void);			/* after what getopt said */
void help_is_of(const char *command);	/* what misused() and try_help() point to */

bool is_number(const char *s);
char *human_size(const char *bytes);	/* "67108864" -> "64M" */

/* ---- tree.c: configfs, sysfs and /proc ---------------------------------- */

struct names {
	char **name;
	size_t count;
};

void names_free(struct names *names);

/* Takes "infiniswap0" or "/dev/infiniswap0". NULL: not a name. */
const char *device_name(const char *arg);
bool is_item_name(const char *name);	/* one path component */
bool device_exists(const char *device);
bool donor_exists(const char *device, const char *donor);
bool device_is_swap(const char *device);

struct names device_names(void);			/* sorted */
struct names donor_names(const char *device);
struct names setting_names(const char *device);
struct names status_names(const char *device);

/* A copy of the value without its newline, or NULL. */
char *device_setting(const char *device, const char *attr);
char *device_status(const char *device, const char *attr);
char *donor_setting(const char *device, const char *donor, const char *attr);
char *donor_status(const char *device, const char *donor, const char *attr);

/* The attribute "state"; "off" of what is not switched on. */
char *device_state(const char *device);
char *donor_state(const char *device, const char *donor);

/* @donor, @attr or both may be NULL. */
char *config_path(const char *device, const char *donor, const char *attr);

/* Loads the module if needed; 0, or CTL_FAILED after saying what is missing. */
int config_ready(void);

/* ---- setting.c ---------------------------------------------------------- */

/*
 * Writes a setting of a device, or of one of its donors. A refusal is reported
 * in the module's own words where the kernel log can be read. 0 or -errno.
 */
int setting_write(const char *device, const char *donor, const char *attr,
		  const char *value);
/* The same, of a device, and a refusal is not reported. */
int setting_try(const char *device, const char *attr, const char *value);

/*
 * Make and remove a device (@donor NULL) or a donor of it. 0 or -errno; all is
 * reported but -EEXIST of item_make(), which may just mean the next name.
 */
int item_make(const char *device, const char *donor);
int item_drop(const char *device, const char *donor);

/* ---- add.c --------------------------------------------------------------- */

struct donor {
	char *name;		/* and what follows it: one allocation */
	char *address;
	char *port;		/* NULL: the kernel's default */
	const char *domain;	/* NULL: its own */
};

/* NAME=ADDRESS[:PORT]; false: it is not. The name is freed by who takes it. */
bool donor_parse(struct donor *donor, const char *arg);

/* As item_make(); what fails half-way is taken back. */
int donor_make(const char *device, const struct donor *donor);

/* ---- disk.c -------------------------------------------------------------- */

/* 0, or CTL_USAGE after saying what a disk holds that overwriting would destroy. */
int disk_unused(const char *path);

/* ---- table.c ------------------------------------------------------------ */

struct table_format {
	bool json;
	bool bytes;
	bool noheadings;
	bool raw;
	const char *columns;	/* NULL: all */
};

struct table;

struct json_object;

struct row {
	const char *device;
	const char *donor;	/* NULL in a table of devices */
	struct json_object *json;	/* in tables of what a daemon says */
};

struct column {
	const char *name;
	bool number;
	const char *help;
	char *(*get)(const struct row *row, const struct table_format *format);
};

/* Options of every command that prints a table. Returns -1 to go on. */
int table_options(int argc, char **argv, const char *usage,
		  const struct column *columns, struct table_format *format);
struct table *table_new(const char *name, const struct column *columns,
			const struct table_format *format);	/* or NULL */
void table_add(struct table *table, const struct row *row);
void table_print(struct table *table);		/* and frees it */

/* ---- donors.c, for show.c ----------------------------------------------- */

extern const struct column donor_columns[];
void donors_add_rows(struct table *table, const char *device);

#endif
