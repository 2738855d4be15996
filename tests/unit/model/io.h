/* SPDX-License-Identifier: GPL-2.0-only */
/* Writes, discards and reads: io.c's part. */
#ifndef TESTS_UNIT_MODEL_IO_H
#define TESTS_UNIT_MODEL_IO_H

#include "disk.h"

/* ---- work requests ------------------------------------------------------ */

static void wr_fails(struct state *t, int donor)
{
	/* a revoked key: the queue pair dies of it */
	if (live(t, donor)) {
		donor_event(t, donor, ISW_DONOR_EV_ERROR);
		fault(t, donor);
	}
}

static bool wr_may_fail(const struct state *s, int donor)
{
	return !live(s, donor) || s->mark[donor] & MARK_REVOKED;
}

static bool wr_may_succeed(const struct state *s, int donor)
{
	return (live(s, donor) || s->donor[donor] == ISW_DONOR_BROKEN) &&
	       !(s->mark[donor] & MARK_REVOKED);
}

static void wr_check(const struct state *s, int donor)
{
	if (s->donor[donor] != ISW_DONOR_LIVE && s->donor[donor] != ISW_DONOR_BROKEN)
		bad("a work request is under way without a session");
	if (!(s->mark[donor] & MARK_GRANT))
		bad("a work request is under way to a grant that was given back");
}

/* ---- writes ------------------------------------------------------------- */

static void writer_unname(struct writer *w)
{
	w->map = 0;
	w->stale = 0;
	w->pending = 0;
}

static void write_post(struct state *t, struct writer *w, unsigned int targets)
{
	__u64 word = word_of(t->word), was = word;

	if (!w->seq) {
		w->seq = seq_of(isw_word_next_seq(word));
		if (model_config->backup)
			slot_publish(t, w->seq);
		word = isw_word_write_begin(word, w->seq);
		if (broken(BEGIN_KEEPS_COPIES))
			word |= was & ISW_WORD_LEGS;
		if (model_config->backup)
			word |= STAGED;
		t->word = word_pack(word);
	}
	w->pending = (__u8)targets;
	w->acked = 0;
	w->phase = W_POSTED;
	if (!w->map)
		w->stale = 0;		/* no mapping, no name */
}

/* The words, then the name, then how it ends: nothing else comes in between. */
static void write_end(struct state *t, struct writer *w)
{
	__u64 word = word_of(t->word), copies = isw_word_of_legs(w->acked);
	bool parked = word & PARKED;

	if (!w->acked && !model_config->backup) {	/* once more */
		w->phase = W_CLAIMED;
		writer_unname(w);
		return;
	}
	if (broken(END_COUNTS_FAILED))
		copies = isw_word_of_legs(map_used(w->map));
	if (broken(END_IGNORES_DISCARD))
		word = (word | copies | WRITTEN) & ~(BUSY | PARKED);
	else
		word = isw_word_write_end(word, copies);
	t->word = word_pack(word);
	if (w->pending) {			/* END_AT_FIRST_ACK */
		t->late = w->seq;
		t->late_donor = (__u8)(map_donor(w->map, __builtin_ctz(w->pending)) + 1);
	}
	if (w->map ? w->acked != (map_used(w->map) & ~map_retiring(w->map)) &&
		     !broken(HINT_NOT_BY_WRITES) :
		     !broken(HINT_NOT_UNMAPPED))
		t->hint = 1;
	writer_unname(w);
	if (w->acked || !model_config->backup || w->slot == 1) {
		write_finish(t, w, false);
	} else if (w->slot) {
		write_finish(t, w, true);
	} else {
		w->phase = W_DISK;
		w->parked = parked;
		return;
	}
	if (parked)
		w->phase = W_KICK;
}

static void next_writer_posted(const struct state *s, int n)
{
	const struct writer *w = &s->w[n];
	struct state t;
	int leg;

	for (leg = 0; leg < ISW_MAX_LEGS; leg++) {
		int d = map_donor(w->map, leg);
		__u8 left = (__u8)(w->pending & ~(1u << leg));

		if (!(w->pending & 1u << leg))
			continue;
		wr_check(s, d);
		if (wr_may_succeed(s, d)) {
			t = *s;
			t.mem[d] = w->seq;
			t.w[n].pending = left;
			t.w[n].acked = (__u8)(w->acked | 1u << leg);
			model_emit(&t, true, "writer %d: leg %d acknowledges", n, leg);
		}
		if (wr_may_fail(s, d)) {
			t = *s;
			t.w[n].pending = left;
			wr_fails(&t, d);
			model_emit(&t, true, "writer %d: leg %d fails", n, leg);
			if (s->mark[d] & MARK_REVOKED)
				continue;
			t.mem[d] = w->seq;
			model_emit(&t, true, "writer %d: leg %d fails but has it", n, leg);
		}
	}
	if (w->phase != W_POSTED)
		return;
	if (w->pending && !(broken(END_AT_FIRST_ACK) && w->acked))
		return;
	t = *s;
	write_end(&t, &t.w[n]);
	model_emit(&t, true, "writer %d: ends", n);
}

