#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# One donor of two goes silent, in each way that it can, or the client has no HCA
# any more: with another copy every request is served within stall_ms and 2 s, and
# nothing is lost. Without one, requests are held, and a donor that was only silent
# has its pages still.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
# shellcheck source=tests/lib/faults.sh
. "$ISW_TOP/tests/lib/faults.sh"

donor_arguments=(--slab_size=1M)
stall_ms=1000
undisturbed=0	# ms
disk=/dev/disk/by-id/virtio-lab-disk

# device_on OPTION… - 32 MiB in slabs of 1 MiB over both donors
device_on()
{
	lab_device_on 32M 1M "$@" -o "stall_ms=$stall_ms" -o donor_loss_timeout=60
	wait_for 30 lab_counter_is client donors/donor1/state live
	wait_for 30 lab_counter_is client donors/donor2/state live
}

device_off()
{
	lab_run client infiniswapctl remove infiniswap0
}

# write_all WORD, read_all WORD - 8 MiB; they print how long that took, in ms
write_all()
{
	lab exec client --timeout 120 -- sh -c "yes $1 | head -c 8M >/run/wanted
		t=\$(date +%s%N)
		dd if=/run/wanted of=/dev/infiniswap0 bs=64k oflag=direct status=none
		echo \$(((\$(date +%s%N) - t) / 1000000))"
}

read_all()
{
	lab exec client --timeout 120 -- sh -c "yes $1 | head -c 8M >/run/wanted
		t=\$(date +%s%N)
		dd if=/dev/infiniswap0 bs=64k count=128 iflag=direct status=none >/run/got
		t=\$(((\$(date +%s%N) - t) / 1000000))
		cmp /run/wanted /run/got >&2 && echo \$t"
}

# both_hold_pages - by slabs bound to them, of the eight that were written
both_hold_pages()
{
	[ "$(lab_counter client donors/donor1/slabs)" -gt 0 ] &&
		[ "$(lab_counter client donors/donor2/slabs)" -gt 0 ]
}

nothing_is_lost()
{
	local counter

	for counter in lost_pages read_errors write_errors crc_errors; do
		[ "$(lab_counter client "$counter")" = 0 ] || fail "$counter: $(lab_counter client "$counter")"
	done
}

# in_time WHAT MS - stall_ms and two seconds, and three times what it takes undisturbed
in_time()
{
	local limit

	limit=$((stall_ms + $(lab_time 2000) + 3 * undisturbed))
	echo "$1: $2 ms"
	[ "$2" -le "$limit" ] || fail "more than $limit ms"
}

# The client's own, whatever DONOR is given: both donors are away.
hca_begin()	{ nic_begin client; }

hca_end()
{
	nic_end client
	wait_for 60 lab_counter_is client donors/donor2/state live
}

# served_without KIND mirror|backup - donor1 is struck, read, written, read again
served_without()
{
	local breaks ms undisturbed

	case $2 in
	backup)	device_on --redundancy backup --backup "$disk" ;;
	mirror)	device_on --redundancy mirror ;;
	esac
	write_all NODONOR >/dev/null
	wait_for 20 lab_counter_above client slabs_mapped 7
	undisturbed=$(write_all FIRSTONE)
	wait_for 20 lab_counter_is client degraded_pages 0
	wait_for 20 lab_counter_is client staged_pages 0
	both_hold_pages
	"$1_begin" donor1
	ms=$(read_all FIRSTONE)
	in_time read "$ms"
	ms=$(write_all SECOND.)
	in_time write "$ms"
	ms=$(read_all SECOND.)
	in_time "read again" "$ms"
	breaks=$(lab_counter client failovers)
	[ "$breaks" -gt 0 ] || fail "$1 was not noticed"
	nothing_is_lost
	"$1_end" donor1
	wait_for 60 lab_counter_is client donors/donor1/state live
	wait_for 60 lab_counter_is client degraded_pages 0
	read_all SECOND. >/dev/null
	write_all THIRD.. >/dev/null
	read_all THIRD.. >/dev/null
	nothing_is_lost
	device_off
}

lab_up --donors 2 --client-mem 256M --disk 64M --daemon-args="${donor_arguments[*]}"

test_frozen_donor()			{ served_without freeze backup; }
test_donor_that_hears_nothing()		{ served_without cut_in backup; }
test_donor_that_is_not_heard()		{ served_without cut_out backup; }
test_donor_whose_nic_is_removed()	{ served_without nic backup; }
test_donor_that_takes_no_session()	{ served_without reject backup; }
test_donor_that_lends_nothing()		{ served_without refuse backup; }
test_donor_without_power()		{ served_without power backup; }
test_client_without_its_hca()		{ served_without hca backup; }

test_mirror_with_a_frozen_donor()		{ served_without freeze mirror; }
test_mirror_with_a_donor_that_hears_nothing()	{ served_without cut_in mirror; }
test_mirror_with_a_donor_that_is_not_heard()	{ served_without cut_out mirror; }

