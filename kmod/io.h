/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One request's life. struct isw_io is the request's PDU: everything that the
 * request will ever need, so that its path allocates nothing.
 */
#ifndef _ISW_IO_H
#define _ISW_IO_H

#include <linux/atomic.h>
#include <linux/bio.h>
#include <linux/list.h>
#include <linux/scatterlist.h>
#include <rdma/ib_verbs.h>

#include "device.h"
#include "slab.h"

/* A request's pages as one HCA sees them, while work requests over it use them. */
struct isw_dma {
	struct isw_hca *hca;		/* NULL: not mapped */
	atomic_t users;			/* work requests, posted or about to be */
	int nents;			/* of sg as DMA-mapped */
	struct scatterlist *sg;
};

/* One work request towards one leg. */
struct isw_leg_wr {
	struct ib_cqe cqe;
	struct ib_rdma_wr wr;
	struct isw_io *io;
	struct isw_conn *conn;
	struct isw_dma *dma;
	struct ib_sge sge[ISW_MAX_SEGMENTS];
};

/* What a parked request waits for; design.md tells who kicks it then. */
enum isw_wait {
	ISW_WAIT_NOTHING,
	ISW_WAIT_MAPPING,		/* the slab has none yet */
	ISW_WAIT_THAW,			/* the slab may be unmapped soon */
	ISW_WAIT_SESSION,		/* of a leg: it is being resumed */
	ISW_WAIT_WRITER,		/* another write owns a page */
	ISW_WAIT_DMA,			/* no DMA addresses to be had */
	ISW_WAIT_STAGING,		/* room for staged copies */
	ISW_WAIT_BACKUP,		/* the disk has the only copy, or gets it */
};

struct isw_io {
	struct list_head all;		/* dev->ios */
	struct isw_device *dev;		/* these three never change */
	unsigned int hwq;		/* index among the queues of its direction */
	void (*end)(struct isw_io *io);	/* NULL: it is a request's, else extent.c's */
	bool write;

	bool claimed;			/* write: owns BUSY on all its pages */
	bool begun;			/* write: older copies are void */
	bool reserved;			/* write: has slots of staging */
	bool filled;			/* write: and they hold its pages */
	bool from_disk;			/* read: the disk has been asked */
	bool no_disk;			/* copier's: the disk is not to be asked */
	bool disk_refused;		/* read: and could not read this page */
	bool one_by_one;		/* read: nor some of a run */
	bool some_lost;			/* read: the pages in @lost are */
	bool copying;			/* copier: copies are being added */
	u8 tries;			/* rounds that no leg acknowledged */
	unsigned long failing_since;	/* jiffies: the first of them */
	u8 wait;			/* enum isw_wait: why it was parked */
	blk_status_t status;
	struct isw_slab *slab;
	u64 page;			/* first page, of the device */
	u32 count;			/* pages */
	u32 cursor;			/* read: pages done */
	u32 run;			/* read: pages under way behind cursor */
	u64 copy;			/* read: ISW_WORD_ flag of where from */
	u64 suspect;			/* read: word of the page, when it came wrong */
	u64 avoid;			/* read: its copies that did, flags of them */
	unsigned long deadline;		/* jiffies: fail if unmapped by then */
	DECLARE_BITMAP(lost, ISW_MAX_REQUEST / ISW_PAGE_SIZE);

	struct isw_mapping *mapping;	/* named while a WR may be under way */
	atomic_t pending;		/* WRs under way, twice until posted; + 1 while adding */
	atomic_t acked;			/* legs that acknowledged, a bit each */
	struct list_head node;		/* whatever list it waits on */
	struct list_head staged;	/* write: its isw_staged.io_node */

	int nents;			/* of sg */
	struct scatterlist sg[ISW_MAX_SEGMENTS];
	struct isw_dma dma[ISW_MAX_LEGS]; /* the first uses sg itself */
	struct scatterlist more_sg[ISW_MAX_LEGS - 1][ISW_MAX_SEGMENTS];
	struct isw_leg_wr leg[ISW_MAX_LEGS];

	blk_status_t disk_status;
	struct bio bio;			/* read from the backup disk */
	struct bio_vec vec[ISW_MAX_SEGMENTS];
};

struct isw_batch;

enum isw_verdict {
	ISW_IO_POSTED,			/* completions will take it on */
	ISW_IO_DONE,			/* io->status says how */
	ISW_IO_PARK,			/* wait for the slab to be kicked */
};

/* As in the trace events. */
static inline const char *isw_wait_name(u8 wait)
{
	static const char * const names[] = {
		[ISW_WAIT_NOTHING]	= "nothing",
		[ISW_WAIT_MAPPING]	= "mapping",
		[ISW_WAIT_THAW]		= "thaw",
		[ISW_WAIT_SESSION]	= "session",
		[ISW_WAIT_WRITER]	= "writer",
		[ISW_WAIT_DMA]		= "dma",
		[ISW_WAIT_STAGING]	= "staging",
		[ISW_WAIT_BACKUP]	= "backup",
	};

	return wait < ARRAY_SIZE(names) ? names[wait] : "?";
}

void isw_io_init(struct isw_io *io, struct isw_device *dev, unsigned int hwq);
void isw_io_exit(struct isw_io *io);
void isw_io_start(struct isw_io *io, struct isw_batch *batch);
void isw_io_reset(struct isw_io *io, u64 page, u32 count);
void isw_io_drive(struct isw_io *io, struct isw_batch *batch);
void isw_io_staged_end(struct isw_io *io);
void isw_io_complete(struct request *rq);
void isw_io_leg_done(struct isw_leg_wr *lw, bool ok);
void isw_io_leg_posted(struct isw_leg_wr *lw);
void isw_io_post(struct isw_io *io, struct isw_mapping *m, unsigned int legs,
		 struct isw_batch *batch);

/* io_read.c, io_write.c: as far as it gets, inside an RCU section */
enum isw_verdict isw_io_read(struct isw_io *io, struct isw_batch *batch);
enum isw_verdict isw_io_write(struct isw_io *io, struct isw_batch *batch);
/* and a round's end */
void isw_io_read_taken(struct isw_io *io);
bool isw_io_write_done(struct isw_io *io);
void isw_io_write_fail(struct isw_io *io);

static inline atomic64_t *isw_io_words(struct isw_io *io)
{
	return io->dev->words + io->page;
}

static inline enum isw_verdict isw_io_park(struct isw_io *io, enum isw_wait wait)
{
	WRITE_ONCE(io->wait, wait);
	return ISW_IO_PARK;
}

/*
 * Name the mapping that work requests are about to use. Inside the RCU section
 * that read it, so that isw_slabs_drain() waits for the request.
 */
static inline void isw_io_name(struct isw_io *io, struct isw_mapping *m)
{
	WRITE_ONCE(io->mapping, m);
}

static inline void isw_io_unname(struct isw_io *io)
{
	/* after the page words say what the legs hold: isw_slabs_drain() looks */
	smp_store_release(&io->mapping, NULL);
	/* pairs with the barrier in isw_slabs_drain() */
	smp_mb();
	if (unlikely(atomic_read(&io->dev->drainers)))
		wake_up(&io->dev->drain_wait);
}

static inline bool isw_io_is_request(const struct isw_io *io)
{
	return !io->end;
}

/* Its tag, or 65535 for the copier's. */
static inline u16 isw_io_tag(struct isw_io *io)
{
	return isw_io_is_request(io) ? blk_mq_rq_from_pdu(io)->tag : U16_MAX;
}

#endif /* _ISW_IO_H */