/* Legs that a write goes to: none if it has to wait. */
static unsigned int write_targets(const struct state *s)
{
	struct isw_legs l = legs_of(s, s->map);

	return s->map & MAP_FROZEN ? 0 : l.live & ~(unsigned int)l.retiring;
}

static void next_writer_claimed(const struct state *s, int n)
{
	struct state t = *s;
	struct writer *w = &t.w[n];
	unsigned int targets = write_targets(s);

	if (s->map & MAP_FROZEN || (!targets && !model_config->backup)) {
		w->phase = W_PARK_MAP;
		w->looked = broken(PARK_WITHOUT_LOOKING);
		model_emit(&t, true, "writer %d: parks for its mapping", n);
		return;
	}
	w->map = s->map;
	w->pending = (__u8)targets;
	w->phase = W_MAPPED;
	model_emit(&t, true, "writer %d: names its mapping", n);
}

/* Nobody has memory for the slab, for stall_ms: isw_io_write_fail(). */
static void write_stalls(const struct state *s, int n)
{
	__u64 word = word_of(s->word);
	struct state t = *s;
	struct writer *w = &t.w[n];

	w->parked = word & PARKED ? 1 : 0;
	if (w->seq)
		word = isw_word_write_end(word, 0);
	else
		word &= ~(BUSY | PARKED);
	t.word = word_pack(word);
	write_finish(&t, w, true);
	model_emit(&t, true, "writer %d: fails for want of a donor", n);
}

/* Somebody else has BUSY. */
static void write_parks(const struct state *s, int n)
{
	__u64 word = word_of(s->word);
	struct state t = *s;
	struct writer *w = &t.w[n];

	if (!broken(PARK_WITHOUT_ASKING))
		t.word = word_pack(word | PARKED);
	writer_unname(w);
	w->phase = W_PARK_BUSY;
	w->looked = broken(PARK_WITHOUT_LOOKING);
	model_emit(&t, s->w[n].phase, "writer %d: parks for BUSY", n);
}

/* Of a single page: BUSY is taken when the mapping was found, as the write begins. */
static void next_writer_sees(const struct state *s, int n)
{
	unsigned int targets = write_targets(s);
	struct state t = *s;

	if (model_config->backup || !targets)
		return;
	t.w[n].map = s->map;
	t.w[n].pending = (__u8)targets;
	t.w[n].phase = W_SEEN;
	model_emit(&t, s->w[n].phase, "writer %d: sees its mapping", n);
}

static void next_writer(const struct state *s, int n)
{
	struct state t = *s;
	struct writer *w = &t.w[n];
	__u64 word = word_of(s->word);

	switch (w->phase) {
	case W_IDLE:
		if (s->writes == model_config->writes ||
		    (n && !model_config->races) ||
		    (n && s->w[0].phase == W_IDLE))
			return;
		t.writes++;
		t.w[n].phase = W_WANT;
		model_emit(&t, false, "writer %d: comes", n);
		return;
	case W_WANT:
		next_writer_sees(s, n);
		if (word & BUSY && !broken(CLAIM_TWICE)) {
			write_parks(s, n);
			return;
		}
		t.word = word_pack(word | BUSY);
		w->phase = W_CLAIMED;
		model_emit(&t, s->w[n].phase, "writer %d: claims", n);
		return;
	case W_PARK_BUSY:
	case W_PARK_MAP:
		if (w->phase == W_PARK_MAP && !s->map && spare_donor(s) < 0) {
			write_stalls(s, n);
			return;
		}
		if (!w->looked)
			return;
		w->looked = 0;
		model_emit(&t, true, "writer %d: is parked", n);
		return;
	case W_SEEN:
		if (word & BUSY && !broken(CLAIM_TWICE)) {
			write_parks(s, n);
			return;
		}
		t.word = word_pack(word | BUSY);
		write_post(&t, w, w->pending);
		model_emit(&t, true, "writer %d: takes BUSY and posts", n);
		return;
	case W_CLAIMED:
		next_writer_claimed(s, n);
		return;
	case W_MAPPED:
		write_post(&t, w, w->pending);
		model_emit(&t, true, "writer %d: posts", n);
		return;
	case W_POSTED:
		next_writer_posted(s, n);
		return;
	case W_KICK:
		memset(w, 0, sizeof(*w));
		kick(&t);
		model_emit(&t, true, "writer %d: kicks", n);
		return;
	case W_DISK:
		if (!w->parked)
			return;
		w->parked = 0;
		kick(&t);
		model_emit(&t, true, "writer %d: kicks", n);
		return;
	}
}

