/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whoever holds dev->lock: legs come, retire and go, the slab is bound, frozen and
 * unmapped; and the donors with their sessions, who need it to come up again.
 */
#ifndef TESTS_UNIT_MODEL_MAPPER_H
#define TESTS_UNIT_MODEL_MAPPER_H

#include "copier.h"

/* ---- mappings: whoever holds dev->lock ---------------------------------- */

static void mapper_start(struct state *t, __u8 op, unsigned int legs, __u16 map)
{
	t->m_phase = M_DRAIN;
	t->m_op = op;
	t->m_legs = (__u8)legs;
	publish(t, map);
	if ((op == OP_DROP || op == OP_LOST) &&
	    (broken(CLEAR_BEFORE_DRAIN) || broken(REUSE_BEFORE_DRAIN)))
		t->word = word_pack(isw_word_drop_copies(word_of(t->word),
							 isw_word_of_legs(legs)));
}

static void mapper_end(struct state *t)
{
	t->m_phase = M_IDLE;
	t->m_op = OP_NONE;
	t->m_legs = 0;
	t->m_was = 0;
}

/* Grants without a leg go back; their donors may use the memory at once. */
static void grants_return(struct state *t)
{
	int d;

	for (d = 0; d < (int)model_config->donors; d++) {
		if (!(t->mark[d] & MARK_GRANT) || map_leg_on(t->map, d) >= 0)
			continue;
		if (posted(t, d, false))
			bad("a grant goes back with a work request under way to it");
		t->mark[d] = (__u8)(t->mark[d] &
				    ~(MARK_GRANT | MARK_REVOKED | MARK_OVER));
		t->mem[d] = ZEROS;
	}
}

/* Nothing needs the slab's legs: it holds nothing, or the disk has it all. */
static bool slab_over(const struct state *s)
{
	__u64 word = word_of(s->word);

	if (word & BUSY)
		return false;
	return !(word & WRITTEN) || (model_config->cold && word & BACKUP);
}

/* @map with one more leg, if it lacks one and a donor has memory for it. */
static __u16 map_with_leg(struct state *t, __u16 map)
{
	struct isw_legs l = legs_of(t, map);
	int slot = isw_legs_add(&l, model_config->wanted), d = spare_donor(t);

	if (slot < 0 || d < 0)
		return map;
	if (l.used & 1u << slot)
		bad("a leg is added where one is");
	t->mark[d] = MARK_GRANT;
	t->mem[d] = ZEROS;
	return (__u16)(map | MAP_LEG(slot, (unsigned int)d));
}

/* One more leg; one that is not needed any more then retires at once. */
static void leg_more(struct state *t)
{
	__u16 map = map_with_leg(t, t->map);
	struct isw_legs l = legs_of(t, map);

	if (map == t->map)
		return;
	t->hint = 1;
	mapper_start(t, OP_ADD, 0, (__u16)((map & MAP_LEGS) |
		     MAP_RETIRING(isw_legs_retire(&l, model_config->wanted))));
}

/*
 * A slab has room for two mappings: who names the one before the last names, as
 * far as a drain can tell, the one that is published now.
 */
static void publish_again(const struct state *s)
{
	struct state t = *s;
	int i;

	leg_more(&t);
	if (t.map == s->map)
		return;
	for (i = 0; i < MAX_WRITERS; i++)
		t.w[i].stale = (__u8)(t.w[i].stale && !s->w[i].stale);
	t.r_stale = t.r_stale && !s->r_stale;
	t.c_stale = t.c_stale && !s->c_stale;
	model_emit(&t, true, "mapper: publishes once more");
}

/* May the retiring legs go, as far as the page is concerned? */
static bool legs_may_go(const struct state *s, unsigned int retiring)
{
	__u64 word = word_of(s->word);

	switch (model_config->broken) {
	case DROP_UNCHECKED:
		return true;
	case DROP_TRUSTS_STAGED:
		if (word & STAGED)
			return true;
		break;
	case DROP_TRUSTS_ONE:
		if (word & ISW_WORD_LEGS & ~isw_word_of_legs(retiring))
			return true;
		break;
	default:
		break;
	}
	return !isw_word_held_by(word, retiring, fill_of(s, s->map));
}

