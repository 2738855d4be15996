// SPDX-License-Identifier: GPL-2.0-only
/*
 * All orders of events of one page, by the functions of pageword.h, legs.h and
 * fsm.h: model/ has the steps, model/search.h goes through them. First what must
 * be right, then rules broken one by one, each of which must be found out: they
 * show what the search can see.
 */
#include <kselftest_harness.h>

#include "model/search.h"

/* ---- what must be right ------------------------------------------------- */

static const struct config none_bound = {
	.wanted = 1, .donors = 2, .races = true,
	.writes = 2, .reads = 1, .discards = 1, .evicts = 1, .unmaps = 1,
};

static const struct config none_broken = {
	.wanted = 1, .donors = 2, .mapped = 1, .returns = true,
	.writes = 2, .reads = 1, .discards = 1, .breaks = 2, .losses = 1,
};

static const struct config none_small = {
	.wanted = 1, .donors = 2, .mapped = 1, .written = true,
	.writes = 1, .reads = 1, .breaks = 1, .losses = 1,
};

static const struct config none_evicted = {
	.wanted = 1, .donors = 2, .mapped = 1, .written = true,
	.writes = 1, .reads = 1, .breaks = 1, .losses = 1, .evicts = 1,
};

static const struct config none_forced = {
	.wanted = 1, .donors = 2, .mapped = 1, .written = true,
	.writes = 1, .reads = 1, .evicts = 1, .forced = 1,
};

static const struct config none_relents = {
	.wanted = 1, .donors = 2, .mapped = 1, .written = true,
	.writes = 1, .reads = 1, .evicts = 1, .forced = 1, .relents = 1,
};

static const struct config none_revoked = {
	.wanted = 1, .donors = 2, .mapped = 1, .written = true,
	.writes = 1, .reads = 1, .evicts = 1, .forced = 1, .revoked = 1,
};

static const struct config backup_broken = {
	.wanted = 1, .backup = true, .donors = 2, .mapped = 1,
	.writes = 2, .reads = 1, .discards = 1, .breaks = 1, .losses = 1,
	.disk_failures = 1,
};

static const struct config backup_small = {
	.wanted = 1, .backup = true, .donors = 1,
	.writes = 2, .reads = 1, .disk_failures = 1,
};

static const struct config backup_bound = {
	.wanted = 1, .backup = true, .donors = 1, .races = true,
	.writes = 2, .reads = 1, .discards = 1, .unmaps = 1,
};

static const struct config backup_cold = {
	.wanted = 1, .backup = true, .donors = 2, .mapped = 1, .written = true,
	.cold = true, .writes = 1, .reads = 1, .discards = 1, .breaks = 1,
	.disk_failures = 1, .unmaps = 1,
};

static const struct config backup_evicted = {
	.wanted = 1, .backup = true, .donors = 2, .mapped = 1,
	.writes = 2, .reads = 1, .evicts = 1, .disk_failures = 1,
};

static const struct config backup_revoked = {
	.wanted = 1, .backup = true, .donors = 2, .mapped = 1, .written = true,
	.writes = 1, .reads = 1, .evicts = 1, .forced = 1, .revoked = 1,
};

static const struct config mirror_broken = {
	.wanted = 2, .donors = 3, .mapped = 2, .races = true,
	.writes = 2, .reads = 1, .breaks = 1, .losses = 1,
};

static const struct config mirror_small = {
	.wanted = 2, .donors = 2, .mapped = 2,
	.writes = 2, .reads = 1, .breaks = 2,
};

static const struct config mirror_lost = {
	.wanted = 2, .donors = 3, .mapped = 2, .returns = true,
	.writes = 1, .reads = 1, .breaks = 2, .losses = 2,
};

static const struct config mirror_moves = {
	.wanted = 2, .donors = 3, .mapped = 2, .races = true,
	.writes = 2, .evicts = 1,
};

static const struct config mirror_half = {
	.wanted = 2, .donors = 3, .mapped = 1, .written = true,
	.writes = 1, .reads = 1, .evicts = 1,
};

static const struct config mirror_evicted = {
	.wanted = 2, .donors = 3, .mapped = 2, .written = true,
	.writes = 1, .reads = 1, .breaks = 1, .losses = 1, .evicts = 1,
};

static const struct config mirror_revoked = {
	.wanted = 2, .donors = 3, .mapped = 2, .written = true,
	.writes = 1, .reads = 1, .evicts = 1, .revoked = 1, .forced = 1,
};

