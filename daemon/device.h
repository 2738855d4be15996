/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RDMA devices that clients came in on, and protection domains. Every session
 * has a domain of its own: a key of another client, or of an earlier session,
 * opens nothing here.
 */
#ifndef DAEMON_DEVICE_H
#define DAEMON_DEVICE_H

#include <infiniband/verbs.h>

#include "loop.h"

struct device {
	struct device *next;
	struct ibv_context *verbs;	/* librdmacm's, never closed */
	struct ibv_comp_channel *channel;
	int max_rd_atom;		/* READs served at a time on one QP */
	struct source completions;
	struct source events;
};

/* A domain lives as long as its session and the last region registered in it. */
struct domain {
	struct ibv_pd *pd;
	unsigned int users;
};

/* The device behind @verbs, or NULL (logged). */
struct device *device_get(struct ibv_context *verbs);

struct domain *domain_create(struct device *dev);
struct domain *domain_get(struct domain *dom);
void domain_put(struct domain *dom);

#endif
