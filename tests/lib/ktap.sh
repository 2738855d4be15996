# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# KTAP for test scripts. A script tells how many tests it has before the first,
# so that a crash half way is seen as failed tests and not as a short run.
#
# Either one line per result:
#
#	ktap_plan 2
#	ktap_test "the device appears" test -b /dev/infiniswap0
#	ktap_skip "trim" "the backup disk cannot discard"
#	ktap_finish
#
# or a script whose functions test_* are its tests, in the order written:
#
#	ktap_main

ktap_number=0
ktap_planned=0
ktap_failures=0
ktap_skips=0

# ktap_plan N - say that N results follow
ktap_plan()
{
	ktap_planned=$1
	echo "KTAP version 1"
	echo "1..$ktap_planned"
}

# ktap_diag TEXT… - lines for the reader, not for the count
ktap_diag()
{
	printf '%s\n' "$@" | sed 's/^/# /'
}

# ktap_ok NAME, ktap_not_ok NAME - one result
ktap_ok()
{
	echo "ok $((++ktap_number)) $*"
}

ktap_not_ok()
{
	: $((++ktap_failures))
	echo "not ok $((++ktap_number)) $*"
}

# ktap_skip NAME REASON - cannot be told here, and why
ktap_skip()
{
	: $((++ktap_skips))
	echo "ok $((++ktap_number)) $1 # SKIP ${2:?ktap_skip $1: a skip names its reason}"
}

# ktap_test NAME COMMAND… - run it in a subshell with set -e; its status is the
# result, and what it prints is diagnostics, a line at a time as it comes.
# 4 skips: the last line printed is the reason.
ktap_test()
{
	local name=$1 status last

	shift
	last=$(mktemp)
	# Not in a condition: there, set -e would not hold inside the command.
	set +e
	(
		set -eE
		# shellcheck disable=SC2064 # the first level is this one
		trap "ktap_at $BASH_SUBSHELL "'"$BASH_SUBSHELL" "${BASH_SOURCE[0]##*/}:$LINENO" "$BASH_COMMAND"' ERR
		"$@"
	) 2>&1 </dev/null | tee "$last" | sed -u 's/^/# /'
	status=${PIPESTATUS[0]}
	set -e
	case $status in
	0) ktap_ok "$name" ;;
	4) ktap_skip "$name" "$(tail -n 1 "$last")" ;;
	*)
		[ "$status" = 1 ] || ktap_diag "exit status $status"
		ktap_failed 2>&1 | sed 's/^/#   /' || :	# the result comes, whatever that does
		ktap_not_ok "$name"
		;;
	esac
	rm -f "$last"
}

# ktap_at LEVEL OF PLACE COMMAND - a command failed in a test, which is of level LEVEL of
# subshells; what fails in $(…), deeper, may be meant to
ktap_at()
{
	[ "$1" != "$2" ] || echo "at $3: $4" >&2
}

# ktap_failed - what a reader may want to know of a test that failed; a script may
# define its own
ktap_failed()
{
	:
}

# ktap_main [BEFORE] - run every function test_* as one test, in the order in
# which they are written; BEFORE runs ahead of each, in the same subshell.
ktap_main()
{
	local before=${1:-:} name
	local -a names

	mapfile -t names < <(
		shopt -s extdebug
		compgen -A function test_ | while read -r name; do
			declare -F "$name"	# with extdebug: NAME LINE FILE
		done | sort -n -k 2 | cut -d ' ' -f 1
	)
	ktap_plan "${#names[@]}"
	for name in "${names[@]}"; do
		ktap_test "${name#test_}" ktap_one "$before" "$name"
	done
	ktap_finish
}

ktap_one()
{
	"$1"
	"$2"
}

# fail TEXT… - inside a test: say what is wrong, and end it
fail()
{
	printf '%s\n' "$@"
	exit 1
}

# skip REASON - inside a test: it cannot be told here
skip()
{
	echo "${1:?skip: a skip names its reason}"
	exit 4
}

# ktap_finish - end the script with kselftest's exit status: 0 passed, 4 all
# skipped, 1 otherwise, results that are missing included
ktap_finish()
{
	if [ "$ktap_number" != "$ktap_planned" ]; then
		ktap_diag "planned $ktap_planned tests, saw $ktap_number"
		exit 1
	fi
	[ "$ktap_failures" = 0 ] || exit 1
	[ "$ktap_skips" != "$ktap_number" ] || exit 4
	exit 0
}