static const struct config mirror_evicted_twice = {
	.wanted = 2, .donors = 4, .mapped = 2, .written = true,
	.writes = 1, .reads = 1, .evicts = 2,
};

static const struct config mirror_relents = {
	.wanted = 2, .donors = 3, .mapped = 2, .written = true,
	.writes = 1, .evicts = 2, .relents = 2, .breaks = 1,
};

static const struct config mirror_frozen = {
	.wanted = 2, .donors = 2, .mapped = 2, .integrity = true,
	.writes = 1, .reads = 1, .breaks = 1, .unmaps = 1, .rots = 1,
};

static const struct config mirror_backup = {
	.wanted = 2, .backup = true, .donors = 3, .mapped = 2,
	.writes = 1, .reads = 1, .breaks = 1, .losses = 1, .disk_failures = 1,
};

static const struct config mirror_relents_late = {
	.wanted = 2, .donors = 2, .mapped = 2, .written = true,
	.writes = 1, .reads = 1, .evicts = 1, .forced = 1, .relents = 1,
};

static const struct config mirror_backup_evicted = {
	.wanted = 2, .backup = true, .donors = 3, .mapped = 2, .written = true,
	.writes = 1, .discards = 1, .breaks = 1, .evicts = 1, .disk_failures = 1,
};

static const struct config mirror_rotten = {
	.wanted = 2, .donors = 2, .mapped = 2, .integrity = true,
	.writes = 1, .reads = 1, .discards = 1, .breaks = 1, .rots = 1,
};

static const struct config backup_rotten = {
	.wanted = 1, .backup = true, .donors = 2, .mapped = 1, .integrity = true,
	.writes = 2, .reads = 1, .discards = 1, .rots = 1, .disk_failures = 1,
};

static const struct config none_moves_to_rot = {
	.wanted = 1, .donors = 2, .mapped = 1, .written = true, .integrity = true,
	.reads = 2, .evicts = 1, .rots = 1,
};

static const struct config mirror_moves_to_rot = {
	.wanted = 2, .donors = 3, .mapped = 2, .written = true, .integrity = true,
	.reads = 2, .evicts = 1, .rots = 2,
};

static const struct config none_smeared = {
	.wanted = 1, .donors = 1, .mapped = 1, .integrity = true,
	.writes = 2, .reads = 1, .discards = 1, .breaks = 1, .smears = 2,
};

static const struct config mirror_smeared = {
	.wanted = 2, .donors = 2, .mapped = 2, .written = true, .integrity = true,
	.writes = 1, .reads = 1, .breaks = 1, .losses = 1, .smears = 3,
};

static const struct config backup_smeared = {
	.wanted = 1, .backup = true, .donors = 2, .mapped = 1, .written = true,
	.integrity = true, .writes = 1, .reads = 1, .breaks = 1, .losses = 1,
	.smears = 3,
};

#define RIGHT(name, config)						\
TEST(name)								\
{									\
	const char *why = search_run(&config, true);			\
									\
	EXPECT_FALSE(search.full);					\
	EXPECT_EQ(NULL, why) TH_LOG("%s", why);				\
}

