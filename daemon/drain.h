/* SPDX-License-Identifier: GPL-2.0-only */
/* The end: clients are asked to give back, and waited for. */
#ifndef DAEMON_DRAIN_H
#define DAEMON_DRAIN_H

#include <stdbool.h>

/* Begin, because of @why. Nothing, if it has begun. */
void drain_start(const char *why);
/* Signal @name came: the first one begins it, the second one ends the daemon at once. */
void drain_signal(const char *name);
bool drain_active(void);
/* Each second: clients that could not hear of it, or have come back, are told. */
void drain_tick(void);
/* Ends the daemon when no grant is left, or time is up. */
void drain_check(void);

#endif
