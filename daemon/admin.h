/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The admin socket: a program of the same user, or root, connects, sends one
 * word and a newline, and gets one JSON object.
 */
#ifndef DAEMON_ADMIN_H
#define DAEMON_ADMIN_H

/* The daemon does without if there cannot be one. */
void admin_init(void);
void admin_tick(void);
void admin_exit(void);

#endif
