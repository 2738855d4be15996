/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small words of the model: packed page words and mappings, publishing, draining
 * and kicking, what donors do and which losses there may be.
 */
#ifndef TESTS_UNIT_MODEL_WORDS_H
#define TESTS_UNIT_MODEL_WORDS_H

#include "state.h"

/* ---- words and mappings ------------------------------------------------- */

/* 8 flags, 4 bits of the sequence, 4 of the CRC: enough for a short life. */
static __u16 word_pack(__u64 word)
{
	return (__u16)((word & 0xff) |
		       (word >> ISW_WORD_SEQ_SHIFT & 15) << 8 |
		       (isw_word_crc(word) & 15) << 12);
}

static __u64 word_of(__u16 packed)
{
	return (packed & 0xffull) |
	       (packed >> 8 & 15ull) << ISW_WORD_SEQ_SHIFT |
	       (packed >> 12 & 15ull) << ISW_WORD_CRC_SHIFT;
}

static __u8 seq_of(__u64 word)
{
	return (__u8)(isw_word_seq(word) >> ISW_WORD_SEQ_SHIFT);
}

/* A mapping: donor + 1 for each leg slot, three bits each; retiring; frozen. */
#define MAP_LEG(leg, donor)	((__u16)(((donor) + 1u) << 3 * (leg)))
#define MAP_LEGS		0777
#define MAP_RETIRING(legs)	((__u16)((legs) << 9))
#define MAP_FROZEN		(1u << 12)

static int map_donor(__u16 map, int leg)
{
	return (map >> 3 * leg & 7) - 1;
}

static unsigned int map_used(__u16 map)
{
	return (map & 07 ? 1u : 0) | (map & 070 ? 2u : 0) | (map & 0700 ? 4u : 0);
}

static unsigned int map_retiring(__u16 map)
{
	return map >> 9 & 7;
}

static __u16 map_without(__u16 map, unsigned int legs)
{
	int i;

	for (i = 0; i < ISW_MAX_LEGS; i++)
		if (legs & 1u << i)
			map = (__u16)(map & ~(7u << 3 * i));
	return (__u16)(map & ~MAP_RETIRING(legs));
}

static int map_leg_on(__u16 map, int donor)
{
	int i;

	for (i = 0; i < ISW_MAX_LEGS; i++)
		if (map_donor(map, i) == donor)
			return i;
	return -1;
}

static bool live(const struct state *s, int donor)
{
	return s->donor[donor] == ISW_DONOR_LIVE;
}

/* May requests use what @donor lent? */
static bool leg_live(const struct state *s, int donor)
{
	return live(s, donor) && !(s->mark[donor] & MARK_OVER);
}

static struct isw_legs legs_of(const struct state *s, __u16 map)
{
	struct isw_legs l = { .used = (__u8)map_used(map),
			      .retiring = (__u8)map_retiring(map) };
	int i;

	for (i = 0; i < ISW_MAX_LEGS; i++) {
		int d = map_donor(map, i);

		if (d < 0)
			continue;
		if (leg_live(s, d))
			l.live = (__u8)(l.live | 1u << i);
		if (s->mark[d] & MARK_UNWANTED)
			l.unwanted = (__u8)(l.unwanted | 1u << i);
	}
	return l;
}

static unsigned int fill_of(const struct state *s, __u16 map)
{
	struct isw_legs l = legs_of(s, map);

	return isw_legs_fill(&l);
}

/* A donor that could have one more leg, or -1. */
static int spare_donor(const struct state *s)
{
	int d;

	for (d = 0; d < (int)model_config->donors; d++)
		if (live(s, d) && !s->mark[d])
			return d;
	return -1;
}

static void publish(struct state *t, __u16 map)
{
	int i;

	t->map = map;
	for (i = 0; i < MAX_WRITERS; i++)
		if (t->w[i].phase == W_SEEN || t->w[i].phase == W_MAPPED ||
		    (t->w[i].phase == W_POSTED && t->w[i].map))
			t->w[i].stale = 1;
	if (t->r_phase == R_MAPPED || t->r_phase == R_POSTED ||
	    (t->r_phase == R_TAKEN && t->r_leg))
		t->r_stale = 1;
	if (t->c_phase == C_READ || t->c_phase == C_POSTED)
		t->c_stale = 1;
}

