#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What changes while a device is in use: slabs become empty, donors come and
# go, the HCA is unplugged, the machine is to sleep, a second device and a
# second client appear. Two donors that lend 48 MiB each, slabs of 4 MiB.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

config=/sys/kernel/config/infiniswap
result=$(mktemp)
cleanup_add rm -f "$result"

# device_on [NODE [NAME [ATTR=VALUE…]]] - a device of 64 MiB over both donors
device_on()
{
	local node=${1:-client} name=${2:-infiniswap0}
	local option options=()

	shift "$(($# < 2 ? $# : 2))"
	for option; do
		options+=(-o "$option")
	done
	lab_run "$node" modprobe infiniswap
	lab_run "$node" infiniswapctl create "$name" --size 64M --slab-size 4M \
		--redundancy none --donor donor1=10.7.0.101 \
		--donor donor2=10.7.0.102 "${options[@]}"
	wait_for 20 lab_counter_is "$node" "/sys/block/$name/infiniswap/donors/donor1/state" live
	wait_for 20 lab_counter_is "$node" "/sys/block/$name/infiniswap/donors/donor2/state" live
}

# device_off [NODE [NAME]]
device_off()
{
	lab_run "${1:-client}" infiniswapctl remove "${2:-infiniswap0}"
}

# fill MIB FROM [NODE [NAME]] - random data, also kept in /tmp/NAME of the node
fill()
{
	local node=${3:-client} name=${4:-infiniswap0}

	lab_run "$node" "[ -s /tmp/$name ] || dd if=/dev/urandom of=/tmp/$name bs=1M count=40
		dd if=/tmp/$name of=/dev/$name bs=1M count=$1 skip=$2 seek=$2 oflag=direct" 2>&1
}

# same MIB FROM [NODE [NAME]] - does the device give back what fill() wrote?
same()
{
	local node=${3:-client} name=${4:-infiniswap0}

	lab_run "$node" "dd if=/dev/$name bs=1M count=$1 skip=$2 iflag=direct status=none |
		cmp -n $(($1 << 20)) - /tmp/$name 0 $(($2 << 20))"
}

# discard MIB FROM - blkdiscard of that part
discard()
{
	lab_run client blkdiscard -o "$2M" -l "$1M" /dev/infiniswap0
}

# legs - slabs on both donors together
legs()
{
	echo $(($(lab_counter client donors/donor1/slabs) +
		$(lab_counter client donors/donor2/slabs)))
}

# grants_are DONOR N - the daemon's own table says that clients hold N grants
grants_are()
{
	lab_run "$1" "kill -USR1 \$(pidof infiniswapd)"
	lab_run "$1" "grep -o 'epoch [0-9a-f]*, [0-9]* grants' /var/log/infiniswapd.log | tail -n 1" |
		grep -q ", $2 grants"
}

lab_up --cpus 2 --donors 2 --clients 2 --client-mem 256M --donor-mem 512M --disk 64M \
	--daemon-args="--slab_size=4M --memory=48M --lease=30"

test_slab_goes_back_when_it_has_been_empty_for_slab_idle_timeout()
{
	device_on client infiniswap0 slab_idle_timeout=2
	fill 40 0
	[ "$(lab_counter client slabs_mapped)" = 10 ]
	discard 18 0		# four slabs, and half of the fifth
	wait_for 20 lab_counter_is client slabs_mapped 6
	[ "$(legs)" = 6 ]
	same 22 18
	lab_run client "dd if=/dev/infiniswap0 bs=1M count=18 iflag=direct status=none |
		cmp -n $((18 << 20)) - /dev/zero"
}

test_slab_that_holds_a_page_stays()
{
	discard 1 18		# the fifth slab holds 1 MiB yet
	wait_for 20 lab_counter_is client slabs_mapped 6
	same 21 19
	device_off
}

# Once 64 of them were looked at in a second, whether they had a leg or not.
test_empty_slab_is_found_among_thousands_that_were_discarded()
{
	lab_run client infiniswapctl create infiniswap0 --size 16G --slab-size 4M \
		--redundancy none --slab-idle-timeout 2 --donor donor1=10.7.0.101
	wait_for 20 lab_run client test -b /dev/infiniswap0
	lab_run client "blkdiscard /dev/infiniswap0
		dd if=/dev/urandom of=/dev/infiniswap0 bs=1M seek=8192 count=4 oflag=direct"
	[ "$(lab_counter client slabs_mapped)" = 1 ]
	lab_run client "blkdiscard -o 8G -l 4M /dev/infiniswap0"
	wait_for 20 lab_counter_is client slabs_mapped 0
	device_off
}

