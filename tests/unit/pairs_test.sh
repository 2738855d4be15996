#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# tests/lib/pairs.py and evictions.py: losses, their intervals, and what is judged.
# The expected intervals are from tables of Student's t and of the binomial.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# shellcheck source=tests/lib/ktap.sh
. "$here/../lib/ktap.sh"

# pairs LIMIT PAIR… - each "WITH WITHOUT"
pairs()
{
	printf '%s\n' "${@:2}" >"$scratch/pairs"
	/usr/bin/python3 -S "$here/../lib/pairs.py" "$scratch/pairs" sets "$1" >"$scratch/said" 2>&1
}

said()
{
	grep -qF -e "$1" "$scratch/said" || fail "not said: $1" "$(<"$scratch/said")"
}

test_median_and_mean_have_their_intervals()
{
	pairs 5 '99 100' '98 100' '97 100' '96 100' '95 100' '94 100'
	said 'sets, pair 1: 99.0 against 100.0, a loss of 1.00 %'
	# least and greatest of six hold the median but for 2 of 64 cases;
	# 3.5 ± 2.571 · 1.871 / √6
	said '6 pairs: median loss 3.50 %, 96.9 % interval 1.00 to 6.00 %; mean 3.50 %, 95 % interval 1.54 to 5.46 %'
	said 'figure: sets_loss_percent=3.5'
	said 'figure: sets_loss_interval_percent=[1.0, 6.0]'
}

test_the_interval_of_the_median_leaves_out_what_it_can()
{
	# of nine, the second and the eighth: 1 - 2 · 10 / 512
	pairs 6 '91 100' '92 100' '93 100' '94 100' '95 100' '96 100' '97 100' '98 100' '99 100'
	said 'median loss 5.00 %, 96.1 % interval 2.00 to 8.00 %'
}

test_a_median_above_the_limit_is_wrong()
{
	! pairs 3 '99 100' '98 100' '97 100' '96 100' '95 100' '94 100' || fail "$(<"$scratch/said")"
	said 'median loss 3.50 %'
}

test_one_bad_pair_does_not_make_the_median_wrong()
{
	pairs 3 '99 100' '98 100' '98 100' '98 100' '10 100'
}

test_few_pairs_are_not_judged()
{
	pairs 3 '50 100' '50 100'
	said 'not judged'
}

test_no_pair_is_wrong()
{
	! pairs 3 || fail "$(<"$scratch/said")"
}

# evictions WITH EVENTS COUNT - so many pairs of 20 s, the first of each without and
# 100 pages in a tenth of a second, the second WITH pages less so many for each
# pair; a stall each second. The host's clock is 5000 s ahead, its lines 1 to 9 ms late.
evictions()
{
	awk -v with="$1" -v pairs="$3" 'BEGIN {
		for (i = 0; i < pairs * 400 + 10; i++) {
			n = i % 400 < 200 ? 100 : with - int(i / 400) % 2
			printf "%.6f progress %.0f %d %.0f %d\n", 5100 + i / 10 + (1 + i % 9) / 1000,
				(100 + i / 10) * 1e9, n, i % 10 ? 2e6 : 2e7, !(i % 10)
		}
	}' >"$scratch/samples"
	awk -v events="$2" -v pairs="$3" 'BEGIN {
		for (i = 0; i < pairs; i++) {
			print "without", 5100 + i * 40 + 0.051, 5100 + i * 40 + 19.951, 0
			print "with", 5100 + i * 40 + 20.051, 5100 + i * 40 + 39.951, events
		}
	}' >"$scratch/windows"
	/usr/bin/python3 -S "$here/../lib/evictions.py" "$scratch"/{samples,windows,plot} >"$scratch/said" 2>&1
}

test_the_loss_of_a_window_is_shared_by_its_evictions()
{
	evictions 81 10 6
	said 'pair 1: 810 pages a second with 10 evictions, 1000 without: 1.90 % each; over 10 ms took 19 pages with, 19 without'
	# 1.9 and 2.0 in turn: 1.95 ± 2.571 · 0.0548 / √6
	said '6 pairs of 20 s, 60 evictions: each took 1.95 % of that time'"'"'s pages, as many as in 0.39 s; 95 % interval 1.89 to 2.01 %'
	said 'figure: loss_percent=1.95'
	said 'figure: loss_interval_percent=[1.89, 2.01]'
	said 'figure: stalls_with=114'
	[ "$(head -n 1 "$scratch/plot.windows")" = "without 0.05 19.95" ] || fail "$(head -n 1 "$scratch/plot.windows")"
	[ "$(sed -n 3p "$scratch/plot.data")" = "2 1000 20.0" ] || fail "$(sed -n 3p "$scratch/plot.data")"
}

test_an_upper_end_above_the_limit_is_wrong()
{
	! evictions 81 5 6 || fail "$(<"$scratch/said")"
	said '95 % interval 3.79 to 4.01 %'
}

test_a_window_with_no_eviction_is_wrong()
{
	! evictions 100 0 6 || fail "$(<"$scratch/said")"
	said 'pair 1: 0 evictions with'
}

test_one_pair_has_no_interval_and_is_not_judged()
{
	evictions 81 5 1
	said 'not judged'
	! grep interval "$scratch/said" || fail "an interval of one"
}

ktap_main
