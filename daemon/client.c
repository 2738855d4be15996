// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients. One comes with its first control connection and goes when it has
 * neither a session nor a grant: after BYE, or when its lease has ended.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "grant.h"
#include "log.h"
#include "msg.h"
#include "options.h"
#include "session.h"
#include "util.h"

static struct client *clients;
static struct client *clients_end;	/* of the places that were ever used */

/* Room for any max_clients; what is never used is never touched. */
int clients_init(void)
{
	clients = clients_end = calloc(CLIENTS_MAX, sizeof(*clients));
	if (clients)
		return 0;
	log_error("no memory for a table of clients");
	return -ENOMEM;
}

void clients_exit(void)
{
	free(clients);
}

struct client *client_next(struct client *client)
{
	for (client = client ? client + 1 : clients; client < clients_end;
	     client++)
		if (client->used)
			return client;
	return NULL;
}

struct client *client_find(const uint8_t *id)
{
	struct client *client = NULL;

	while ((client = client_next(client)))
		if (!memcmp(client->id, id, ISW_CLIENT_ID_LEN))
			return client;
	return NULL;
}

static struct client *place_get(void)
{
	struct client *client, *unused = NULL;
	uint64_t used = 0;

	for (client = clients; client < clients_end; client++) {
		if (client->used)
			used++;
		else
			unused = client;
	}
	if (used >= opt->max_clients)
		return NULL;
	return unused ?: clients_end++;
}

struct client *client_create(const uint8_t *id)
{
	struct client *client = place_get();

	if (!client)
		return NULL;
	*client = (struct client) { .used = true };
	memcpy(client->id, id, ISW_CLIENT_ID_LEN);
	snprintf(client->name, sizeof(client->name), "%02x%02x%02x%02x",
		 id[0], id[1], id[2], id[3]);
	return client;
}

void client_lost(struct client *client)
{
	client->lease_end = now_ms() + client->lease_ms;
	client_settle(client);
}

void client_settle(struct client *client)
{
	if (client->grants)
		return;
	if (client->session) {
		if (client->leaving)
			msg_bye_ok(client);
		return;
	}
	log_limited(LOG_INFO, "client %s: gone, all that it had is given back",
		    client->name);
	client->used = false;
}

static void client_tick(struct client *client, uint64_t now)
{
	struct session *s = client->session;

	if (s) {
		if (now - s->heard > opt->client_timeout_ms)
			session_kill(s, "nothing heard from it");
		return;
	}
	if (client->leaving || now < client->lease_end)
		return;
	log_limited(LOG_INFO, "client %s: lease ended, %u grants taken back",
		    client->name, client->grants);
	client->leaving = true;
	grants_drop(client);
}

void clients_tick(void)
{
	struct client *client = NULL;
	uint64_t now = now_ms();

	while ((client = client_next(client)))
		client_tick(client, now);
}
