// SPDX-License-Identifier: GPL-2.0-only
/*
 * One request's life, from queue_rq to its end: decide where its pages go to
 * or come from (io_read.c, io_write.c), post, and on trouble park until the
 * trouble is over. Nothing here allocates or sleeps. A request ends exactly
 * once, and never while a posted work request can still touch its pages.
 *
 * isw_io_drive() may be called any number of times for a request: it takes the
 * request as far as it gets. It is entered by one context at a time: the one
 * that started the request, the completion of its last work request, or the
 * work that drives parked requests again.
 */
#include <linux/bitops.h>

#include "activity.h"
#include "backup.h"
#include "compat.h"
#include "device.h"
#include "extent.h"
#include "io.h"
#include "pages.h"
#include "rdma.h"
#include "slab.h"

#define ISW_MAX_TRIES	8	/* rounds at least that no leg acknowledged */

static struct request *io_rq(struct isw_io *io)
{
	return blk_mq_rq_from_pdu(io);
}

static void io_end(struct isw_io *io)
{
	struct request *rq = io_rq(io);

	if (unlikely(!isw_io_is_request(io))) {
		io->end(io);
		return;
	}
	if (unlikely(io->status != BLK_STS_OK)) {
		if (io->write)
			isw_stat_inc(io->dev->stats, write_errors);
		else
			isw_stat_inc(io->dev->stats, read_errors);
	}
	if (!blk_mq_complete_request_remote(rq))
		isw_io_complete(rq);
}

/*
 * Requests are merged from what does not know of each other: a page that is lost
 * does not take its neighbours with it.
 */
void isw_io_complete(struct request *rq)
{
	struct isw_io *io = blk_mq_rq_to_pdu(rq);
	u32 i = 0;

	if (likely(!io->some_lost)) {
		blk_mq_end_request(rq, io->status);
		return;
	}
	while (blk_update_request(rq, test_bit(i, io->lost) ? BLK_STS_IOERR :
				  BLK_STS_OK, ISW_PAGE_SIZE))
		i++;
	__blk_mq_end_request(rq, io->status);
}

static void io_put(struct isw_io *io);

/*
 * All pages of @io to @legs of @m, mapped for them; @m is NULL if there is none.
 * The round may end here only if there is no leg: else the batch has the last.
 */
void isw_io_post(struct isw_io *io, struct isw_mapping *m, unsigned int legs,
		 struct isw_batch *batch)
{
	unsigned int leg;

	if (m)
		isw_io_name(io, m);
	atomic_set(&io->acked, 0);
	atomic_set(&io->pending, 1);	/* completions may come while we add */
	for (leg = 0; leg < ISW_MAX_LEGS; leg++) {
		if (!(legs & BIT(leg)))
			continue;
		atomic_add(2, &io->pending);
		isw_rdma_add(io, &m->leg[leg], leg, 0, io->count, batch);
	}
	io_put(io);
}

/* All of @io, whatever was read so far. */
static void io_fail(struct isw_io *io)
{
	if (io->write)
		isw_io_write_fail(io);
	io->some_lost = false;
	io->status = BLK_STS_IOERR;
}

/* Take the request as far as it gets. Caller is inside an RCU section. */
void isw_io_drive(struct isw_io *io, struct isw_batch *batch)
{
	for (;;) {
		unsigned int kicks = isw_slab_kicks(io->slab);
		enum isw_verdict v;

		WRITE_ONCE(io->wait, ISW_WAIT_NOTHING);
		v = io->write ? isw_io_write(io, batch) : isw_io_read(io, batch);
		if (v == ISW_IO_PARK && unlikely(!isw_io_is_request(io))) {
			io->status = BLK_STS_AGAIN;	/* others need it more */
			v = ISW_IO_DONE;
		}
		if (v == ISW_IO_PARK && READ_ONCE(io->dev->dying)) {
			io_fail(io);
			v = ISW_IO_DONE;
		}
		if (v == ISW_IO_DONE)
			io_end(io);
		if (v != ISW_IO_PARK || isw_slab_park(io->slab, io, kicks))
			return;
	}
}

/* Once, before the first use. */
void isw_io_init(struct isw_io *io, struct isw_device *dev, unsigned int hwq)
{
	unsigned int i;

	io->dev = dev;
	io->hwq = hwq;
	for (i = 0; i < ISW_MAX_LEGS; i++) {
		io->dma[i].hca = NULL;
		io->dma[i].sg = i ? io->more_sg[i - 1] : io->sg;
	}
	spin_lock(&dev->ios_lock);
	list_add_tail(&io->all, &dev->ios);
	spin_unlock(&dev->ios_lock);
}

