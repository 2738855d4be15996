#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# tests/lib/stalls.py finds pages that waited too long when a donor was killed,
# and kills that struck nothing: a minute of progress, ten lines a second, with
# kills at 20 s and 40 s that are noticed after 2 s.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# shellcheck source=tests/lib/ktap.sh
. "$here/../lib/ktap.sh"

# stalls FIRST SECOND EVER [END] - the longest wait that each kill caused, and of each
# line else, in ms; END is the line in which the first one ends (222). The host's clock
# is 5000 s ahead, its lines 1 to 9 ms late.
stalls()
{
	awk -v first="$1" -v second="$2" -v ever="$3" -v end="${4:-222}" 'BEGIN {
		for (i = 0; i < 600; i++) {
			wait = i == end ? first : i == 422 ? second : ever
			printf "%.6f progress %.0f 100 %.0f 0\n", 5100 + i / 10 + (1 + i % 9) / 1000,
				(100 + i / 10) * 1e9, wait * 1e6
		}
	}' >"$scratch/samples"
	printf '%s\n' '5120.001 donor1 5112' '5140.001 donor2 5132' >"$scratch/kills"
	printf ' kworker/0:1-9 [000] d..1 %s: isw_session_broken: device=infiniswap0 donor=%s session=1 why="x"\n' \
		122.000000 donor1 142.000000 donor2 >"$scratch/trace"
	/usr/bin/python3 -S "$here/../lib/stalls.py" "$scratch"/{samples,kills,trace,plot}
}

refused()
{
	! stalls "$@" >"$scratch/said" || fail "$(cat "$scratch/said")"
	cat "$scratch/said"
}

test_little_more_than_noticing_is_right()
{
	stalls 2100 2200 50 | tee "$scratch/said"
	grep -q '^2 kills: median 150 ms, most 200 ms$' "$scratch/said"
	grep -q '^figure: wait_ms=\[100, 200\]$' "$scratch/said"
	grep -q '^figure: wait_longest_ms=200$' "$scratch/said"
	[ "$(wc -l <"$scratch/plot.data")" = 599 ]
	[ "$(cut -d ' ' -f 2 "$scratch/plot.kills" | paste -sd ' ')" = "donor1 donor2" ]
}

test_the_median_above_the_limit_is_wrong()
{
	refused 2280 2270 50
	grep -q '^the median is above 250 ms$' "$scratch/said"
}

test_one_far_above_the_limit_is_wrong()
{
	refused 2050 2350 50
	grep -q '^donor2: 350 ms, allowed 300$' "$scratch/said"
}

test_one_that_ends_long_after_the_donor_was_noticed_is_wrong()
{
	refused 8500 2100 50 290
	grep -q '^donor1: 6500 ms, allowed 300$' "$scratch/said"
}

test_what_waited_before_the_kill_is_allowed_for()
{
	stalls 2050 2350 150
}

test_a_kill_that_struck_nothing_is_wrong()
{
	refused 2100 60 50
	grep -q 'donor2 at 40.0 s struck no page' "$scratch/said"
}

test_a_kill_that_was_not_noticed_is_wrong()
{
	stalls 2100 2100 50
	sed -i /donor2/d "$scratch/trace"
	! /usr/bin/python3 -S "$here/../lib/stalls.py" "$scratch"/{samples,kills,trace,plot} 2>"$scratch/said" ||
		fail "not seen"
	grep -q 'donor2, killed at 40.0 s: its session did not break' "$scratch/said"
}

ktap_main
