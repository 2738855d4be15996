#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=900
#
# A donor's host needs its memory back while clients swap to it: it gets it in
# time, whatever a client does, nothing on it is killed, and no page is lost.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
# shellcheck source=tests/lib/faults.sh
. "$ISW_TOP/tests/lib/faults.sh"

# All donors have 512 MiB: headroom is what an application may grow by in 2 s.
headroom=64
donor_arguments=(--slab_size=1M --memory=300M "--headroom=${headroom}M")
result=$(mktemp)
samples=$(mktemp)
cleanup_add rm -f "$result" "$samples"
seed=${ISW_SEED:-$RANDOM}

lab_up --donors 3 --client-mem 256M --donor-mem 512M --disk 512M \
	--daemon-args="${donor_arguments[*]}"

# available NODE - MiB that are to be had there
available()
{
	lab_run "$1" "awk '/^MemAvailable/ { print int(\$2 / 1024) }' /proc/meminfo"
}

granted()
{
	lab_run "$1" infiniswapctl donor status --json | sed -n 's/.*"granted": *\([0-9]*\).*/\1/p'
}

granted_below()
{
	[ "$(granted "$1")" -lt "$2" ]
}

# watch NODE - what is available there, five times a second: seconds and MiB
watch_memory()
{
	lab_run "$1" 'setsid sh -c "while sleep 0.2; do
		read -r now rest </proc/uptime
		set -- \$(grep ^MemAvailable /proc/meminfo)
		echo \$now \$((\$2 / 1024))
	done" </dev/null >/run/memory 2>/dev/null & echo $! >/run/watcher'
}

# longest_below NODE MIB - seconds that less than MIB were available in one go
longest_below()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run "$1" 'kill $(cat /run/watcher); cat /run/memory' >"$samples"
	awk -v least="$2" '
		$2 < least { if (!below) { below = 1; since = $1 } if ($1 - since > longest) longest = $1 - since; next }
		{ if (below && $1 - since > longest) longest = $1 - since; below = 0 }
		END { if (NR < 10) exit 1; printf "%.1f\n", longest }' "$samples"
}

nothing_was_killed()
{
	local node

	for node in donor1 donor2 donor3; do
		! lab_run "$node" dmesg | grep -i 'out of memory\|oom-kill' || fail "killed on $node"
		lab_run "$node" pidof infiniswapd >/dev/null || fail "$node: no daemon"
	done
}

no_page_is_lost()
{
	[ "$(lab_counter client lost_pages)" = 0 ]
	[ "$(lab_counter client read_errors)" = 0 ]
	[ "$(lab_counter client crc_errors)" = 0 ]
}

test_donor_that_grows_gets_its_memory_back_and_clients_lose_nothing()
{
	local below disk

	echo "seed $seed"
	lab swap on --size 448M --slab-size 1M --redundancy backup backup=/dev/disk/by-id/virtio-lab-disk
	lab exec client --timeout 400 -- pageverify -p 1 -m 240 -R 50 -w 30 -t 40 -s "$seed" \
		>"$result" 2>&1 &
	load=$!
	wait_for 60 lab_counter_above client pages_in_remote 1000
	disk=$(lab_counter client pages_in_backup)
	echo "donor1: $(available donor1) MiB available, $(($(granted donor1) >> 20)) MiB granted"
	watch_memory donor1
	lab_run donor1 "setsid growth $(($(available donor1) - headroom + 40)) $((headroom / 2)) </dev/null >/run/grown 2>&1 & echo \$! >/run/growth"
	wait_for 60 lab_run donor1 grep -q grown /run/grown
	lab_run donor1 cat /run/grown
	wait_for 20 lab_run donor1 "infiniswapctl donor status --json | grep -q '\"pressure\": *\"none\"'"
	below=$(longest_below donor1 "$headroom")
	echo "donor1: less than headroom for $below s, $(($(granted donor1) >> 20)) MiB granted now"
	lab_run donor1 infiniswapctl donor evictions
	awk "BEGIN { exit !($below <= 5) }"
	[ "$(lab_counter client evictions)" -gt 0 ] || fail "nothing was evicted"
	wait "$load" || fail "pageverify: $(<"$result")"
	cat "$result"
	no_page_wrong
	no_page_is_lost
	nothing_was_killed
	[ "$(lab_counter client failovers)" = 0 ] || fail "a session broke"
	# half a second, when it is urgent, is not enough to move them all
	echo "$(($(lab_counter client pages_in_backup) - disk)) pages were read from the disk"
	lab_run donor1 'kill $(cat /run/growth)'
	lab swap off
}

