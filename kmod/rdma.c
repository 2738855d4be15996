// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a request's pages to work requests and back. io.c says what to do;
 * this file knows how. Everything that is posted was filled in the PDU.
 */
#include "device.h"
#include "donor.h"
#include "io.h"
#include "rdma.h"
#include "session.h"
#include "trace.h"

static enum dma_data_direction direction(const struct isw_io *io)
{
	return io->write ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
}

/* The mapping for @hca, or one that is free: a leg needs one at most. */
static struct isw_dma *dma_for(struct isw_io *io, const struct isw_hca *hca)
{
	struct isw_dma *dma, *unused = NULL;

	for (dma = io->dma; dma < io->dma + ISW_MAX_LEGS; dma++) {
		if (dma->hca == hca)
			return dma;
		if (!dma->hca && !unused)
			unused = dma;
	}
	return unused;
}

static void sg_copy(struct scatterlist *to, struct scatterlist *from, int nents)
{
	struct scatterlist *sg;
	int i;

	sg_init_table(to, nents);
	for_each_sg(from, sg, nents, i)
		sg_set_page(&to[i], sg_page(sg), sg->length, sg->offset);
}

/*
 * Make the request's pages known to the HCA that serves @donor, for one work
 * request towards @leg. False: no DMA addresses to be had now (IOMMU full); the
 * slab is kicked by the next tick.
 */
static bool leg_map(struct isw_io *io, unsigned int leg,
		    const struct isw_donor *donor)
{
	struct isw_hca *hca = donor->session.hca;
	struct isw_dma *dma = dma_for(io, hca);

	io->leg[leg].dma = dma;
	if (dma->hca) {
		atomic_inc(&dma->users);
		return true;
	}
	if (unlikely(dma->sg != io->sg))
		sg_copy(dma->sg, io->sg, io->nents);
	dma->nents = ib_dma_map_sg(hca->ibdev, dma->sg, io->nents,
				   direction(io));
	if (unlikely(!dma->nents)) {
		isw_slab_want(io->dev, io->slab);
		return false;
	}
	dma->hca = hca;
	atomic_set(&dma->users, 1);
	return true;
}

/* The work request towards this leg is over, or will not be. */
void isw_rdma_unmap(struct isw_leg_wr *lw)
{
	struct isw_dma *dma = lw->dma;
	struct isw_io *io = lw->io;
	struct isw_hca *hca = dma->hca;

	if (!atomic_dec_and_test(&dma->users))
		return;
	ib_dma_unmap_sg(hca->ibdev, dma->sg, io->nents, direction(io));
	dma->hca = NULL;
}

/* Work requests towards @legs will not be. */
void isw_rdma_unmap_legs(struct isw_io *io, unsigned int legs)
{
	unsigned int leg;

	for (leg = 0; leg < ISW_MAX_LEGS; leg++)
		if (legs & BIT(leg))
			isw_rdma_unmap(&io->leg[leg]);
}

/* For one work request towards each of @legs, or for none: then false. */
bool isw_rdma_map(struct isw_io *io, const struct isw_mapping *m,
		  unsigned int legs)
{
	unsigned int leg;

	for (leg = 0; leg < ISW_MAX_LEGS; leg++) {
		if (!(legs & BIT(leg)))
			continue;
		io->leg[leg].io = io;
		if (!leg_map(io, leg, m->leg[leg].donor)) {
			isw_rdma_unmap_legs(io, legs & (BIT(leg) - 1));
			return false;
		}
	}
	return true;
}

/* The part [@skip, @skip + @len) of the mapped pages, in bytes. */
static int fill_sge(const struct isw_dma *dma, struct ib_sge *sge, u32 skip,
		    u32 len)
{
	struct scatterlist *sg;
	int i, n = 0;

	for_each_sg(dma->sg, sg, dma->nents, i) {
		u32 have = sg_dma_len(sg), take;

		if (skip >= have) {
			skip -= have;
			continue;
		}
		take = min(have - skip, len);
		sge[n].addr = sg_dma_address(sg) + skip;
		sge[n].length = take;
		sge[n].lkey = dma->hca->pd->local_dma_lkey;
		n++;
		skip = 0;
		len -= take;
		if (!len)
			break;
	}
	return n;
}