# A daemon that zeroes gigabytes takes longer than it is waited for; with strace one
# that zeroes little does. It was asked again and again, and gave all for nothing.
test_grant_that_comes_late_is_used_and_was_asked_for_once()
{
	local log=/var/log/infiniswapd.log	# what the other daemon says is not of debug level

	lab_run donor1 'daemon-up --port=9402 --memory=48M --headroom=0 --prepare=0 --log_level=debug
		pgrep -f "infiniswapd --port=940[2]" >/tmp/late.pid'
	lab_run donor1 'strace -f -p $(cat /tmp/late.pid) -e trace=madvise \
			-e inject=madvise:delay_enter=1000000 </dev/null >/tmp/strace.log 2>&1 &
		echo $! >/tmp/strace.pid'
	wait_for 20 lab_run donor1 grep -q attached /tmp/strace.log
	lab_run client infiniswapctl create infiniswap0 --size 64M --slab-size 4M \
		--redundancy none --ready-grants 1 --donor donor1=10.7.0.101:9402
	lab exec client --timeout 60 -- dd if=/dev/urandom of=/dev/infiniswap0 bs=1M count=4 \
		oflag=direct status=none
	[ "$(lab_counter client slabs_mapped)" = 1 ]
	wait_for 30 lab_run donor1 "[ \$(grep -c 'grant .* MiB, new' $log) = 2 ]"
	device_off
	lab_run donor1 'for pid in $(cat /tmp/strace.pid /tmp/late.pid); do
			kill $pid && while kill -0 $pid 2>/dev/null; do :; done
		done'
	lab_run donor1 cat "$log"
	[ "$(lab_run donor1 grep -c 'grant .* MiB, new' "$log")" = 2 ]
}

# The kernel frees the requests of a queue without a CPU; drains went on to look at
# them, in pages that by then held something else.
test_more_queues_than_cpus_are_of_no_use_and_no_harm()
{
	device_on client infiniswap0 queues=4 slab_idle_timeout=1
	lab_run client 'dd if=/dev/urandom of=/dev/shm/junk bs=1M count=$(($(awk "/MemFree/ { print \$2 }" /proc/meminfo) / 1024 - 40)) status=none
		rm /dev/shm/junk'
	for _ in 1 2 3; do
		fill 40 0
		same 40 0
		discard 40 0
		wait_for 20 lab_counter_is client slabs_mapped 0
	done
	device_off
}

test_empty_slabs_serve_new_ones_when_no_donor_has_memory()
{
	# 24 slabs in all are lent, the device alone would keep them for an hour
	device_on client infiniswap0 slab_idle_timeout=3600
	device_on client infiniswap1 slab_idle_timeout=3600
	lab_run client dd if=/dev/urandom of=/dev/infiniswap1 bs=1M count=40 oflag=direct status=none
	fill 40 0
	[ "$(lab_counter client slabs_mapped)" = 10 ]
	discard 40 0
	lab_run client dd if=/tmp/infiniswap0 of=/dev/infiniswap0 bs=1M seek=24 count=40 oflag=direct
	lab_run client "dd if=/dev/infiniswap0 bs=1M skip=24 count=40 iflag=direct status=none |
		cmp - /tmp/infiniswap0"
	[ "$(lab_counter client write_errors)" = 0 ]
	device_off client infiniswap1
	device_off
}

test_cold_slab_goes_back_and_its_pages_come_again_when_it_is_touched()
{
	local before

	lab_run client infiniswapctl create infiniswap0 --size 64M --slab-size 4M \
		--redundancy backup --backup /dev/disk/by-id/virtio-lab-disk --slab-cold-timeout "$(lab_time 10)" \
		--donor donor1=10.7.0.101 --donor donor2=10.7.0.102
	fill 40 0
	wait_for 30 lab_counter_is client slabs_mapped 0
	[ "$(legs)" = 0 ]
	before=$(lab_counter client pages_in_backup)
	same 20 0
	[ "$(lab_counter client pages_in_backup)" -gt "$before" ]
	wait_for 20 lab_counter_is client slabs_mapped 5
	lab_run client "echo 0 >$config/infiniswap0/slab_cold_timeout"
	wait_for 20 lab_counter_is client slabs_mapped 10
	wait_for 20 lab_counter_above client pages_copied 10239	# a slab may have gone once more
	before=$(lab_counter client pages_in_backup)
	same 40 0
	[ "$(lab_counter client pages_in_backup)" = "$before" ]
	device_off
}

