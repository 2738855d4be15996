#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The test runner and its libraries: nothing that went wrong may count as passed.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ISW_TOP=${ISW_TOP:-$here/../..}
# shellcheck source=tests/lib/functions.sh
. "$ISW_TOP/tests/lib/functions.sh"

# What the runner that runs this was told is not for the ones that this runs.
unset ISW_CHECK_JOBS ISW_CHECK_LIMIT

lib=$ISW_TOP/tests/lib
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"

# run COMMAND [LIMIT] - one suite of that command; leaves output and status
run()
{
	status=0
	out=$(printf 'suite\t%s\t%s\n' "${2:-20}" "$1" | /usr/bin/python3 "$lib/ktap.py") ||
		status=$?
}

# counts "N passed, N failed, N skipped" STATUS - of the last run
counts()
{
	local last

	last=$(tail -n 1 <<<"$out")
	[ "$last" = "$1" ] || fail "$out" "last line is not '$1'"
	[ "$status" = "$2" ] || fail "exit status $status, not $2"
}

# script TEXT - a test script that uses the libraries; prints its path
script()
{
	printf '#!/usr/bin/env bash\nset -euo pipefail\nISW_TOP=%q\n. %q\n%s\n' \
		"$ISW_TOP" "$lib/functions.sh" "$1" >"$scratch/script"
	chmod +x "$scratch/script"
}

# ---- what the runner counts -------------------------------------------------

test_passes_are_counted()
{
	run 'echo 1..2; echo ok 1 a; echo ok 2 - b'
	counts "2 passed, 0 failed, 0 skipped" 0
}

test_a_failure_is_counted_and_named()
{
	run 'echo 1..2; echo ok 1 a; echo not ok 2 b; exit 1'
	counts "1 passed, 1 failed, 0 skipped" 1
	grep -q '^#   suite: b$' <<<"$out"
}

test_a_skip_with_a_reason_is_a_skip()
{
	run 'echo 1..2; echo ok 1 a; echo "ok 2 b # SKIP no disk"'
	counts "1 passed, 0 failed, 1 skipped" 0
}

test_a_skip_without_a_reason_is_a_failure()
{
	run 'echo 1..2; echo ok 1 a; echo "ok 2 b # SKIP"'
	counts "1 passed, 1 failed, 0 skipped" 1
}

test_skips_alone_do_not_pass()
{
	run 'echo 1..1; echo "ok 1 a # SKIP no disk"; exit 4'
	counts "0 passed, 0 failed, 1 skipped" 1
}

test_a_whole_skip_has_a_reason_too()
{
	run 'echo "1..0 # SKIP no kernel"; exit 4'
	counts "0 passed, 0 failed, 1 skipped" 1
}

test_results_that_are_missing_are_failures()
{
	run 'echo 1..5; echo ok 1 a; echo ok 2 b'
	counts "2 passed, 3 failed, 0 skipped" 1
}

test_more_results_than_planned_is_a_failure()
{
	run 'echo 1..1; echo ok 1 a; echo ok 2 b'
	counts "2 passed, 1 failed, 0 skipped" 1
}

test_no_plan_is_a_failure()
{
	run 'echo ok 1 a'
	counts "1 passed, 1 failed, 0 skipped" 1
}

test_no_output_is_a_failure()
{
	run 'true'
	counts "0 passed, 1 failed, 0 skipped" 1
}

test_a_program_that_is_not_there_is_a_failure()
{
	run '/nonexistent/program'
	counts "0 passed, 1 failed, 0 skipped" 1
}

test_a_bad_exit_status_is_a_failure()
{
	run 'echo 1..1; echo ok 1 a; exit 3'
	counts "1 passed, 1 failed, 0 skipped" 1
}

test_kselftests_skip_status_needs_skips()
{
	run 'echo 1..1; echo ok 1 a; exit 4'
	counts "1 passed, 1 failed, 0 skipped" 1
}

test_a_crash_is_a_failure()
{
	run 'echo 1..2; echo ok 1 a; kill -SEGV $$'
	counts "1 passed, 2 failed, 0 skipped" 1
}

test_bail_out_is_a_failure()
{
	run 'echo 1..1; echo "Bail out! no memory"; exit 1'
	counts "0 passed, 1 failed, 0 skipped" 1
}

test_a_program_over_its_time_is_ended_and_a_failure()
{
	local began=$SECONDS

	run 'echo 1..2; echo ok 1 a; sleep infinity & wait' 1
	counts "1 passed, 2 failed, 0 skipped" 1
	grep -q 'time limit of 1 s passed' <<<"$out"
	[ $((SECONDS - began)) -lt 10 ]
}

# suites COMMAND… - several suites, each of one command; ISW_CHECK_LIMIT applies
suites()
{
	status=0
	out=$(printf 'suite\t20\t%s\n' "$@" | /usr/bin/python3 "$lib/ktap.py") || status=$?
}

