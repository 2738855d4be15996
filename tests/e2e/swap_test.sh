#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The main job: a client of 256 MiB swaps to three donors, slabs of 16 MiB.
# Sequential and random accesses of several processes until 100,000 pages came
# in from swap, on a debug kernel 10,000, each page verified word by word.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

donors="donor1 donor2 donor3"
page_ins=$(lab_load 100000)
mib=$(lab_debug && echo 140 || echo 200)	# a process; one pass alone is 10,000 page-ins
result=$(mktemp)
cleanup_add rm -f "$result" "$result".*

# daemon_cost NODE - user-space CPU of infiniswapd so far, in ticks of 10 ms,
# and how often one of its threads went to sleep, which each event costs once
daemon_cost()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run "$1" sh -c 'pid=$(pidof infiniswapd)
		echo $(cut -d " " -f 14 /proc/$pid/stat) \
			$(awk "/^voluntary/ { n += \$2 } END { print n }" /proc/$pid/task/*/status)'
}

# available NODE - MemAvailable, KiB
available()
{
	lab_run "$1" awk '/MemAvailable/ { print $2 }' /proc/meminfo
}

lab_up --donors 3 --client-mem 256M --donor-mem 512M \
	--daemon-args="--slab_size=16M --prepare=2"
for node in $donors; do
	available "$node" >"$result.$node.before"
done

test_device_appears_and_is_swapped_to()
{
	# slabs that became empty stay, to be counted
	lab swap on --size 512M --slab-size 16M slab_idle_timeout=3600
	lab_run client grep -q '^/dev/infiniswap0 ' /proc/swaps
	[ "$(lab_counter client state)" = up ]
}

test_pages_come_in_and_none_is_wrong()
{
	for node in $donors; do
		daemon_cost "$node" >"$result.$node.cost"
	done
	lab exec client --timeout 800 -- pageverify -p 2 -m "$mib" -S 1 -R 1 \
		-w 30 -i "$page_ins" -s "$RANDOM" | tee "$result"
	no_page_wrong
	[ "$(field pswpin)" -ge "$page_ins" ] || fail "$(field pswpin) page-ins"
	[ "$(lab_counter client pages_in_remote)" -ge "$page_ins" ] ||
		fail "only $(lab_counter client pages_in_remote) pages came from donors"
	[ "$(lab_counter client read_errors)" = 0 ]
	[ "$(lab_counter client write_errors)" = 0 ]
}

test_slabs_on_all_donors_max_to_min_at_most_2()
{
	local n min=1000000 max=0

	for node in $donors; do
		n=$(lab_counter client "donors/$node/slabs")
		echo "$node: $n slabs"
		[ "$n" -ge "$min" ] || min=$n
		[ "$n" -le "$max" ] || max=$n
	done
	[ "$min" -gt 0 ] || fail "a donor has no slab"
	[ "$max" -le $((2 * min)) ] || fail "max $max, min $min"
}

# Data costs the daemon nothing: it wakes for heartbeats, its own timer and a few
# grants, which does not grow with the pages. One wake-up for 20 pages would be
# far too many; one for each page is what a two-sided protocol needs.
test_donors_daemons_take_no_part_in_data()
{
	local ticks0 wakes0 ticks wakes pages

	for node in $donors; do
		read -r ticks0 wakes0 <"$result.$node.cost"
		read -r ticks wakes < <(daemon_cost "$node")
		pages=$(($(lab_counter client "donors/$node/pages_in") +
			$(lab_counter client "donors/$node/pages_out")))
		echo "$node: $((wakes - wakes0)) wake-ups, $((ticks - ticks0))0 ms of user space, $pages pages"
		[ $((20 * (wakes - wakes0))) -lt "$pages" ] || fail "$node takes part"
	done
}

test_infiniswapctl_shows_the_device_and_its_donors()
{
	lab_run client infiniswapctl list | tee "$result.list"
	grep -q '^infiniswap0 ' "$result.list"
	lab_run client infiniswapctl donors infiniswap0 | tee "$result.list"
	[ "$(grep -c live "$result.list")" = 3 ]
	lab_run client infiniswapctl list --json | python3 -m json.tool >/dev/null
	lab_run client infiniswapctl show infiniswap0 --json | python3 -m json.tool >/dev/null
}

test_busy_device_cannot_be_powered_off_or_removed()
{
	local config=/sys/kernel/config/infiniswap/infiniswap0

	! lab_run client "echo 0 >$config/power" || fail "powered off"
	! lab_run client rmdir "$config/donors/donor1" || fail "donor removed"
	! lab_run client rmdir "$config" || fail "device removed"
	! lab_run client rmmod infiniswap || fail "module removed"
	[ "$(lab_counter client state)" = up ]
}

test_swapoff_removal_and_rmmod_succeed()
{
	lab swap off
	lab_run client rmmod infiniswap
	! lab_run client test -e /dev/infiniswap0
}

# memory_back NODE - no slab is missing: caches and logs account for the rest
memory_back()
{
	[ "$(available "$1")" -ge $(($(<"$result.$1.before") - 16384)) ]
}

test_donors_memory_is_back()
{
	for node in $donors; do
		wait_for 20 memory_back "$node" ||
			fail "$node: $(<"$result.$node.before") KiB available before, $(available "$node") after"
	done
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
