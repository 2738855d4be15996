/* SPDX-License-Identifier: GPL-2.0-only */
/* Watches the host's memory: who wants more of it comes before who borrows. */
#ifndef DAEMON_MEMWATCH_H
#define DAEMON_MEMWATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniswap/pressure.h>

void memwatch_init(void);
/* Once a second: look, and give back what is needed. */
void memwatch_tick(void);

enum isw_pressure_level memwatch_level(void);
const char *memwatch_level_name(enum isw_pressure_level level);

/*
 * Whether @length bytes more can be had, for a client, once @back bytes have come
 * back, or ahead of demand.
 */
bool memwatch_room(uint64_t length, uint64_t back);
bool memwatch_ahead(uint64_t length);

#endif
