#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The unit tests under the kernel's own runner, run_kselftest.sh: each program
# gives the same verdicts there as it gives alone.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ISW_TOP=${ISW_TOP:-$here/../..}
# shellcheck source=tests/lib/functions.sh
. "$ISW_TOP/tests/lib/functions.sh"

# verdicts - result lines out of KTAP on standard input, by number and name
verdicts()
{
	grep -E '^(not )?ok [0-9]+' || true
}

# alone PROGRAM, under_runner PROGRAM - its own verdicts, one a line
alone()
{
	("$ISW_TOP/build/tests/unit/$1" || true) | verdicts
}

# The runner marks a test's output with "# " and adds one verdict, of the whole.
# It opens /dev/stdout by name: that must be a pipe, or lines overwrite each other.
under_runner()
{
	"$installed/run_kselftest.sh" -t "infiniswap:$1" 2>&1 | cat >"$scratch/$1.out"
	sed -n 's/^# //p' "$scratch/$1.out" | verdicts
}

# whole PROGRAM - the runner's verdict on it: ok or not ok
whole()
{
	sed -nE "s/^(ok|not ok) 1 selftests: infiniswap: $1( .*)?\$/\1/p" "$scratch/$1.out"
}

same_verdicts()
{
	local mine theirs

	mine=$(alone "$1")
	theirs=$(under_runner "$1")
	[ -n "$mine" ] || fail "$1: no verdicts"
	[ "$mine" = "$theirs" ] || diff <(echo "$mine") <(echo "$theirs")
	if grep -q '^not ok' <<<"$mine"; then
		[ "$(whole "$1")" = "not ok" ]
	else
		[ "$(whole "$1")" = ok ]
	fi
	echo "$(wc -l <<<"$mine") verdicts"
}

# A test that fails must fail under the runner: else "the same" says little.
a_failure_is_a_failure_there()
{
	printf '#!/bin/sh\necho 1..1\necho not ok 1 on purpose\nexit 1\n' >"$installed/infiniswap/fails"
	chmod +x "$installed/infiniswap/fails"
	echo infiniswap:fails >>"$installed/kselftest-list.txt"
	[ "$(under_runner fails)" = "not ok 1 on purpose" ]
	[ "$(whole fails)" = "not ok" ]
}

scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"
make -s --no-print-directory -C "$ISW_TOP" kselftest >&2
cp -r "$ISW_TOP/build/kselftest" "$scratch/installed"
installed=$scratch/installed

programs=("$ISW_TOP"/tests/unit/*_test.c)
programs=("${programs[@]##*/}")
programs=("${programs[@]%.c}")
ktap_plan $((${#programs[@]} + 1))
for program in "${programs[@]}"; do
	ktap_test "$program" same_verdicts "$program"
done
ktap_test "a failure is a failure there" a_failure_is_a_failure_there
ktap_finish