/* isw_slabs_drain() would return. */
static bool drained(const struct state *s)
{
	return !s->w[0].stale && !s->w[1].stale && !s->r_stale &&
	       (!s->c_stale || broken(COPY_NAMES_NOTHING));
}

/* Does a work request wait for @donor, or is somebody about to post one? */
static bool posted(const struct state *s, int donor, bool rcu)
{
	int i, leg;

	for (leg = 0; leg < ISW_MAX_LEGS; leg++) {
		for (i = 0; i < MAX_WRITERS; i++) {
			const struct writer *w = &s->w[i];

			if (rcu && (w->phase == W_SEEN || w->phase == W_MAPPED))
				return true;
			if (w->phase == W_POSTED && w->pending & 1u << leg &&
			    map_donor(w->map, leg) == donor)
				return true;
		}
		if (s->c_phase == C_POSTED && s->c_pending & 1u << leg &&
		    map_donor(s->c_map, leg) == donor)
			return true;
	}
	if (s->c_phase == C_READ && map_donor(s->c_map, s->c_leg) == donor)
		return true;
	if (rcu && s->r_phase == R_MAPPED)
		return true;
	return s->r_phase == R_POSTED && map_donor(s->r_map, s->r_leg - 1) == donor;
}

static void kick(struct state *t)
{
	int i;

	for (i = 0; i < MAX_WRITERS; i++) {
		struct writer *w = &t->w[i];

		if (w->looked)
			continue;
		if (w->phase == W_PARK_BUSY)
			w->phase = W_WANT;
		else if (w->phase == W_PARK_MAP)
			w->phase = W_CLAIMED;
	}
	if (t->r_phase == R_PARK && !t->r_looked)
		t->r_phase = R_LOOK;
}

/* The events that came in each state, a bit each. */
static unsigned int model_edges[ISW_DONOR_STATES];

/* The donor's table: an event that it refuses is a bug of whoever needs it. */
static void donor_event(struct state *t, int donor, __u8 event)
{
	__u8 next = isw_donor_next(t->donor[donor], event);

	if (next == ISW_FSM_REFUSED) {
		bad("a donor refuses an event");
		return;
	}
	model_edges[t->donor[donor]] |= 1u << event;
	t->donor[donor] = next;
}

static void fault(struct state *t, int what)
{
	t->faults = (__u8)(t->faults | 1u << what);
}

/* The copy on @donor is gone for good. */
static void loss(struct state *t, int donor)
{
	fault(t, donor);
	t->gone = (__u8)(t->gone | 1u << donor);
}

/*
 * A page may be lost after as many faults as it should have copies, one of them
 * the loss of a copy: neither sessions that break nor disks that fail lose any.
 */
static bool loss_allowed(const struct state *s)
{
	return s->gone && (unsigned int)__builtin_popcount(s->faults) >=
	       model_config->wanted + model_config->backup;
}

/* ---- where a page is: io_read.c's page_source() ------------------------- */

enum source { FROM_ZEROS, FROM_STAGED, FROM_LEG, FROM_BACKUP, FROM_HELD,
	      FROM_WRITER, FROM_NOWHERE };

static enum source source_of(const struct state *s, __u64 word, __u64 avoid,
			     __u16 map, int *leg)
{
	__u64 have = word & ~avoid;
	bool held = isw_word_legs(have) && !broken(READ_GIVES_UP);
	int i;

	if (!(word & WRITTEN))
		return FROM_ZEROS;
	if (word & STAGED)
		return FROM_STAGED;
	for (i = 0; i < ISW_MAX_LEGS; i++) {
		int d = map_donor(map, i);

		if (!(have & ISW_WORD_LEG(i)) || d < 0)
			continue;
		if (leg_live(s, d)) {
			*leg = i;
			return FROM_LEG;
		}
		held = true;
	}
	if (have & BACKUP)
		return FROM_BACKUP;
	if (held)
		return FROM_HELD;
	return word & BUSY ? FROM_WRITER : FROM_NOWHERE;
}

#endif /* TESTS_UNIT_MODEL_WORDS_H */
