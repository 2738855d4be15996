#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A page takes no more instructions than tests/bench/budget has, in client, donor and
# Soft-RoCE together: a path that got slower is seen in review.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

margin=2	# per cent: repeats differ by 0.5, and the compiler may be another
# The figures are this kernel's.
export LAB_KERNEL=6.1
out=$(mktemp -d)
cleanup_add rm -rf "$out"

# cost OPERATION COLUMN - the median of its runs, or nothing if it was not measured
cost()
{
	awk -F , -v operation="$1" -v column="$2" '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
		$2 == operation { print $at[column] }' "$out/instructions.csv" |
		sort -n | awk '{ value[NR] = $1 } END { if (NR) print value[int((NR + 1) / 2)] }'
}

# within_budget OPERATION
within_budget()
{
	local have may

	have=$(cost "$1" instructions)
	may=$(awk -v operation="$1" '$1 == operation { print $2 }' "$here/budget")
	[ -n "$have" ] || fail "it was not measured"
	[ -n "$may" ] || fail "tests/bench/budget does not have it"
	echo "$1: $have instructions a page, the budget is $may"
	((have * 100 <= may * (100 + margin))) || fail "more than $margin % above it"
}

test_costs_are_measured()
{
	"$ISW_TOP/scripts/bench" instructions --arms none --mtu 4096 --operations page-in,page-out --repeats 3 \
		--no-profile ${ISW_BUILT:+--no-build} --out "$out"
}

test_page_in_is_within_its_budget()
{
	within_budget page-in
}

test_page_out_is_within_its_budget()
{
	within_budget page-out
}

# Heartbeats fall into a run, and the memory watch, for the donor's kernel, being the
# client's, does tell of tasks that wait for memory. A turn for each page would take
# it microseconds.
test_donors_program_does_not_run_for_a_page()
{
	local operation least

	for operation in page-in page-out; do
		least=$(cost "$operation" daemon_ns)
		echo "$operation: infiniswapd ran ${least:-?} ns a page"
		[ "${least:-1000}" -lt 300 ]
	done
}

ktap_main
