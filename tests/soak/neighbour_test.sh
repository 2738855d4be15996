#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=2400
#
# A donor that lent all it had runs an application of its own, which grows by most
# of the host's memory: what it loses next to the same host with twice the memory,
# which has nothing to take back (Infiniswap, NSDI'17, figure 14).
#
# Both hosts are donor1, so that neither has the better place among the guests: the
# small one has half of its memory taken, by a process that keeps it. In drawn order
# each has its turn. Lent slabs are asked for by the client at the same rate in both:
# a few are read all the time, 200 pages a second. That is what little of Soft-RoCE's
# work a host's CPU can have without the comparison being one of how much of it is
# left when slabs have gone, which is nothing on hardware. Those few are the last to
# be evicted, so it goes on; how many pages came from the donor is told. For the same
# reason hot_slab is 20, as in the paper: the others are on the disk already and are
# not copied, which would take Soft-RoCE seconds of the donor's CPU, and an RDMA
# device none.
#
# The application is redis under load: values are set, then all read, twice. Requests
# a second over time are drawn into build/neighbour.svg.
#
# Seconds are donor1's, whose clock counts what it executes (lab up --counted): of this
# machine's the same run took up to a fifth more or less than the one before.
#
#	ISW_PAIRS=6	pairs of runs
#	ISW_VALUES=N	of 4080 bytes (66000)
#	ISW_SEED=N	repeats it

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

pairs=${ISW_PAIRS:-6} values=${ISW_VALUES:-66000}
small=512		# MiB of the small host; the other half of donor1's is its ballast
lent=272		# MiB, and headroom: all that a host of 512 MiB has, but for 16
read_mib=12
config=/sys/kernel/config/infiniswap/infiniswap0
seed=${ISW_SEED:-$RANDOM}
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"

lab_up --donors 2 --client-mem 256M --donor-mem 1G --disk 512M --counted donor1 \
	--daemon-args="--slab_size=4M --memory=512M --headroom=64M"

# available - MiB on donor1
available()
{
	lab_run donor1 "awk '/^MemAvailable/ { print int(\$2 / 1024) }' /proc/meminfo"
}

# stopped NAME - end donor1's process of that name, and wait till it is gone
stopped()
{
	lab_run donor1 "pid=\$(pidof $1) || exit 0
		kill \$pid; while kill -0 \$pid 2>/dev/null; do sleep 0.1; done"
}

host_is()
{
	stopped growth
	[ "$1" = big ] || lab_run donor1 "setsid growth $small 4000 </dev/null >/run/ballast 2>&1 &
		until grep -q grown /run/ballast; do kill -0 \$! || exit 1; sleep 0.1; done"
}

# Full of what the client wrote; then there is another donor as well.
lend()
{
	lab_run client infiniswapctl create infiniswap0 --size "${lent}M" --slab-size 4M \
		--redundancy backup --backup /dev/disk/by-id/virtio-lab-disk --donor donor1=10.7.0.101
	wait_for 10 lab_run client test -b /dev/infiniswap0
	wait_for 20 lab_counter_is client donors/donor1/state live
	pattern_write 0 "$lent" NEIGHBR
	wait_for 30 lab_counter_is client donors/donor1/slabs $((lent / 4))
	lab_run client "echo 20 >$config/hot_slab
		mkdir $config/donors/donor2 && echo 10.7.0.102 >$config/donors/donor2/address"
	wait_for 20 lab_counter_is client donors/donor2/state live
}

traffic_start()
{
	lab_run client "setsid fio --name=read --filename=/dev/infiniswap0 --direct=1 --rw=randread --bs=4k \
		--size=${read_mib}M --rate_iops=200 --time_based --runtime=3600 \
		</dev/null >/run/fio 2>&1 & echo \$! >/run/fio.pid"
}

traffic_end()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run client 'kill -INT $(cat /run/fio.pid); while kill -0 $(cat /run/fio.pid) 2>/dev/null; do sleep 0.1; done
		! grep -i "error=\|verify:" /run/fio'
}

# application FILE - its lines; what memory it had at most, in MiB, goes to FILE.grown
application()
{
	lab_run donor1 sh /run/redis-up
	lab exec donor1 --timeout 400 -- sh -c "redisload -u /run/redis.socket -n $values -s $seed load &&
		redisload -u /run/redis.socket -n $values -s $seed verify &&
		redisload -u /run/redis.socket -n $values -s $seed verify" >"$1" 2>&1
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run donor1 'awk "/^VmHWM/ { print int(\$2 / 1024) }" /proc/$(pidof redis-server)/status' >"$1.grown"
	stopped redis-server
}

# per_second FILE [load] - requests of all, or of one verb, in all of their time
per_second()
{
	sed -n 's/.*"verb": "\([a-z]*\)".*"done": \([0-9]*\).*"bad": 0, "missing": 0, "seconds": \([0-9.]*\).*/\1 \2 \3/p' "$1" |
		awk -v verb="${2:-}" '!verb || verb == $1 { n++; done += $2; seconds += $3 }
			END { if (n != (verb ? 1 : 3)) exit 1; printf "%.1f\n", done / seconds }'
}

