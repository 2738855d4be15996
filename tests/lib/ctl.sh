# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# For tests of infiniswapctl on this machine: runs it, and compares what it said.
# Sourced; brings ktap.sh along. $scratch is a folder that goes when the script
# ends. A library named by $ctl_preload, if any, stands between it and the system.

ctl_lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ctl=${INFINISWAPCTL:-$ctl_lib/../../build/infiniswapctl}
ctl_preload=
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# shellcheck source=tests/lib/ktap.sh
. "$ctl_lib/ktap.sh"

# ctl STATUS ARGUMENT... - run it; the exit status must be STATUS.
# Leaves what it printed in $out and $err.
ctl()
{
	local want=$1 status=0

	shift
	LD_PRELOAD=$ctl_preload "$ctl" "$@" \
		>"$scratch/out" 2>"$scratch/err" || status=$?
	# shellcheck disable=SC2034 # for the script
	out=$(cat "$scratch/out")
	err=$(cat "$scratch/err")
	[ "$status" = "$want" ] || fail "infiniswapctl $*: exit status $status, not $want: $err"
}

equal()
{
	[ "$1" = "$2" ] || fail "'$1' is not '$2'"
}

has()
{
	[[ $1 == *"$2"* ]] || fail "'$2' is not in '$1'"
}