# 1024 pages in one second make an activity of 205 at most.
test_slab_is_on_the_disk_alone_until_it_is_hot()
{
	local before

	lab_run client infiniswapctl create infiniswap0 --size 64M --slab-size 4M \
		--redundancy backup --backup /dev/disk/by-id/virtio-lab-disk --hot-slab 500 \
		--donor donor1=10.7.0.101 --donor donor2=10.7.0.102
	fill 40 0
	wait_for 20 lab_counter_is client staged_pages 0
	wait_for 10 lab_run client grep '^9 - - - - [0-9]*[1-9]' /sys/kernel/debug/infiniswap/infiniswap0/slabs
	[ "$(lab_counter client slabs_mapped)" = 0 ]
	[ "$(lab_counter client pages_out_remote)" = 0 ]
	same 40 0
	[ "$(lab_counter client slabs_mapped)" = 0 ]
	lab exec client --timeout 60 -- sh -c 'until [ $(cat /sys/block/infiniswap0/infiniswap/slabs_mapped) = 1 ]; do
		dd if=/dev/infiniswap0 of=/dev/null bs=1M count=4 iflag=direct status=none
	done'
	wait_for 20 lab_counter_is client pages_copied 1024
	before=$(lab_counter client pages_in_remote)	# some were read there already
	lab_run client grep "^0 [0-9]* donor" /sys/kernel/debug/infiniswap/infiniswap0/slabs
	same 40 0
	[ $(($(lab_counter client pages_in_remote) - before)) = 1024 ]
	# what is written to a hot slab goes to its donor at once
	fill 4 0
	[ "$(lab_counter client pages_out_remote)" = 1024 ]
	[ "$(lab_counter client slabs_mapped)" = 1 ]
	lab_run client "echo 0 >$config/infiniswap0/hot_slab"
	wait_for 20 lab_counter_is client slabs_mapped 10
	wait_for 20 lab_counter_above client pages_copied 10239	# a slab may have gone once more
	same 40 0
	device_off
}

test_two_devices_at_once_keep_their_pages_apart()
{
	device_on client infiniswap0
	device_on client infiniswap1
	fill 20 0 client infiniswap0 &
	fill 20 0 client infiniswap1
	wait $!
	same 20 0 client infiniswap0
	same 20 0 client infiniswap1
	device_off client infiniswap0
	same 20 0 client infiniswap1
	device_off client infiniswap1
}

test_two_clients_on_one_donor_keep_their_pages_apart()
{
	device_on client
	device_on client2
	fill 20 0 client &
	fill 20 0 client2
	wait $!
	same 20 0 client
	same 20 0 client2
	device_off client
	same 20 0 client2
	device_off client2
}

test_donor_that_drains_gives_what_others_have_room_for_and_can_not_be_removed()
{
	device_on
	fill 40 0
	lab_run client dd if=/dev/urandom of=/dev/infiniswap0 bs=1M seek=40 count=20 \
		oflag=direct status=none
	[ "$(legs)" = 15 ]
	[ "$(lab_counter client donors/donor1/slabs)" -gt 3 ]
	lab_run client infiniswapctl drain-donor infiniswap0 donor1
	wait_for 10 lab_counter_is client donors/donor1/state draining
	# the other one has room for 12 in all
	wait_for 30 lab_counter_is client donors/donor1/slabs 3
	[ "$(lab_counter client donors/donor2/slabs)" = 12 ]
	! lab_run client rmdir "$config/infiniswap0/donors/donor1" ||
		fail "removed while it holds pages"
	! lab_run client infiniswapctl remove-donor infiniswap0 donor1 >"$result" 2>&1 ||
		fail "its address was taken while it holds pages"
	grep 'infiniswap0: donors/donor1/address: not drained' "$result"
	lab_run client dmesg | grep 'donor1: address: : not drained'
	same 40 0
}

test_drained_donor_is_removed_live()
{
	discard 20 40		# room for the rest
	wait_for 20 lab_counter_is client donors/donor1/state drained
	wait_for 20 grants_are donor1 0
	same 40 0
	[ "$(lab_counter client pages_copied)" -gt 3000 ]
	discard 40 0
	wait_for 20 lab_counter_is client slabs_mapped 0
	fill 16 0		# goes to the other one
	lab_run client infiniswapctl remove-donor infiniswap0 donor1
	! lab_run client test -e /sys/block/infiniswap0/infiniswap/donors/donor1 ||
		fail "its directory in sysfs is still there"
	same 16 0
}

test_donor_added_live_gets_slabs()
{
	lab_run client infiniswapctl add-donor infiniswap0 again=10.7.0.101
	wait_for 20 lab_counter_is client donors/again/state live
	fill 24 16
	[ "$(lab_counter client donors/again/slabs)" -gt 0 ]
	same 40 0
}