static void next_discard(const struct state *s)
{
	__u64 word = word_of(s->word);
	struct state t = *s;

	if (s->freed == model_config->discards || !(word & WRITTEN))
		return;
	t.freed++;
	word = isw_word_discard(word);
	t.discards = (__u8)(t.discards | 1u << seq_of(word));
	t.floor = seq_of(word);
	t.word = word_pack(word);
	model_emit(&t, false, "discard");
}

/* ---- reads -------------------------------------------------------------- */

static void reader_reset(struct state *t, __u8 phase)
{
	t->r_phase = phase;
	t->r_stale = 0;
	t->r_leg = 0;
	t->r_content = 0;
	t->r_map = 0;
	t->r_word = 0;
	if (phase == R_IDLE) {
		t->r_avoid = 0;
		t->r_smeared = 0;
		t->r_floor = 0;
		t->suspect = 0;
	}
}

static void read_zeros(struct state *t)
{
	/* a discard, or the beginning, not older than what it must give */
	if (t->r_floor && !(t->discards >> t->r_floor))
		bad("a read gives zeros for a page that was written");
	reader_reset(t, R_IDLE);
	model_emit(t, true, "reader: has zeros");
}

static void read_content(struct state *t, __u8 content)
{
	if (content == GARBAGE)
		bad("a read gives what was never written");
	else if (content == ZEROS)
		bad("a read gives zeros of a donor");
	else if (content < t->r_floor)
		bad("a read gives old data");
	reader_reset(t, R_IDLE);
	model_emit(t, true, "reader: has %u", content);
}

static void read_lost(struct state *t)
{
	if (!(t->failed >> t->r_floor) && !loss_allowed(t))
		bad("a read fails although no copy was lost");
	if (!isw_word_lost(word_of(t->word)))
		bad("a read fails although there is a copy");
	reader_reset(t, R_IDLE);
	model_emit(t, true, "reader: EIO");
}

/* The flags of copies in the reader's own notes. */
static __u64 avoided(const struct state *s, __u64 word)
{
	if (!isw_word_is(word, isw_word_seq(word_of(s->suspect))) &&
	    !broken(READ_AVOIDS_TOO_LONG))
		return 0;
	return s->r_avoid;
}

/* No copy is left but those that came @wrong. */
static void read_wrong(struct state *t, __u64 wrong)
{
	__u64 word = word_of(t->word);

	if (word & ISW_WORD_COPIES & ~wrong)
		bad("a read fails although there is a copy");
	if (!t->rots && (!t->smears || t->r_smeared != seq_of(word)))
		bad("a read fails although nothing is wrong");
	reader_reset(t, R_IDLE);
	model_emit(t, true, "reader: EIO, and what came wrong stays");
}

/* It is not what was written: read_suspect(). */
static void read_suspects(const struct state *s, __u64 word, __u64 copy)
{
	struct state t = *s;

	if (s->suspect != s->word || !(word & copy)) {
		if (!avoided(s, word))
			t.r_avoid = 0;
		t.suspect = s->word;
		reader_reset(&t, R_LOOK);
		model_emit(&t, true, "reader: suspects");
		return;
	}
	t.r_avoid = (__u8)(s->r_avoid | copy);
	if (broken(READ_VOIDS_UNSEEN)) {
		t.word = word_pack(isw_word_drop_copies(word, copy));
		t.hint = 1;
	}
	reader_reset(&t, R_LOOK);
	model_emit(&t, true, "reader: goes on without a copy");
}

/* The content is here: isw_io_read_taken(). */
static void read_taken(const struct state *s)
{
	__u64 copy = s->r_leg ? ISW_WORD_LEG(s->r_leg - 1) : BACKUP;
	__u64 word = word_of(s->word), wrong = avoided(s, word);
	struct state t = *s;

	if (!broken(READ_UNCHECKED) && model_config->integrity &&
	    (word & WRITTEN ? isw_word_crc(word) != s->r_content :
			      !broken(READ_TRUSTS_FREED))) {
		read_suspects(s, word, copy);
		return;
	}
	if (wrong && word & copy) {
		t.word = word_pack(isw_word_drop_copies(word, wrong));
		t.hint = 1;
		if (s->smears)		/* right or not, until the copier has been there */
			fault(&t, READER);
	}
	read_content(&t, s->r_content);
}

