/* SPDX-License-Identifier: GPL-2.0-only */
/* Connection events: requests are accepted or rejected, the lost are noted. */
#ifndef DAEMON_LISTEN_H
#define DAEMON_LISTEN_H

int listen_init(void);
/* An address that a removed device took along may be back. */
void listen_tick(void);
void listen_exit(void);

#endif