RIGHT(none_page_bound_written_freed_moved_and_unmapped, none_bound)
RIGHT(none_page_outlives_its_session_and_is_lost_with_its_donor, none_broken)
RIGHT(none_page_waits_for_its_session, none_small)
RIGHT(none_page_moves_off_a_donor_that_evicts, none_evicted)
RIGHT(none_page_is_lost_at_the_deadline_and_nothing_else_is, none_forced)
RIGHT(none_page_is_kept_if_the_donor_says_so, none_relents)
RIGHT(none_page_that_was_revoked_never_reads_wrong, none_revoked)
RIGHT(backup_page_outlives_any_one_fault, backup_broken)
RIGHT(backup_page_outlives_a_disk_that_fails, backup_small)
RIGHT(backup_page_bound_written_freed_and_unmapped, backup_bound)
RIGHT(backup_page_of_a_cold_slab_is_on_the_disk, backup_cold)
RIGHT(backup_page_moves_off_a_donor_that_evicts, backup_evicted)
RIGHT(backup_page_outlives_a_revoked_grant, backup_revoked)
RIGHT(mirror_page_outlives_a_donor_that_is_lost, mirror_broken)
RIGHT(mirror_page_that_missed_writes_becomes_whole_again, mirror_small)
RIGHT(mirror_page_is_lost_only_with_both_donors, mirror_lost)
RIGHT(mirror_page_moves_off_a_donor_that_evicts, mirror_moves)
RIGHT(mirror_with_one_leg_that_is_evicted_gets_two_others, mirror_half)
RIGHT(mirror_page_that_moves_outlives_a_donor_that_is_lost, mirror_evicted)
RIGHT(mirror_page_outlives_a_revoked_grant, mirror_revoked)
RIGHT(mirror_page_is_kept_if_the_donor_says_so, mirror_relents_late)
RIGHT(mirror_with_both_legs_evicted_moves_to_others, mirror_evicted_twice)
RIGHT(mirror_page_whose_donors_want_it_again_stays, mirror_relents)
RIGHT(mirror_that_was_frozen_becomes_whole_again, mirror_frozen)
RIGHT(mirror_with_backup_outlives_any_two_faults, mirror_backup)
RIGHT(mirror_with_backup_moves_off_a_donor_that_evicts, mirror_backup_evicted)
RIGHT(mirror_page_outlives_a_copy_that_rots, mirror_rotten)
RIGHT(backup_page_outlives_a_copy_that_rots, backup_rotten)
RIGHT(none_page_is_read_while_it_moves_to_a_copy_that_rots, none_moves_to_rot)
RIGHT(mirror_page_is_read_while_it_moves_to_copies_that_rot, mirror_moves_to_rot)
RIGHT(none_page_outlives_readers_whose_memory_others_write, none_smeared)
RIGHT(mirror_page_outlives_readers_whose_memory_others_write, mirror_smeared)
RIGHT(backup_page_outlives_readers_whose_memory_others_write, backup_smeared)

/* Every step that the donor's table allows is taken, none that it refuses. */
TEST(sessions_use_the_whole_table_and_are_never_refused)
{
	static const struct config c = {
		.wanted = 1, .donors = 2, .mapped = 1, .returns = true,
		.writes = 1, .evicts = 1, .breaks = 1, .losses = 1,
	};
	unsigned int state, event;

	EXPECT_EQ(NULL, search_run(&c, true));
	for (state = 0; state < ISW_DONOR_STATES; state++)
		for (event = 0; event < ISW_DONOR_EVENTS; event++)
			EXPECT_EQ(isw_donor_next((__u8)state, (__u8)event) != ISW_FSM_REFUSED,
				  model_edges[state] >> event & 1)
				TH_LOG("%s, event %u", isw_donor_state_name((__u8)state), event);
}

/* ---- rules that must not be broken -------------------------------------- */

