#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What an operator looks at when something is odd: trace events tell a donor's
# states and a request's legs in words and without a gap, debugfs shows what a
# request that hangs waits for.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

tracing=/sys/kernel/tracing
debugfs=/sys/kernel/debug/infiniswap/infiniswap0
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"
trace=$scratch/trace

# values EVENT FIELD - of all such events, in order. The events of one CPU are
# in order, and the client has one.
values()
{
	sed -n "s/.* $1: .* $2=\"\{0,1\}\([^ \"]*\).*/\1/p" "$trace"
}

count()
{
	grep -c " $1: " "$trace" || true
}

lab_up --donors 2 --disk 512M --client-mem 256M --donor-mem 1G --daemon-args=--slab_size=16M

test_every_event_is_documented_and_off()
{
	lab_run client modprobe infiniswap
	[ "$(lab_run client cat "$tracing/events/infiniswap/enable")" = 0 ]
	lab_run client "cd $tracing/events/infiniswap && printf '%s\n' isw_*" |
		sort >"$scratch/there"
	grep -oE 'events/infiniswap/isw_[a-z_]+' "$ISW_TOP/docs/ABI/tracefs-infiniswap" |
		cut -d / -f 3 | sort >"$scratch/documented"
	[ -s "$scratch/there" ] || fail "no event"
	diff "$scratch/there" "$scratch/documented"
}

# Tools get the numbers of the enums instead of names they could not know.
test_formats_name_no_enum()
{
	lab_run client "cat $tracing/events/infiniswap/*/format" >"$scratch/formats"
	grep -q '{ 2, "live" }' "$scratch/formats" || fail "no words for states"
	! grep -E 'ISW_|IB_WC_' "$scratch/formats" || fail "names that only the kernel knows"
}