test_all_suites_together_have_a_limit_too()
{
	local began=$SECONDS

	export ISW_CHECK_LIMIT=2
	suites 'echo 1..1; echo ok 1 a' 'echo 1..1; sleep infinity & wait' 'echo 1..1; echo ok 1 c'
	# a; b has no result and passed the limit; c was not run
	counts "1 passed, 3 failed, 0 skipped" 1
	grep -q '^#   suite: time limit of 2 s for all suites passed$' <<<"$out"
	grep -q '^#   suite: not run: time limit of 2 s for all suites passed$' <<<"$out"
	[ $((SECONDS - began)) -lt 10 ]
}

# Each says that it has begun and waits until the other has: alone it never ends.
test_suites_run_at_the_same_time_if_told_to_and_each_speaks_in_one_piece()
{
	cat >"$scratch/meet" <<'END'
		cd "${0%/*}" && touch "$1" && echo 1..2 && echo ok 1 begun
		until [ -e "$2" ]; do sleep 0.05; done
		echo ok 2 met
END
	export ISW_CHECK_JOBS=2 ISW_CHECK_LIMIT=10
	suites "bash $scratch/meet one two" "bash $scratch/meet two one"
	counts "4 passed, 0 failed, 0 skipped" 0
	# each: its name, plan, two results, and what it is
	[ "$(sed -n '3p;8p' <<<"$out" | grep -c '^# Subtest: ')" = 2 ] || fail "$out"
	[ "$(sed -n '7p;12p' <<<"$out" | grep -c '^ok [12] suite ')" = 2 ] || fail "$out"
}

test_what_stands_behind_an_empty_line_runs_last()
{
	local first="timeout 1 tail -f /dev/null; touch $scratch/over; echo 1..1; echo ok 1 a"
	local last="echo 1..1; [ -e $scratch/over ] && echo ok 1 b"

	export ISW_CHECK_JOBS=2
	status=0
	out=$(printf 'suite\t20\t%s\n\nsuite\t20\t%s\n' "$first" "$last" |
		/usr/bin/python3 "$lib/ktap.py") || status=$?
	counts "2 passed, 0 failed, 0 skipped" 0
	[ "$(sed -n 2p <<<"$out")" = 1..2 ]
}

test_the_ten_slowest_tests_are_named_before_the_counts()
{
	local named

	run 'echo 1..12; for i in 1 2 3 4 5 6 7 8 9 10 11; do echo ok $i fast; done; sleep 0.3; echo ok 12 slow'
	counts "12 passed, 0 failed, 0 skipped" 0
	named=$(sed -n '/^# Slowest tests:$/,$p' <<<"$out" | grep -E '^# +[0-9.]+ s  suite: ')
	[ "$(wc -l <<<"$named")" = 10 ] || fail "$named"
	head -n 1 <<<"$named" | grep -q 'suite: slow$' || fail "$named"
}

test_a_stray_process_does_not_hold_the_runner_up()
{
	local began=$SECONDS

	run 'echo 1..1; echo ok 1 a; sleep infinity &'
	counts "1 passed, 0 failed, 0 skipped" 0
	[ $((SECONDS - began)) -lt 10 ]
}

test_nested_results_are_not_counted_twice()
{
	run 'echo 1..1; echo "  1..1"; echo "  not ok 1 inner"; echo "# ok 1 said"; echo ok 1 a'
	counts "1 passed, 0 failed, 0 skipped" 0
}

test_todo_does_not_hide_a_failure()
{
	run 'echo 1..1; echo "not ok 1 a # TODO some day"; exit 1'
	counts "0 passed, 1 failed, 0 skipped" 1
}

# A suite stops the runner itself: it is as late then as when the machine stood still.
stand_still='(timeout 1.6 tail -f /dev/null; kill -CONT $PPID) & kill -STOP $PPID; wait;'

test_what_failed_while_the_machine_stood_still_is_run_again()
{
	local first="touch $scratch/second; $stand_still echo 1..1; echo '# no answer'; echo not ok 1 a"

	run "[ -e $scratch/second ] || { $first; exit; }; echo 1..2; echo ok 1 a; echo ok 2 b"
	counts "2 passed, 0 failed, 0 skipped" 0
	grep -q '^# suite is run again: it failed, and the machine stood still for [1-9].*: no answer$' <<<"$out"
}

test_what_fails_again_failed_and_what_passed_is_not_run_again()
{
	run "echo >>$scratch/runs; $stand_still echo 1..1; echo not ok 1 a"
	counts "0 passed, 1 failed, 0 skipped" 1
	run "echo >>$scratch/runs; $stand_still echo 1..1; echo ok 1 a"
	counts "1 passed, 0 failed, 0 skipped" 0
	run "echo >>$scratch/runs; echo 1..1; echo not ok 1 a"
	counts "0 passed, 1 failed, 0 skipped" 1
	[ "$(wc -l <"$scratch/runs")" = 4 ]
}

test_the_merged_output_is_ktap_with_subtests()
{
	run 'echo 1..1; echo ok 1 a'
	[ "$(sed -n 1,5p <<<"$out")" = $'KTAP version 1\n1..1\n# Subtest: suite\n  1..1\n  ok 1 a' ] ||
		fail "$out"
	grep -q '^ok 1 suite' <<<"$out"
}

