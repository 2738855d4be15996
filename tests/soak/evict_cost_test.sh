#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=1800
#
# What an eviction costs a client that swaps at full pressure, while other donors
# have room: stretches of time with and without evictions alternate, in drawn order.
# No page comes from the disk meanwhile, and none is wrong. Pages a second are drawn
# into build/evict-cost.svg.
#
#	ISW_PAIRS=1		pairs of stretches (6); from 5 on the loss is judged
#	ISW_STRETCH=12		seconds of each (60)
#	ISW_EVICTIONS=3		times in each that a donor wants a slab back (11)
#	ISW_SEED=N		repeats it
#	ISW_KERNEL=6.12		of the guests

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
# shellcheck source=tests/lib/load.sh
. "$ISW_TOP/tests/lib/load.sh"

pairs=${ISW_PAIRS:-6} stretch=${ISW_STRETCH:-60} evictions=${ISW_EVICTIONS:-11}
donors=(donor1 donor2 donor3)
conf=/run/infiniswapd.conf
log=/var/log/infiniswapd.log
seed=${ISW_SEED:-$RANDOM}
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"
result=$scratch/samples

# Each host has 22 MiB available, for ever, and a headroom of 18: room for a slab,
# and none to call an eviction off. With a headroom of 25.5 almost a slab of 4 MiB is
# missing; what the daemon itself uses goes up and down by less than the rest.
donor_up()
{
	lab_run "$1" "sed 's/^MemAvailable:.*/MemAvailable: $((22 * 1024)) kB/' /proc/meminfo >/run/meminfo
		printf '%s\n' 'memory = 300M' 'slab_size = 4M' 'prepare = 0' 'meminfo = /run/meminfo' \
			'headroom = 18M' >$conf
		exec daemon-up --config=$conf"
}

# evict DONOR - it wants memory back, until it has chosen what
evict()
{
	lab_run "$1" "chosen() { grep -c 'evicting [0-9]' $log; }
		headroom() { sed -i \"s/^headroom.*/headroom = \$1/\" $conf && kill -HUP \$(pidof infiniswapd); }
		before=\$(chosen)
		headroom 26112K
		until [ \$(chosen) -gt \$before ]; do sleep 0.1; done
		headroom 18M"
}

# stretch_of KIND - the one that is due, as evictions.py reads it
stretch_of()
{
	local begin=$EPOCHREALTIME before n

	before=$(lab_counter client evictions)
	for ((n = 0; n < evictions; n++)); do
		[ "$1" = without ] || evict "$(fullest)"
		until_time "$begin" $(((n + 1) * stretch * 1000 / evictions))
	done
	echo "$1 $begin $EPOCHREALTIME $(($(lab_counter client evictions) - before))" >>"$scratch/windows"
	samples_pass 30
}

plot()
{
	gnuplot <<-END
		set terminal svg size 1000,500 background "white"
		set output "$ISW_TOP/build/evict-cost.svg"
		set title "with evictions (grey) and without"
		set xlabel "seconds"
		set ylabel "pages a second"
		set yrange [0:*]
		$(awk '$1 == "with" { print "set object rectangle from", $2 ", graph 0 to", $3 \
			", graph 1 fillcolor rgb \"#dddddd\" behind" }' "$scratch/plot.windows")
		plot "$scratch/plot.data" using 1:2 with lines notitle
	END
}

test_evictions_cost_little_and_the_disk_nothing()
{
	local donor disk n order

	echo "seed $seed"
	RANDOM=$seed	# here: a subshell draws anew
	for donor in "${donors[@]}"; do
		donor_up "$donor"
	done
	lab swap on --size 256M --slab-size 4M --redundancy backup
	load_start
	samples_pass 30
	disk=$(lab_counter client pages_in_backup)
	for ((n = 0; n < pairs; n++)); do
		order=(with without)
		((RANDOM % 2)) || order=(without with)
		stretch_of "${order[0]}"
		stretch_of "${order[1]}"
	done
	disk=$(($(lab_counter client pages_in_backup) - disk))
	load_end
	echo "$(lab_counter client evictions) evictions, $(lab_counter client evictions_forced) forced," \
		"$disk pages from the disk, $(lab_counter client pages_copied) copied"
	figure "evicted=$(lab_counter client evictions)" "forced=$(lab_counter client evictions_forced)" \
		"disk_page_ins=$disk"
	/usr/bin/python3 -S "$ISW_TOP/tests/lib/evictions.py" "$scratch"/{samples,windows,plot}
	plot
	echo build/evict-cost.svg
	for donor in "${donors[@]}"; do
		lab_run "$donor" infiniswapctl donor evictions
	done
	[ "$(lab_counter client evictions)" -ge $((pairs * evictions)) ]
	[ "$(lab_counter client evictions_forced)" = 0 ]
	[ "$(lab_counter client failovers)" = 0 ]
	[ "$disk" = 0 ]
	lab swap off
	lab_run client rmmod infiniswap
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

load_lab_up --no-daemon

ktap_main