test_client_that_does_not_answer_changes_nothing_for_the_donor_or_for_its_pages()
{
	local before

	lab_device_on 64M 1M --redundancy backup --backup /dev/disk/by-id/virtio-lab-disk
	pattern_write 0 32 SILENT.
	wait_for 20 lab_counter_is client staged_pages 0
	before=$(granted donor1)
	[ "$before" -gt 0 ]
	lab pause client
	lab_run donor1 "setsid growth $(($(available donor1) - headroom / 2)) $((headroom / 2)) </dev/null >/run/grown 2>&1 & echo \$! >/run/growth"
	wait_for 60 lab_run donor1 grep -q grown /run/grown
	# three seconds of deadline, and one
	wait_for 4 granted_below donor1 "$before"
	lab_run donor1 infiniswapctl donor evictions
	lab resume client
	pattern_is 0 32 SILENT.
	no_page_is_lost
	nothing_was_killed
	lab_run donor1 'kill $(cat /run/growth)'
	lab_run client infiniswapctl remove infiniswap0
}

# available_is MIB - what donor1's daemon, which reads a copy, takes for available
available_is()
{
	lab_run donor1 "sed 's/^MemAvailable:.*/MemAvailable: $(($1 * 1024)) kB/' /proc/meminfo >/run/new &&
		mv /run/new /run/meminfo"
}

# eviction FIELD - of donor1's last one
eviction()
{
	lab_run donor1 infiniswapctl donor evictions --json |
		tr -d ' \n' | sed "s/.*\"evictions\":\[{[^}]*\"$1\":\([0-9]*\).*/\1/"
}

eviction_is()
{
	[ "$(eviction "$1")" = "$2" ]
}

# Of 24 slabs 12 are used. 4 MiB of headroom are missing, and 6 more went in the
# last second: 10 slabs must go, and 20 of the 26 grants, two of which are held
# ready, are asked for. At least 8 of those are not used.
test_least_active_ones_of_those_drawn_are_evicted()
{
	local kept

	daemon_kill donor1
	available_is 18
	lab_run donor1 daemon-up --slab_size=1M --memory=300M --headroom=16M --meminfo=/run/meminfo
	lab_run client infiniswapctl create infiniswap0 --size 24M --slab-size 1M --redundancy backup \
		--backup /dev/disk/by-id/virtio-lab-disk --donor donor1=10.7.0.101
	pattern_write 0 24 BATCHED
	wait_for 20 lab_counter_is client slabs_mapped 24
	wait_for 20 lab_counter_is client staged_pages 0
	wait_for 20 lab_run donor1 "infiniswapctl donor status --json | grep -q '\"grants\": *26\b'"
	lab_run client 'setsid sh -c "while dd if=/dev/infiniswap0 of=/dev/null bs=64k count=192 iflag=direct
		do :; done" </dev/null >/dev/null 2>&1 & echo $! >/run/reader'
	wait_for 20 lab_run client "awk '\$1 == 11 && \$NF > 50 { n++ }
		\$1 == 23 && \$NF > 10 { exit } END { exit n != 1 }' /sys/kernel/debug/infiniswap/infiniswap0/slabs"
	available_is 12
	wait_for 10 eviction_is evicted 10
	available_is 16
	eviction_is drawn 20
	wait_for 10 eviction_is released 10
	# one that is held ready and was not asked for may go as well
	wait_for 10 granted_below donor1 $(((16 << 20) + 1))
	lab_run client 'kill $(cat /run/reader)'
	lab_run donor1 infiniswapctl donor evictions
	kept=$(lab_run client "sed 1d /sys/kernel/debug/infiniswap/infiniswap0/slabs |
		awk '\$1 < 12 && /donor1/' | wc -l")
	echo "$kept of the 12 that are used were kept"
	[ "$kept" -ge 10 ]
	pattern_is 0 24 BATCHED
	no_page_is_lost
	lab_run client infiniswapctl remove infiniswap0
}

test_module_goes_and_donors_have_their_memory_back()
{
	local donor

	lab_run client rmmod infiniswap
	for donor in donor1 donor2 donor3; do
		wait_for 20 granted_below "$donor" 1
	done
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
