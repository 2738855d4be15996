/* SPDX-License-Identifier: GPL-2.0-only */
/* The daemon's state as JSON, for the admin socket. Sizes are in bytes. */
#ifndef DAEMON_REPORT_H
#define DAEMON_REPORT_H

#include <stdio.h>

void report_status(FILE *f);
void report_clients(FILE *f);
void report_evictions(FILE *f);

#endif
