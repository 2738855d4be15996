#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=1800
#
# Everything breaks, one thing after the other, under swap that is verified at
# full pressure: no page is ever wrong or lost. One run is one seed: each kind of
# fault once, in seeded order, on seeded donors, for a seeded while.
#
#	ISW_SEED=N		that run again
#	ISW_STORM_EVERY=N	seconds from one fault to the next, at least (12)
#	ISW_STORM_MODE=MODE	backup, mirror or mirror+backup (the first two, one after
#				the other; on the debug kernel the last, for both at once)
#	ISW_KERNEL=6.12		of the guests

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
# shellcheck source=tests/lib/faults.sh
. "$ISW_TOP/tests/lib/faults.sh"
# shellcheck source=tests/lib/load.sh
. "$ISW_TOP/tests/lib/load.sh"

seed=${ISW_SEED:-$((RANDOM << 15 | RANDOM))}
donors=(donor1 donor2 donor3)
donor_arguments=(--slab_size=4M)
every=${ISW_STORM_EVERY:-12}
stall_ms=2000
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"
result=$scratch/samples

donor_kinds=(daemon power freeze cut_in cut_out cut restart nic refuse reject queue_pair netem drain)
disk_kinds=(disk_hold disk_error)

# ---- the disk, as a fault of no donor ---------------------------------------

disk_hold_begin()	{ lab disk client iops 1; }
disk_hold_end()		{ lab disk client none; }

# Reads of what lies there alone would fail, too, unless two donors have it all.
disk_error_begin()
{
	if [ "$mode" = backup ]; then
		lab_run client sh /tmp/backup-disk write-error
	else
		lab_run client sh /tmp/backup-disk error
	fi
	wait_for 20 lab_counter_is client backup failed
}

disk_error_end()	{ lab_run client sh /tmp/backup-disk linear; }

# disk_hold_felt, netem_felt DONOR - for these break no session
disk_hold_felt()
{
	wait_for 20 disk_is_waited_for
	echo "$(lab_counter client staged_pages) pages wait for the disk"
}

# disk_is_waited_for - by pages to be written, or by a page that only the disk has
disk_is_waited_for()
{
	lab_counter_above client staged_pages 64 ||
		lab_run client "grep -q ' parked backup ' /sys/kernel/debug/infiniswap/infiniswap0/requests"
}

netem_felt()
{
	local sent

	sent=$(lab_run "$1" 'tc -s qdisc show dev eth0' |
		sed -n '/netem/,$s/.* bytes \([0-9]*\) pkt (dropped \([0-9]*\).*/\1 packets late, \2 lost/p')
	echo "$1: $sent"
	[ "${sent%% *}" -gt 20 ] || fail "netem did nothing to $1"
}

# ---- the plan ---------------------------------------------------------------

# draw N - REPLY is one of 0 to N-1. Not in a subshell: $drawn_from would not go on.
# Of all 64 bits of the seed: of bash's own RANDOM, seeds 32768 apart are alike.
draw()
{
	drawn_from=$((drawn_from * 6364136223846793005 + 1442695040888963407))
	REPLY=$(((drawn_from >> 33 & 0x7fffffff) % $1))
}

