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

static int cmd_help(int argc, char **argv);

static const struct command commands[] = {
	{ "create", "create a device over donors and switch it on", cmd_create },
	{ "remove", "switch a device off and remove it", cmd_remove },
	{ "list", "one line per device", cmd_list },
	{ "show", "all settings and counters of a device", cmd_show },
	{ "donors", "one line per donor", cmd_donors },
	{ "add-donor", "let a device use one more donor", cmd_add_donor },
	{ "drain-donor", "move a device's pages away from a donor", cmd_drain_donor },
	{ "remove-donor", "take a drained donor from a device", cmd_remove_donor },
	{ "donor", "what infiniswapd on this machine lends", cmd_donor },
	{ "help", "this text, or COMMAND's", cmd_help },
};

#define COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fputs("Usage: infiniswapctl COMMAND [OPTIONS]\n\n"
	      "Manage swap devices on remote memory.\n\nCommands:\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-13s %s\n", commands[i].name, commands[i].help);
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

/* getopt's messages begin with argv[0]: like ours. */
static int command_run(const char *name, int argc, char **argv)
{
	const struct command *command = command_find(name);
	char *program __free_str = xasprintf("infiniswapctl: %s", name);

	if (!command)
		return misused("%s: no such command", name);
	help_is_of(command->name);
	argv[0] = program;
	return command->run(argc, argv);
}

static int cmd_help(int argc, char **argv)
{
	char *asked[] = { NULL, "--help", NULL };

	help_is_of(NULL);
	if (argc > 2)
		return misused("help: %s: one command at a time", argv[2]);
	if (argc == 2 && argv[1][0] != '-')
		return command_run(argv[1], 2, asked);
	usage(stdout);
	return CTL_OK;
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
	return flushed(command_run(argv[1], argc - 1, argv + 1));
}
