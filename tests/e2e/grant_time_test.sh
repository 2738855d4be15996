#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# debug=no: it measures time, and a kernel that is several times slower has none to measure
#
# How long a donor takes for a grant, from the message to the answer, by its own
# debug log: memory that it maps and zeroes only then, and memory that it prepared.
# Prints the table of docs/measurements.md, medians of several grants. And what it does
# for one of prepared memory, by a trace: one registration, and nothing that is more for
# more memory.
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
tracing=/sys/kernel/tracing
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

# donor_is MIB small|transparent|huge new|prepared - its daemon lends one slab of it
donor_is()
{
	local size=$1 pages=$2 how=$3 huge=0 thp=never

	[ "$pages" != huge ] || huge=$((size / 2))
	[ "$pages" != transparent ] || thp=always
	lab_run donor1 "rm -f $log; echo 1 >/proc/sys/vm/compact_memory; echo $huge >/proc/sys/vm/nr_hugepages
		echo $thp >/sys/kernel/mm/transparent_hugepage/enabled
		[ \$(cat /proc/sys/vm/nr_hugepages) = $huge ]" || fail "no $huge huge pages"
	daemon_up donor1 --log_level=debug "--slab_size=${size}M" "--memory=${size}M" --headroom=16M \
		"--prepare=$([ "$how" = new ] && echo 0 || echo 1)"
}

# lend MIB N [AROUND] - grant number N of this daemon, then it has its memory back;
# AROUND is called with "begin" when only the grant is missing, and with "end" after it
lend()
{
	local size=$1 n=$2 around=${3:-:}

	"$around" begin
	lab_run client infiniswapctl create infiniswap0 --size "${size}M" --slab-size "${size}M" \
		--redundancy none --ready-grants 1 --donor donor1=10.7.0.101
	wait_for 30 granted_so_far "$n" ||
		fail "$(lab_run donor1 "tail -n 20 $log; infiniswapctl donor status")"
	"$around" end
	lab_run client infiniswapctl remove infiniswap0
	wait_for 30 status_is granted 0
}

# transparent_kib - of the daemon's memory, what is in huge pages by the kernel's choice
transparent_kib()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run donor1 'awk "/^AnonHugePages/ { print \$2 }" /proc/$(pidof infiniswapd)/smaps_rollup'
}

# kind MIB small|transparent|huge new|prepared - the median of so many grants, one lent
# at a time, in $scratch/MIB-PAGES-HOW
kind()
{
	local size=$1 pages=$2 how=$3 n

	donor_is "$size" "$pages" "$how"
	for ((n = 1; n <= grants; n++)); do
		if [ "$how" = prepared ]; then
			wait_for 30 status_is prepared "$size"
			case $pages in
			transparent)	[ "$(transparent_kib)" -ge $((size * 1024 * 3 / 4)) ] ;;
			*)		[ "$(transparent_kib)" = 0 ] ;;
			esac
		fi
		lend "$size" "$n"
	done
	# each was what it is taken for
	[ "$(lab_run donor1 "grep -c 'MiB, $how$([ "$pages" != huge ] || echo ', huge pages'), in' $log")" = \
		"$(times | wc -l)" ]
	times | sort -n | sed -n "$((grants / 2 + 1))p" >"$scratch/$size-$pages-$how"
	daemon_kill donor1
}

# microseconds MIB PAGES HOW
microseconds()
{
	cat "$scratch/$1-$2-$3"
}

# row MIB small|transparent|huge
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
		for pages in small transparent huge; do
			[ "$size" != 1 ] || [ "$pages" = small ] || continue	# less than a huge one
			row "$size" "$pages"
			[ "$size" = 1 ] || [ "$(microseconds "$size" "$pages" prepared)" -lt \
				$(($(microseconds "$size" "$pages" new) / 3)) ]
		done
	done
}

# The system calls and page faults of the daemon's threads, the pages that the kernel
# allocates for them, and what a verbs driver pins when it registers memory.
trace()
{
	case $1 in
	begin)
		lab_run donor1 "cd $tracing && echo >trace && echo 8192 >buffer_size_kb &&
			echo 'p:isw_pinned ib_umem_get size=%dx' >kprobe_events &&
			ls /proc/\$(pidof infiniswapd)/task >set_event_pid &&
			for event in raw_syscalls exceptions kmem/mm_page_alloc kprobes/isw_pinned; do
				echo 1 >events/\$event/enable
			done"
		;;
	end)
		lab_run donor1 "cd $tracing && echo 0 >events/enable && cat trace" >"$scratch/trace"
		lab_run donor1 "cd $tracing && echo >set_event_pid; echo >kprobe_events; pidof infiniswapd" \
			>"$scratch/loop"
		/usr/bin/python3 -S "$ISW_TOP/tests/lib/granttrace.py" "$scratch/trace" "$(<"$scratch/loop")" \
			>>"$scratch/counts"
		;;
	esac
}

# traced MIB new|prepared - what a grant takes, in $scratch/MIB-HOW.trace: the least of
# each kind, for a tick may come between and a worker has its first grant once
traced()
{
	local n

	: >"$scratch/counts"
	donor_is "$1" small "$2"
	for ((n = 1; n <= grants; n++)); do
		[ "$2" = new ] || wait_for 30 status_is prepared "$1"
		lend "$1" "$n" trace
	done
	daemon_kill donor1
	awk -v runs="$grants" '{ seen[$1]++; if (!($1 in least) || $2 < least[$1]) least[$1] = $2 }
		END { for (kind in least) if (seen[kind] == runs) print kind, least[kind] }' \
		"$scratch/counts" | sort >"$scratch/$1-$2.trace"
	echo "$1 MiB, $2: $(paste -sd , "$scratch/$1-$2.trace" | sed 's/,/, /g')"
}

# took MIB HOW KIND - how many
took()
{
	awk -v kind="$3" '$1 == kind { count = $2 } END { print count + 0 }' "$scratch/$1-$2.trace"
}

# calls MIB HOW - how many of all kinds
calls()
{
	awk '/^call/ { count += $2 } END { print count + 0 }' "$scratch/$1-$2.trace"
}

test_grant_of_prepared_memory_is_one_registration_whatever_its_size()
{
	local size how

	lab_run client modprobe infiniswap
	for how in prepared new; do
		for size in 1 64; do
			traced "$size" "$how"
			[ "$(took "$size" "$how" registrations)" = 1 ]
			[ "$(took "$size" "$how" registered)" = $((size << 20)) ]
		done
	done
	# two threads hand over to each other, with one wake-up more or less
	[ "$(calls 64 prepared)" -le $(($(calls 1 prepared) + 2)) ]
	[ "$(took 64 prepared faults)" -le "$(took 1 prepared faults)" ]
	# what lists the pages takes some; that they were seen at all, new memory shows
	[ "$(took 64 prepared pages)" -lt $((64 * 256 / 16)) ]
	[ "$(took 64 new pages)" -ge $((64 * 256)) ] || fail "the trace does not see memory that is populated"
	[ "$(calls 64 new)" -gt $(($(calls 1 new) + 2)) ] ||
		fail "the trace does not see what is more for more memory"
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
