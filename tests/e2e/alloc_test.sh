#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# debug=no: what KASAN, kmemleak and lockdep allocate has our frames in its stacks
#
# Nothing on the I/O path allocates: whoever waits for it may be freeing memory.
# Each allocation in the client's kernel is counted by its stack while fio makes
# 100,000 requests; none may come from the module.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

ios=100000
seed=${ISW_SEED:-$RANDOM}
kinds="kmalloc kmem_cache_alloc mm_page_alloc"
stacks=$(mktemp -d)
cleanup_add rm -rf "$stacks"

# The packets of Soft-RoCE, several for each request: their stacks take time and
# tell nothing, because the module does not make packets.
packets="__alloc_skb pskb_expand_head"

# filter - all call sites but those of packets. Addresses, since 6.1 cannot
# filter by function.
filter()
{
	lab_run client cat /proc/kallsyms | sort | awk -v names="$packets" '
		BEGIN { split(names, list); for (i in list) wanted[list[i]] = 1 }
		inside && $1 != from {
			printf "%s(call_site < 0x%s || call_site >= 0x%s)", and, from, $1
			and = " && "; inside = 0
		}
		$3 in wanted { from = $1; inside = 1 }'
}

trace_on()
{
	local kind condition

	for kind in $kinds; do
		condition=
		[ "$kind" = mm_page_alloc ] || condition=" if $(filter)"
		lab_run client sh -c 'echo "hist:keys=stacktrace:size=32768$1" >/sys/kernel/tracing/events/kmem/$0/trigger' \
			"$kind" "$condition"
	done
}

# trace_off - leave what was counted in $stacks, a file for each kind
trace_off()
{
	local kind

	for kind in $kinds; do
		lab_run client sh -c 'cd /sys/kernel/tracing/events/kmem/$0 && cat hist &&
			echo "!$(grep -o "^hist:keys=[a-z_]*" trigger)" >trigger' \
			"$kind" >"$stacks/$kind"
		grep -q 'Dropped: 0' "$stacks/$kind" || fail "$kind: stacks were dropped"
	done
}

# ours KIND [FUNCTION] - the stacks that lead from the module, or below a function of it, to
# an allocation, and their number last. What an interrupt does in the middle of the module is
# not ours, nor what Soft-RoCE or the backup disk does with what was handed to it.
ours()
{
	awk -v name=" ${2:-}" '
		/stacktrace:/ { stack = whose = ""; below = name == " "; next }
		/hitcount:/ { if (whose == "ours" && below) { n += $NF; printf "%s%s\n", stack, $0 } next }
		whose == "" && / (asm_|handle_softirqs|__do_softirq|do_softirq|rxe_post_send|submit_bio|blk_finish_plug)/ { whose = "other" }
		whose == "" && /\[infiniswap\]/ { whose = "ours" }
		index($0, name "+") { below = 1 }
		{ stack = stack $0 "\n" }
		END { print n + 0 }' "$stacks/$1"
}

pages_moved()
{
	echo $(($(lab_counter client pages_in_remote) + $(lab_counter client pages_out_remote)))
}

lab_up --donors 2 --client-mem 256M --daemon-args=--slab_size=1M
lab_device_on 128M 1M --ready-grants 16

# With the same events, filter and judgement as below.
test_allocations_of_the_control_path_are_seen()
{
	local kind

	trace_on
	lab_run client infiniswapctl create infiniswap1 --size 16M --slab-size 1M \
		--redundancy none --donor donor1=10.7.0.101
	lab_run client infiniswapctl remove infiniswap1
	trace_off
	for kind in $kinds; do
		echo "$kind: $(ours "$kind" | tail -n 1)"
		[ "$(ours "$kind" | tail -n 1)" -gt 0 ] || fail "no $kind of the module was seen"
	done
}

test_100000_requests_without_an_allocation()
{
	local kind before moved all=0

	# all slabs are bound now: what follows is the I/O path alone
	lab exec client --timeout 120 -- fio --name=fill --filename=/dev/infiniswap0 --direct=1 \
		--rw=write --bs=1M --size=128M --ioengine=psync >/dev/null
	before=$(pages_moved)
	echo "seed $seed"
	trace_on
	lab exec client --timeout 400 -- fio --name=load --filename=/dev/infiniswap0 --direct=1 \
		--rw=randrw --bs=4k --iodepth=32 --ioengine=io_uring --norandommap \
		--size=128M --io_size=$((ios * 4))k --randseed="$seed" | grep IOPS
	trace_off
	moved=$(($(pages_moved) - before))
	echo "$moved requests of one page"
	[ "$moved" -ge "$ios" ]
	for kind in $kinds; do
		echo "$kind: $(awk '/ Hits:/ { print $2 }' "$stacks/$kind") in all, $(ours "$kind" | tail -n 1) by the module"
		: $((all += $(awk '/ Hits:/ { print $2 }' "$stacks/$kind")))
		[ "$(ours "$kind" | tail -n 1)" = 0 ] || fail "$(ours "$kind")"
	done
	# the block layer's own are there: the trace was on all the time
	[ "$all" -ge 1000 ]
}

