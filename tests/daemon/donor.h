/* SPDX-License-Identifier: GPL-2.0-only */
/* The daemon under test: one process at a time, with its log in a file. */
#ifndef TESTS_DAEMON_DONOR_H
#define TESTS_DAEMON_DONOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct donor {
	const char *program;
	const char *address;
	uint16_t port;		/* a new one for each start */
	pid_t pid;		/* 0: not running */
	char log[64];
};

extern struct donor donor;

/*
 * Start it, with nothing prepared and no headroom unless the arguments (up to
 * NULL) say otherwise, and wait until it is ready. False: it ended instead.
 */
bool donor_start(const char *arg, ...);
/* The same, with a pipe in place of its log that is full, and nobody reads it. */
bool donor_start_unread(void);
/* The same with this config file and nothing else said but the port. */
bool donor_start_config(const char *path);
/* Run it with exactly these arguments to its end; the exit status. */
int donor_run(const char *arg, ...) __attribute__((sentinel));
/* The same while the one that was started runs on. */
int donor_run_beside(const char *arg, ...) __attribute__((sentinel));
void donor_signal(int sig);
/* Exit status, -1 if it does not end in time, or 128 + signal. */
int donor_wait(int timeout_ms);
/* SIGTERM twice and wait; kills it if that is not enough. */
int donor_stop(void);

bool donor_alive(void);
bool donor_log_has(const char *text);
bool donor_log_wait(const char *text, int timeout_ms);
bool donor_log_wait_times(const char *text, unsigned int times, int timeout_ms);
void donor_log_show(void);
void donor_log_forget(void);

long donor_rss_kib(void);
int donor_fds(void);

#endif
