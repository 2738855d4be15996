// SPDX-License-Identifier: GPL-2.0-only
/*
 * One request's life, from queue_rq to its end: decide where its pages go to
 * or come from, post, and on trouble park until the trouble is over. Nothing
 * here allocates or sleeps. A request ends exactly once, and never while a
 * posted work request can still touch its pages.
 *
 * isw_io_drive() may be called any number of times for a request: it takes the
 * request as far as it gets. It is entered by one context at a time: the one
 * that started the request, the completion of its last work request, or the
 * work that drives parked requests again.
 */
#include <linux/bvec.h>

#include "compat.h"
#include "device.h"
#include "donor.h"
#include "io.h"
#include "rdma.h"
#include "slab.h"

#define ISW_MAX_TRIES	8	/* failed work requests, each of another session */

enum verdict {
	POSTED,			/* completions will take it on */
	DONE,			/* io->status says how */
	PARK,			/* wait for the slab to be kicked */
};

static struct request *io_rq(struct isw_io *io)
{
	return blk_mq_rq_from_pdu(io);
}

static atomic64_t *io_words(struct isw_io *io)
{
	return io->dev->words + io->page;
}

/*
 * Name the mapping that work requests are about to use. Inside the RCU section
 * that read it, so that isw_slab_publish() waits for the request.
 */
static void io_name(struct isw_io *io, struct isw_mapping *m)
{
	WRITE_ONCE(io->mapping, m);
}

static void io_unname(struct isw_io *io)
{
	/* after the page words say what the legs hold: isw_slabs_drain() looks */
	smp_store_release(&io->mapping, NULL);
	/* pairs with the barrier in isw_slabs_drain() */
	smp_mb();
	if (unlikely(atomic_read(&io->dev->drainers)))
		wake_up(&io->dev->drain_wait);
}

static void io_end(struct isw_io *io)
{
	struct request *rq = io_rq(io);

	isw_rdma_unmap(io);
	if (unlikely(io->status != BLK_STS_OK)) {
		if (io->write)
			isw_stat_inc(io->dev->stats, write_errors);
		else
			isw_stat_inc(io->dev->stats, read_errors);
	}
	if (!blk_mq_complete_request_remote(rq))
		blk_mq_end_request(rq, io->status);
}

static enum verdict park(struct isw_io *io, enum isw_wait wait)
{
	WRITE_ONCE(io->wait, wait);
	return PARK;
}

/* ---- where a page is ---------------------------------------------------- */

enum source {
	FROM_ZEROS,		/* never written */
	FROM_LEG,		/* a live leg has it */
	FROM_HELD,		/* a leg has it whose session is being resumed */
	FROM_WRITER,		/* a write is under way, wait for it */
	FROM_NOWHERE,		/* lost */
};

/* The one place that chooses where a page is read from. */
static enum source page_source(u64 word, const struct isw_mapping *m, int *leg)
{
	bool held = false;
	int i;

	if (!(word & ISW_WORD_WRITTEN))
		return FROM_ZEROS;
	for (i = 0; m && i < ISW_MAX_LEGS; i++) {
		if (!(word & ISW_WORD_LEG(i)) || !m->leg[i].donor)
			continue;
		if (isw_donor_live(m->leg[i].donor)) {
			*leg = i;
			return FROM_LEG;
		}
		held = true;
	}
	if (held)
		return FROM_HELD;
	return word & ISW_WORD_BUSY ? FROM_WRITER : FROM_NOWHERE;
}

/* How many pages from the cursor on have the source of the first one. */
static u32 source_run(struct isw_io *io, const struct isw_mapping *m,
		      enum source source, int leg)
{
	atomic64_t *words = io_words(io);
	u32 i = io->cursor + 1;
	int l = leg;

	while (i < io->count &&
	       page_source(atomic64_read(&words[i]), m, &l) == source && l == leg)
		i++;
	return i - io->cursor;
}

/* Ask the owner of BUSY to kick the slab. False: there is no owner (now). */
static bool page_set_parked(atomic64_t *word)
{
	s64 old = atomic64_read(word);

	do {
		if (!(old & ISW_WORD_BUSY))
			return false;
	} while (!atomic64_try_cmpxchg(word, &old, old | ISW_WORD_PARKED));
	return true;
}

/* ---- read --------------------------------------------------------------- */