/* @right was right above: so it is @rule alone that is found out here. */
#define FINDS_OUT(name, rule, right)					\
TEST(finds_out_##name)							\
{									\
	struct config c = right;					\
	const char *why;						\
									\
	c.broken = rule;						\
	why = search_run(&c, false);					\
	EXPECT_FALSE(search.full);					\
	EXPECT_NE(NULL, why);						\
	printf("# %s\n", why ? why : "nothing is wrong");		\
	fflush(stdout);							\
}

FINDS_OUT(flags_cleared_before_the_drain, CLEAR_BEFORE_DRAIN, none_broken)
FINDS_OUT(flags_cleared_before_the_drain_in_a_mirror, CLEAR_BEFORE_DRAIN, mirror_evicted)
FINDS_OUT(leg_slots_used_again_before_the_drain, REUSE_BEFORE_DRAIN, none_broken)
FINDS_OUT(grants_given_back_before_the_drain, REUSE_BEFORE_DRAIN, none_bound)
FINDS_OUT(mappings_published_twice_without_a_drain, PUBLISH_TWICE, mirror_half)
FINDS_OUT(flags_that_stay_when_the_leg_goes, CLEAR_NOTHING, none_broken)
FINDS_OUT(flags_that_stay_when_a_cold_slab_is_unmapped, CLEAR_NOTHING, backup_cold)
FINDS_OUT(copies_of_a_page_that_has_changed, COPY_WITHOUT_COMPARING, mirror_small)
FINDS_OUT(copies_of_a_page_that_has_another_owner, COPY_BUSY_PAGES, mirror_small)
FINDS_OUT(copies_of_a_page_that_was_freed, COPY_END_UNCHECKED, none_bound)
FINDS_OUT(a_copier_that_no_drain_waits_for, COPY_NAMES_NOTHING, mirror_evicted)
FINDS_OUT(retiring_legs_dropped_with_the_only_copy, DROP_UNCHECKED, none_evicted)
FINDS_OUT(retiring_legs_dropped_for_a_staged_copy, DROP_TRUSTS_STAGED, backup_evicted)
FINDS_OUT(retiring_legs_dropped_before_the_mirror_is_whole, DROP_TRUSTS_ONE, mirror_evicted)
FINDS_OUT(retiring_legs_dropped_when_no_other_is_live, DROP_WITHOUT_OTHERS, none_evicted)
FINDS_OUT(write_ends_that_ignore_a_discard, END_IGNORES_DISCARD, none_bound)
FINDS_OUT(writes_that_end_with_the_first_acknowledgment, END_AT_FIRST_ACK, mirror_small)
FINDS_OUT(legs_that_failed_and_count, END_COUNTS_FAILED, mirror_small)
FINDS_OUT(older_copies_that_count_during_a_write, BEGIN_KEEPS_COPIES, none_broken)
FINDS_OUT(staged_pages_shed_without_another_copy, SHED_ONLY_COPY, backup_broken)
FINDS_OUT(disk_writes_that_count_for_newer_versions, DISK_IGNORES_SEQUENCE, backup_broken)
FINDS_OUT(two_versions_under_way_to_the_disk, DISK_REORDERS, backup_broken)
FINDS_OUT(writes_that_ignore_busy, CLAIM_TWICE, none_bound)
FINDS_OUT(waiters_that_do_not_ask_to_be_kicked, PARK_WITHOUT_ASKING, none_small)
FINDS_OUT(waiters_that_park_after_the_kick, PARK_WITHOUT_LOOKING, none_small)
FINDS_OUT(lost_donors_that_nobody_is_told_of, GIVE_UP_WITHOUT_KICK, none_small)
FINDS_OUT(donors_given_up_while_work_requests_are_under_way, GIVE_UP_UNDRAINED, none_small)
FINDS_OUT(sessions_made_anew_before_they_are_drained, DRAIN_SESSION_EARLY, none_broken)
FINDS_OUT(resumed_sessions_that_nobody_is_told_of, UP_WITHOUT_KICK, none_small)
FINDS_OUT(grants_that_were_not_listed_and_stay, UP_WITH_OLD_GRANTS, none_revoked)
FINDS_OUT(reads_that_see_the_word_before_the_mapping, READ_WORD_FIRST, none_broken)
FINDS_OUT(reads_that_wait_with_a_mapping_that_moved, READ_MAPPING_ONCE, none_bound)
FINDS_OUT(reads_that_trust_a_mapping_older_than_the_word, READ_GIVES_UP, none_bound)
FINDS_OUT(reads_that_take_a_leg_that_may_come_back_for_gone, READ_GIVES_UP, none_moves_to_rot)
FINDS_OUT(reads_that_compare_nothing, READ_UNCHECKED, mirror_rotten)
FINDS_OUT(reads_that_compare_nothing_of_freed_pages, READ_TRUSTS_FREED, mirror_rotten)
FINDS_OUT(copies_given_up_for_what_a_reader_saw, READ_VOIDS_UNSEEN, none_smeared)
FINDS_OUT(copies_of_a_mirror_given_up_so, READ_VOIDS_UNSEEN, mirror_smeared)
FINDS_OUT(copies_given_up_so_before_the_disk_is_asked, READ_VOIDS_UNSEEN, backup_smeared)
FINDS_OUT(copies_avoided_that_were_written_anew, READ_AVOIDS_TOO_LONG, none_smeared)
FINDS_OUT(slabs_unmapped_without_a_freeze, UNMAP_WITHOUT_FREEZE, none_bound)
FINDS_OUT(hints_cleared_after_the_words_were_seen, HINT_CLEARED_LATE, mirror_small)
FINDS_OUT(hints_given_before_the_donor_is_live, HINT_BEFORE_UP, mirror_small)
FINDS_OUT(hints_taken_while_the_disk_is_not_tried, HINT_WITHOUT_DISK, backup_small)
FINDS_OUT(hints_taken_of_a_frozen_slab, HINT_LOST_FROZEN, backup_cold)
FINDS_OUT(writes_that_leave_no_hint, HINT_NOT_BY_WRITES, mirror_small)
FINDS_OUT(writes_without_a_mapping_that_leave_no_hint, HINT_NOT_UNMAPPED, backup_small)
FINDS_OUT(hints_taken_before_the_drain, HINT_BEFORE_DRAIN, mirror_moves)
FINDS_OUT(evictions_called_off_that_nobody_is_told_of, RELENT_WITHOUT_KICK, none_relents)
FINDS_OUT(evictions_called_off_that_leave_no_hint, RELENT_WITHOUT_HINT, mirror_relents_late)

TEST_HARNESS_MAIN
