#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=600
# debug=no: it is of kernel 6.12
#
# The same module sources on Debian's 6.12: a minute of verified swap, and away
# with it. What the other suites test, they test on 6.1.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

result=$(mktemp)
cleanup_add rm -f "$result"

lab_up --kernel 6.12 --donors 2 --client-mem 384M --donor-mem 1G \
	--daemon-args=--slab_size=16M

test_a_minute_of_swap_without_a_wrong_page()
{
	lab_run client uname -r | grep '^6\.12\.'
	lab swap on --size 512M --slab-size 16M
	lab exec client --timeout 400 -- pageverify -p 2 -m 200 -S 1 -R 1000 \
		-w 30 -t 40 -s "$RANDOM" | tee "$result"
	no_page_wrong
	[ "$(field pswpin)" -ge 5000 ] || fail "$(field pswpin) page-ins"
	[ "$(lab_counter client read_errors)" = 0 ]
	[ "$(lab_counter client write_errors)" = 0 ]
}

test_broken_queue_pair_is_resumed()
{
	local before

	before=$(lab_counter client reconnects)
	lab_run client "echo donor1 control >/sys/kernel/debug/infiniswap/infiniswap0/qp_error"
	wait_for 30 lab_counter_above client reconnects "$before"
	wait_for 30 lab_counter_is client donors/donor1/state live
}

test_swapoff_removal_and_rmmod_succeed()
{
	lab swap off
	lab_run client rmmod infiniswap
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
