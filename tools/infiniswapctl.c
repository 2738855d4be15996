// SPDX-License-Identifier: GPL-2.0-only
/*
 * infiniswapctl: creates, removes and shows infiniswap devices. Everything is
 * done through configfs and sysfs (docs/ABI/); the tool keeps no state. What
 * this machine lends it asks infiniswapd.
 */
#include <stdio.h>
#include <string.h>

#include "infiniswapctl.h"

struct command {
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "create", "create a device over donors and switch it on", cmd_create },
	{ "remove", "switch a device off and remove it", cmd_remove },
	{ "list", "one line per device", cmd_list },
	{ "show", "all settings and counters of a device", cmd_show },
	{ "donors", "one line per donor", cmd_donors },
	{ "donor", "what infiniswapd on this machine lends", cmd_donor },
};

#define COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fputs("Usage: infiniswapctl COMMAND [OPTIONS]\n\n"
	      "Manage swap devices on remote memory.\n\nCommands:\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fputs("\nOptions:\n"
	      "  -h, --help     this text; after COMMAND: its options\n"
	      "  -V, --version  print the version\n\n"
	      "Exit status: 0 done, 1 failed, 2 wrong usage.\n", out);
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

/* A full disk or a closed pipe must not pass for success. */
static int flushed(int status)
{
	if (fflush(stdout) || ferror(stdout))
		return failed("cannot write the output");
	return status;
}

int main(int argc, char **argv)
{
	const struct command *command;

	setlinebuf(stderr);	/* a message is one write */
	if (argc < 2) {
		usage(stderr);
		return CTL_USAGE;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
		usage(stdout);
		return flushed(CTL_OK);
	}
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
		puts("infiniswapctl " INFINISWAP_VERSION);
		return flushed(CTL_OK);
	}
	command = command_find(argv[1]);
	if (!command)
		return misused("%s: no such command", argv[1]);
	return flushed(command->run(argc - 1, argv + 1));
}
