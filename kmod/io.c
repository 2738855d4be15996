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
#include <linux/bitops.h>
#include <infiniswap/legs.h>

#include "activity.h"
#include "backup.h"
#include "compat.h"
#include "copier.h"
#include "device.h"
#include "donor.h"
#include "io.h"
#include "pages.h"
#include "pm.h"
#include "rdma.h"
#include "slab.h"

#define ISW_MAX_TRIES	8	/* rounds at least that no leg acknowledged */

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

static enum verdict park(struct isw_io *io, enum isw_wait wait)
{
	WRITE_ONCE(io->wait, wait);
	return PARK;
}

/* ---- where a page is ---------------------------------------------------- */

enum source {
	FROM_ZEROS,		/* never written */
	FROM_STAGED,		/* this machine's memory has it */
	FROM_LEG,		/* a live leg has it */
	FROM_BACKUP,		/* the disk has it */
	FROM_HELD,		/* a leg has it that is away, or is being dropped */
	FROM_WRITER,		/* a write is under way, wait for it */
	FROM_NOWHERE,		/* lost */
};

/*
 * The one place that chooses where a page is read from. @avoid: copies that are
 * there and could not be read. @live: the legs that may be used; those of them
 * that have the page go to @legs.
 */
static enum source page_source(u64 word, u64 avoid, unsigned int live,
			       unsigned int *legs)
{
	unsigned int have = isw_word_legs(word);

	if (!(word & ISW_WORD_WRITTEN))
		return FROM_ZEROS;
	if (word & ISW_WORD_STAGED)
		return FROM_STAGED;
	*legs = have & live;
	if (*legs)
		return FROM_LEG;
	if (word & ISW_WORD_BACKUP & ~avoid)
		return FROM_BACKUP;
	/* the mapping may be without one that comes back: its flag has not gone */
	if (have)
		return FROM_HELD;
	return word & ISW_WORD_BUSY ? FROM_WRITER : FROM_NOWHERE;
}

/*
 * Reads spread: the leg with the fewest of them under way from this queue; if
 * there is no difference, the page's number decides.
 */
static int leg_for_read(struct isw_io *io, const struct isw_mapping *m,
			unsigned int legs)
{
	int best = __ffs(legs), fewest = INT_MAX, i;

	if (likely(!(legs & (legs - 1))))
		return best;
	for (i = 0; i < ISW_MAX_LEGS; i++) {
		int leg = ((u32)io->page + io->cursor + i) % ISW_MAX_LEGS, n;

		if (!(legs & BIT(leg)))
			continue;
		n = atomic_read(&m->leg[leg].donor->session.read[io->hwq].inflight);
		if (n < fewest) {
			fewest = n;
			best = leg;
		}
	}
	return best;
}

/* How many pages from the cursor on have the source (@leg) of the first one. */
static u32 source_run(struct isw_io *io, unsigned int live, enum source source,
		      int leg)
{
	atomic64_t *words = io_words(io);
	u32 i = io->cursor + 1;
	unsigned int legs = 0;

	while (i < io->count &&
	       page_source(atomic64_read(&words[i]), 0, live, &legs) == source &&
	       (source != FROM_LEG || legs & BIT(leg)))
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
	} while (!isw_word_try(word, &old, old | ISW_WORD_PARKED));
	return true;
}

/* ---- read --------------------------------------------------------------- */

static int leg_index(u64 copy)
{
	int i = 0;

	while (copy != ISW_WORD_LEG(i))
		i++;
	return i;
}

/*
 * The page at the cursor did not come from io->copy as it was written. A write
 * or discard since the request began explains that: look again. If its word has
 * not moved between two such readings, the copy is bad, and void from here on.
 */
