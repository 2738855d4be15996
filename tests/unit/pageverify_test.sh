#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# pageverify sees what it is there to see: its memory is damaged from outside,
# through /proc/PID/mem, while it runs.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pageverify=${PAGEVERIFY:-$here/../../build/tests/guest/pageverify}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# shellcheck source=tests/lib/ktap.sh
. "$here/../lib/ktap.sh"

mib=32		# one process maps so much for its pages, and nothing else as large
pages=$((mib * 256))

# until_true COMMAND... - wait for it, 10 s at most
until_true()
{
	local tries=0

	until "$@"; do
		tries=$((tries + 1))
		[ "$tries" -lt 200 ] || fail "not within 10 s: $*"
		sleep 0.05
	done
}

# begin [OPTION...] - start it in the background and wait until it has filled
# its memory
begin()
{
	rm -f "$scratch/err"
	"$pageverify" -m "$mib" -R 1 -S 1 -w 0 "$@" >"$scratch/out" 2>"$scratch/err" &
	parent=$!
	until_true grep -qs filled "$scratch/err"
	child=$(tr -d " " <"/proc/$parent/task/$parent/children")
	base=$((16#$(memory_start)))
}

# The mapping of exactly $mib MiB.
memory_start()
{
	local range rest

	while read -r range rest; do
		if [ $((16#${range#*-} - 16#${range%-*})) = $((pages * 4096)) ]; then
			echo "${range%-*}"
			return
		fi
	done <"/proc/$child/maps"
	fail "no mapping of $mib MiB in process $child"
}

# peek PAGE FILE, poke FILE PAGE - copy a page out of it, or into it
peek()
{
	dd if="/proc/$child/mem" of="$2" bs=4096 count=1 \
		skip=$((base / 4096 + $1)) status=none
}

poke()
{
	dd if="$1" of="/proc/$child/mem" bs=4096 count=1 conv=notrunc \
		seek=$((base / 4096 + $2)) status=none
}

has_changed()
{
	peek "$1" "$scratch/now"
	! cmp -s "$2" "$scratch/now"
}

# ended STATUS - wait for it; its exit status must be STATUS
ended()
{
	local status=0

	wait "$parent" || status=$?
	[ "$status" = "$1" ] || fail "exit status $status, not $1" "$(cat "$scratch/err")"
}

seen()
{
	grep -q "$1" "$scratch/out" "$scratch/err" || fail "no '$1' in:" "$(cat "$scratch/err" "$scratch/out")"
}

test_right_pages_pass()
{
	begin -t 2 -p 1
	ended 0
	seen '"bad": 0'
}

test_a_page_of_zeros_is_seen()
{
	begin -t 3
	head -c 4096 /dev/zero >"$scratch/page"
	poke "$scratch/page" 100
	ended 1
	seen '"bad": 1,'
	seen 'page 100 version 0 .* word 0: .* zeros'
}

test_one_wrong_byte_is_seen()
{
	begin -t 3
	peek 200 "$scratch/page"
	# The last byte of word 511, the other way round.
	byte=$(tail -c 1 "$scratch/page" | od -An -tu1)
	# shellcheck disable=SC2059 # the format is the byte
	printf "\\x$(printf %x $((255 - byte)))" |
		dd of="$scratch/page" bs=1 seek=4095 conv=notrunc status=none
	poke "$scratch/page" 200
	ended 1
	seen '"bad": 1,'
	seen 'page 200 version 0 .* word 511: .* nothing of this run'
}

test_a_misplaced_page_is_seen()
{
	begin -t 3
	peek 300 "$scratch/page"
	poke "$scratch/page" 301
	ended 1
	seen '"bad": 1,'
	seen 'page 301 .* process 0 page 300 version 0'
}

test_a_stale_page_is_seen()
{
	begin -t 4 -w 100
	kill -STOP "$child"
	peek 400 "$scratch/page"
	kill -CONT "$child"
	until_true has_changed 400 "$scratch/page"
	poke "$scratch/page" 400
	ended 1
	seen 'page 400 .* process 0 page 400 version'
}

test_of_pages_that_compress_every_byte_is_looked_at_too()
{
	begin -t 3 -Z 70
	peek 500 "$scratch/page"
	[ "$(tail -c 2048 "$scratch/page" | tr -d '\0' | wc -c)" = 0 ] || fail "its end is not zeros"
	printf '\1' | dd of="$scratch/page" bs=1 seek=4000 conv=notrunc status=none
	poke "$scratch/page" 500
	ended 1
	seen '"bad": 1,'
	seen 'page 500 version 0 .* word 500: expected 0000000000000000'
}

# accesses [OPTION...] - how many in a run with these
accesses()
{
	"$pageverify" -m "$mib" -R 1 -S 1 -w 0 -s 1 "$@" 2>"$scratch/err" |
		sed 's/.*"accesses": \([0-9]*\),.*/\1/'
}

test_without_the_last_check_nothing_is_verified_after_the_passes()
{
	[ $(($(accesses) - $(accesses -n))) = "$pages" ]
}

test_sigterm_ends_the_passes_and_all_is_verified()
{
	begin -t 600
	kill -TERM "$parent"
	ended 0
	seen '"bad": 0'
}

test_progress_tells_when_how_much_and_the_longest()
{
	begin -t 2 -I 50
	ended 0
	awk '/^progress [0-9]+ [0-9]+ [0-9]+ [0-9]+$/ {
		if (lines++ && ($2 - last < 50e6 || $2 - last > 1e9))
			bad = 1
		last = $2
		pages += $3
		if ($4 > longest)
			longest = $4
	}
	END { print lines, pages, longest; exit bad || lines < 20 || !pages || !longest }' \
		"$scratch/out"
}

test_a_process_that_dies_is_seen()
{
	begin -t 3
	kill -KILL "$child"
	ended 1
	seen '"failed": 1'
}

ktap_main
