/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* Tell systemd, if it asked to be told ($NOTIFY_SOCKET). */
void notify_send(const char *state);
/* A sign of life, if systemd wants one. */
void notify_watchdog(void);

#endif