static void read_suspect(struct isw_io *io)
{
	u64 page = io->page + io->cursor;
	s64 word = atomic64_read(&io->dev->words[page]);
	struct isw_donor *donor = NULL;

	if (word != io->suspect) {
		io->suspect = word;
		return;
	}
	io->suspect = 0;
	if (!isw_word_try(&io->dev->words[page], &word,
			  isw_word_drop_copies(word, io->copy)))
		return;
	isw_slab_note_degraded(io->slab);
	isw_stat_inc(io->dev->stats, crc_errors);
	if (io->copy & ISW_WORD_LEGS) {
		/* still named: the leg is what it was */
		donor = io->mapping->leg[leg_index(io->copy)].donor;
		isw_stat_inc(donor->stats, crc_errors);
	}
	pr_err_ratelimited("%s: page %llu came wrong from %s\n", io->dev->name,
			   page, donor ? donor->name : "backup");
}

/* The next @count pages are done. */
static void read_on(struct isw_io *io, u32 count)
{
	io->cursor += count;
	io->disk_refused = false;
}

static bool crc_is_right(struct isw_io *io, u32 page, u32 crc)
{
	u64 word = atomic64_read(&io_words(io)[page]);

	/* one that was freed meanwhile: it is zeros now, not whatever came */
	if (!(word & ISW_WORD_WRITTEN) || isw_word_crc(word) != crc)
		return false;
	read_on(io, 1);
	return true;
}

/* The copier's are pages_copied, if it comes to that. */
static void count_pages_in(struct isw_io *io, u32 count)
{
	if (!isw_io_is_request(io))
		return;
	if (io->copy == ISW_WORD_BACKUP)
		isw_stat_add(io->dev->stats, pages_in_backup, count);
	else
		isw_stat_add(io->dev->stats, pages_in_remote, count);
}

/* The run came from io->copy: take what is right of it. */
static void read_taken(struct isw_io *io)
{
	u32 before = io->cursor, end = before + io->run;

	if (io->dev->cfg.integrity)
		isw_pages_crc(io, before, io->run, crc_is_right);
	else
		read_on(io, io->run);
	count_pages_in(io, io->cursor - before);
	if (unlikely(io->cursor != end))
		read_suspect(io);
}

/* If the word has moved meanwhile, nothing is done: look again. */
static void read_staged(struct isw_io *io)
{
	struct isw_staging *st = &io->dev->backup->staging;
	u64 word = atomic64_read(&io_words(io)[io->cursor]);
	struct isw_staged *slot;
	void *from;

	slot = isw_staging_get(st, io->page + io->cursor, isw_word_seq(word));
	if (!slot)
		return;
	from = kmap_local_page(slot->page);
	isw_pages_copy_from(io, io->cursor, from);
	kunmap_local(from);
	isw_staging_put(st, slot);
	if (isw_io_is_request(io))
		isw_stat_inc(io->dev->stats, pages_in_staged);
	read_on(io, 1);
}

static enum verdict read_backup(struct isw_io *io)
{
	io->copy = ISW_WORD_BACKUP;
	io->from_disk = true;
	WRITE_ONCE(io->wait, ISW_WAIT_BACKUP);
	isw_backup_read(io);
	return POSTED;
}

static void read_backup_done(struct isw_io *io)
{
	io->from_disk = false;
	if (likely(!io->disk_status))
		read_taken(io);
	else if (io->run > 1)
		io->one_by_one = true;
	else
		io->disk_refused = true;
}

/* The run is lost; what is behind it may not be. */
static void read_lost(struct isw_io *io)
{
	if (!io->some_lost)
		bitmap_zero(io->lost, ISW_MAX_REQUEST / ISW_PAGE_SIZE);
	io->some_lost = true;
	bitmap_set(io->lost, io->cursor, io->run);
	read_on(io, io->run);
}

static enum verdict read_leg(struct isw_io *io, struct isw_mapping *m, int leg,
			     struct isw_batch *batch)
{
	if (!isw_rdma_map(io, m, BIT(leg)))
		return park(io, ISW_WAIT_DMA);
	isw_io_name(io, m);
	io->copy = ISW_WORD_LEG(leg);
	atomic_set(&io->acked, 0);
	atomic_set(&io->pending, 2);	/* isw_io_leg_done(), isw_io_leg_posted() */
	isw_rdma_add(io, &m->leg[leg], leg, io->cursor, io->run, batch);
	return POSTED;
}

