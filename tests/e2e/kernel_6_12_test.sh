#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=600
# debug=no: it is of kernel 6.12
#
# The same module sources on Debian's 6.12: a minute of verified swap, copies that
# replace each other, and away with it. What the other suites test, they test on 6.1.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

# shellcheck source=tests/lib/faults.sh
. "$ISW_TOP/tests/lib/faults.sh"

donor_arguments=(--slab_size=16M)
result=$(mktemp)
cleanup_add rm -f "$result"

lab_up --kernel 6.12 --donors 2 --client-mem 384M --donor-mem 1G --disk 512M \
	--daemon-args="${donor_arguments[*]}"

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

test_swapoff_and_removal_succeed()
{
	lab swap off
}

# Two legs and the disk: from one leg, from the disk alone, to new legs again.
test_mirror_with_a_backup_outlives_all_its_donors()
{
	lab_device_on 64M 16M --redundancy mirror --donor-loss-timeout 2 \
		--backup /dev/disk/by-id/virtio-lab-disk
	pattern_write 0 32 BOTHLEGS
	wait_for 60 lab_counter_is client staged_pages 0
	wait_for 60 lab_counter_is client degraded_pages 0
	daemon_kill donor1
	pattern_is 0 32 BOTHLEGS
	daemon_kill donor2
	wait_for 20 lab_counter_is client slabs_mapped 0
	pattern_is 0 32 BOTHLEGS
	[ "$(lab_counter client pages_in_backup)" -ge 8192 ]
	daemon_up donor1
	daemon_up donor2
	pattern_write 0 32 NEWLEGS.
	wait_for 60 lab_counter_is client degraded_pages 0
	pattern_is 0 32 NEWLEGS.
	[ "$(lab_counter client slabs_mapped)" = 2 ]
	none_counted read_errors write_errors crc_errors lost_pages
	lab_run client infiniswapctl remove infiniswap0
}

test_module_goes()
{
	lab_run client rmmod infiniswap
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
