/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Work requests: DMA addresses, building, posting in chains, completing.
 * No memory region on this side: pages go by pd->local_dma_lkey.
 */
#ifndef _ISW_RDMA_H
#define _ISW_RDMA_H

#include <linux/spinlock.h>
#include <rdma/ib_verbs.h>

struct isw_conn;
struct isw_grant;
struct isw_io;
struct isw_leg_wr;
struct isw_mapping;

/* Work requests for one queue pair, posted with one call. */
struct isw_chain {
	struct isw_conn *conn;		/* NULL: none */
	struct ib_send_wr *first, *last;
};

/* What is posted together: neighbours on the device are on different donors. */
#define ISW_MAX_CHAINS	4

struct isw_batch {
	struct isw_chain chain[ISW_MAX_CHAINS];
};

bool isw_rdma_map(struct isw_io *io, const struct isw_mapping *m,
		  unsigned int legs);
void isw_rdma_unmap(struct isw_leg_wr *lw);
void isw_rdma_unmap_legs(struct isw_io *io, unsigned int legs);
void isw_rdma_add(struct isw_io *io, const struct isw_grant *grant,
		  unsigned int leg, u32 first, u32 count,
		  struct isw_batch *batch);
void isw_batch_post(struct isw_batch *batch);

#endif /* _ISW_RDMA_H */