/* Looked at once more after the drain, with what is live then. */
static bool legs_may_still_go(const struct state *s)
{
	struct isw_legs l = legs_of(s, s->m_was);

	if (broken(DROP_TRUSTS_STAGED))
		return true;
	if (isw_legs_retire(&l, model_config->wanted) != s->m_legs &&
	    !broken(DROP_WITHOUT_OTHERS))
		return false;
	return legs_may_go(s, s->m_legs);
}

static void next_mapper_busy(const struct state *s)
{
	struct state t = *s;

	if (broken(PUBLISH_TWICE) && s->m_op == OP_ADD)
		publish_again(s);

	if (s->m_phase == M_SCANNED && s->m_op == OP_UNMAP) {
		mapper_start(&t, OP_UNMAP, 0, (__u16)(s->map |
			     (broken(UNMAP_WITHOUT_FREEZE) ? 0 : MAP_FROZEN)));
		model_emit(&t, true, "mapper: freezes");
		return;
	}
	if (s->m_phase == M_SCANNED) {
		t.m_was = s->map;
		mapper_start(&t, OP_DROP, s->m_legs, map_without(s->map, s->m_legs));
		model_emit(&t, true, "mapper: publishes without legs %u", s->m_legs);
		return;
	}
	if (!drained(s) && !(broken(REUSE_BEFORE_DRAIN) &&
			     (s->m_op == OP_DROP || s->m_op == OP_LOST)))
		return;
	switch (s->m_op) {
	case OP_ADD:
	case OP_RETIRE:
	case OP_THAW:
	case OP_BACK:
		if (s->m_op == OP_THAW && !broken(HINT_LOST_FROZEN))
			t.hint = 1;
		kick(&t);
		mapper_end(&t);
		model_emit(&t, true, "mapper: drained, kicks");
		return;
	case OP_DROP:
		if (!legs_may_still_go(s)) {
			mapper_start(&t, OP_BACK, 0, s->m_was);
			model_emit(&t, true, "mapper: drained, legs %u are back",
				   s->m_legs);
			return;
		}
		/* fall through */
	case OP_LOST:
		if (!broken(CLEAR_BEFORE_DRAIN) && !broken(CLEAR_NOTHING))
			t.word = word_pack(isw_word_drop_copies(word_of(s->word),
						isw_word_of_legs(s->m_legs)));
		t.hint = 1;
		grants_return(&t);
		if (!broken(GIVE_UP_WITHOUT_KICK))
			kick(&t);
		mapper_end(&t);
		model_emit(&t, true, "mapper: drained, clears legs %u, kicks",
			   s->m_legs);
		return;
	case OP_UNMAP:
		if (slab_over(s) || broken(UNMAP_WITHOUT_FREEZE)) {
			mapper_start(&t, OP_GONE, map_used(s->map), 0);
			model_emit(&t, true, "mapper: unmaps");
			t = *s;
		}
		/* a cold slab that somebody touches meanwhile is not */
		if (!slab_over(s) || model_config->cold) {
			mapper_start(&t, OP_THAW, 0, (__u16)(s->map & ~MAP_FROZEN));
			model_emit(&t, true, "mapper: thaws");
		}
		return;
	case OP_GONE:
		if (!broken(CLEAR_NOTHING))
			t.word = word_pack(isw_word_drop_copies(word_of(s->word),
								ISW_WORD_LEGS));
		t.hint = 1;
		grants_return(&t);
		kick(&t);
		mapper_end(&t);
		model_emit(&t, true, "mapper: drained, gives back");
		return;
	}
}

/* A slab without a leg gets one when it is written, or if the disk has a page. */
static bool slab_wanted(const struct state *s)
{
	return s->map || s->w[0].phase || s->w[1].phase ||
	       (model_config->backup && word_of(s->word) & WRITTEN);
}

static void slab_bind(const struct state *s)
{
	struct state t = *s;
	__u16 map = 0, was;

	do {
		was = map;
		map = map_with_leg(&t, was);
	} while (map != was);
	if (!map || !slab_wanted(s))
		return;
	t.hint = 1;
	publish(&t, map);		/* nothing to drain: it was unmapped */
	kick(&t);
	model_emit(&t, true, "mapper: binds the slab");
}

static void leg_add(const struct state *s)
{
	struct state t = *s;

	leg_more(&t);
	if (t.map != s->map)
		model_emit(&t, true, "mapper: adds a leg");
}

