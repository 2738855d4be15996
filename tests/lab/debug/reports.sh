#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the kernels of all labs of a `scripts/check --debug` reported, each lab in a
# file of $LAB_REPORTS. Run last, and by that alone.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/ktap.sh
. "${ISW_TOP:-$here/../../..}/tests/lib/ktap.sh"

# reports KIND - those that are ours, unknown or known, one a line
reports()
{
	grep -rh "^report: $1: " "$LAB_REPORTS" || true
}

# none KIND TEXT
none()
{
	local found

	found=$(reports "$1")
	[ -z "$found" ] || fail "$found" "$(wc -l <<<"$found") reports $2, in full in $LAB_REPORTS"
	echo "0 reports $2"
}

test_every_lab_was_of_the_debug_kernel()
{
	local labs

	labs=$(grep -rh '^lab: ' "$LAB_REPORTS") || fail "no lab left its reports in $LAB_REPORTS"
	echo "$labs"
	! grep -v 'kernel .*-infiniswap-debug$' <<<"$labs" || fail "that is another kernel"
}

test_no_report_involves_our_code()
{
	none ours "that involve our code"
}

test_no_other_report_is_unknown()
{
	reports known
	none unknown "of others that tests/lab/known-reports does not list"
}

ktap_main
