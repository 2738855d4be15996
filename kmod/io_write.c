// SPDX-License-Identifier: GPL-2.0-only
/*
 * A write: staged if there is a backup, BUSY on all its pages, begun, posted to every
 * leg. The rules of io.c hold: it does not allocate or sleep, and is driven again when
 * what it waits for is over.
 */
#include "activity.h"
#include "backup.h"
#include "device.h"
#include "donor.h"
#include "io.h"
#include "pages.h"
#include "pm.h"
#include "rdma.h"
#include "slab.h"

/* Give up BUSY on the first @count pages; those who wait for it are woken. */
static void write_unclaim(struct isw_io *io, u32 count, u64 copies)
{
	atomic64_t *word = isw_io_words(io);
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
	atomic64_t *words = isw_io_words(io);
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

/* Of a write that is not claimed: and take BUSY, or ask its owner to kick the slab. */
static bool page_begin(struct isw_io *io, u32 page, u32 crc)
{
	atomic64_t *word = &isw_io_words(io)[page];
	s64 old = atomic64_read(word);
	u64 take = io->claimed ? 0 : ISW_WORD_BUSY;
	u64 next;

	do {
		if (unlikely(old & take))
			next = old | ISW_WORD_PARKED;
		else
			next = isw_word_write_begin(old | take, crc);
	} while (!isw_word_try(word, &old, next));
	io->claimed = !(old & take);
	return io->claimed;
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

/* From here on no older copy of these pages counts. False: somebody else has BUSY. */
static bool write_begin(struct isw_io *io)
{
	u32 i;

	if (io->reserved)
		isw_staging_publish(io);
	else if (io->dev->cfg.integrity)
		isw_pages_crc(io, 0, io->count, page_begin);
	else
		for (i = 0; i < io->count; i++)
			page_begin(io, i, 0);
	io->begun = io->claimed;
	return io->begun;
}

/* Give up a write that nothing is under way of. */
void isw_io_write_fail(struct isw_io *io)
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

static enum isw_verdict write_go(struct isw_io *io, struct isw_batch *batch)
{
	struct isw_device *dev = io->dev;
	struct isw_mapping *m;
	unsigned int legs;

	if (!io->reserved && !io->claimed && isw_pages_all_zero(io))
		return write_zeros(io) ? ISW_IO_DONE : isw_io_park(io, ISW_WAIT_WRITER);
	if (dev->backup && !io->filled) {
		if (!io->reserved && !isw_staging_reserve(io))
			return ISW_IO_POSTED;	/* to the line: driven again with slots */
		if (!io->reserved) {
			isw_io_write_fail(io);
			return ISW_IO_DONE;
		}
		write_stage(io);
	}
	/* a single page is taken as its write begins; of several all or none can be */
	if (!io->claimed && (io->count > 1 || io->reserved) && !write_claim(io))
		return isw_io_park(io, ISW_WAIT_WRITER);

	m = rcu_dereference(io->slab->mapping);
	if (!m) {
		if (write_awaits_mapping(io))
			return isw_io_park(io, ISW_WAIT_MAPPING);
		if (!dev->backup) {
			isw_io_write_fail(io);
			return ISW_IO_DONE;
		}
	} else if (m->frozen) {
		return isw_io_park(io, ISW_WAIT_THAW);
	}
	io->deadline = 0;
	legs = m ? isw_legs_live(m) & ~m->retiring : 0;
	/* what a leg misses the copier brings it; one must be there, or the disk */
	if (!dev->backup && !legs)
		return isw_io_park(io, ISW_WAIT_SESSION);
	if (legs && !isw_rdma_map(io, m, legs))
		return isw_io_park(io, ISW_WAIT_DMA);
	if (!io->begun && unlikely(!write_begin(io))) {
		isw_rdma_unmap_legs(io, legs);
		return isw_io_park(io, ISW_WAIT_WRITER);
	}

	isw_io_post(io, m, legs, batch);
	return ISW_IO_POSTED;
}

/* A slab that a write waits for is not empty: BUSY says so. */
enum isw_verdict isw_io_write(struct isw_io *io, struct isw_batch *batch)
{
	enum isw_verdict v = write_go(io, batch);

	if (unlikely(v == ISW_IO_PARK) && !io->claimed &&
	    io->wait != ISW_WAIT_WRITER && !write_claim(io))
		return isw_io_park(io, ISW_WAIT_WRITER);
	return v;
}

/* False: no leg has it, it needs another go. */
bool isw_io_write_done(struct isw_io *io)
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