static void next_mapper_idle(const struct state *s)
{
	bool mine = s->c_phase == C_IDLE;	/* the copier sees to legs itself */
	struct isw_legs l = legs_of(s, s->map);
	unsigned int retire = isw_legs_retire(&l, model_config->wanted);
	struct state t = *s;
	int d, leg;

	if (!s->map)
		slab_bind(s);
	else if (mine)
		leg_add(s);
	if (broken(DROP_WITHOUT_OTHERS) && l.retiring)
		retire = l.retiring;
	if (mine && retire != l.retiring) {
		t.hint = 1;
		mapper_start(&t, OP_RETIRE, 0,
			     (__u16)((s->map & MAP_LEGS) | MAP_RETIRING(retire)));
		model_emit(&t, true, "mapper: retires legs %u", retire);
	} else if (mine && retire && legs_may_go(s, retire)) {
		t.m_phase = M_SCANNED;
		t.m_op = OP_DROP;
		t.m_legs = (__u8)retire;
		model_emit(&t, true, "mapper: nothing needs legs %u", retire);
	}
	for (d = 0; d < (int)model_config->donors; d++) {
		leg = map_leg_on(s->map, d);
		if (leg < 0 || !(s->mark[d] & MARK_OVER))
			continue;
		t = *s;
		mapper_start(&t, OP_LOST, 1u << leg, map_without(s->map, 1u << leg));
		model_emit(&t, true, "mapper: deadline, publishes without leg %d", leg);
	}
	if (s->map && s->unmaps < model_config->unmaps && slab_over(s) &&
	    l.live == l.used) {
		t = *s;
		t.unmaps++;
		t.m_phase = M_SCANNED;
		t.m_op = OP_UNMAP;
		model_emit(&t, false, "mapper: finds the slab empty or cold");
	}
}

/* ---- donors and their sessions ------------------------------------------ */

static void donor_reconnecting(const struct state *s, int d)
{
	int leg = map_leg_on(s->map, d);
	struct state t = *s;

	if (s->m_phase != M_IDLE)	/* all of it under dev->lock */
		return;
	if (s->mark[d] == MARK_UNWANTED && model_config->returns) {
		donor_event(&t, d, ISW_DONOR_EV_BYE);
		model_emit(&t, true, "donor %d: BYE", d);
		t = *s;
	}
	if (s->mark[d] & MARK_REVOKED && leg >= 0 && !broken(UP_WITH_OLD_GRANTS)) {
		mapper_start(&t, OP_LOST, 1u << leg, map_without(s->map, 1u << leg));
		model_emit(&t, true, "donor %d: does not list its grant", d);
	} else {
		if (s->mark[d] & MARK_REVOKED) {	/* UP_WITH_OLD_GRANTS */
			t.mark[d] = MARK_GRANT;
			t.mem[d] = ZEROS;
		}
		donor_event(&t, d, ISW_DONOR_EV_UP);
		if (!broken(HINT_BEFORE_UP))
			t.hint = 1;
		if (!broken(UP_WITHOUT_KICK))
			kick(&t);
		model_emit(&t, true, "donor %d: is up again", d);
	}
	t = *s;
	donor_event(&t, d, ISW_DONOR_EV_FAILED);	/* one attempt of many */
	if (s->losses == model_config->losses)
		return;
	t.losses++;
	donor_event(&t, d, ISW_DONOR_EV_GIVE_UP);
	loss(&t, d);
	t.mark[d] = leg >= 0 ? MARK_GRANT : 0;
	t.mem[d] = GARBAGE;
	if (leg >= 0)
		mapper_start(&t, OP_LOST, 1u << leg, map_without(s->map, 1u << leg));
	else
		t.mem[d] = ZEROS;
	model_emit(&t, false, "donor %d: is given up", d);
}

