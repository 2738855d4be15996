/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests and their answers; each request gets exactly one. */
#ifndef DAEMON_MSG_H
#define DAEMON_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniswap/wire.h>

#include "grant.h"

struct client;
struct session;

/* @len bytes from the client arrived in @slot of the ring. */
void msg_received(struct session *s, unsigned int slot, const void *buf,
		  unsigned int len);

/*
 * Answers that come when work on memory is done. Each looks first whether the
 * session that asked is still there.
 */
void msg_refuse(struct client *client, struct ticket ticket, int error);
void msg_granted(struct client *client, struct ticket ticket,
		 const struct grant *g);
void msg_released(struct client *client, struct ticket ticket,
		  const struct isw_grant_id *id);
void msg_renewed(struct client *client);	/* LIST waits for that */
void msg_bye_ok(struct client *client);

/* News to every client. */
void msg_status_all(void);

#endif
