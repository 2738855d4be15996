# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A client that swaps at full pressure to three donors and tells, ten times a
# second, how many pages it touched and how long they took. Sourced after
# functions.sh; $scratch is a directory, $result what is to have the lines.

case $LAB_KERNEL in
6.12)	load_memory=384M load_mib=400 ;;
*)	load_memory=256M load_mib=260 ;;
esac

# load_lab_up ARGUMENT… - the lab that it runs in
load_lab_up()
{
	lab_up --donors 3 --client-mem "$load_memory" --disk 512M "$@"
}

# samples_more_than N - lines of progress, ten a second
samples_more_than()
{
	# shellcheck disable=SC2154 # the script's own
	[ "$(wc -l <"$result")" -gt "$1" ]
}

# samples_pass N - wait for so many more
samples_pass()
{
	wait_for $((30 + $1)) samples_more_than $(($(wc -l <"$result") + $1))
}

# until_time BEGIN MS - so long after BEGIN, a value of EPOCHREALTIME
until_time()
{
	local now=$EPOCHREALTIME left

	left=$((${1/./} + $2 * 1000 - ${now/./}))
	((left <= 0)) || sleep "$((left / 1000000)).$(printf %06d $((left % 1000000)))"
}

# load_start [SEED] - until load_end, or until the test's subshell fails, whose output
# would else not end before the load does
load_start()
{
	# shellcheck disable=SC2154 # the script's own
	lab_press 0 2 "$load_mib" -R 1000000 -w 30 -t 1000000 -I 100 \
		-s "${1:-${ISW_SEED:-$RANDOM}}" 2>"$scratch/errors" |
		while read -r line; do
			echo "$EPOCHREALTIME $line"
		done >"$result" &
	load=$!
	trap 'kill "$load"' EXIT
	wait_for 120 grep -q filled "$scratch/errors"
}

load_runs()
{
	kill -0 "$load" 2>/dev/null || fail "pageverify ended: $(tail -n 3 "$scratch/errors" "$result")"
}

# load_end - and no page was wrong or lost
load_end()
{
	local status=0

	# shellcheck disable=SC2016 # for the guest's shell
	lab_run client 'kill -TERM $(pidof pageverify)'
	wait "$load" || status=$?
	trap - EXIT
	cat "$scratch/errors"
	tail -n 1 "$result"
	[ "$status" = 0 ] || fail "pageverify: status $status"
	figure "page_ins=$(field pswpin)" "pages_out=$(field pswpout)"
	[ "$(field failed)" = 0 ] || fail "$(field failed) processes died"
	no_page_wrong
	[ "$(lab_counter client read_errors)" = 0 ]
	[ "$(lab_counter client lost_pages)" = 0 ]
}

# fullest - the donor with the most slabs
fullest()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run client 'cd /sys/block/infiniswap0/infiniswap/donors && for donor in *; do
		echo $(cat $donor/slabs) $donor; done' | sort -rn | sed -n '1s/.* //p'
}
