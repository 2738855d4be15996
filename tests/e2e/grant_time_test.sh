#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=600
# debug=no: it measures time, and a kernel that is several times slower has none to measure
#
# How long a donor takes for a grant, from the message to the answer, by its own
# debug log: memory that it maps and zeroes only then, and memory that it prepared.
# Prints the table of docs/measurements.md, medians of several grants.
#
#	ISW_GRANT_SIZES="1 64 1024"	MiB (1 64)
#	ISW_GRANTS=5			of each kind (3)

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
# shellcheck source=tests/lib/faults.sh
. "$ISW_TOP/tests/lib/faults.sh"

read -ra sizes <<<"${ISW_GRANT_SIZES:-1 64}"
grants=${ISW_GRANTS:-3}
log=/var/log/infiniswapd.log
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"

lab_up --donors 1 --no-daemon --client-mem 256M --donor-mem $((sizes[-1] * 5 / 4 + 384))M

# times - microseconds of all grants that donor1 has logged
times()
{
	lab_run donor1 "sed -n 's/.*: grant .* MiB, \(new\|prepared\).* in \([0-9]*\) us\$/\2/p' $log"
}

granted_so_far()
{
	# what took too long was given back and asked for again
	[ "$(times | wc -l)" -ge "$1" ]
}

# status_is FIELD MIB - of donor1's daemon
status_is()
{
	lab_run donor1 infiniswapctl donor status --json | grep -q "\"$1\": *$(($2 << 20))\b"
}

# kind MIB ordinary|huge new|prepared - the median of so many grants, one lent at a
# time, in $scratch/MIB-PAGES-HOW
kind()
{
	local size=$1 pages=$2 how=$3 huge=0 n

	[ "$pages" = ordinary ] || huge=$((size / 2))
	lab_run donor1 "rm -f $log; echo 1 >/proc/sys/vm/compact_memory; echo $huge >/proc/sys/vm/nr_hugepages
		[ \$(cat /proc/sys/vm/nr_hugepages) = $huge ]" || fail "no $huge huge pages"
	daemon_up donor1 --log_level=debug "--slab_size=${size}M" "--memory=${size}M" --headroom=16M \
		"--prepare=$([ "$how" = new ] && echo 0 || echo 1)"
	for ((n = 1; n <= grants; n++)); do
		[ "$how" = new ] || wait_for 30 status_is prepared "$size"
		lab_run client infiniswapctl create infiniswap0 --size "${size}M" --slab-size "${size}M" \
			--redundancy none --ready-grants 1 --donor donor1=10.7.0.101
		wait_for 30 granted_so_far "$n" ||
			fail "$(lab_run donor1 "tail -n 20 $log; infiniswapctl donor status")"
		lab_run client infiniswapctl remove infiniswap0
		wait_for 30 status_is granted 0
	done
	# each was what it is taken for
	[ "$(lab_run donor1 "grep -c 'MiB, $how$([ "$pages" = ordinary ] || echo ', huge pages'), in' $log")" = \
		"$(times | wc -l)" ]
	times | sort -n | sed -n "$((grants / 2 + 1))p" >"$scratch/$size-$pages-$how"
	daemon_kill donor1
}

# microseconds MIB PAGES HOW
microseconds()
{
	cat "$scratch/$1-$2-$3"
}

# row MIB ordinary|huge
row()
{
	kind "$1" "$2" new
	kind "$1" "$2" prepared
	awk -v size="$1" -v pages="$2" -v new="$(microseconds "$1" "$2" new)" \
		-v prepared="$(microseconds "$1" "$2" prepared)" 'BEGIN {
			printf "| %s MiB | %s | %.1f ms | %.1f ms |\n", size, pages, new / 1000, prepared / 1000
		}'
}

test_grant_of_prepared_memory_takes_a_fraction_of_one_of_new_memory()
{
	local size pages

	lab_run client modprobe infiniswap
	echo '| slab | pages | new | prepared |'
	for size in "${sizes[@]}"; do
		for pages in ordinary huge; do
			[ "$size$pages" != 1huge ] || continue	# less than one
			row "$size" "$pages"
			[ "$size" = 1 ] || [ "$(microseconds "$size" "$pages" prepared)" -lt \
				$(($(microseconds "$size" "$pages" new) / 3)) ]
		done
	done
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