static void read_arrives(struct state *t, __u8 content)
{
	if (!model_config->integrity) {
		read_content(t, content);
		return;
	}
	t->r_content = content;
	t->r_phase = R_TAKEN;
	model_emit(t, true, "reader: is given %u", content);
	if (t->smears < model_config->smears) {
		t->smears++;
		t->r_smeared = seq_of(word_of(t->word));
		t->r_content = GARBAGE;
		model_emit(t, true, "reader: is given %u, and others write to it",
			   content);
	}
}

static void read_look(const struct state *s)
{
	__u64 word = word_of(broken(READ_WORD_FIRST) ? s->r_word : s->word), wrong;
	struct state t = *s;
	int leg = 0;

	switch (source_of(s, word, avoided(s, word), s->r_map, &leg)) {
	case FROM_ZEROS:
		read_zeros(&t);
		return;
	case FROM_STAGED:
		if (s->staged == seq_of(word)) {
			read_content(&t, s->staged);
			return;
		}
		reader_reset(&t, R_LOOK);
		model_emit(&t, true, "reader: finds nothing staged");
		return;
	case FROM_LEG:
		t.r_leg = (__u8)(leg + 1);
		t.r_phase = R_POSTED;
		model_emit(&t, true, "reader: posts to leg %d", leg);
		return;
	case FROM_BACKUP:
		reader_reset(&t, R_DISK);
		model_emit(&t, true, "reader: asks the disk");
		return;
	case FROM_HELD:
		if (s->r_stale && !broken(READ_MAPPING_ONCE)) {
			reader_reset(&t, R_LOOK);
			model_emit(&t, true, "reader: its mapping is not the word's");
			return;
		}
		reader_reset(&t, R_PARK);
		t.r_looked = broken(PARK_WITHOUT_LOOKING);
		model_emit(&t, true, "reader: parks for a session");
		return;
	case FROM_WRITER:
		if (!(word_of(s->word) & BUSY)) {	/* READ_WORD_FIRST */
			reader_reset(&t, R_LOOK);
			model_emit(&t, true, "reader: looks again");
			return;
		}
		if (!broken(PARK_WITHOUT_ASKING))
			t.word = word_pack(word_of(s->word) | PARKED);
		reader_reset(&t, R_PARK);
		t.r_looked = broken(PARK_WITHOUT_LOOKING);
		model_emit(&t, true, "reader: parks for the writer");
		return;
	case FROM_NOWHERE:
		wrong = avoided(s, word);
		if (word & wrong)
			read_wrong(&t, wrong);
		else
			read_lost(&t);
		return;
	}
}

static void next_reader(const struct state *s)
{
	struct state t = *s;
	int d;

	switch (s->r_phase) {
	case R_IDLE:
		if (s->reads == model_config->reads)
			return;
		if (broken(READ_WORD_FIRST) && !s->word)
			return;
		t.reads++;
		t.r_floor = s->floor;
		/* fall through */
	case R_LOOK:
		if (broken(READ_WORD_FIRST) && !s->r_word && s->word) {
			t.r_word = s->word;
			t.r_phase = R_LOOK;
			model_emit(&t, s->r_phase, "reader: sees the word");
			return;
		}
		t.r_map = s->map;
		t.r_phase = R_MAPPED;
		model_emit(&t, s->r_phase, "reader: names its mapping");
		return;
	case R_MAPPED:
		read_look(s);
		return;
	case R_PARK:
		if (!s->r_looked)
			return;
		t.r_looked = 0;
		model_emit(&t, true, "reader: is parked");
		return;
	case R_POSTED:
		d = map_donor(s->r_map, s->r_leg - 1);
		wr_check(s, d);
		if (wr_may_succeed(s, d)) {
			read_arrives(&t, s->mem[d]);
		}
		if (wr_may_fail(s, d)) {
			t = *s;
			wr_fails(&t, d);
			reader_reset(&t, R_LOOK);
			model_emit(&t, true, "reader: leg fails");
		}
		return;
	case R_DISK:
		read_arrives(&t, s->disk);
		return;
	case R_TAKEN:
		read_taken(s);
		return;
	}
}

#endif /* TESTS_UNIT_MODEL_IO_H */
