/* SPDX-License-Identifier: GPL-2.0-only */
/* The copier's pages; its legs are in mapper.h. */
#ifndef TESTS_UNIT_MODEL_COPIER_H
#define TESTS_UNIT_MODEL_COPIER_H

#include "io.h"

static void copier_reset(struct state *t, __u8 phase)
{
	t->c_phase = phase;
	t->c_stale = 0;
	t->c_leg = 0;
	t->c_pending = 0;
	t->c_acked = 0;
	t->c_map = 0;
	if (phase == C_IDLE) {
		t->snap = 0;
		t->c_fill = 0;
		t->c_content = 0;
	}
}

/* This time not all was done. */
static void copy_left(struct state *t)
{
	copier_reset(t, C_IDLE);
	t->hint = 1;
}

/* First the hint goes, then the words are looked at. */
static void copy_pass(const struct state *s)
{
	struct state t = *s;

	if (!s->hint)
		return;
	/* it sees to the legs itself, before */
	if ((s->m_op == OP_ADD || s->m_op == OP_RETIRE || s->m_op == OP_DROP ||
	     s->m_op == OP_BACK) && !broken(HINT_BEFORE_DRAIN))
		return;
	t.hint = broken(HINT_CLEARED_LATE);
	t.c_fill = s->map & MAP_FROZEN ? 0 : (__u8)fill_of(s, s->map);
	if (model_config->backup && !s->disk_failed)
		t.c_fill |= 8;
	t.c_phase = C_PASS;
	model_emit(&t, true, "copier: takes the hint");
}

static void copy_snapshot(const struct state *s)
{
	__u64 word = word_of(s->word), needs, later;
	struct state t = *s;

	/* the header may refuse BUSY words itself */
	needs = isw_word_needs(word & ~BUSY, s->c_fill & 7, s->c_fill & 8);
	later = isw_word_needs(word & ~BUSY, s->c_fill & 7, model_config->backup);
	if (broken(HINT_CLEARED_LATE))
		t.hint = 0;
	if (later != needs && !broken(HINT_WITHOUT_DISK))
		t.hint = 1;
	if (!needs) {
		copier_reset(&t, C_IDLE);
		model_emit(&t, true, "copier: nothing is missing");
		return;
	}
	if (word & BUSY && !broken(COPY_BUSY_PAGES)) {
		copy_left(&t);
		model_emit(&t, true, "copier: leaves it to the owner of BUSY");
		return;
	}
	t.snap = s->word;
	t.c_phase = C_SNAP;
	model_emit(&t, true, "copier: sees what is missing");
}

static void copy_read(const struct state *s)
{
	struct state t = *s;
	int leg = 0;

	switch (source_of(s, word_of(s->snap), 0, s->map, &leg)) {
	case FROM_LEG:
		t.c_phase = C_READ;
		t.c_leg = (__u8)leg;
		t.c_map = s->map;
		model_emit(&t, true, "copier: posts a READ to leg %d", leg);
		return;
	case FROM_STAGED:
		if (s->staged != seq_of(word_of(s->snap)))
			break;
		t.c_content = s->staged;
		t.c_phase = C_TAKEN;
		model_emit(&t, true, "copier: has the staged %u", s->staged);
		return;
	case FROM_BACKUP:
		t.c_content = s->disk;
		t.c_phase = C_TAKEN;
		model_emit(&t, true, "copier: the disk gives %u", s->disk);
		return;
	default:
		break;
	}
	copy_left(&t);
	model_emit(&t, true, "copier: cannot read");
}

static void copy_claim(const struct state *s)
{
	__u64 word = word_of(s->word), snap = word_of(s->snap);
	struct state t = *s;

	if (model_config->integrity && isw_word_crc(snap) != s->c_content) {
		/* unmoved since before it was read: the copy is bad */
		if (s->word == s->snap)
			t.word = word_pack(isw_word_drop_copies(word,
				s->c_leg ? ISW_WORD_LEG(s->c_leg - 1) : BACKUP));
		copy_left(&t);
		model_emit(&t, true, "copier: read it wrong");
		return;
	}
	if (s->word != s->snap &&
	    !(broken(COPY_WITHOUT_COMPARING) && !(word & BUSY))) {
		copy_left(&t);
		model_emit(&t, true, "copier: the word has moved");
		return;
	}
	if (broken(COPY_WITHOUT_COMPARING))
		t.snap = s->word;
	t.word = word_pack(isw_word_copy_begin(word));
	t.c_leg = 0;
	t.c_phase = C_CLAIMED;
	model_emit(&t, true, "copier: claims");
}

