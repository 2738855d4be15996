/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A model of one page of one slab: all that happens to its word, its mapping,
 * its copies and the sessions behind them, in steps as small as what others can
 * see between them. docs/design.md, "The model", tells what is in it. Words, legs
 * and the states of donors change by pageword.h, legs.h and fsm.h alone.
 *
 * This file: what a state is, and what a search is bounded by. A content is known
 * by the sequence of the write that brought it, which is its CRC as well.
 */
#ifndef TESTS_UNIT_MODEL_STATE_H
#define TESTS_UNIT_MODEL_STATE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <infiniswap/fsm.h>
#include <infiniswap/legs.h>
#include <infiniswap/pagecheck.h>
#include <infiniswap/pageword.h>

#define WRITTEN		ISW_WORD_WRITTEN
#define BUSY		ISW_WORD_BUSY
#define PARKED		ISW_WORD_PARKED
#define STAGED		ISW_WORD_STAGED
#define BACKUP		ISW_WORD_BACKUP

#define ZEROS		0		/* contents that no write brought */
#define GARBAGE		15

#define MAX_DONORS	4
#define MAX_WRITERS	2
#define DISK		MAX_DONORS	/* among the faults */
#define READER		(DISK + 1)	/* the same: its memory */

/* Rules that a test may have broken, to see that the model minds. */
enum rule {
	NONE_BROKEN,
	CLEAR_BEFORE_DRAIN,		/* flags of a leg, while writes still name it */
	REUSE_BEFORE_DRAIN,		/* of a leg slot */
	PUBLISH_TWICE,			/* without a drain in between */
	CLEAR_NOTHING,			/* flags of a leg stay when it goes */
	COPY_WITHOUT_COMPARING,		/* whatever the word is now, it is claimed */
	COPY_BUSY_PAGES,		/* compared, but may be another's */
	COPY_END_UNCHECKED,		/* copies count, whatever the sequence */
	COPY_NAMES_NOTHING,		/* no drain waits for the copier */
	DROP_UNCHECKED,			/* a retiring leg, whatever is only there */
	DROP_TRUSTS_STAGED,		/* a copy staged before the drain is enough */
	DROP_TRUSTS_ONE,		/* any one copy elsewhere is enough */
	DROP_WITHOUT_OTHERS,		/* no leg that counts is live any more */
	END_IGNORES_DISCARD,		/* a write's copies count although it was freed */
	END_AT_FIRST_ACK,		/* not when all work requests are back */
	END_COUNTS_FAILED,		/* legs that did not acknowledge count */
	BEGIN_KEEPS_COPIES,		/* older copies still count during a write */
	SHED_ONLY_COPY,			/* a staged copy, though no leg has it */
	DISK_IGNORES_SEQUENCE,		/* the disk has it, whatever it is by now */
	DISK_REORDERS,			/* two versions of a page under way to it */
	CLAIM_TWICE,			/* BUSY is not minded */
	PARK_WITHOUT_ASKING,		/* PARKED is not set */
	PARK_WITHOUT_LOOKING,		/* kicks since the look are not minded */
	GIVE_UP_WITHOUT_KICK,
	GIVE_UP_UNDRAINED,
	DRAIN_SESSION_EARLY,		/* work requests are still posted */
	UP_WITHOUT_KICK,
	UP_WITH_OLD_GRANTS,		/* those not listed are not dropped */
	READ_WORD_FIRST,		/* and the mapping after it */
	READ_MAPPING_ONCE,		/* waits, though it was the mapping that moved */
	READ_GIVES_UP,			/* no leg it knows of has the page: it is lost */
	READ_UNCHECKED,			/* CRC not compared */
	READ_TRUSTS_FREED,		/* nor if the page holds nothing any more */
	READ_VOIDS_UNSEEN,		/* a copy, though the reader has seen no right one */
	READ_AVOIDS_TOO_LONG,		/* a copy that was wrong, though it was written anew */
	UNMAP_WITHOUT_FREEZE,
	HINT_CLEARED_LATE,		/* after the words were looked at */
	HINT_BEFORE_UP,			/* given when no copy can be made yet */
	HINT_WITHOUT_DISK,		/* cleared although the disk is to be tried */
	HINT_LOST_FROZEN,		/* not given again by the thaw */
	HINT_NOT_BY_WRITES,		/* that some legs missed */
	HINT_NOT_UNMAPPED,		/* by a write that knew no leg */
	HINT_BEFORE_DRAIN,		/* taken while older mappings are in use */
	RELENT_WITHOUT_KICK,		/* what was used no more may be kept */
	RELENT_WITHOUT_HINT,
	RULES
};