# traced_swap_on ARGUMENT… - swap with every event on, and the block layer's of it
traced_swap_on()
{
	local device event

	# room for three times what a fast host makes of this
	lab_run client "echo 40960 >$tracing/buffer_size_kb &&
		echo 1 >$tracing/events/infiniswap/enable"
	# no slab becomes empty for long enough to go back
	lab swap on --size 256M --slab-size 16M "$@" slab_idle_timeout=3600
	# shellcheck disable=SC2016 # for the guest's shell
	device=$(lab_run client 'IFS=: read -r major minor </sys/block/infiniswap0/dev
		echo $((major << 20 | minor))')
	for event in block_rq_issue block_rq_complete; do
		lab_run client "echo 'dev == $device' >$tracing/events/block/$event/filter &&
			echo 1 >$tracing/events/block/$event/enable"
	done
	lab_press 240 1 230 -R 20 -t 10 -s "$RANDOM" >"$scratch/result" 2>&1 &
	load=$!
	pages_come_in 200
}

# traced_swap_off - once the load has ended, right: what was traced is in $trace
traced_swap_off()
{
	wait "$load" || fail "pageverify: $(<"$scratch/result")"
	grep -q '"bad": *0\>' "$scratch/result" || fail "$(<"$scratch/result")"
	lab swap off
	lab_run client "echo 0 >$tracing/events/enable"
	lab exec client --timeout 120 -- cat "$tracing/trace" >"$trace"
	lab_run client "cat $tracing/per_cpu/cpu0/stats && echo >$tracing/trace" >"$scratch/stats"
	grep -qx 'overrun: 0' "$scratch/stats" || fail "events were overwritten"
	echo "$(wc -l <"$trace") lines"
}

test_trace_of_a_load_with_broken_sessions()
{
	local n

	traced_swap_on --donors 1
	for n in 1 2 3; do
		lab_run client "echo donor1 read >$debugfs/qp_error"
		wait_for 30 lab_counter_is client reconnects "$n"
		wait_for 30 lab_counter_is client donors/donor1/state live
	done
	traced_swap_off
}

# From unused to unused again, and only as the table in fsm.h has it.
test_states_are_words_in_a_legal_order()
{
	local broke='live-error-broken broken-drained-reconnecting reconnecting-up-live'

	sed -n 's/.* isw_donor_state: .* donor=donor1 from=\([^ ]*\) event=\([^ ]*\) to=\([^ ]*\)$/\1-\2-\3/p' \
		"$trace" | paste -sd ' ' | tee "$scratch/states"
	[ "$(<"$scratch/states")" = "idle-connect-connecting connecting-up-live $broke $broke $broke \
live-bye-leaving leaving-drained-idle" ]
	[ "$(count isw_donor_state)" = 13 ]
}

test_sessions_break_for_a_reason_and_are_resumed()
{
	[ "$(count isw_session_broken)" = 3 ]
	[ "$(count isw_session_resumed)" = 3 ]
	! grep 'isw_session_broken.* why=""' "$trace" || fail "no reason"
	for ms in $(values isw_session_resumed ms); do
		echo "$ms ms"
		[ "$ms" -lt 10000 ]
	done
}

# What was posted comes back, once, before the same is posted again. The copier's
# have one tag, 65535, for all its extents.
legs_come_back()
{
	awk '
	/ isw_leg_(post|done): .* tag=65535 / { next }
	/ isw_leg_(post|done): / {
		match($0, /donor=.* leg=[0-9]+/)
		key = substr($0, RSTART, RLENGTH)
		if (/isw_leg_post/ && under_way[key]++ || /isw_leg_done/ && under_way[key]-- != 1) {
			print "out of order: " $0
			bad = 1
		}
		n++
	}
	END {
		for (key in under_way)
			if (under_way[key]) {
				print "never done: " key
				bad = 1
			}
		print n " events"
		exit bad || n < 1000
	}' "$trace"
	[ "$(count isw_leg_post)" = "$(count isw_leg_done)" ]
	values isw_leg_done status | sort | uniq -c | tee "$scratch/status"
	grep -q ' SUCCESS$' "$scratch/status" || fail "no leg succeeded"
	! grep -vE ' [A-Z_]+$' "$scratch/status" || fail "a status that is no word"
}

test_every_leg_posted_is_done()
{
	legs_come_back
}

# The block layer is told that a request begins before anything is posted for it,
# and that it has ended once, when nothing is left posted. Events of requests that
# began before the trace are left out, and so is the copier.
requests_end_once()
{
	awk '
	/ isw_leg_(post|done): .* tag=65535 / { next }
	/ block_rq_(issue|complete): / {
		n = split($0, word, " ")
		for (i = 1; i <= n && word[i] != "+"; i++)
			;
		first = word[i - 1] / 8
		last = first + word[i + 1] / 8 - 1
		if (/block_rq_issue/) {
			issued++
			for (page = first; page <= last; page++)
				begun[page]++
			next
		}
		ended++
		for (page = first; page <= last; page++) {
			if (!begun[page])
				wrong("ended, and was not begun")
			else if (--begun[page] < posted[page, 0] || begun[page] < posted[page, 1] ||
				 begun[page] < posted[page, 2])
				wrong("ended while posted")
		}
	}
	/ isw_leg_(post|done): / && issued {
		match($0, / page=[0-9]+/)
		first = substr($0, RSTART + 6, RLENGTH - 6) + 0
		match($0, / count=[0-9]+/)
		last = first + substr($0, RSTART + 7, RLENGTH - 7) - 1
		match($0, / leg=[0-9]+/)
		leg = substr($0, RSTART + 5, RLENGTH - 5)
		for (page = first; page <= last; page++) {
			if (/isw_leg_done/)
				posted[page, leg]--
			else if (++posted[page, leg] > begun[page])
				wrong("posted, and not begun")
		}
	}
	function wrong(what)
	{
		if (!bad++)
			print what ": page " page ": " $0
	}
	END {
		print issued " begun, " ended " ended, " bad + 0 " pages wrong"
		exit bad || ended < 1000
	}' "$trace"
}

test_request_is_started_before_it_is_posted_and_ends_once()
{
	requests_end_once
}

test_requests_park_for_a_reason_and_are_kicked()
{
	values isw_io_park wait | sort | uniq -c | tee "$scratch/waits"
	grep -q ' mapping$' "$scratch/waits" || fail "no write waited for its slab's mapping"
	grep -q ' session$' "$scratch/waits" || fail "no request was held while the session was resumed"
	kicked=$(values isw_slab_kick requests | awk '{ n += $1 } END { print n + 0 }')
	[ "$kicked" = "$(count isw_io_park)" ] || fail "$kicked kicked"
}

test_grants_slabs_and_messages_add_up()
{
	local bound

	bound=$(count isw_slab_bind)
	echo "$bound slabs bound, $(count isw_slab_publish) mappings published"
	[ "$bound" -gt 1 ]
	[ "$(count isw_grant_obtained)" -ge "$bound" ]
	[ "$(count isw_slab_publish)" -gt "$bound" ]	# new keys, after each break
	[ "$(count isw_slab_unmap)" = 0 ]
	[ "$(count isw_slabs_drain)" -ge 3 ]
	[ "$(values isw_msg_send type | grep -cx grant)" = "$(values isw_msg_recv type | grep -cx granted)" ]
	[ "$(values isw_msg_recv type | tail -n 1)" = bye_ok ]
	! values 'isw_msg_[a-z]*' type | grep -vE '^[a-z_]+$' || fail "types that are no words"
}

# One donor stands still until its session counts as broken, with requests posted;
# queue pairs of the other break while both are written, and read.
test_so_it_is_in_a_mirror_with_a_backup_whose_donors_break_in_turn()
{
	local way reconnects

	traced_swap_on --donors 2 --redundancy mirror backup=/dev/disk/by-id/virtio-lab-disk \
		stall_ms=2000
	lab pause donor2
	wait_for 30 lab_counter_is client donors/donor2/state reconnecting
	lab resume donor2
	wait_for 60 lab_counter_is client donors/donor2/state live
	for way in write read; do
		reconnects=$(lab_counter client reconnects)
		lab_run client "echo donor1 $way >$debugfs/qp_error"
		wait_for 30 lab_counter_above client reconnects "$reconnects"
		wait_for 30 lab_counter_is client donors/donor1/state live
	done
	traced_swap_off
	legs_come_back
	grep -qE ' (WR_FLUSH|RETRY_EXC)_ERR$' "$scratch/status" || fail "nothing was under way when they broke"
	requests_end_once
	[ "$(values isw_leg_done leg | sort -u | paste -sd ' ')" = "0 1" ] || fail "not two legs"
}

# requests STATE - does the table have one whose state begins so?
requests()
{
	lab_run client cat "$debugfs/requests" >"$scratch/requests"
	grep -E " $1" "$scratch/requests"
}

# One read of 16 pages while the donor's link is down: posted first, then, when
# the session is taken for broken, parked. The link comes back, so does the data.
test_debugfs_shows_what_a_request_waits_for()
{
	lab_run client infiniswapctl create --size 64M --slab-size 16M --redundancy none \
		--stall-ms 15000 --donor donor1=10.7.0.101
	lab_run client "head -c 64K /dev/urandom >/tmp/data &&
		dd if=/tmp/data of=/dev/infiniswap0 bs=64K seek=3 oflag=direct"
	lab_run client cat "$debugfs/requests" >"$scratch/requests"
	[ "$(wc -l <"$scratch/requests")" = 1 ] || fail "$(<"$scratch/requests")"
	lab_run client cat "$debugfs/grants" >"$scratch/grants"
	grep -qE '^donor1:[0-9]+\.[0-9]+ ready$' "$scratch/grants"
	lab_run client cat "$debugfs/slabs" >"$scratch/slabs"
	grep -qE '^0 [0-9]+ donor1:[0-9]+\.[0-9]+( |$)' "$scratch/slabs" || fail "$(<"$scratch/slabs")"
	lab_run client cat "$debugfs/sessions" >"$scratch/sessions"
	grep -qE '^donor1 live [0-9a-f]{16} 1 [0-9]+ .*r0:0' "$scratch/sessions" ||
		fail "$(<"$scratch/sessions")"

	lab_run donor1 ip link set eth0 down
	lab exec client --timeout 180 -- \
		dd if=/dev/infiniswap0 of=/tmp/back bs=64K skip=3 count=1 iflag=direct &
	reader=$!
	wait_for 10 requests 'read 48 16 0 posted 1 [0-9]+ [0-9]+$'
	cat "$scratch/requests"
	wait_for 60 requests 'read 48 16 0 parked session - [0-9]+$'
	cat "$scratch/requests"
	lab_run client cat "$debugfs/grants" >"$scratch/grants"
	grep -qE '^donor1:[0-9]+\.[0-9]+ held$' "$scratch/grants"
	lab_run donor1 ip link set eth0 up
	wait "$reader"
	lab_run client cmp /tmp/data /tmp/back
	! requests '(posted|parked)' || fail "a request is left"
}

# With every event on, so that their removal is shown too.
test_module_goes_with_its_events()
{
	lab_run client "echo 1 >$tracing/events/infiniswap/enable"
	lab_run client infiniswapctl remove infiniswap0
	lab_run client rmmod infiniswap
	! lab_run client test -e "$tracing/events/infiniswap" || fail "events are left"
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