static void rdma_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct isw_leg_wr *lw = container_of(wc->wr_cqe, struct isw_leg_wr, cqe);
	struct isw_conn *conn = lw->conn;
	struct isw_donor *donor = conn->donor;
	bool ok = wc->status == IB_WC_SUCCESS;

	isw_conn_progress(conn);
	isw_rdma_unmap(lw);	/* while the session is up: so is its HCA */
	if (likely(ok)) {
		if (lw->io->write)
			isw_stat_add(donor->stats, pages_out, lw->io->count);
		else
			isw_stat_add(donor->stats, pages_in, lw->io->run);
	} else {
		isw_stat_inc(donor->stats, errors);
		if (wc->status != IB_WC_WR_FLUSH_ERR)
			isw_donor_error(donor, ib_wc_status_msg(wc->status));
		else
			isw_donor_error(donor, "queue pair in error");
	}
	trace_isw_leg_done(lw, wc->status);
	isw_io_leg_done(lw, ok);
}

/* The chain for @conn; if there is room for no other, all are posted first. */
static struct isw_chain *chain_for(struct isw_batch *batch,
				   struct isw_conn *conn)
{
	struct isw_chain *chain;

	for (chain = batch->chain; chain < batch->chain + ISW_MAX_CHAINS; chain++)
		if (!chain->conn || chain->conn == conn)
			break;
	if (chain == batch->chain + ISW_MAX_CHAINS) {
		isw_batch_post(batch);
		chain = batch->chain;
	}
	chain->conn = conn;
	return chain;
}

/* Add the work request for pages [@first, @first + @count), mapped before. */
void isw_rdma_add(struct isw_io *io, const struct isw_grant *grant,
		  unsigned int leg, u32 first, u32 count,
		  struct isw_batch *batch)
{
	struct isw_session *s = &grant->donor->session;
	struct isw_leg_wr *lw = &io->leg[leg];
	u64 pos = (io->page + first) << ISW_PAGE_SHIFT;
	struct ib_send_wr *wr = &lw->wr.wr;
	struct isw_chain *chain;

	lw->conn = io->write ? &s->write[io->hwq] : &s->read[io->hwq];
	lw->cqe.done = rdma_done;
	wr->next = NULL;
	wr->wr_cqe = &lw->cqe;
	wr->sg_list = lw->sge;
	wr->num_sge = fill_sge(lw->dma, lw->sge, first << ISW_PAGE_SHIFT,
			       count << ISW_PAGE_SHIFT);
	wr->opcode = io->write ? IB_WR_RDMA_WRITE : IB_WR_RDMA_READ;
	wr->send_flags = IB_SEND_SIGNALED;
	lw->wr.remote_addr = grant->addr +
			     isw_slab_offset(pos, io->dev->slab_shift);
	lw->wr.rkey = grant->rkey;

	chain = chain_for(batch, lw->conn);
	if (chain->first)
		chain->last->next = wr;
	else
		chain->first = wr;
	chain->last = wr;
}

static struct isw_leg_wr *leg_wr(const struct ib_send_wr *wr)
{
	return container_of(wr->wr_cqe, struct isw_leg_wr, cqe);
}

/* A failed leg of each request from @bad on, never a failed request. */
static void chain_refused(struct isw_conn *conn, const struct ib_send_wr *bad)
{
	const struct ib_send_wr *wr;

	isw_donor_error(conn->donor, "post refused");
	for (wr = bad; wr; wr = wr->next) {
		isw_rdma_unmap(leg_wr(wr));
		isw_conn_progress(conn);
		isw_stat_inc(conn->donor->stats, errors);
		trace_isw_leg_done(leg_wr(wr), IB_WC_GENERAL_ERR);
		isw_io_leg_done(leg_wr(wr), false);
	}
}

/*
 * Post the chain with one doorbell. Until that returns, no request of the chain goes
 * on: some drivers follow it from a work request that may have completed.
 */
static void chain_post(struct isw_chain *chain)
{
	struct isw_conn *conn = chain->conn;
	const struct ib_send_wr *first = chain->first, *bad = NULL, *wr, *next;

	for (wr = first; wr; wr = wr->next) {
		isw_conn_posting(conn);
		trace_isw_leg_post(leg_wr(wr));
	}
	*chain = (struct isw_chain) {};
	if (unlikely(ib_post_send(conn->qp, first, &bad)))
		chain_refused(conn, bad);
	for (wr = first; wr; wr = next) {
		next = wr->next;
		isw_io_leg_posted(leg_wr(wr));
	}
}

/*
 * Post all that was added.
 *
 * Soft-RoCE before 6.2 runs its requester in a tasklet: with softirqs held off
 * all chains are sent in one go instead of by a wakeup of ksoftirqd for each.
 */
void isw_batch_post(struct isw_batch *batch)
{
	struct isw_chain *chain = batch->chain;

	if (!chain->conn)
		return;
	local_bh_disable();
	for (; chain < batch->chain + ISW_MAX_CHAINS && chain->conn; chain++)
		chain_post(chain);
	local_bh_enable();
}
