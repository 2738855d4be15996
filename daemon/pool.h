/* SPDX-License-Identifier: GPL-2.0-only */
/* Regions prepared ahead of demand, and whether the host can spare more. */
#ifndef DAEMON_POOL_H
#define DAEMON_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "region.h"

void pool_init(void);
/* A mapped region of @length bytes, or NULL. */
struct region *pool_take(uint64_t length);
/* Whether the host can spare the memory to map @r; makes room if that helps. */
bool pool_room(struct region *r);
/* Prepare what is missing, if the host can spare it, but not too fast. */
void pool_fill(void);
/* The host needs its memory, even what is being prepared. Bytes that come back. */
uint64_t pool_stop_filling(void);
/*
 * Give back prepared memory until that is @need bytes, or nothing is left that
 * the host could use. Returns how much.
 */
uint64_t pool_shrink(uint64_t need);
/* Once in a while: fill, or give back what nobody wants. */
void pool_tick(void);
void pool_exit(void);

uint64_t pool_bytes(void);
/* Bytes on their way back to the host. */
uint64_t pool_leaving(void);

#endif