# draw_donors - REPLY is one donor, or with a backup any number of them
draw_donors()
{
	local donor drawn=()

	if [ "$mode" != mirror ]; then
		for donor in "${donors[@]}"; do
			draw 2
			((REPLY == 0)) || drawn+=("$donor")
		done
	fi
	if [ ${#drawn[@]} = 0 ]; then
		draw ${#donors[@]}
		drawn=("${donors[REPLY]}")
	fi
	REPLY=${drawn[*]}
}

# plan - what happens, one line for each fault: KIND SECONDS DONOR…
plan()
{
	local kinds=("${donor_kinds[@]}") i kind hold

	[ "$mode" = mirror ] || kinds+=("${disk_kinds[@]}")
	drawn_from=$seed
	for ((i = ${#kinds[@]} - 1; i > 0; i--)); do
		draw $((i + 1))
		kind=${kinds[REPLY]} kinds[REPLY]=${kinds[i]} kinds[i]=$kind
	done
	planned=()
	for kind in "${kinds[@]}"; do
		draw 5
		hold=$((REPLY + 4))	# longer than it takes to notice
		draw_donors
		[ "$kind" != drain ] || REPLY=${REPLY%% *}	# the others get its slabs
		[[ $kind != disk_* ]] || REPLY=
		planned+=("$kind $hold $REPLY")
	done
}

# ---- one run ----------------------------------------------------------------

# broken DONOR - how often its session broke so far
broken()
{
	lab_run client "dmesg | grep -c '$1: session broken' || true"
}

breaks_more_than()
{
	[ "$(broken "$1")" -gt "$2" ]
}

all_live()
{
	local donor

	for donor; do
		lab_counter_is client "donors/$donor/state" live || return
	done
}

# hold_pages DONOR… - does one of them?
hold_pages()
{
	local donor

	for donor; do
		! lab_counter_above client "donors/$donor/slabs" 0 || return 0
	done
	return 1
}

# whole - all donors are back, and all pages have all copies. With a backup a page on the
# disk alone is not degraded, but were it written while the disk fails, that would fail:
# each slab in use has a donor as well
whole()
{
	wait_for 300 all_live "${donors[@]}"
	wait_for 300 lab_counter_is client degraded_pages 0
	[ "$mode" != backup ] || wait_for 300 slabs_have_donors
	load_runs
}

# slabs_have_donors - those in use
slabs_have_donors()
{
	lab_run client "! grep -e ' - - - - ' /sys/kernel/debug/infiniswap/infiniswap0/slabs"
}

# each KIND begin|end DONOR… - at the same time
each()
{
	local donor pid pids=()

	if [ $# = 2 ]; then
		"$1_$2"
		return
	fi
	for donor in "${@:3}"; do
		"$1_$2" "$donor" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
}

# fault KIND SECONDS DONOR… - it happens, is seen to, and is over
fault()
{
	local kind=$1 hold=$2 donor began
	local -A before=()

	shift 2
	# A donor that was away may hold nothing: a fault must strike something.
	[ $# = 0 ] || hold_pages "$@" || set -- "$(fullest)"
	wait_for 60 all_live "$@"
	[ "$kind" != disk_error ] || whole
	for donor; do
		before[$donor]=$(broken "$donor")
	done
	began=$SECONDS
	echo "$((SECONDS - start)) s: $kind $* for $hold s"
	each "$kind" begin "$@"
	sleep "$hold"		# this is what the fault is
	case $kind in
	disk_hold) disk_hold_felt ;;
	netem)
		for donor; do
			netem_felt "$donor"
		done
		;;
	drain | disk_error) ;;	# waited for
	*)
		for donor; do
			breaks_more_than "$donor" "${before[$donor]}" ||
				fail "$kind did nothing to $donor"
		done
		;;
	esac
	each "$kind" end "$@"
	if [ "$mode" = mirror ] || [[ $kind == disk_* ]]; then
		whole
	fi
	load_runs
	((SECONDS - began >= every)) || sleep $((every - SECONDS + began))
}

swap_on()
{
	local options=(--size 256M --slab-size 4M --redundancy "${mode%%+*}" "stall_ms=$stall_ms")

	if [[ $mode == *backup ]]; then
		lab_run client sh /tmp/backup-disk make
		options+=(backup=/dev/mapper/backup)
	fi
	# with a backup some faults are longer than that, some are not
	case $mode in
	mirror) options+=(donor_loss_timeout=10) ;;
	*) options+=(donor_loss_timeout=4) ;;
	esac
	lab swap on "${options[@]}"
}

swap_off()
{
	lab swap off
	[[ $mode != *backup ]] || lab_run client sh /tmp/backup-disk drop
	lab_run client rmmod infiniswap
}

counters()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run client 'cd /sys/block/infiniswap0/infiniswap && for file in *; do
		[ ! -f $file ] || echo $file $(cat $file); done; dmesg | grep infiniswap0 | tail -n 40'
}

# storm MODE
storm()
{
	local mode=$1 planned line start=$SECONDS

	echo "seed $seed"
	swap_on
	load_start "$seed"
	plan
	for line in "${planned[@]}"; do
		# shellcheck disable=SC2086 # words
		fault $line
	done
	whole
	counters
	load_end
	echo "$((SECONDS - start)) s"
	[ "$(lab_counter client crc_errors)" = 0 ]
	swap_off
}

modes=${ISW_STORM_MODE:-$(lab_debug && echo mirror+backup || echo backup mirror)}

# chosen MODE - fails if this run is of other ones
chosen()
{
	[[ " $modes " = *" $1 "* ]]
}

load_lab_up --donor-mem 1G --daemon-args="${donor_arguments[*]}"
lab put client "$here/guest/backup-disk" /tmp

if chosen backup; then
	test_with_a_backup_no_fault_costs_a_page()
	{
		storm backup
	}
fi

if chosen mirror; then
	test_with_a_mirror_no_fault_costs_a_page()
	{
		storm mirror
	}
fi

if chosen mirror+backup; then
	test_with_a_mirror_and_a_backup_no_fault_costs_a_page()
	{
		storm mirror+backup
	}
fi

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