test_no_sleep_while_donors_hold_pages()
{
	! lab_run client "echo freeze >/sys/power/state" || fail "suspended"
	lab_run client dmesg | grep 'infiniswap0: suspend refused: donors hold 10 slabs'
	! lab_run client "echo disk >/sys/power/state" || fail "hibernated"
	lab_run client dmesg | grep 'infiniswap0: hibernation refused: donors hold 10 slabs'
}

test_an_empty_device_does_not_keep_the_machine_from_sleeping()
{
	discard 40 0
	wait_for 20 lab_counter_is client slabs_mapped 0
	# everything but the sleep itself, which takes five seconds in this mode
	lab_run client "echo freezer >/sys/power/pm_test && echo freeze >/sys/power/state"
	lab_run client "exec 9</dev/infiniswap0
		! echo disk >/sys/power/state"
	lab_run client dmesg | grep 'infiniswap0: hibernation refused: the device is open'
}

# The kernel's own write-back goes on while tasks are frozen: on the other CPU, for the
# one that writes to /sys/power/state spins those five seconds.
test_donors_get_no_pages_from_a_machine_that_is_about_to_sleep()
{
	lab_run client 'cd /sys/kernel/tracing && echo >trace &&
		echo 1 >events/infiniswap/isw_slab_bind/enable
		echo 0 >/sys/power/sync_on_suspend
		echo 300 >/proc/sys/vm/dirty_expire_centisecs
		echo 100 >/proc/sys/vm/dirty_writeback_centisecs
		exec 9<>/dev/infiniswap0	# closed, it would be written at once
		tr "\0" N </dev/zero | dd of=/dev/infiniswap0 bs=64k count=16 iflag=fullblock conv=notrunc
		echo freeze >/sys/power/state'
	wait_for 20 lab_counter_is client slabs_mapped 1
	lab_run client 'echo 0 >/sys/kernel/tracing/events/infiniswap/isw_slab_bind/enable
		dmesg | grep "Restarting tasks" | tail -n 1; grep isw_slab_bind: /sys/kernel/tracing/trace' >"$result"
	cat "$result"
	# "[ SECONDS] Restarting tasks …", then "TASK-PID [CPU] FLAGS SECONDS: isw_slab_bind: …"
	awk -F '[][ :]+' '/Restarting/ { awake = $2 }
		/isw_slab_bind/ { for (i = 1; $i != "isw_slab_bind"; i++) at = $i; n++; early += at < awake }
		END { exit !(awake && n == 1 && !early) }' "$result"
	lab_run client 'tr "\0" N </dev/zero | head -c 1M | cmp - /dev/infiniswap0 -n 1048576'
	discard 40 0
	wait_for 20 lab_counter_is client slabs_mapped 0
}

test_a_device_that_slept_can_be_used_and_removed()
{
	fill 40 0
	same 40 0
	device_off
}

test_hca_removed_and_back_under_load_costs_no_page()
{
	lab_run client rm /tmp/infiniswap0 /tmp/infiniswap1	# the debug kernel has no room for them
	lab swap on --size 64M --slab-size 4M
	lab exec client --timeout 300 -- held-to 24M \
		pageverify -p 1 -m 48 -R 1000 -t 15 -s "$RANDOM" >"$result" 2>&1 &
	pages_come_in 500
	for _ in 1 2; do
		lab_run client rdma link del rxe0
		lab_run client dmesg | grep 'session broken: HCA removed'
		lab_run client rdma link add rxe0 type rxe netdev eth0
		wait_for 60 lab_counter_is client donors/donor1/state live
		wait_for 60 lab_counter_is client donors/donor2/state live
	done
	wait $! || { lab_run client dmesg | tail -n 60; fail "pageverify: $(cat "$result")"; }
	cat "$result"
	grep -q '"bad": *0' "$result"
	[ "$(lab_counter client read_errors)" = 0 ]
	lab swap off
}

test_hca_removed_for_good_the_device_can_be_removed()
{
	device_on client
	fill 20 0
	lab_run client rdma link del rxe0
	device_off client
	lab_run client rmmod infiniswap
	lab_run client rdma link add rxe0 type rxe netdev eth0
}

test_donors_have_their_memory_back_and_logs_are_clean()
{
	wait_for 90 grants_are donor1 0	# the lost HCA's end with the lease
	wait_for 90 grants_are donor2 0
	lab_run client2 rmmod infiniswap
	lab_logs_clean
}

ktap_main
