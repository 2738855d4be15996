/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DAEMON_TABLE_H
#define DAEMON_TABLE_H

/* Log clients, sessions, grants and memory, one line each. */
void table_log(void);

#endif
