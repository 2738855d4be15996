#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=300
#
# The debug kernel finds bugs: the kernel's own crash test makes some, and the
# lab tells of each.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../../..}/tests/lib/functions.sh"

kdir=$("$ISW_TOP/scripts/setup" kdir 6.1-debug)
lkdtm=$(find "$kdir/../../../lib/modules" -name lkdtm.ko)

# These bugs are wanted: they are nobody's findings.
export LAB_REPORTS=
lab_up --kernel 6.1-debug --donors 1 --no-daemon
lab put client "$lkdtm" /tmp
lab_run client insmod /tmp/lkdtm.ko

# provoked BUG TEXT - have the client make it; check-logs then tells of TEXT
provoked()
{
	lab_run client "echo $1 >/sys/kernel/debug/provoke-crash/DIRECT"
	found=$(lab check-logs) && fail "check-logs found nothing"
	echo "$found"
	grep -q "^client: .*$2" <<<"$found"
}

test_logs_of_a_debug_kernel_that_just_booted_are_clean()
{
	lab_logs_clean
}

test_checks_are_built_in()
{
	for option in KASAN UBSAN PROVE_LOCKING PROVE_RCU DEBUG_ATOMIC_SLEEP DEBUG_KMEMLEAK \
		DEBUG_OBJECTS FAULT_INJECTION; do
		lab_run client "zcat /proc/config.gz | grep -qx CONFIG_$option=y" || fail "no $option"
	done
}

test_use_after_free_is_reported()
{
	provoked READ_AFTER_FREE "KASAN: .*use-after-free"
}

test_index_out_of_bounds_is_reported()
{
	provoked ARRAY_BOUNDS "UBSAN: array-index-out-of-bounds"
}

test_checker_that_gave_up_is_told_of()
{
	lab_run client "echo off >/sys/kernel/debug/kmemleak"
	found=$(lab check-logs) && fail "check-logs found nothing"
	grep -q "^client: .*kmemleak has given up" <<<"$found"
}

ktap_main