/*
 * The word was read after @m: a leg that was added in between may have the page.
 * Nobody waits because of a mapping that does not hold any more.
 */
static bool mapping_moved(struct isw_slab *slab, const struct isw_mapping *m)
{
	smp_rmb();	/* the word before the mapping, this time */
	return rcu_access_pointer(slab->mapping) != m;
}

static enum verdict io_read(struct isw_io *io, struct isw_batch *batch)
{
	if (io->from_disk)
		read_backup_done(io);
	while (io->cursor < io->count) {
		struct isw_mapping *m = rcu_dereference(io->slab->mapping);
		atomic64_t *word = io_words(io) + io->cursor;
		unsigned int live = isw_legs_live(m), legs = 0;
		enum source source;
		int leg = 0;

		smp_rmb();	/* the mapping before the word: mapping_moved() */
		source = page_source(atomic64_read(word),
				     io->disk_refused ? ISW_WORD_BACKUP : 0, live,
				     &legs);
		if (source == FROM_LEG)
			leg = leg_for_read(io, m, legs);
		io->run = io->one_by_one ? 1 :
			  source_run(io, live, source, leg);
		switch (source) {
		case FROM_ZEROS:
			isw_pages_zero(io, io->cursor, io->run);
			read_on(io, io->run);
			break;
		case FROM_STAGED:
			read_staged(io);
			break;
		case FROM_LEG:
			return read_leg(io, m, leg, batch);
		case FROM_BACKUP:
			if (unlikely(io->no_disk))
				return park(io, ISW_WAIT_BACKUP);
			return read_backup(io);
		case FROM_HELD:
			if (mapping_moved(io->slab, m))
				break;
			return park(io, ISW_WAIT_SESSION);
		case FROM_WRITER:
			if (page_set_parked(word))
				return park(io, ISW_WAIT_WRITER);
			break;
		case FROM_NOWHERE:
			io->status = BLK_STS_IOERR;
			if (!isw_io_is_request(io))
				return DONE;	/* the copier wants all or none */
			read_lost(io);
			break;
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
				next = isw_word_write_end(old, copies);
			else
				next = old & ~(ISW_WORD_BUSY | ISW_WORD_PARKED);
		} while (!isw_word_try(word, &old, next));
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
	} while (!isw_word_try(word, &old, next));
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

static bool page_begin(struct isw_io *io, u32 page, u32 crc)
{
	atomic64_t *word = &io_words(io)[page];
	s64 old = atomic64_read(word);

	while (!isw_word_try(word, &old, isw_word_write_begin(old, crc)))
		;
	return true;
}

/* The legs are written from the staged copies. */
static void write_stage(struct isw_io *io)
{
	struct isw_staged *slot;
	int i = 0;

	isw_pages_copy_to_staged(io);
	sg_init_table(io->sg, io->count);
	list_for_each_entry(slot, &io->staged, io_node)
		sg_set_page(&io->sg[i++], slot->page, ISW_PAGE_SIZE, 0);
	io->nents = i;
	io->filled = true;
}

/* From here on no older copy of these pages counts. */
static void write_begin(struct isw_io *io)
{
	u32 i;

	if (io->reserved)
		isw_staging_publish(io);
	else if (io->dev->cfg.integrity)
		isw_pages_crc(io, 0, io->count, page_begin);
	else
		for (i = 0; i < io->count; i++)
			page_begin(io, i, 0);
	io->begun = true;
}

/* Give up a write that nothing is under way of. */
static void write_fail(struct isw_io *io)
{
	io->status = BLK_STS_IOERR;
	if (io->reserved)
		isw_staging_release(io);
	if (io->claimed)
		write_unclaim(io, io->count, 0);
}

/*
 * Without a mapping: ask for one and wait, not longer than stall_ms. With a backup
 * only if that is a local matter, a grant being held ready, and for a tick. A slab
 * that is not hot does without.
 */
static bool write_awaits_mapping(struct isw_io *io)
{
	struct isw_device *dev = io->dev;

	if (!isw_activity_hot(dev, io->slab))
		return false;
	isw_slab_want(dev, io->slab);
	if (dev->backup && !READ_ONCE(dev->nr_ready))
		return false;
	if (!io->deadline || (!dev->backup && isw_pm_asleep()))
		io->deadline = (jiffies + (dev->backup ? ISW_TICK :
					   isw_stall_jiffies(dev))) | 1;
	return time_before_eq(jiffies, io->deadline);
}

/*
 * What reads as zeros anyway needs no copy anywhere: the pages are as if they had
 * been discarded. False: they are owned by somebody else.
 */
static bool write_zeros(struct isw_io *io)
{
	if (!write_claim(io))
		return false;
	isw_pages_discard(io->dev, io->page, io->count);
	write_unclaim(io, io->count, 0);
	return true;
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

static enum verdict io_write(struct isw_io *io, struct isw_batch *batch)
{
	struct isw_device *dev = io->dev;
	struct isw_mapping *m;
	unsigned int legs;

	if (!io->reserved && !io->claimed && isw_pages_all_zero(io))
		return write_zeros(io) ? DONE : park(io, ISW_WAIT_WRITER);
	if (dev->backup && !io->filled) {
		if (!io->reserved && !isw_staging_reserve(io))
			return POSTED;	/* to the line: driven again with slots */
		if (!io->reserved) {
			write_fail(io);
			return DONE;
		}
		write_stage(io);
	}
	if (!io->claimed && !write_claim(io))
		return park(io, ISW_WAIT_WRITER);

	m = rcu_dereference(io->slab->mapping);
	if (!m) {
		if (write_awaits_mapping(io))
			return park(io, ISW_WAIT_MAPPING);
		if (!dev->backup) {
			write_fail(io);
			return DONE;
		}
	} else if (m->frozen) {
		return park(io, ISW_WAIT_THAW);
	}
	io->deadline = 0;
	legs = m ? isw_legs_live(m) & ~m->retiring : 0;
	/* what a leg misses the copier brings it; one must be there, or the disk */
	if (!dev->backup && !legs)
		return park(io, ISW_WAIT_SESSION);
	if (legs && !isw_rdma_map(io, m, legs))
		return park(io, ISW_WAIT_DMA);
	if (!io->begun)
		write_begin(io);

	isw_io_post(io, m, legs, batch);
	return POSTED;
}

/* ---- both --------------------------------------------------------------- */

/* All of @io, whatever was read so far. */
static void io_fail(struct isw_io *io)
{
	if (io->write)
		write_fail(io);
	io->some_lost = false;
	io->status = BLK_STS_IOERR;
}

/* Take the request as far as it gets. Caller is inside an RCU section. */
void isw_io_drive(struct isw_io *io, struct isw_batch *batch)
{
	for (;;) {
		unsigned int kicks = isw_slab_kicks(io->slab);
		enum verdict v;

		WRITE_ONCE(io->wait, ISW_WAIT_NOTHING);
		v = io->write ? io_write(io, batch) : io_read(io, batch);
		if (v == PARK && unlikely(!isw_io_is_request(io))) {
			io->status = BLK_STS_AGAIN;	/* others need it more */
			v = DONE;
		}
		if (v == PARK && READ_ONCE(io->dev->dying)) {
			io_fail(io);
			v = DONE;
		}
		if (v == DONE)
			io_end(io);
		if (v != PARK || isw_slab_park(io->slab, io, kicks))
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

/* False: no leg has it, it needs another go. */
static bool io_write_done(struct isw_io *io)
{
	const struct isw_mapping *m = io->mapping;
	unsigned int legs = atomic_read(&io->acked);

	if (unlikely(!legs && !io->reserved))
		return false;
	write_unclaim(io, io->count, isw_word_of_legs(legs));
	/* after the words say so: the copier looks at them again */
	if (unlikely(!m || legs != (m->used & ~m->retiring)))
		isw_slab_note_degraded(io->slab);
	if (legs)
		isw_stat_add(io->dev->stats, pages_out_remote, io->count);
	return true;
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
		isw_copier_posted(io);
		return;
	}
	if (io->write) {
		done = io_write_done(io);
	} else {
		if (likely(atomic_read(&io->acked)))
			read_taken(io);
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
