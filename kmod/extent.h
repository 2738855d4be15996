/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages next to each other that the copier brings one or more copies. */
#ifndef _ISW_EXTENT_H
#define _ISW_EXTENT_H

#include <linux/types.h>
#include <linux/wait.h>

#include "io.h"

#define ISW_COPY_EXTENTS	4	/* under way at once */
#define ISW_COPY_PAGES		16	/* of an extent: 64 KiB */

enum isw_extent_phase {
	ISW_EXTENT_IDLE,
	ISW_EXTENT_READING,
	ISW_EXTENT_WRITING,
};

struct isw_extent {
	enum isw_extent_phase phase;	/* the copier's work's alone */
	bool through;			/* what the phase waits for */
	bool paced;			/* counts for copy_rate */
	bool on_disk;			/* is staged for the disk */
	u64 needs;			/* copies, ISW_WORD_ flags */
	wait_queue_head_t *wait;	/* of who waits for the phase's end */
	struct page *pages[ISW_COPY_PAGES];
	u64 words[ISW_COPY_PAGES];	/* as they were before the read */
	struct isw_io io;
};

/* process context */
int isw_extent_alloc(struct isw_extent *e, struct isw_device *dev, unsigned int hwq,
		     wait_queue_head_t *wait);
void isw_extent_free(struct isw_extent *e);

/* The copier's work: begin a phase; it is IDLE afterwards if there is nothing to do. */
void isw_extent_start(struct isw_extent *e, u64 page, u32 count, u64 needs,
		      bool disk);
void isw_extent_write(struct isw_extent *e);

/* any context: the work requests of an extent are through */
void isw_extent_posted(struct isw_io *io);

/* Is there one, and has it come to the end of its phase? */
static inline bool isw_extent_waits(const struct isw_extent *e)
{
	/* pairs with extent_through(): what the phase left is seen */
	return e->phase != ISW_EXTENT_IDLE && smp_load_acquire(&e->through);
}

#endif /* _ISW_EXTENT_H */
