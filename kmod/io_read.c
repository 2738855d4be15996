// SPDX-License-Identifier: GPL-2.0-only
/*
 * A read: run by run, each from where its pages are, until all of them have come. The
 * rules of io.c hold: it does not allocate or sleep, and is driven again when what it
 * waits for is over.
 */
#include <linux/bitmap.h>
#include <linux/hash.h>
#include <linux/highmem.h>

#include "backup.h"
#include "device.h"
#include "donor.h"
#include "io.h"
#include "pages.h"
#include "rdma.h"
#include "slab.h"

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
 * there and could not be read, or came wrong. @live: the legs that may be used;
 * those of them that have the page go to @legs.
 */
static enum source page_source(u64 word, u64 avoid, unsigned int live,
			       unsigned int *legs)
{
	unsigned int have = isw_word_legs(word & ~avoid);

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
 * Reads spread: the leg with the fewest of them under way from this queue. Of those
 * with as few the page's number decides, hashed: requests begin at round ones.
 */
static int leg_for_read(struct isw_io *io, const struct isw_mapping *m,
			unsigned int legs)
{
	int best = __ffs(legs), fewest = INT_MAX, leg;
	bool last;

	if (likely(!(legs & (legs - 1))))
		return best;
	last = hash_64(io->page + io->cursor, 1);
	for (leg = 0; leg < ISW_MAX_LEGS; leg++) {
		int n;

		if (!(legs & BIT(leg)))
			continue;
		n = atomic_read(&m->leg[leg].donor->session.read[io->hwq].inflight);
		if (n < fewest || (n == fewest && last)) {
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
	atomic64_t *words = isw_io_words(io);
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

/* ---- the read ----------------------------------------------------------- */

static int leg_index(u64 copy)
{
	int i = 0;

	while (copy != ISW_WORD_LEG(i))
		i++;
	return i;
}

/* Copies of the page at the cursor are void if its word is still @word. */
static bool copies_void(struct isw_io *io, s64 word, u64 copies)
{
	if (!isw_word_try(&isw_io_words(io)[io->cursor], &word,
			  isw_word_drop_copies(word, copies)))
		return false;
	isw_slab_note_degraded(io->slab);
	return true;
}

/* Copies that came wrong of the content that @word stands for. */
static u64 read_avoids(const struct isw_io *io, u64 word)
{
	if (likely(!io->avoid) || !isw_word_is(word, isw_word_seq(io->suspect)))
		return 0;
	return io->avoid;
}

/*
 * The page at the cursor did not come from io->copy as it was written. A write
 * or discard since the request began explains that: look again. If its word has
 * not moved since before it was read, the copy is bad.
 *
 * Or the memory that it came to is: direct readers may share theirs. So a request
 * goes on without that copy, which is void when another one has come right. The
 * copier's memory is its own.
 */
static void read_suspect(struct isw_io *io)
{
	u64 page = io->page + io->cursor;
	s64 word = atomic64_read(&io->dev->words[page]);
	struct isw_donor *donor = NULL;

	if (word != io->suspect || !(word & io->copy)) {
		io->avoid = read_avoids(io, word);
		io->suspect = word;
		return;
	}
	if (isw_io_is_request(io))
		io->avoid |= io->copy;
	else if (!copies_void(io, word, io->copy))
		return;
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
	io->suspect = 0;
	io->avoid = 0;
}

static bool crc_is_right(struct isw_io *io, u32 page, u32 crc)
{
	u64 word = atomic64_read(&isw_io_words(io)[page]), wrong;

	/* one that was freed meanwhile: it is zeros now, not whatever came */
	if (!(word & ISW_WORD_WRITTEN) || isw_word_crc(word) != crc)
		return false;
	wrong = read_avoids(io, word);
	if (unlikely(wrong) && word & io->copy)
		copies_void(io, word, wrong);
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
void isw_io_read_taken(struct isw_io *io)
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
	u64 word = atomic64_read(&isw_io_words(io)[io->cursor]);
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

static enum isw_verdict read_backup(struct isw_io *io)
{
	io->copy = ISW_WORD_BACKUP;
	io->from_disk = true;
	WRITE_ONCE(io->wait, ISW_WAIT_BACKUP);
	isw_backup_read(io);
	return ISW_IO_POSTED;
}

static void read_backup_done(struct isw_io *io)
{
	io->from_disk = false;
	if (likely(!io->disk_status))
		isw_io_read_taken(io);
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

static enum isw_verdict read_leg(struct isw_io *io, struct isw_mapping *m,
				 int leg, struct isw_batch *batch)
{
	if (!isw_rdma_map(io, m, BIT(leg)))
		return isw_io_park(io, ISW_WAIT_DMA);
	isw_io_name(io, m);
	io->copy = ISW_WORD_LEG(leg);
	atomic_set(&io->acked, 0);
	atomic_set(&io->pending, 2);	/* isw_io_leg_done(), isw_io_leg_posted() */
	isw_rdma_add(io, &m->leg[leg], leg, io->cursor, io->run, batch);
	return ISW_IO_POSTED;
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

enum isw_verdict isw_io_read(struct isw_io *io, struct isw_batch *batch)
{
	if (io->from_disk)
		read_backup_done(io);
	while (io->cursor < io->count) {
		struct isw_mapping *m = rcu_dereference(io->slab->mapping);
		atomic64_t *word = isw_io_words(io) + io->cursor;
		unsigned int live = isw_legs_live(m), legs = 0;
		enum source source;
		int leg = 0;
		u64 is;

		smp_rmb();	/* the mapping before the word: mapping_moved() */
		is = atomic64_read(word);
		source = page_source(is, read_avoids(io, is) |
				     (io->disk_refused ? ISW_WORD_BACKUP : 0),
				     live, &legs);
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
				return isw_io_park(io, ISW_WAIT_BACKUP);
			return read_backup(io);
		case FROM_HELD:
			if (mapping_moved(io->slab, m))
				break;
			return isw_io_park(io, ISW_WAIT_SESSION);
		case FROM_WRITER:
			if (page_set_parked(word))
				return isw_io_park(io, ISW_WAIT_WRITER);
			break;
		case FROM_NOWHERE:
			io->status = BLK_STS_IOERR;
			if (!isw_io_is_request(io))
				return ISW_IO_DONE;	/* the copier wants all or none */
			read_lost(io);
			break;
		}
	}
	return ISW_IO_DONE;
}
