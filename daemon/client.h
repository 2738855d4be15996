/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of clients: who holds grants, and for how long without a session. */
#ifndef DAEMON_CLIENT_H
#define DAEMON_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniswap/wire.h>

struct grant;
struct session;

#define CLIENT_NAME_LEN	(8 + 1)
#define ADDRESS_LEN	64
#define CLIENTS_MAX	4096

struct client {
	bool used;
	uint8_t id[ISW_CLIENT_ID_LEN];
	char name[CLIENT_NAME_LEN];	/* start of id, for people */
	char address[ADDRESS_LEN];
	struct session *session;	/* NULL: lost, lease_end counts */
	uint64_t lease_ms;		/* as the present session was told */
	uint64_t lease_end;
	bool leaving;			/* BYE came, or the lease has ended */
	struct grant *first_grant;	/* grant.c: in whatever state, as they came */
	struct grant **end_grants;	/* behind the last one; NULL: never any */
	uint32_t grants;		/* how many */
	uint32_t renewing;		/* of them, under way; some may be to come */
	struct grant *renew_from;	/* grant.c: not looked at from here on */
	unsigned int renewals_failed;	/* grant.c: sessions in a row that ended so */
	uint64_t bytes;
};

int clients_init(void);
void clients_exit(void);

struct client *client_find(const uint8_t *id);
/* NULL: the table is full. */
struct client *client_create(const uint8_t *id);
/* The session is gone: start the lease. */
void client_lost(struct client *client);
/* Something ended: forget the client if that was the last. */
void client_settle(struct client *client);
/* Look after silence and leases. */
void clients_tick(void);

struct client *client_next(struct client *client);	/* NULL to start */

#endif
