/* SPDX-License-Identifier: GPL-2.0-only */
/* Connection events: requests are accepted or rejected, the lost are noted. */
#ifndef DAEMON_LISTEN_H
#define DAEMON_LISTEN_H

#include <stdbool.h>

int listen_init(void);
/*
 * Take what has come, after each batch of events; but who asks for connections
 * without end gets them in turn with what others want.
 */
void listen_poll(void);
/* Whether there may be some that were not taken yet. */
bool listen_behind(void);
/* An address that a removed device took along may be back. */
void listen_tick(void);
void listen_exit(void);

#endif