static void donor_live(const struct state *s, int d)
{
	bool leg = map_leg_on(s->map, d) >= 0;
	struct state t = *s;

	if (s->breaks < model_config->breaks && leg) {
		t.breaks++;
		donor_event(&t, d, ISW_DONOR_EV_ERROR);
		fault(&t, d);
		model_emit(&t, false, "donor %d: session breaks", d);
	}
	if (leg && s->evicts < model_config->evicts &&
	    !(s->mark[d] & MARK_UNWANTED)) {
		t = *s;
		t.evicts++;
		t.mark[d] |= MARK_UNWANTED;
		model_emit(&t, false, "donor %d: EVICT", d);
	}
	if (leg && s->relents < model_config->relents &&
	    s->m_phase == M_IDLE && s->mark[d] & MARK_UNWANTED &&
	    !(s->mark[d] & MARK_REVOKED)) {
		t = *s;
		t.relents++;
		t.mark[d] = MARK_GRANT;
		if (!broken(RELENT_WITHOUT_HINT))
			t.hint = 1;
		if (!broken(RELENT_WITHOUT_KICK))
			kick(&t);
		model_emit(&t, false, "donor %d: may be kept", d);
	}
	if (leg && s->revoked < model_config->revoked &&
	    (s->mark[d] & (MARK_UNWANTED | MARK_REVOKED)) == MARK_UNWANTED) {
		t = *s;
		t.revoked++;
		t.mark[d] |= MARK_REVOKED;
		t.mem[d] = GARBAGE;
		loss(&t, d);
		model_emit(&t, false, "donor %d: revokes", d);
	}
	if (leg && s->rots < model_config->rots && s->mem[d] != GARBAGE &&
	    s->mem[d] != ZEROS) {
		t = *s;
		t.rots++;
		t.mem[d] = GARBAGE;
		loss(&t, d);
		model_emit(&t, false, "donor %d: the copy rots", d);
	}
	if (s->mark[d] == MARK_UNWANTED && s->m_phase == M_IDLE &&
	    model_config->returns) {
		t = *s;
		donor_event(&t, d, ISW_DONOR_EV_BYE);
		model_emit(&t, true, "donor %d: BYE", d);
	}
}

/* The client's clock: it does not wait for dev->lock. */
static void deadline(const struct state *s, int d)
{
	struct state t = *s;

	if (map_leg_on(s->map, d) < 0 || s->forced == model_config->forced ||
	    (s->mark[d] & (MARK_UNWANTED | MARK_OVER)) != MARK_UNWANTED)
		return;
	t.forced++;
	t.mark[d] |= MARK_OVER;
	loss(&t, d);
	model_emit(&t, false, "donor %d: its time is over", d);
}

static void next_donor(const struct state *s, int d)
{
	struct state t = *s;

	deadline(s, d);
	switch (s->donor[d]) {
	case ISW_DONOR_IDLE:
		if (s->m_phase != M_IDLE || s->mark[d] || !model_config->returns)
			return;
		donor_event(&t, d, ISW_DONOR_EV_CONNECT);
		model_emit(&t, true, "donor %d: connects", d);
		return;
	case ISW_DONOR_CONNECTING:
		if (s->m_phase != M_IDLE)
			return;
		donor_event(&t, d, ISW_DONOR_EV_UP);
		model_emit(&t, true, "donor %d: is up", d);
		t = *s;
		donor_event(&t, d, ISW_DONOR_EV_FAILED);
		model_emit(&t, false, "donor %d: does not connect", d);
		return;
	case ISW_DONOR_LIVE:
		donor_live(s, d);
		return;
	case ISW_DONOR_BROKEN:
		if (broken(GIVE_UP_UNDRAINED) && s->m_phase == M_IDLE) {
			donor_event(&t, d, ISW_DONOR_EV_GIVE_UP);
			model_emit(&t, false, "donor %d: is given up", d);
			t = *s;
		}
		if (posted(s, d, true) && !broken(DRAIN_SESSION_EARLY))
			return;
		donor_event(&t, d, ISW_DONOR_EV_DRAINED);
		model_emit(&t, true, "donor %d: drained", d);
		return;
	case ISW_DONOR_RECONNECTING:
		donor_reconnecting(s, d);
		return;
	case ISW_DONOR_LOST:
		donor_event(&t, d, ISW_DONOR_EV_FORGOTTEN);
		model_emit(&t, true, "donor %d: forgotten", d);
		return;
	case ISW_DONOR_LEAVING:
		if (posted(s, d, true))
			return;
		donor_event(&t, d, ISW_DONOR_EV_DRAINED);
		model_emit(&t, true, "donor %d: has left", d);
		return;
	}
}

#endif /* TESTS_UNIT_MODEL_MAPPER_H */