static void zero_run(struct isw_io *io, u32 run)
{
	u32 from = io->cursor << ISW_PAGE_SHIFT;
	u32 to = from + (run << ISW_PAGE_SHIFT);
	struct req_iterator iter;
	struct bio_vec bv;
	u32 pos = 0;

	rq_for_each_segment(bv, io_rq(io), iter) {
		u32 a = max(pos, from), b = min(pos + bv.bv_len, to);

		if (a < b) {
			struct bio_vec part = bv;

			part.bv_offset += a - pos;
			part.bv_len = b - a;
			memzero_bvec(&part);
		}
		pos += bv.bv_len;
	}
}

static enum verdict read_leg(struct isw_io *io, struct isw_mapping *m, int leg,
			     struct isw_batch *batch)
{
	if (!isw_rdma_map(io, m->leg[leg].donor))
		return park(io, ISW_WAIT_DMA);
	io_name(io, m);
	atomic_set(&io->acked, 0);
	atomic_set(&io->pending, 1);
	isw_rdma_add(io, &m->leg[leg], leg, io->cursor, io->run, batch);
	return POSTED;
}

static enum verdict io_read(struct isw_io *io, struct isw_batch *batch)
{
	while (io->cursor < io->count) {
		struct isw_mapping *m = rcu_dereference(io->slab->mapping);
		atomic64_t *word = io_words(io) + io->cursor;
		enum source source;
		int leg = 0;

		source = page_source(atomic64_read(word), m, &leg);
		io->run = source_run(io, m, source, leg);
		switch (source) {
		case FROM_ZEROS:
			isw_rdma_unmap(io);	/* the CPU writes now */
			zero_run(io, io->run);
			io->cursor += io->run;
			break;
		case FROM_LEG:
			return read_leg(io, m, leg, batch);
		case FROM_HELD:
			return park(io, ISW_WAIT_SESSION);
		case FROM_WRITER:
			if (page_set_parked(word))
				return park(io, ISW_WAIT_WRITER);
			break;
		case FROM_NOWHERE:
			io->status = BLK_STS_IOERR;
			return DONE;
		}
	}
	return DONE;
}

/* ---- write -------------------------------------------------------------- */

/* Give up BUSY on the first @count pages; those who wait for it are woken. */
static void write_unclaim(struct isw_io *io, u32 count, u64 copies)
{
	atomic64_t *word = io_words(io);
	bool parked = false;

	for (; count; count--, word++) {
		s64 old = atomic64_read(word);
		u64 next;

		do {
			if (io->begun)
				next = isw_word_write_end(old, copies, 0);
			else
				next = old & ~(ISW_WORD_BUSY | ISW_WORD_PARKED);
		} while (!atomic64_try_cmpxchg(word, &old, next));
		parked |= old & ISW_WORD_PARKED;
	}
	if (unlikely(parked))
		isw_slab_kick(io->dev, io->slab);
}

/* Take BUSY; if it is taken, ask its owner to kick the slab. */
static bool page_claim(atomic64_t *word)
{
	s64 old = atomic64_read(word);
	u64 next;

	do {
		next = old | (old & ISW_WORD_BUSY ? ISW_WORD_PARKED :
						    ISW_WORD_BUSY);
	} while (!atomic64_try_cmpxchg(word, &old, next));
	return !(old & ISW_WORD_BUSY);
}

/* Take BUSY on all pages or on none. */
static bool write_claim(struct isw_io *io)
{
	atomic64_t *words = io_words(io);
	u32 i;

	for (i = 0; i < io->count; i++) {
		if (!page_claim(&words[i])) {
			write_unclaim(io, i, 0);
			return false;
		}
	}
	io->claimed = true;
	return true;
}

/* From here on no older copy of these pages counts. */
static void write_begin(struct isw_io *io)
{
	atomic64_t *word = io_words(io);
	u32 i;

	for (i = 0; i < io->count; i++, word++) {
		s64 old = atomic64_read(word);

		while (!atomic64_try_cmpxchg(word, &old,
					     isw_word_write_begin(old)))
			;
	}
	io->begun = true;
}

static void write_fail(struct isw_io *io)
{
	io->status = BLK_STS_IOERR;
	write_unclaim(io, io->count, 0);
}

/* Every leg of the mapping takes part, so each must be live. */
static bool legs_live(const struct isw_mapping *m)
{
	int i;

	for (i = 0; i < ISW_MAX_LEGS; i++)
		if (m->leg[i].donor && !isw_donor_live(m->leg[i].donor))
			return false;
	return true;
}

static void io_put(struct isw_io *io);

static enum verdict io_write(struct isw_io *io, struct isw_batch *batch)
{
	struct isw_mapping *m;
	int i;

	if (!io->claimed && !write_claim(io))
		return park(io, ISW_WAIT_WRITER);

