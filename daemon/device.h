/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RDMA devices that clients came in on, until they are removed from the host, and
 * protection domains. Every session
 * has a domain of its own: a key of another client, or of an earlier session,
 * opens nothing here.
 */
#ifndef DAEMON_DEVICE_H
#define DAEMON_DEVICE_H

#include <stdbool.h>

#include <infiniband/verbs.h>

#include "loop.h"

struct device {
	struct device *next;
	struct ibv_context *verbs;	/* librdmacm's */
	struct ibv_comp_channel *channel;
	unsigned int users;		/* domains, by which all else goes */
	bool removed;
	int max_rd_atom;		/* READs served at a time on one QP */
	struct source completions;
	struct source events;
	unsigned int sources;		/* that the loop has not forgotten */
};

/* A domain lives as long as its session and the last region registered in it. */
struct domain {
	struct device *device;
	struct ibv_pd *pd;
	unsigned int users;
};

/* The device behind @verbs, or NULL (logged). */
struct device *device_get(struct ibv_context *verbs);

/*
 * A removal from the host does not end before we let go of the device. Nobody
 * tells us reliably, so this looks: sessions end, grants stay, without keys.
 */
void devices_tick(void);

struct domain *domain_create(struct device *dev);
struct domain *domain_get(struct domain *dom);
void domain_put(struct domain *dom);

#endif