# Nobody has that address: each attempt to connect takes seconds.
test_donor_that_never_was_is_in_no_ones_way()
{
	local ms

	device_on --redundancy backup --backup "$disk" --donor absent=10.7.0.99
	ms=$(write_all MAPPED.)
	in_time write "$ms"
	wait_for 20 lab_counter_is client slabs_mapped 8
	both_hold_pages
	read_all MAPPED. >/dev/null
	nothing_is_lost
	device_off
}

# uptime_is SECONDS - of the client, or more
uptime_is()
{
	lab_run client "awk '{ exit \$1 < $1 }' /proc/uptime"
}

# Not when a donor has memory again, before those that still wait for some.
test_slabs_whose_writes_failed_for_want_of_memory_get_none()
{
	local failed mapped now

	refuse_begin donor1
	refuse_begin donor2
	device_on
	lab_run client 'for slab in $(seq 0 11); do
		dd if=/dev/urandom of=/dev/infiniswap0 bs=4k count=1 seek=$((slab * 256)) oflag=direct 2>/dev/null &
	done
	wait'
	failed=$(lab_counter client write_errors)
	mapped=$(lab_counter client slabs_mapped)
	echo "$failed writes failed, $mapped slabs were mapped"
	[ "$failed" -ge 10 ]
	now=$(lab_run client cut -d. -f1 /proc/uptime)
	wait_for 10 uptime_is $((now + 3))
	refuse_end donor2
	wait_for 30 lab_counter_is client donors/donor2/state live
	wait_for 30 lab_run client "dd if=/dev/urandom of=/dev/infiniswap0 bs=4k count=1 \
		seek=$((20 * 256)) oflag=direct status=none"
	now=$(lab_counter client slabs_mapped)
	echo "$now slabs are mapped"
	[ "$now" -le $((mapped + 1)) ]
	device_off
	refuse_end donor1
}

# held KIND [OPTION…] - without another copy, requests wait and are served with its pages
held()
{
	local reader

	device_on "${@:2}"
	write_all NOCOPY.
	both_hold_pages
	"$1_begin" donor1
	read_all NOCOPY. >/dev/null &
	reader=$!
	wait_for 20 lab_counter_is client donors/donor1/state reconnecting
	kill -0 "$reader" || fail "the read did not wait"
	"$1_end" donor1
	wait "$reader"
	[ "$(lab_counter client reconnects)" -gt 0 ]
	nothing_is_lost
	device_off
}

test_without_another_copy_a_frozen_donor_comes_back_with_its_pages()
{
	held freeze
}

test_without_another_copy_a_cut_donor_comes_back_with_its_pages()
{
	held cut
}

test_with_both_legs_away_a_client_that_gets_its_hca_back_has_its_pages()
{
	held hca --redundancy mirror
}

# While a device is powered on it has sessions, and no disk yet.
test_donor_dies_while_a_device_is_powered_on_again()
{
	local power=/sys/kernel/config/infiniswap/infiniswap0/power

	lab_device_on 32M 4M
	lab_run client "echo 0 >$power"
	log_mark
	refuse_begin donor1
	refuse_begin donor2
	lab exec client --timeout 60 -- sh -c "echo 1 >$power" &
	load=$!
	wait_for 20 logged 'donor1: connected'
	daemon_kill donor1
	wait_for 20 logged 'donor1: session broken'
	! wait "$load" || fail "powered on without a grant"
	daemon_up donor1
	refuse_end donor2
	lab_run client "echo 1 >$power"
	wait_for 10 lab_run client test -b /dev/infiniswap0
	device_off
}

# attempts - when a donor was tried, in ms
attempts()
{
	lab_run client "awk 'match(\$0, / [0-9]+\\.[0-9]+: /) {
			print int(substr(\$0, RSTART, RLENGTH) * 1000)
		}' /sys/kernel/tracing/trace"
}

tried_more_than()
{
	[ "$(attempts | wc -l)" -gt "$1" ]
}

test_donor_that_is_away_is_tried_less_and_less_often()
{
	local tracing=/sys/kernel/tracing wait=100 last='' tried at gap

	device_on
	write_all BACKOFF >/dev/null
	lab_run client "echo >$tracing/trace &&
		echo p:isw_try infiniswap:isw_session_connect >$tracing/kprobe_events &&
		echo 1 >$tracing/events/kprobes/isw_try/enable"
	daemon_kill donor1
	wait_for 20 tried_more_than 6
	tried=$(attempts)
	lab_run client "echo 0 >$tracing/events/kprobes/isw_try/enable &&
		echo >$tracing/kprobe_events"
	for at in $tried; do
		gap=$((at - ${last:-$at}))
		echo "$gap ms, $wait at least"
		if [ -n "$last" ]; then
			# an attempt takes time of its own, and the clock ticks every 4 ms
			((gap >= wait - 8 && gap <= wait + $(lab_time 1000)))
			wait=$((wait < 1000 ? 2 * wait : 2000))
		fi
		last=$at
	done
	daemon_up donor1
	wait_for 40 lab_counter_is client donors/donor1/state live
	device_off
}

test_kernel_logs_are_clean()
{
	lab_run client rmmod infiniswap
	lab_logs_clean
}

ktap_main