	m = rcu_dereference(io->slab->mapping);
	if (!m) {
		if (!io->deadline)
			io->deadline = (jiffies + isw_stall_jiffies(io->dev)) | 1;
		if (time_after(jiffies, io->deadline)) {
			write_fail(io);
			return DONE;
		}
		isw_slab_want(io->dev, io->slab);
		return park(io, ISW_WAIT_MAPPING);
	}
	io->deadline = 0;
	if (m->frozen)
		return park(io, ISW_WAIT_THAW);
	if (!legs_live(m))
		return park(io, ISW_WAIT_SESSION);
	for (i = 0; i < ISW_MAX_LEGS; i++)
		if (m->leg[i].donor && !isw_rdma_map(io, m->leg[i].donor))
			return park(io, ISW_WAIT_DMA);
	if (!io->begun)
		write_begin(io);

	io_name(io, m);
	atomic_set(&io->acked, 0);
	atomic_set(&io->pending, 1);	/* completions may come while we add */
	for (i = 0; i < ISW_MAX_LEGS; i++) {
		if (!m->leg[i].donor)
			continue;
		atomic_inc(&io->pending);
		isw_rdma_add(io, &m->leg[i], i, 0, io->count, batch);
	}
	io_put(io);	/* not the last: one work request is in the batch yet */
	return POSTED;
}

/* ---- both --------------------------------------------------------------- */

/* Take the request as far as it gets. Caller is inside an RCU section. */
void isw_io_drive(struct isw_io *io, struct isw_batch *batch)
{
	for (;;) {
		unsigned int kicks = isw_slab_kicks(io->slab);
		enum verdict v;

		WRITE_ONCE(io->wait, ISW_WAIT_NOTHING);
		v = io->write ? io_write(io, batch) : io_read(io, batch);
		if (v == PARK && READ_ONCE(io->dev->dying)) {
			if (io->claimed)
				write_fail(io);
			io->status = BLK_STS_IOERR;
			v = DONE;
		}
		if (v == DONE)
			io_end(io);
		else if (v == PARK)
			isw_rdma_unmap(io);	/* the HCA may go meanwhile */
		if (v != PARK || isw_slab_park(io->slab, io, kicks))
			return;
	}
}

void isw_io_start(struct isw_io *io, struct isw_batch *batch)
{
	struct request *rq = io_rq(io);
	struct isw_device *dev = io->dev;
	u64 pos = (u64)blk_rq_pos(rq) << SECTOR_SHIFT;

	io->page = pos >> ISW_PAGE_SHIFT;
	io->status = BLK_STS_OK;

	if (req_op(rq) == REQ_OP_DISCARD) {
		isw_pages_discard(dev, io->page,
				  blk_rq_bytes(rq) >> ISW_PAGE_SHIFT);
		blk_mq_end_request(rq, BLK_STS_OK);
		return;
	}

	io->write = req_op(rq) == REQ_OP_WRITE;
	io->slab = &dev->slabs[isw_slab_of(pos, dev->slab_shift)];
	io->count = blk_rq_bytes(rq) >> ISW_PAGE_SHIFT;
	io->cursor = 0;
	io->claimed = false;
	io->begun = false;
	io->tries = 0;
	io->deadline = 0;
	io->hca = NULL;
	sg_init_table(io->sg, ISW_MAX_SEGMENTS);
	io->nents = isw_rq_map_sg(rq, io->sg);
	isw_io_drive(io, batch);
}

static void io_read_done(struct isw_io *io)
{
	if (likely(atomic_read(&io->acked))) {
		isw_stat_add(io->dev->stats, pages_in_remote, io->run);
		io->cursor += io->run;
	}
}

/* True: the write is over. False: no leg has it, it needs another go. */
static bool io_write_done(struct isw_io *io)
{
	u64 legs = atomic_read(&io->acked), copies = 0;
	int i;

	if (unlikely(!legs))
		return false;
	for (i = 0; i < ISW_MAX_LEGS; i++)
		if (legs & BIT(i))
			copies |= ISW_WORD_LEG(i);
	write_unclaim(io, io->count, copies);
	isw_stat_add(io->dev->stats, pages_out_remote, io->count);
	return true;
}

/* The last work request of a round has completed, well or not. */
static void io_round_done(struct isw_io *io)
{
	struct isw_batch batch = {};
	bool done;

	if (io->write) {
		done = io_write_done(io);
	} else {
		io_read_done(io);
		done = io->cursor == io->count;
	}
	io_unname(io);	/* only now: the words say what the legs hold */

	if (!done && unlikely(io->tries >= ISW_MAX_TRIES)) {
		if (io->write)
			write_fail(io);
		io->status = BLK_STS_IOERR;
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
	else
		io->tries++;
	io_put(io);
}
