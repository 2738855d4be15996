/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DAEMON_EPOCH_H
#define DAEMON_EPOCH_H

#include <stdint.h>

/* Random, new with each start: grants of another epoch are gone. */
extern uint64_t daemon_epoch;

#endif