# Second legs, staging, sums and the disk's bios: all were there before.
test_requests_with_a_mirror_and_a_backup_allocate_nothing()
{
	local kind before after config=/sys/block/infiniswap1/infiniswap

	lab_run client infiniswapctl create infiniswap1 --size 32M --slab-size 1M --redundancy mirror \
		--backup /dev/disk/by-id/virtio-lab-disk --ready-grants 16 \
		--donor donor1=10.7.0.101 --donor donor2=10.7.0.102
	wait_for 20 lab_run client test -b /dev/infiniswap1
	# slabs get memory when they are written to, if a grant is there
	for _ in 1 2 3; do
		lab_run client 'yes | dd of=/dev/infiniswap1 bs=64k count=512 iflag=fullblock oflag=direct 2>&1'
	done
	wait_for 20 lab_counter_is client "$config/slabs_mapped" 32
	wait_for 60 lab_counter_is client "$config/degraded_pages" 0
	before=$(lab_counter client "$config/pages_out_backup")
	trace_on
	lab exec client --timeout 400 -- fio --name=load --filename=/dev/infiniswap1 --direct=1 \
		--rw=randrw --bs=4k --iodepth=32 --ioengine=io_uring --norandommap \
		--size=32M --io_size=40M --randseed="$seed" | grep IOPS
	wait_for 60 lab_counter_is client "$config/staged_pages" 0
	trace_off
	after=$(lab_counter client "$config/pages_out_backup")
	echo "$((after - before)) pages written to the disk"
	[ $((after - before)) -ge 3000 ]
	for kind in $kinds; do
		[ "$(ours "$kind" | tail -n 1)" = 0 ] || fail "$(ours "$kind")"
	done
}

# led_by FUNCTION KIND - how many allocations were made below that function
led_by()
{
	awk -v name=" $1+" '
		/stacktrace:/ { led = 0; next }
		/hitcount:/ { if (led) n += $NF; next }
		index($0, name) { led = 1 }
		END { print n + 0 }' "$stacks/$2"
}

# sessions_break NUMBER - of that device's donor1, each of its queue pairs in turn, under load
sessions_break()
{
	local which before config=/sys/block/infiniswap$1/infiniswap

	for which in read write control; do
		before=$(lab_counter client "$config/reconnects")
		lab_run client "setsid fio --name=load --filename=/dev/infiniswap$1 --direct=1 --rw=randrw \
				--bs=4k --iodepth=32 --ioengine=io_uring --size=32M --time_based --runtime=60 \
				</dev/null >/run/fio 2>&1 & echo \$! >/run/fio.pid"
		wait_for 30 lab_counter_above client "$config/pages_in_remote" \
			"$(($(lab_counter client "$config/pages_in_remote") + 1000))"
		lab_run client "echo donor1 $which >/sys/kernel/debug/infiniswap/infiniswap$1/qp_error"
		wait_for 30 lab_counter_above client "$config/reconnects" "$before"
		lab_run client 'kill -INT $(cat /run/fio.pid); while kill -0 $(cat /run/fio.pid) 2>/dev/null; do :; done'
	done
}

# failed_over_without_an_allocation NUMBER - break its sessions, look at all that was allocated
failed_over_without_an_allocation()
{
	local kind function made=0

	trace_on
	sessions_break "$1"
	trace_off
	for function in donor_fail_work isw_donor_error redrive_work donor_work; do
		lab_run client grep -q " ${function}[[:space:]].*infiniswap" /proc/kallsyms ||
			fail "the module has no $function"
	done
	for kind in $kinds; do
		echo "$kind: $(led_by donor_fail_work "$kind") to take a session down," \
			"$(ours "$kind" redrive_work | tail -n 1) to send its requests elsewhere or again," \
			"$(led_by donor_work "$kind") to make one"
		[ "$(led_by donor_fail_work "$kind")" = 0 ]
		[ "$(led_by isw_donor_error "$kind")" = 0 ]
		[ "$(ours "$kind" redrive_work | tail -n 1)" = 0 ] || fail "$(ours "$kind" redrive_work)"
		made=$((made + $(led_by donor_work "$kind")))
	done
	[ "$made" -gt 0 ]
}

# What a new session needs is allocated later, by another work, and nothing waits for that
# which has another copy.
test_sessions_that_break_are_taken_down_without_an_allocation()
{
	failed_over_without_an_allocation 0
}

# The requests go to the other leg and to the disk.
test_fail_over_to_another_copy_allocates_nothing()
{
	local config=/sys/block/infiniswap1/infiniswap before

	before=$(lab_counter client "$config/failovers")
	failed_over_without_an_allocation 1
	lab_counter_above client "$config/failovers" "$before"
	lab_run client infiniswapctl remove infiniswap1
}

test_discards_allocate_nothing()
{
	local kind

	trace_on
	lab_run client blkdiscard -o 12k -l 120M /dev/infiniswap0
	trace_off
	for kind in $kinds; do
		[ "$(ours "$kind" | tail -n 1)" = 0 ] || fail "$(ours "$kind")"
	done
}

# free - KiB of the client that nobody has, or could be had at once
free()
{
	lab_run client 'sync; echo 3 >/proc/sys/vm/drop_caches
		awk "/^(MemFree|SReclaimable):/ { sum += \$2 } END { print sum }" /proc/meminfo'
}

# With slabs as small as they get: each has a structure, and each GiB 1024 of them.
test_client_needs_4_mib_for_each_gib_at_most()
{
	local before taken

	before=$(free)
	lab_run client infiniswapctl create infiniswap1 --size 16G --slab-size 1M \
		--redundancy none --donor donor1=10.7.0.101
	taken=$((before - $(free)))
	echo "16 GiB in slabs of 1 MiB: $taken KiB"
	[ "$taken" -ge $((16 * 2048)) ]		# the page words: they were counted
	[ "$taken" -le $((16 * 4096)) ]
	lab_run client infiniswapctl remove infiniswap1
}

test_device_and_module_go()
{
	[ "$(lab_counter client read_errors)" = 0 ]
	[ "$(lab_counter client write_errors)" = 0 ]
	lab swap off
	lab_run client rmmod infiniswap
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