/* After the last use. */
void isw_io_exit(struct isw_io *io)
{
	spin_lock(&io->dev->ios_lock);
	list_del(&io->all);
	spin_unlock(&io->dev->ios_lock);
}

/* For each use: pages [@page, @page + @count), one slab's, to be read. */
void isw_io_reset(struct isw_io *io, u64 page, u32 count)
{
	struct isw_device *dev = io->dev;

	io->page = page;
	io->count = count;
	io->slab = &dev->slabs[page >> (dev->slab_shift - ISW_PAGE_SHIFT)];
	io->status = BLK_STS_OK;
	io->write = false;
	io->cursor = 0;
	io->claimed = false;
	io->begun = false;
	io->reserved = false;
	io->filled = false;
	io->from_disk = false;
	io->disk_refused = false;
	io->one_by_one = false;
	io->some_lost = false;
	io->no_disk = false;
	io->copying = false;
	io->suspect = 0;
	io->avoid = 0;
	INIT_LIST_HEAD(&io->staged);
	io->tries = 0;
	io->deadline = 0;
}

void isw_io_start(struct isw_io *io, struct isw_batch *batch)
{
	struct request *rq = io_rq(io);
	u64 page = (u64)blk_rq_pos(rq) >> (ISW_PAGE_SHIFT - SECTOR_SHIFT);
	u32 count = blk_rq_bytes(rq) >> ISW_PAGE_SHIFT;

	if (req_op(rq) == REQ_OP_DISCARD) {
		isw_pages_discard(io->dev, page, count);
		blk_mq_end_request(rq, BLK_STS_OK);
		return;
	}
	isw_io_reset(io, page, count);
	if (!READ_ONCE(io->slab->touched))
		WRITE_ONCE(io->slab->touched, true);
	io->write = req_op(rq) == REQ_OP_WRITE;
	isw_activity_count(io->dev, io->hwq +
			   (io->write ? 0 : io->dev->cfg.queues),
			   io->slab->index, count);
	sg_init_table(io->sg, blk_rq_nr_phys_segments(rq));
	io->nents = isw_rq_map_sg(rq, io->sg);
	isw_io_drive(io, batch);
}

/*
 * No leg acknowledged this round, so a session broke, through this request or through
 * another. It is held as long as those of a session that does not come back.
 */
static bool io_gives_up(struct isw_io *io)
{
	unsigned long limit = READ_ONCE(io->dev->cfg.donor_loss_timeout) * HZ;

	if (!io->tries)
		io->failing_since = jiffies;
	if (io->tries < ISW_MAX_TRIES)
		io->tries++;
	return io->tries == ISW_MAX_TRIES &&
	       time_after_eq(jiffies, io->failing_since + limit);
}

/* The last work request of a round has completed, well or not. */
static void io_round_done(struct isw_io *io)
{
	struct isw_batch batch = {};
	bool done;

	if (unlikely(io->copying)) {
		isw_extent_posted(io);
		return;
	}
	if (io->write) {
		done = isw_io_write_done(io);
	} else {
		if (likely(atomic_read(&io->acked)))
			isw_io_read_taken(io);
		done = io->cursor == io->count;
	}
	isw_io_unname(io);	/* only now: the words say what the legs hold */

	if (io->reserved) {
		if (!isw_staging_settle(io, atomic_read(&io->acked)))
			return;		/* isw_io_staged_end() */
	}
	if (!done && unlikely(!atomic_read(&io->acked)) && io_gives_up(io)) {
		io_fail(io);
		done = true;
	}
	if (done) {
		io_end(io);
		return;
	}
	rcu_read_lock();
	isw_io_drive(io, &batch);
	isw_batch_post(&batch);
	rcu_read_unlock();
}

/* The disk was the last thing that a write waited for. Any context. */
void isw_io_staged_end(struct isw_io *io)
{
	io_end(io);
}

/* Drop one of io->pending; the last one takes the request on. */
static void io_put(struct isw_io *io)
{
	if (atomic_dec_and_test(&io->pending))
		io_round_done(io);
}

/*
 * A work request completed or could not be posted. On failure the session is
 * marked broken before the request goes on, so that it parks rather than
 * spins. Softirq or process context.
 */
void isw_io_leg_done(struct isw_leg_wr *lw, bool ok)
{
	struct isw_io *io = lw->io;

	if (likely(ok))
		atomic_or(BIT(lw - io->leg), &io->acked);
	io_put(io);
}

/*
 * The driver has done with the work request: before, it may look at it although it has
 * completed, for the next one of its chain. The same contexts.
 */
void isw_io_leg_posted(struct isw_leg_wr *lw)
{
	io_put(lw->io);
}