# ---- what scripts say ------------------------------------------------------

test_a_script_of_functions_reports_each()
{
	script 'test_b() { true; }
test_a() { false; echo not reached; }
test_c() { skip "no disk"; }
test_d() { fail "x is not y"; }
ktap_main'
	run "$scratch/script"
	counts "1 passed, 2 failed, 1 skipped" 1
	# in the order written
	[ "$(grep -oE 'ok [0-9] [a-d]' <<<"$out" | tr -d '\n')" = "ok 1 bok 2 aok 3 cok 4 d" ]
	! grep -q 'not reached' <<<"$out" || fail "went on behind a failed command"
	grep -q '# x is not y' <<<"$out"
}

test_a_failure_tells_where_and_the_first_one_at_the_end()
{
	script 'ktap_failed() { echo more; false; }
deeper()
{
	echo "$(false; echo fine)"
	[ "$1" = 2 ]
}
test_a() { deeper 1; }
test_b() { fail second; }
ktap_main'
	run "$scratch/script"
	counts "0 passed, 2 failed, 0 skipped" 1
	grep -A 2 '^  # fine$' <<<"$out" | tail -n 2 | tr '\n' ' ' |
		grep -q '^  # at script:9: \[ "$1" = 2 \]   #   more $' || fail "$out"
	sed -n '/^# Said by the first that failed in suite:$/,$p' <<<"$out" | sed -n 2,4p |
		tr '\n' ' ' | grep -q '^#   fine #   at script:9: .* # $' || fail "$out"
}

test_a_script_that_dies_half_way_fails_the_rest()
{
	script 'ktap_plan 3
ktap_test first true
false
ktap_test second true
ktap_test third true
ktap_finish'
	run "$scratch/script"
	counts "1 passed, 2 failed, 0 skipped" 1
}

test_a_script_that_forgets_a_result_fails()
{
	script 'ktap_plan 2
ktap_test first true
ktap_finish'
	run "$scratch/script"
	counts "1 passed, 1 failed, 0 skipped" 1
}

test_cleanup_runs_last_added_first_whatever_happens()
{
	local how

	for how in true false 'kill -TERM $$' 'exit 3'; do
		script "cleanup_add echo one
cleanup_add echo 'two  words'
$how"
		[ "$("$scratch/script" 2>&1)" = $'two  words\none' ] || fail "after: $how"
	done
}

test_cleanup_runs_when_the_time_is_over()
{
	script "cleanup_add touch $scratch/cleaned
ktap_plan 1
ktap_test waits sleep infinity"
	run "$scratch/script" 1
	counts "0 passed, 2 failed, 0 skipped" 1
	[ -e "$scratch/cleaned" ]
}

test_wait_for_waits_and_gives_up()
{
	local began=$SECONDS

	(wait_for 5 test -e "$scratch/soon") &
	touch "$scratch/soon"
	wait $!
	! wait_for 1 false 2>"$scratch/err" || fail "waited for nothing with success"
	[ "$(cat "$scratch/err")" = "waited 1 s in vain for: false" ]
	[ $((SECONDS - began)) -ge 1 ]
}

test_wait_for_does_not_count_how_long_the_machine_stood_still()
{
	local began=$SECONDS

	# the first turn takes longer than there is time, the third has what is waited for
	# shellcheck disable=SC2016 # for the inner shell
	wait_for 4 sh -c 'echo >>"$1"; [ $(wc -l <"$1") != 1 ] || timeout 5 tail -f /dev/null; [ $(wc -l <"$1") = 3 ]' \
		- "$scratch/turns"
	[ $((SECONDS - began)) -ge 4 ]
}

# ---- what C programs in guests say ------------------------------------------

test_c_programs_report_in_the_same_form()
{
	gcc -Wall -Wextra -Werror -I"$lib" -x c -o "$scratch/program" - <<'END'
#include "ktap.h"
int main(void)
{
	ktap_plan(4);
	ktap_result(true, "number %d", 1);
	ktap_result(false, "second");
	ktap_skip("third", "no disk");
	ktap_diag("%s", "said");
	return ktap_finish();
}
END
	run "$scratch/program"
	counts "1 passed, 2 failed, 1 skipped" 1
}

# ---- what check offers ------------------------------------------------------

# A shell begins to count where SECONDS in its environment says.
test_set_up_and_build_are_part_of_the_time()
{
	! out=$(env SECONDS=101 ISW_CHECK_LIMIT=100 "$ISW_TOP/scripts/check" --no-build style) ||
		fail "$out"
	grep -q '^#   style: not run: time limit of -[0-9]* s for all suites passed$' <<<"$out" ||
		fail "$out"
}

test_check_lists_and_chooses_suites()
{
	[ "$("$ISW_TOP/scripts/check" --list style)" = style ]
	"$ISW_TOP/scripts/check" --list --quick 'unit/*' | grep -qx unit/place_test
	! "$ISW_TOP/scripts/check" --list 'no/such' 2>"$scratch/err" || fail "found no/such"
	grep -q 'no suite is called no/such' "$scratch/err"
}

ktap_main