nothing_was_killed()
{
	local node

	for node in donor1 donor2; do
		! lab_run "$node" dmesg | grep -i 'out of memory\|oom-kill' || fail "killed on $node"
		lab_run "$node" pidof infiniswapd >/dev/null || fail "$node: no daemon"
	done
}

# What was lent does not fit into the client: it is compared as it comes.
all_is_right()
{
	lab exec client --timeout 400 -- sh -c "rm -f /run/wanted; mkfifo /run/wanted
		yes NEIGHBR | head -c ${lent}M >/run/wanted &
		dd if=/dev/infiniswap0 bs=1M iflag=direct status=none | cmp - /run/wanted"
}

nothing_is_lent()
{
	lab_run donor1 "infiniswapctl donor status --json | grep -q '\"granted\": *0\b'"
}

# turn HOST N - one run
turn()
{
	local host=$1 file=$scratch/$1.$2 evicted grown pages began left

	host_is "$host"
	lend
	left=$(available)
	traffic_start
	began=$SECONDS
	pages=$(lab_counter client donors/donor1/pages_in)
	application "$file"
	pages=$((($(lab_counter client donors/donor1/pages_in) - pages) / (SECONDS - began)))
	evicted=$(lab_counter client evictions)
	grown=$(cat "$file.grown")
	echo "$host: $left MiB available with all lent, $grown taken; $(per_second "$file") requests a second," \
		"$(per_second "$file" load) while it grew; $evicted slabs evicted," \
		"$(lab_counter client evictions_forced) of them taken, $(lab_counter client donors/donor1/slabs) left;" \
		"$pages pages a second from here, $(lab_counter client pages_in_backup) in all from the disk"
	traffic_end
	case $host in
	small)
		figure "evicted=$evicted" "grown_mib=$grown"
		[ "$grown" -gt $((small / 2)) ] || fail "it grew by $grown of the small host's $small MiB alone"
		[ "$evicted" -gt 0 ] || fail "the small host took nothing back"
		;;
	big)	[ "$evicted" = 0 ] || fail "the big host took $evicted slabs back" ;;
	esac
	all_is_right || fail "pages wrong, or not read: status $?"
	[ "$(lab_counter client crc_errors)" = 0 ]
	[ "$(lab_counter client read_errors)" = 0 ]
	nothing_was_killed
	lab_run client infiniswapctl remove infiniswap0
	wait_for 20 nothing_is_lent
}

# curve HOST - seconds since it started, requests in each; a run after the other
curve()
{
	local n

	for ((n = 1; n <= pairs; n++)); do
		# a line each second, "load 2500/66000"
		awk '$1 ~ /^(load|verify)$/ {
			split($2, part, "/")
			if (done && part[1] > done)
				print ++seconds, part[1] - done
			done = part[1]
		} END { print "" }' "$scratch/$1.$n"
	done >"$scratch/curve.$1"
}

plot()
{
	curve small
	curve big
	gnuplot <<-END
		set terminal svg size 1000,500 background "white"
		set output "$ISW_TOP/build/neighbour.svg"
		set title "redis on a donor: $pairs runs each, values set, then read twice"
		set xlabel "seconds"
		set ylabel "requests a second"
		set yrange [0:*]
		plot "$scratch/curve.big" with lines linecolor rgb "#888888" title "twice the memory", \
			"$scratch/curve.small" with lines linecolor rgb "#cc0000" title "slabs go back"
	END
}

test_application_on_a_full_donor_is_as_fast_as_with_twice_the_memory()
{
	local n order host

	echo "seed $seed"
	RANDOM=$seed	# here: a subshell draws anew
	lab put donor1 "$ISW_TOP/tests/bench/guest/redis-up" /run
	# redis-up does so: then it holds from the first run on
	lab_run donor1 "echo never >/sys/kernel/mm/transparent_hugepage/enabled"
	lab_run client modprobe infiniswap
	for ((n = 1; n <= pairs; n++)); do
		order=(small big)
		((RANDOM % 2)) || order=(big small)
		for host in "${order[@]}"; do
			turn "$host" "$n"
		done
		echo "$(per_second "$scratch/small.$n") $(per_second "$scratch/big.$n")" >>"$scratch/all"
		echo "$(per_second "$scratch/small.$n" load) $(per_second "$scratch/big.$n" load)" >>"$scratch/growth"
	done
	plot
	echo build/neighbour.svg
	/usr/bin/python3 -S "$ISW_TOP/tests/lib/pairs.py" "$scratch/growth" "while it grows" 100
	/usr/bin/python3 -S "$ISW_TOP/tests/lib/pairs.py" "$scratch/all" "in all" 5
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