static void copy_post(const struct state *s)
{
	__u64 word = word_of(s->word), snap = word_of(s->snap);
	struct state t = *s;

	t.c_map = s->map;
	t.c_pending = (__u8)(s->c_fill & fill_of(s, s->map) & ~isw_word_legs(snap));
	t.c_acked = 0;
	t.c_phase = C_POSTED;
	if (s->c_fill & 8 && !(snap & (BACKUP | STAGED)) &&
	    isw_word_is(word, isw_word_seq(snap))) {
		slot_publish(&t, seq_of(snap));
		t.word = word_pack(word | STAGED);
	}
	model_emit(&t, true, "copier: posts");
}

static void copy_posted(const struct state *s)
{
	__u64 word = word_of(s->word);
	struct state t;
	int leg;

	for (leg = 0; leg < ISW_MAX_LEGS; leg++) {
		int d = map_donor(s->c_map, leg);

		if (!(s->c_pending & 1u << leg))
			continue;
		wr_check(s, d);
		t = *s;
		t.c_pending = (__u8)(s->c_pending & ~(1u << leg));
		if (wr_may_succeed(s, d)) {
			t.mem[d] = s->c_content;
			t.c_acked = (__u8)(s->c_acked | 1u << leg);
			model_emit(&t, true, "copier: leg %d acknowledges", leg);
		}
		if (wr_may_fail(s, d)) {
			t.c_acked = s->c_acked;
			t.mem[d] = s->mem[d];
			wr_fails(&t, d);
			model_emit(&t, true, "copier: leg %d fails", leg);
			if (s->mark[d] & MARK_REVOKED)
				continue;
			t.mem[d] = s->c_content;
			model_emit(&t, true, "copier: leg %d fails but has it", leg);
		}
	}
	if (s->c_pending)
		return;
	t = *s;
	t.word = word_pack(isw_word_copy_end(word,
			broken(COPY_END_UNCHECKED) ? isw_word_seq(word) :
						     isw_word_seq(word_of(s->snap)),
			isw_word_of_legs(s->c_acked)));
	if (broken(COPY_END_UNCHECKED))
		t.word = word_pack(word_of(t.word) | isw_word_of_legs(s->c_acked));
	if (s->c_acked != (s->c_fill & 7 & ~isw_word_legs(word_of(s->snap))))
		t.hint = 1;
	if (word & PARKED) {
		copier_reset(&t, C_KICK);
		t.snap = 0;
		t.c_fill = 0;
		t.c_content = 0;
	} else {
		copier_reset(&t, C_IDLE);
	}
	model_emit(&t, true, "copier: ends");
}

static void next_copier(const struct state *s)
{
	struct state t = *s;
	int d;

	switch (s->c_phase) {
	case C_IDLE:
		copy_pass(s);
		return;
	case C_PASS:
		copy_snapshot(s);
		return;
	case C_SNAP:
		copy_read(s);
		return;
	case C_READ:
		d = map_donor(s->c_map, s->c_leg);
		wr_check(s, d);
		if (wr_may_succeed(s, d)) {
			copier_reset(&t, C_TAKEN);
			t.c_leg = (__u8)(s->c_leg + 1);
			t.c_content = s->mem[d];
			model_emit(&t, true, "copier: donor %d gives %u", d, s->mem[d]);
		}
		if (wr_may_fail(s, d)) {
			t = *s;
			wr_fails(&t, d);
			copy_left(&t);
			model_emit(&t, true, "copier: leg fails");
		}
		return;
	case C_TAKEN:
		copy_claim(s);
		return;
	case C_CLAIMED:
		copy_post(s);
		return;
	case C_POSTED:
		copy_posted(s);
		return;
	case C_KICK:
		kick(&t);
		copier_reset(&t, C_IDLE);
		model_emit(&t, true, "copier: kicks");
		return;
	}
}

#endif /* TESTS_UNIT_MODEL_COPIER_H */
