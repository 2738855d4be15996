// SPDX-License-Identifier: GPL-2.0-only
/*
 * A request's pages lie in memory as they please: in pieces, and not always
 * aligned (direct I/O of a user's buffer). The walk below gives them piece by
 * piece, none across a page of the device.
 */
#include <linux/crc32c.h>
#include <linux/highmem.h>
#include <linux/string.h>

#include "device.h"
#include "io.h"
#include "pages.h"
#include "staging.h"

struct walk {
	void (*piece)(struct walk *w, void *addr, u32 len);
	struct isw_io *io;
	u32 page;			/* of the request */
	u32 offset;			/* in it */

	const void *from;		/* copy_from */
	struct isw_staged *slot;	/* copy_to_staged */
	u32 crc;
	bool (*take)(struct isw_io *io, u32 page, u32 crc);
	bool enough;
};

static void walk_bytes(struct walk *w, void *addr, u32 len)
{
	while (len && !w->enough) {
		u32 n = min_t(u32, len, ISW_PAGE_SIZE - w->offset);

		w->piece(w, addr, n);
		addr += n;
		len -= n;
		w->offset += n;
		if (w->offset == ISW_PAGE_SIZE) {
			w->offset = 0;
			w->page++;
		}
	}
}

/* @len bytes of @sg from @skip on, page by page of memory. */
static void walk_sg(struct walk *w, struct scatterlist *sg, u32 skip, u32 len)
{
	size_t at = sg->offset + skip;

	while (len && !w->enough) {
		struct page *page = pfn_to_page(page_to_pfn(sg_page(sg)) +
						(at >> PAGE_SHIFT));
		u32 n = min_t(u32, len, PAGE_SIZE - offset_in_page(at));
		void *addr = kmap_local_page(page);

		walk_bytes(w, addr + offset_in_page(at), n);
		kunmap_local(addr);
		if (!w->io->write)
			flush_dcache_page(page);
		at += n;
		len -= n;
	}
}

static void walk(struct walk *w, struct isw_io *io, u32 first, u32 count)
{
	u32 pos = 0, from = first << ISW_PAGE_SHIFT;
	u32 to = from + (count << ISW_PAGE_SHIFT);
	struct scatterlist *sg;
	int i;

	w->io = io;
	w->page = first;
	for_each_sg(io->sg, sg, io->nents, i) {
		u32 a = max(pos, from), b = min(pos + sg->length, to);

		if (a < b)
			walk_sg(w, sg, a - pos, b - a);
		pos += sg->length;
		if (pos >= to || w->enough)
			return;
	}
}

static void piece_zero(struct walk *w, void *addr, u32 len)
{
	memset(addr, 0, len);
}

void isw_pages_zero(struct isw_io *io, u32 first, u32 count)
{
	struct walk w = { .piece = piece_zero };

	walk(&w, io, first, count);
}

static void piece_is_zero(struct walk *w, void *addr, u32 len)
{
	w->enough = memchr_inv(addr, 0, len);
}

/* Most pages that are not have something at one of their ends. */
static bool ends_are_zero(struct scatterlist *sg)
{
	const u64 *word;
	bool zero;

	if (sg->offset || sg->length < ISW_PAGE_SIZE)
		return true;
	word = kmap_local_page(sg_page(sg));
	zero = !(word[0] | word[ISW_PAGE_SIZE / sizeof(*word) - 1]);
	kunmap_local(word);
	return zero;
}

/* Does the request have nothing but zeros? */
bool isw_pages_all_zero(struct isw_io *io)
{
	struct walk w = { .piece = piece_is_zero };

	if (likely(!ends_are_zero(io->sg)))
		return false;
	walk(&w, io, 0, io->count);
	return !w.enough;
}

static void piece_copy_from(struct walk *w, void *addr, u32 len)
{
	memcpy(addr, w->from + w->offset, len);
}

/* @from is a whole page. */
void isw_pages_copy_from(struct isw_io *io, u32 page, const void *from)
{
	struct walk w = { .piece = piece_copy_from, .from = from };

	walk(&w, io, page, 1);
}

static void piece_stage(struct walk *w, void *addr, u32 len)
{
	void *to = kmap_local_page(w->slot->page);

	memcpy(to + w->offset, addr, len);
	if (w->offset + len == ISW_PAGE_SIZE) {
		/* of the copy: the original may have changed meanwhile */
		w->slot->crc = w->io->dev->cfg.integrity ?
			       crc32c(~0, to, ISW_PAGE_SIZE) : 0;
		w->slot = list_next_entry(w->slot, io_node);
	}
	kunmap_local(to);
}

/* Fill the slots that the request has reserved, one for each page. */
void isw_pages_copy_to_staged(struct isw_io *io)
{
	struct walk w = {
		.piece = piece_stage,
		.slot = list_first_entry(&io->staged, struct isw_staged,
					 io_node),
	};

	walk(&w, io, 0, io->count);
}

static void piece_crc(struct walk *w, void *addr, u32 len)
{
	w->crc = crc32c(w->offset ? w->crc : ~0, addr, len);
	if (w->offset + len == ISW_PAGE_SIZE)
		w->enough = !w->take(w->io, w->page, w->crc);
}

/* CRC32C of each page, to @take until it returns false. */
void isw_pages_crc(struct isw_io *io, u32 first, u32 count,
		   bool (*take)(struct isw_io *io, u32 page, u32 crc))
{
	struct walk w = { .piece = piece_crc, .take = take };

	walk(&w, io, first, count);
}
