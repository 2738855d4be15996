/* SPDX-License-Identifier: GPL-2.0-only */
/* Staged copies and the disk: staging.c's and backup.c's part. */
#ifndef TESTS_UNIT_MODEL_DISK_H
#define TESTS_UNIT_MODEL_DISK_H

#include "words.h"

static void write_finish(struct state *t, struct writer *w, bool failed)
{
	bool parked = w->parked;

	if (failed && w->seq)
		t->failed = (__u8)(t->failed | 1u << w->seq);
	else if (w->seq > t->floor)
		t->floor = w->seq;
	memset(w, 0, sizeof(*w));
	if (parked)
		w->phase = W_KICK;
}

static void slot_over(struct state *t, __u8 seq, bool failed)
{
	int i;

	for (i = 0; i < MAX_WRITERS; i++) {
		struct writer *w = &t->w[i];

		if (w->seq != seq || w->phase == W_IDLE)
			continue;
		w->slot = failed ? 2 : 1;
		if (w->phase == W_DISK)
			write_finish(t, w, failed);
	}
}

/* A staged copy becomes the newest version of the page. */
static void slot_publish(struct state *t, __u8 seq)
{
	__u8 old = t->staged;

	t->staged = seq;
	if (broken(DISK_REORDERS) && t->writing) {
		t->late = t->writing;
		t->writing = 0;
	}
	if (old && old != t->writing)
		slot_over(t, old, false);
}

static bool slot_waited_for(const struct state *s, __u8 seq)
{
	int i;

	for (i = 0; i < MAX_WRITERS; i++)
		if (s->w[i].phase == W_DISK && s->w[i].seq == seq)
			return true;
	return false;
}

/* The disk does not take the newest version: staging.c's slot_shed(). */
static bool slot_shed(struct state *t)
{
	__u64 word = word_of(t->word);
	__u8 seq = t->staged;

	if (isw_word_is(word, (__u64)seq << ISW_WORD_SEQ_SHIFT)) {
		if (!slot_waited_for(t, seq) && !(word & ISW_WORD_LEGS) &&
		    !broken(SHED_ONLY_COPY))
			return false;
		t->word = word_pack(isw_word_drop_copies(word, STAGED));
		t->hint = 1;
	} else {
		word = ISW_WORD_LEGS;
	}
	t->staged = 0;
	slot_over(t, seq, !(word & ISW_WORD_LEGS));
	return true;
}

static void next_disk(const struct state *s)
{
	__u64 word = word_of(s->word);
	struct state t;

	if (!model_config->backup)
		return;
	if (s->staged && !s->writing) {
		t = *s;
		if (isw_word_is(word, (__u64)s->staged << ISW_WORD_SEQ_SHIFT)) {
			t.writing = s->staged;
			model_emit(&t, true, "disk: write of %u begins", s->staged);
		} else {
			t.staged = 0;
			slot_over(&t, s->staged, false);
			model_emit(&t, true, "disk: %u is over", s->staged);
		}
		t = *s;
		if (s->disk_failed && slot_shed(&t))
			model_emit(&t, true, "disk: shed %u", s->staged);
	}
	if (s->disk_failed && !s->staged) {
		t = *s;
		t.disk_failed = 0;
		model_emit(&t, true, "disk: is back");
	}
	if (!s->writing)
		return;

	t = *s;
	t.disk = s->writing;
	t.disk_failed = 0;
	t.writing = 0;
	if (broken(DISK_IGNORES_SEQUENCE))
		t.word = word_pack(isw_word_on_disk(word, isw_word_seq(word)));
	else
		t.word = word_pack(isw_word_on_disk(word,
				(__u64)s->writing << ISW_WORD_SEQ_SHIFT));
	if (t.staged == s->writing)
		t.staged = 0;
	slot_over(&t, s->writing, false);
	model_emit(&t, true, "disk: has %u", s->writing);

	if (s->disk_failures == model_config->disk_failures)
		return;
	t = *s;
	t.disk_failures++;
	if (model_config->integrity)
		t.disk = GARBAGE;	/* else a read beside the write may see it */
	t.disk_failed = 1;
	fault(&t, DISK);
	t.writing = 0;
	if (t.staged != s->writing)
		slot_over(&t, s->writing, false);
	else
		slot_shed(&t);
	model_emit(&t, false, "disk: write of %u fails", s->writing);
}

/* Broken rules leave writes behind that nobody waits for. */
static void next_late(const struct state *s)
{
	struct state t = *s;

	if (!s->late)
		return;
	if (s->late_donor)
		t.mem[s->late_donor - 1] = s->late;
	else
		t.disk = s->late;
	t.late = 0;
	t.late_donor = 0;
	model_emit(&t, true, "a late write of %u arrives", s->late);
}

#endif /* TESTS_UNIT_MODEL_DISK_H */