struct config {
	unsigned int wanted;		/* legs: none and backup 1, mirror 2 */
	bool backup;
	unsigned int donors;
	unsigned int mapped;		/* legs at the start */
	bool written;			/* at the start, and everywhere */

	/* how often at most */
	unsigned int writes, reads, discards;
	unsigned int breaks, losses;	/* of sessions, of donors */
	unsigned int evicts, forced, revoked, relents;
	unsigned int rots, disk_failures, unmaps;
	unsigned int smears;		/* of a reader's memory, by others */

	enum rule broken;
	bool cold;			/* slabs that the disk has are unmapped, too */
	bool races;			/* two writes at once */
	bool integrity;			/* each content is compared with its CRC */
	bool returns;			/* donors that left may come again */
};

enum { W_IDLE, W_WANT, W_SEEN, W_PARK_BUSY, W_PARK_MAP, W_CLAIMED, W_MAPPED, W_POSTED,
       W_DISK, W_KICK };
enum { R_IDLE, R_LOOK, R_MAPPED, R_PARK, R_POSTED, R_DISK, R_TAKEN };
enum { C_IDLE, C_PASS, C_SNAP, C_READ, C_TAKEN, C_CLAIMED, C_POSTED, C_KICK };
enum { M_IDLE, M_SCANNED, M_DRAIN };
enum { OP_NONE, OP_ADD, OP_RETIRE, OP_DROP, OP_LOST, OP_UNMAP, OP_THAW, OP_GONE,
       OP_BACK };

struct writer {
	__u8 phase;
	__u8 seq;			/* 0: not begun */
	__u8 stale;			/* names a mapping that is not published */
	__u8 pending, acked;		/* legs, a bit each */
	__u8 slot;			/* staged copy: 0 in use, 1 over, 2 failed */
	__u16 map;			/* named */
	__u8 looked;			/* PARK_WITHOUT_LOOKING: not parked yet */
	__u8 parked;			/* W_DISK: somebody is to be kicked */
};

struct state {
	__u16 word, snap, suspect;	/* packed words */
	__u16 map;			/* published */
	__u16 m_was;			/* OP_DROP: before it */
	__u8 donor[MAX_DONORS];		/* fsm.h */
	__u8 mark[MAX_DONORS];		/* MARK_* */
	__u8 mem[MAX_DONORS];		/* content */
	__u8 m_phase, m_op, m_legs;	/* who holds dev->lock */

	struct writer w[MAX_WRITERS];

	__u8 r_phase, r_stale, r_leg, r_content, r_floor, r_looked;
	__u16 r_map;
	__u16 r_word;			/* READ_WORD_FIRST */

	/* c_leg: read from, or + 1 when it is read, 0: from elsewhere */
	__u8 c_phase, c_stale, c_leg, c_content, c_pending, c_acked;
	__u16 c_map;

	__u8 staged;			/* sequence of the newest slot, 0: none */
	__u8 writing;			/* of the one on its way to the disk */
	__u8 disk, disk_failed;		/* content */

	__u8 floor;			/* no read may give anything older */
	__u8 discards;			/* sequences that were one, a bit each */
	__u8 failed;			/* sequences of writes that failed */
	__u8 faults, gone;		/* donors, disk, reader: a bit each */

	__u8 writes, reads, freed, breaks, losses, evicts, forced, revoked, rots,
	     disk_failures, unmaps;	/* how often so far */
	__u8 late, late_donor;		/* a write that nobody awaits; 0: to disk */
	__u8 relents, smears;
	__u8 r_smeared;			/* the content for which it was, last */
	__u8 r_avoid;			/* copies that came wrong: their flags in the word */
	__u8 hint;			/* slab->degraded */
	__u8 c_fill;			/* legs, a bit each; 8: and the disk */
	__u8 pad[4];
};

#define MARK_GRANT	1		/* memory is lent for the slab */
#define MARK_UNWANTED	2		/* EVICT or drain: wants it back */
#define MARK_REVOKED	4		/* took it back */
#define MARK_OVER	8		/* the client's deadline: used no more */

_Static_assert(sizeof(struct state) % 8 == 0, "hashed by u64");

static const struct config *model_config;
static const char *model_bad;

/* Called for each state that may follow. @progress: nobody has to cause it. */
static void model_emit(const struct state *next, bool progress,
		       const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool broken(enum rule rule)
{
	return model_config->broken == rule;
}

static void bad(const char *why)
{
	if (!model_bad)
		model_bad = why;
}

#endif /* TESTS_UNIT_MODEL_STATE_H */
