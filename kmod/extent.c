// SPDX-License-Identifier: GPL-2.0-only
/*
 * An extent of the copier, see copier.c: read as a request would, claimed if its page
 * words are still the same, written to what lacks it.
 */
#include <linux/mm.h>
#include <infiniswap/legs.h>

#include "backup.h"
#include "device.h"
#include "extent.h"
#include "mend.h"
#include "pages.h"
#include "rdma.h"
#include "slab.h"

#define DISK_RETRY	(5 * HZ)	/* of a slab with a page that it cannot read */

static struct isw_extent *extent_of(struct isw_io *io)
{
	return container_of(io, struct isw_extent, io);
}

/* What the phase waited for is over. Any context. */
static void extent_through(struct isw_extent *e)
{
	wait_queue_head_t *wait = e->wait;

	/* pairs with isw_extent_waits(): @e may be used again at once */
	smp_store_release(&e->through, true);
	wake_up(wait);
}

static void extent_read_end(struct isw_io *io)
{
	extent_through(extent_of(io));
}

/*
 * Begin to bring pages [@page, @page + @count) the copies @needs. Without @disk
 * they are not read from there, even if the legs break that were to be read.
 */
void isw_extent_start(struct isw_extent *e, u64 page, u32 count, u64 needs,
		      bool disk)
{
	struct isw_batch batch = {};
	struct isw_io *io = &e->io;
	u32 i;

	e->phase = ISW_EXTENT_READING;
	e->through = false;
	e->needs = needs;
	isw_io_reset(io, page, count);
	io->no_disk = !disk;
	sg_init_table(io->sg, count);
	for (i = 0; i < count; i++)
		sg_set_page(&io->sg[i], e->pages[i], ISW_PAGE_SIZE, 0);
	io->nents = count;

	rcu_read_lock();
	isw_io_drive(io, &batch);
	isw_batch_post(&batch);
	rcu_read_unlock();
}

static bool page_claim(atomic64_t *word, u64 was)
{
	s64 old = was;

	return isw_word_try(word, &old, isw_word_copy_begin(was));
}

/* Give BUSY of the first @count pages up; @copies were added to each. */
static void extent_unclaim(struct isw_extent *e, u32 count, u64 copies)
{
	struct isw_io *io = &e->io;
	atomic64_t *word = io->dev->words + io->page;
	bool parked = false;
	u32 i;

	for (i = 0; i < count; i++, word++) {
		s64 old = atomic64_read(word);
		u64 next;

		do {
			next = isw_word_copy_end(old, isw_word_seq(e->words[i]),
						 copies);
		} while (!isw_word_try(word, &old, next));
		parked |= old & ISW_WORD_PARKED;
	}
	if (parked)
		isw_slab_kick(io->dev, io->slab);
}

/* BUSY on all pages, whose words have not moved since they were read; or none. */
static bool extent_claim(struct isw_extent *e)
{
	atomic64_t *words = e->io.dev->words + e->io.page;
	u32 i;

	for (i = 0; i < e->io.count; i++) {
		if (!page_claim(&words[i], e->words[i])) {
			extent_unclaim(e, i, 0);
			return false;
		}
	}
	return true;
}

/* The work requests of the extent are through. Softirq or process context. */
void isw_extent_posted(struct isw_io *io)
{
	struct isw_extent *e = extent_of(io);

	extent_unclaim(e, io->count,
		       isw_word_of_legs(atomic_read(&io->acked)));
	isw_io_unname(io);	/* only now: the words say what the legs hold */
	if (e->on_disk)
		isw_staging_settle(io, true);
	if (atomic_read(&io->acked) || e->on_disk)
		isw_stat_add(io->dev->stats, pages_copied, io->count);
	extent_through(e);
}

/*
 * Start to write what was read to those of @legs that are there, and to the
 * disk if it is staged. Inside an RCU section. False: nothing was started.
 */
static bool extent_post(struct isw_extent *e, unsigned int legs,
			struct isw_batch *batch)
{
	struct isw_io *io = &e->io;
	struct isw_mapping *m = rcu_dereference(io->slab->mapping);
	struct isw_legs l = {};

	if (m && !m->frozen)
		l = isw_legs_view(m);
	legs &= isw_legs_fill(&l);
	if (!legs && !e->on_disk)
		return false;
	if (legs && !isw_rdma_map(io, m, legs))
		return false;
	if (!extent_claim(e)) {
		isw_rdma_unmap_legs(io, legs);
		return false;
	}
	if (e->on_disk)
		isw_staging_publish(io);
	isw_io_post(io, m, legs, batch);
	return true;
}

/* It was read: write it. What comes of it the page words tell. */
void isw_extent_write(struct isw_extent *e)
{
	struct isw_batch batch = {};
	struct isw_io *io = &e->io;
	bool started;

	e->phase = ISW_EXTENT_IDLE;
	if (io->status == BLK_STS_IOERR && io->count > 1)
		io->slab->apart = true;
	else if (io->status == BLK_STS_IOERR && !io->no_disk)
		io->slab->disk_retry_at = jiffies + DISK_RETRY;
	if (io->status != BLK_STS_OK)
		return;
	io->write = true;
	io->copying = true;
	e->on_disk = e->needs & ISW_WORD_BACKUP && isw_staging_try(io);
	if (e->on_disk)
		isw_pages_copy_to_staged(io);

	e->phase = ISW_EXTENT_WRITING;
	e->through = false;
	rcu_read_lock();
	started = extent_post(e, isw_word_legs(e->needs), &batch);
	isw_batch_post(&batch);
	rcu_read_unlock();
	if (started)
		return;
	e->phase = ISW_EXTENT_IDLE;
	if (e->on_disk)
		isw_staging_release(io);
}

int isw_extent_alloc(struct isw_extent *e, struct isw_device *dev, unsigned int hwq,
		     wait_queue_head_t *wait)
{
	unsigned int i;

	e->wait = wait;
	isw_io_init(&e->io, dev, hwq);
	e->io.end = extent_read_end;
	for (i = 0; i < ISW_COPY_PAGES; i++) {
		e->pages[i] = alloc_page(GFP_KERNEL);
		if (!e->pages[i])
			return -ENOMEM;
	}
	return 0;
}

/* Of one that was allocated, in part, or not at all. */
void isw_extent_free(struct isw_extent *e)
{
	unsigned int i;

	if (e->io.dev)
		isw_io_exit(&e->io);
	for (i = 0; i < ISW_COPY_PAGES; i++)
		if (e->pages[i])
			__free_page(e->pages[i]);
}
