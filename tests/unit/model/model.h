/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All of it: every state that may follow one, and why a state must not be. The
 * search defines model_emit(), which is called for each.
 */
#ifndef TESTS_UNIT_MODEL_MODEL_H
#define TESTS_UNIT_MODEL_MODEL_H

#include "mapper.h"

static void model_next(const struct state *s)
{
	int i;

	for (i = 0; i < MAX_WRITERS; i++)
		next_writer(s, i);
	next_discard(s);
	next_reader(s);
	next_copier(s);
	next_disk(s);
	next_late(s);
	if (s->m_phase == M_IDLE)
		next_mapper_idle(s);
	else
		next_mapper_busy(s);
	for (i = 0; i < (int)model_config->donors; i++)
		next_donor(s, i);
}

static struct state model_start(const struct config *c)
{
	struct state s;
	unsigned int i;

	memset(&s, 0, sizeof(s));
	model_config = c;
	for (i = 0; i < c->donors; i++)
		s.donor[i] = ISW_DONOR_LIVE;
	for (i = 0; i < c->mapped; i++) {
		s.map = (__u16)(s.map | MAP_LEG(i, i));
		s.mark[i] = MARK_GRANT;
	}
	s.hint = c->mapped != c->wanted;
	if (c->written) {
		__u64 word = isw_word_write_begin(BUSY, 1);

		if (c->backup)
			word = isw_word_on_disk(word | STAGED, isw_word_seq(word));
		word = isw_word_write_end(word, isw_word_of_legs(map_used(s.map)));
		s.word = word_pack(word);
		s.disk = c->backup;
		for (i = 0; i < c->mapped; i++)
			s.mem[i] = 1;
		s.floor = 1;
	}
	return s;
}

/* An older content than the page's is no better than garbage for new reads. */
static __u8 content_canonical(__u8 content, __u8 seq)
{
	return content < seq ? GARBAGE : content;
}

/* States that differ in nothing that can matter any more are one. */
static void model_canonical(struct state *s)
{
	__u8 seq = seq_of(word_of(s->word));
	int d;

	if (memcmp(&s->w[0], &s->w[1], sizeof(s->w[0])) < 0) {
		struct writer w = s->w[0];

		s->w[0] = s->w[1];
		s->w[1] = w;
	}
	if (s->r_phase)
		return;
	for (d = 0; d < (int)model_config->donors; d++)
		if (s->mark[d] & MARK_GRANT)
			s->mem[d] = content_canonical(s->mem[d], seq);
	s->disk = content_canonical(s->disk, seq);
	if (s->c_phase >= C_TAKEN)
		s->c_content = content_canonical(s->c_content, seq);
	if (s->reads == model_config->reads) {
		s->floor = 0;
		s->discards = 0;
		s->failed = (__u8)(s->failed & 1u << seq);
	}
}

/* What holds in each state, whoever has read or not. */
static const char *model_wrong(const struct state *s)
{
	__u64 word = word_of(s->word), seq = isw_word_seq(word);
	unsigned int owners = 0;
	int i;

	for (i = 0; i < MAX_WRITERS; i++)
		owners += s->w[i].phase >= W_PARK_MAP && s->w[i].phase <= W_POSTED;
	owners += s->c_phase == C_CLAIMED || s->c_phase == C_POSTED;
	if (owners > 1)
		return "BUSY has two owners";
	if (owners != !!(word & BUSY))
		return owners ? "the owner of BUSY lost it" : "BUSY has no owner";
	if (word & PARKED && !(word & BUSY))
		return "PARKED without BUSY";
	if (!(word & WRITTEN))
		return word & (ISW_WORD_COPIES | ISW_WORD_CRC_MASK) ?
		       "a page that holds nothing has copies" : NULL;
	if (isw_word_legs(word) & ~(map_used(s->map) | s->m_legs))
		return "the flag of a leg that is not in the mapping";
	for (i = 0; i < ISW_MAX_LEGS; i++) {
		int d = map_donor(s->map, i);

		if (!(word & ISW_WORD_LEG(i)) || d < 0 || model_config->rots ||
		    s->mark[d] & MARK_REVOKED)
			continue;
		if (s->mem[d] != seq_of(seq))
			return "the flag of a leg that does not have the page";
	}
	if (word & STAGED && s->staged != seq_of(seq))
		return "STAGED without a staged copy";
	if (word & BACKUP && s->disk != seq_of(seq) && !model_config->rots)
		return "BACKUP, but the disk does not have the page";
	if (isw_word_lost(word) && !(s->failed & 1u << seq_of(seq)) &&
	    !loss_allowed(s))
		return "a page is lost and should not be";
	return NULL;
}

/*
 * The last copy of a page goes with its leg, because it is bad, or with a write
 * that fails: nothing else may take it.
 */
static const char *model_step_wrong(const struct state *s, const struct state *next)
{
	__u64 was = word_of(s->word), word = word_of(next->word);

	if (word != was && !isw_word_follows(was, word))
		return "a word that cannot follow the one before";
	if (!isw_word_lost(word) || isw_word_seq(word) != isw_word_seq(was) ||
	    !(was & ISW_WORD_COPIES) || s->m_phase == M_DRAIN ||
	    model_config->rots || next->failed & 1u << seq_of(word))
		return NULL;
	return "the only copy of a page is given up";
}

/* Nobody has to do anything any more: is all as it should be? */
static const char *model_unfinished(const struct state *s)
{
	__u64 word = word_of(s->word);
	struct isw_legs l = legs_of(s, s->map);
	unsigned int usable = 0;
	int i;

	if (s->w[0].phase || s->w[1].phase)
		return "a write does not end";
	if (s->r_phase)
		return "a read does not end";
	if (word & (BUSY | PARKED))
		return "BUSY stays";
	if (s->m_phase != M_IDLE)
		return "a drain does not end";
	for (i = 0; i < (int)model_config->donors; i++)
		usable += live(s, i) && !(s->mark[i] & MARK_UNWANTED);
	if (usable < model_config->wanted || !slab_wanted(s))
		return NULL;
	if (isw_word_degraded(word, model_config->wanted,
			      model_config->backup && !s->disk_failed))
		return "a page stays degraded";
	if (l.used & l.unwanted)
		return "an unwanted leg stays";
	if (l.retiring)
		return "a retiring leg stays";
	return NULL;
}

#endif /* TESTS_UNIT_MODEL_MODEL_H */
