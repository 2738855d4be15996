#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What breaks under load: queue pairs (the session is resumed, nothing is
# noticed above), a daemon (its memory is gone, at once), a donor's power (its
# pages fail after donor_loss_timeout). Never a wrong page, never a hang.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
# shellcheck source=tests/lib/faults.sh
. "$ISW_TOP/tests/lib/faults.sh"

loss_timeout=5
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"
result=$scratch/result

# load_start PROCESSES MIB ARGUMENT… - pageverify in the client, in the background
load_start()
{
	lab_press 300 "$@" >"$result" 2>&1 &
	load=$!
	pages_come_in 500
}

# load_end - wait for it; what it said is in $result, its status in $load_rc
load_end()
{
	load_rc=0
	wait "$load" || load_rc=$?
	cat "$result"
	[ -n "$(field bad)" ] || fail "pageverify did not finish: status $load_rc"
}

# load_costs_nothing N - it ends, with so many sessions broken at least, and no page
# wrong and no request failed for it
load_costs_nothing()
{
	load_end
	[ "$load_rc" = 0 ] || fail "pageverify: $load_rc"
	no_page_wrong
	[ "$(lab_counter client failovers)" -ge "$1" ]
	none_counted read_errors write_errors crc_errors
}

# break_queue_pair KIND - force donor1's into the error state; wait for resume
break_queue_pair()
{
	local before

	before=$(lab_counter client reconnects)
	lab_run client "echo donor1 $1 >/sys/kernel/debug/infiniswap/infiniswap0/qp_error"
	wait_for 30 lab_counter_above client reconnects "$before"
	wait_for 30 lab_counter_is client donors/donor1/state live
}

swap_on()
{
	lab swap on --size 448M --slab-size 16M donor_loss_timeout="$loss_timeout"
}

lab_up --donors 2 --client-mem 256M --donor-mem 1G \
	--daemon-args=--slab_size=16M

test_queue_pair_errors_under_load_cost_no_page()
{
	local loss_timeout=60

	storm_has_it
	swap_on
	load_start 2 260 -R 20 -w 30 -t 15 -s "$RANDOM"
	for kind in read write control write read; do
		break_queue_pair "$kind"
	done
	load_costs_nothing 5
	lab swap off
}

# No completion comes for what was not posted: guest/postfail refuses it.
test_posts_that_are_refused_under_load_cost_no_page()
{
	local n loss_timeout=60

	cp -r "$here/guest/postfail" "$scratch"
	make -s -C "$("$ISW_TOP/scripts/setup" kdir)" M="$scratch/postfail" \
		CONFIG_DEBUG_INFO_BTF_MODULES= modules
	lab put client "$scratch/postfail/postfail.ko" /tmp
	lab_run client insmod /tmp/postfail.ko
	swap_on
	load_start 2 260 -R 20 -w 30 -t 15 -s "$RANDOM"
	for n in 1 2 6; do
		lab_run client "echo $n >/sys/module/postfail/parameters/fail"
		wait_for 30 lab_counter_is client /sys/module/postfail/parameters/fail 0
		wait_for 30 lab_counter_is client donors/donor1/state live
		wait_for 30 lab_counter_is client donors/donor2/state live
	done
	load_costs_nothing 3
	lab swap off
}

# A session that breaks before the read is there, and is resumed, over and over: that
# may go on for donor_loss_timeout.
test_read_that_is_interrupted_again_and_again_is_held()
{
	local n times=10 loss_timeout=120 parameter=/sys/module/postfail/parameters/lose

	! lab_debug || times=3
	swap_on
	load_start 2 260 -R 20 -w 30 -t 15 -s "$RANDOM"
	lab_run client "echo 101 >$parameter"	# donor1
	for ((n = 0; n < times; n++)); do
		break_queue_pair read
	done
	lab_run client "echo 0 >$parameter"
	load_costs_nothing "$times"
	lab swap off
}

# A donor that can be connected to, and whose pages do not arrive, is no reason to
# wait for ever.
test_read_that_never_arrives_fails_after_donor_loss_timeout()
{
	local parameter=/sys/module/postfail/parameters/lose

	swap_on
	lab_run client "echo 1000 >/sys/kernel/config/infiniswap/infiniswap0/stall_ms"
	load_start 1 260 -R 20 -w 30 -t 15 -e -s "$RANDOM"
	lab_run client "echo 101 >$parameter"
	wait_for 60 lab_counter_above client read_errors 0
	lab_run client "echo 0 >$parameter"
	load_end
	[ "$(field bad)" = 0 ] || fail "$(field bad) wrong pages"
	[ "$(field eio)" -gt 0 ]
	[ "$(lab_counter client lost_pages)" = 0 ]
	lab swap off
	lab_run client rmmod postfail
}

test_daemon_restarted_its_pages_fail_the_rest_is_right()
{
	storm_has_it
	swap_on
	load_start 1 260 -R 20 -w 30 -t 12 -e -s "$RANDOM"
	daemon_kill donor2
	lab_run donor2 daemon-up --slab_size=16M
	load_end
	[ "$(field bad)" = 0 ] || fail "$(field bad) wrong pages"
	[ "$(field eio)" -gt 0 ] || fail "no page was lost with the daemon"
	wait_for 60 lab_counter_is client donors/donor2/state live
	lab swap off
}

test_donor_killed_for_good_gives_eio_and_no_hang()
{
	swap_on
	load_start 1 260 -R 20 -w 30 -t 15 -e -s "$RANDOM"
	[ "$(lab_counter client donors/donor2/slabs)" -gt 0 ]
	lab kill donor2
	load_end
	[ "$(field bad)" = 0 ] || fail "$(field bad) wrong pages"
	[ "$(field eio)" -gt 0 ] || fail "no page was lost with the donor"
	[ "$(lab_counter client read_errors)" -gt 0 ]
	[ "$(lab_counter client donors/donor2/slabs)" = 0 ]
	[ "$(lab_counter client donors/donor1/state)" = live ]
}

test_swapoff_and_rmmod_succeed_after_the_loss()
{
	lab swap off
	lab_run client rmmod infiniswap
}

test_donor_that_came_back_is_used_again()
{
	storm_has_it
	lab start donor2
	wait_for 60 lab_run donor2 pidof infiniswapd
	swap_on
	wait_for 30 lab_counter_is client donors/donor2/state live
	lab_press 200 1 260 -S 1 -R 0 -t 10 -s "$RANDOM" | tee "$result"
	[ "$(field bad)" = 0 ]
	[ "$(lab_counter client donors/donor2/slabs)" -gt 0 ]
	lab swap off
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
