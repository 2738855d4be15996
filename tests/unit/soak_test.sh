#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/soak and its ledger, in a small project of its own whose life_test only
# says how it was called: what is counted, and what is never forgotten.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ISW_TOP=${ISW_TOP:-$here/../..}
# shellcheck source=tests/lib/functions.sh
. "$ISW_TOP/tests/lib/functions.sh"

scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"

# project - a fresh one; its life_test fails while there is a file `wrong`. All others
# give what their parts are to note, and the seed that they were called with.
project()
{
	rm -rf "$scratch/project"
	mkdir -p "$scratch"/project/{scripts/lib,tests/lib,tests/e2e,tests/soak,kmod}
	cd "$scratch/project"
	cp "$ISW_TOP/scripts/soak" scripts/
	cp "$ISW_TOP/scripts/lib/ledger.py" scripts/lib/
	cp "$ISW_TOP"/tests/lib/{functions.sh,ktap.sh,ktap.py} tests/lib/
	cat >tests/e2e/life_test.sh <<-'END'
		#!/bin/sh
		echo "$ISW_ROUNDS rounds on $ISW_KERNEL" >>called
		echo 1..1
		[ -e wrong ] && echo not ok 1 rounds && exit 1
		echo ok 1 rounds
	END
	printf '%s\n' '#!/bin/sh' 'echo "seed $ISW_SEED" >>called' 'echo 1..1' 'echo ok 1 storm' \
		>tests/e2e/storm_test.sh
	cat >tests/e2e/pressure_test.sh <<-'END'
		#!/usr/bin/env bash
		. tests/lib/functions.sh
		test_figures()
		{
			figure "called_with=$ISW_SEED" loss_percent=1.25 back_s=0.4
			figure back_s=2.0 "interval=[-0.44, 2.95]"
			echo "no figure: other=1"
		}
		ktap_main
	END
	cp tests/e2e/pressure_test.sh tests/e2e/stall_test.sh
	cp tests/e2e/pressure_test.sh tests/soak/evict_cost_test.sh
	cp tests/e2e/pressure_test.sh tests/soak/neighbour_test.sh
	chmod +x tests/*/*_test.sh
	git init -q
	change first
}

# change WORD - another source
change()
{
	echo "// $1" >kmod/main.c
	git add kmod
	git -c user.name=test -c user.email=test@localhost commit -qm "$1"
}

# soak STATUS ARGUMENT… - it ends with STATUS
soak()
{
	local expected=$1 status=0

	: >called
	scripts/soak "${@:2}" >out 2>&1 || status=$?
	[ "$status" = "$expected" ] || fail "status $status, not $expected" "$(<out)"
}

# called LINE… - life_test was called so, once for each
called()
{
	diff called <(printf '%s\n' "$@")
}

test_steps_make_up_the_count()
{
	soak 0 --count 25 --step 10 life
	called "10 rounds on 6.1" "10 rounds on 6.1" "5 rounds on 6.1"
	[ "$(wc -l <tests/soak/ledger.jsonl)" = 3 ]
}

test_what_is_done_is_not_done_again()
{
	soak 0 --count 10 --step 10 life
	soak 0 --count 30 --step 15 life
	called "15 rounds on 6.1" "5 rounds on 6.1"
	soak 0 --count 30 life
	[ ! -s called ]
}

test_another_kernel_is_another_count_and_is_what_runs()
{
	soak 0 --count 10 life
	soak 0 --count 10 --kernel 6.12 life
	called "10 rounds on 6.12"
}

test_another_source_begins_anew()
{
	soak 0 --count 10 life
	change second
	soak 0 --count 10 life
	called "10 rounds on 6.1"
	echo "// third, not committed" >kmod/main.c
	soak 0 --count 10 life
	called "10 rounds on 6.1"
}

test_a_wrong_step_is_not_forgotten_until_the_source_changes()
{
	touch wrong
	soak 1 --count 20 --step 10 life
	called "10 rounds on 6.1"
	rm wrong
	soak 1 --count 20 --step 10 life
	[ ! -s called ] || fail "went on"
	grep -q 'has wrong results of life' out
	change second
	soak 0 --count 20 --step 10 life
}

test_time_that_is_over_is_no_failure_and_no_success()
{
	soak 3 --count 20 --step 10 --minutes 0 life
	[ ! -s called ]
}

test_a_line_that_was_cut_short_hides_no_result()
{
	soak 0 --count 10 life
	truncate -s -5 tests/soak/ledger.jsonl
	soak 1 --count 10 life
	[ ! -s called ]
	grep -q 'tests/soak/ledger.jsonl:1: not JSON' out
}

test_a_seed_counts_once()
{
	ISW_SEED=7 soak 0 --count 1 storm-backup
	called "seed 7"
	# it is the first step's alone, and no news: two others make up the count
	ISW_SEED=7 soak 0 --count 3 storm-backup
	[ "$(grep -c 'seed 7$' called)" = 1 ]
	[ "$(sort -u called | wc -l)" = 3 ]
	[ "$(wc -l <tests/soak/ledger.jsonl)" = 4 ]
	soak 0 summary
	grep -qE '^\| storm-backup \| [0-9a-f]+ \| 6\.1 \| 4 \| 3 \| 0 \|' out || fail "$(<out)"
}

# entry EXPRESSION - of the last line of the ledger, as Python has it
entry()
{
	tail -n 1 tests/soak/ledger.jsonl | /usr/bin/python3 -S -c "import json, sys
entry = json.load(sys.stdin)
print($1)"
}

test_figures_of_a_suite_stand_in_the_ledger()
{
	soak 0 --count 1 --step 1 growth
	[ "$(entry 'entry["loss_percent"], entry["interval"]')" = "1.25 [-0.44, 2.95]" ]
	# what is given again is a list
	[ "$(entry 'entry["back_s"]')" = "[0.4, 2.0]" ]
	[ "$(entry 'entry["tests"], "other" in entry')" = "1 passed, 0 failed, 0 skipped False" ]
}

test_each_drawn_part_is_called_with_a_seed_that_is_noted()
{
	local part

	for part in evictions neighbour growth stall-backup stall-mirror; do
		soak 0 --count 1 --step 1 "$part"
		[ "$(entry 'entry["called_with"] == entry["ISW_SEED"] > 0')" = True ] || fail "$part: $(<out)"
		ISW_SEED=4711 soak 0 --count 2 --step 1 "$part"
		[ "$(entry 'entry["called_with"], entry["ISW_SEED"]')" = "4711 4711" ] || fail "$part: $(<out)"
	done
}

test_summary_counts_right_and_wrong_steps()
{
	soak 0 --count 20 --step 10 life
	touch wrong
	soak 1 --count 30 --step 10 life
	soak 0 summary
	grep -qE '^\| life \| [0-9a-f]+ \| 6\.1 \| 3 \| 20 \| 1 \|' out || fail "$(<out)"
}

test_wrong_words_are_refused()
{
	soak 2 --colour life
	soak 2
	soak 1 --count
	[ ! -s called ]
}

ktap_main project
