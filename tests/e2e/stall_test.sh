#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=1500
# debug=no: it measures time, and a kernel that is several times slower has none to measure
#
# Donors lose power under swap at full pressure. When the client has noticed, what
# waited goes on from the other copy: half of the kills cost at most 250 ms more,
# and none more than that and the longest wait before it. The throughput over time
# is drawn into build/stall-MODE.svg.
#
#	ISW_KILLS=10		so many kills are judged together. Else one is, alone, and again
#				up to twice: a host that stalls makes it late, nothing makes it early
#	ISW_STALL_MODE=MODE	backup (which make check has) or mirror
#	ISW_KERNEL=6.12		of the guests

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
# shellcheck source=tests/lib/faults.sh
. "$ISW_TOP/tests/lib/faults.sh"
# shellcheck source=tests/lib/load.sh
. "$ISW_TOP/tests/lib/load.sh"

kills=${ISW_KILLS:-1}
tries=${ISW_KILLS:+1}
tries=${tries:-3}
donors=(donor1 donor2 donor3)
donor_arguments=(--slab_size=4M)
tracing=/sys/kernel/tracing
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"
result=$scratch/samples

# well - every donor can be used, and no page waits to be copied
well()
{
	local donor

	for donor in "${donors[@]}"; do
		lab_counter_is client "donors/$donor/state" live || return
	done
	[ "$mode" = backup ] || lab_counter_is client degraded_pages 0
}

kill_one()
{
	local donor calm

	wait_for 180 well
	donor=$(fullest)
	calm=$EPOCHREALTIME
	samples_pass 60
	lab kill "$donor"
	echo "$EPOCHREALTIME $donor $calm" >>"$scratch/kills"
	samples_pass 60
	lab start "$donor"
}

plot()
{
	gnuplot <<-END
		set terminal svg size 1000,500 background "white"
		set output "$ISW_TOP/build/stall-$mode.svg"
		set title "redundancy $mode: a donor loses power (dashed)"
		set xlabel "seconds"
		set ylabel "pages a second"
		set y2label "longest wait of a page, ms"
		set y2tics
		set ytics nomirror
		set yrange [0:*]
		set y2range [0:*]
		set for [line in "$(cut -d ' ' -f 1 "$scratch/plot.kills" | paste -sd ' ')"] arrow \
			from first real(line), graph 0 to first real(line), graph 1 nohead dashtype 2
		plot "$scratch/plot.data" using 1:2 with lines title "pages a second", \
			"" using 1:3 axes x1y2 with impulses title "longest wait"
	END
}

# stalls MODE
stalls()
{
	local mode=$1 n try status=1

	lab swap on --size 256M --slab-size 4M --redundancy "$mode" stall_ms=2000 donor_loss_timeout=2
	lab_run client "echo mono >$tracing/trace_clock &&
		echo 1 >$tracing/events/infiniswap/isw_session_broken/enable"
	load_start
	for ((try = 0; try < tries && status; try++)); do
		rm -f "$scratch/kills"
		for ((n = 0; n < kills; n++)); do
			kill_one
		done
		wait_for 180 well
		lab exec client -- cat "$tracing/trace" >"$scratch/trace"
		status=0
		/usr/bin/python3 -S "$ISW_TOP/tests/lib/stalls.py" "$scratch"/{samples,kills,trace,plot} || status=$?
	done
	load_end
	plot
	echo "build/stall-$mode.svg"
	[ "$status" = 0 ]
	lab_run client "echo 0 >$tracing/events/infiniswap/enable"
	lab swap off
	lab_run client rmmod infiniswap
}

chosen()
{
	[ "${ISW_STALL_MODE:-backup}" = "$1" ]
}

load_lab_up --donor-mem 1G --daemon-args="${donor_arguments[*]}"

if chosen backup; then
	test_with_a_backup_a_dead_donor_costs_little_more_than_noticing_it()
	{
		stalls backup
	}
fi

if chosen mirror; then
	test_with_a_mirror_a_dead_donor_costs_little_more_than_noticing_it()
	{
		stalls mirror
	}
fi

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
