#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# debug=no: the storm has packets late and lost on that kernel, too
#
# A bad network, made with netem in client and donors, under swap that is
# verified: slow, but no wrong page, no lost page, and never stuck.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

nodes="client donor1 donor2"
result=$(mktemp)
cleanup_add rm -f "$result"

# netem PARAMETER… - on what every node sends. The queue is long enough to drop
# nothing by itself.
netem()
{
	local node

	for node in $nodes; do
		lab_run "$node" tc qdisc replace dev eth0 root netem limit 100000 "$@"
	done
}

netem_off()
{
	local node

	for node in $nodes; do
		lab_run "$node" tc qdisc del dev eth0 root
	done
}

dropped()
{
	lab_run "$1" tc -s qdisc show dev eth0 | sed -n 's/.*dropped \([0-9]*\).*/\1/p'
}

pages_moved()
{
	# shellcheck disable=SC2046 # words
	set -- $(lab_run client 'cd /sys/block/infiniswap0/infiniswap &&
		cat pages_in_remote pages_out_remote')
	echo $(($1 + $2))
}

# load SECONDS - six processes with 36 MiB in 30, so that few pages go round
# quickly: each takes a round trip. While it runs, pages move in every SECONDS.
load()
{
	local limit pid last now since status=0

	limit=$(lab_time "$1")
	lab exec client --timeout 120 -- sh -c '
		mkdir -p /sys/fs/cgroup/load
		echo 30M >/sys/fs/cgroup/load/memory.max
		echo $$ >/sys/fs/cgroup/load/cgroup.procs
		exec pageverify -p 6 -m 6 -S 1 -R 1 -w 30 -t 10 -s "$0"' \
		"${ISW_SEED:-$RANDOM}" >"$result" 2>&1 &
	pid=$!
	last=$(pages_moved) since=$SECONDS
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.5
		now=$(pages_moved)
		if ((now > last)); then
			last=$now since=$SECONDS
		elif ((SECONDS - since > limit)) && kill -0 "$pid" 2>/dev/null; then
			kill "$pid"
			fail "no page in $limit s" "$(lab_run client cat /sys/kernel/debug/infiniswap/infiniswap0/sessions)"
		fi
	done
	wait "$pid" || status=$?
	cat "$result"
	echo "$(lab_counter client failovers) sessions broke so far, $(lab_counter client reconnects) resumed"
	[ "$status" = 0 ] || fail "pageverify: status $status"
	[ "$(field bad)" = 0 ]
	[ "$(field eio)" = 0 ]
	[ "$(field pswpin)" -ge 300 ] || fail "hardly anything was swapped"
	[ "$(lab_counter client read_errors)" = 0 ]
	[ "$(lab_counter client write_errors)" = 0 ]
}

lab_up --donors 2 --client-mem 256M --daemon-args=--slab_size=4M
lab swap on --size 128M --slab-size 4M slab_idle_timeout=3600

test_one_packet_in_a_hundred_is_lost()
{
	netem loss 1%
	load 10
	for node in $nodes; do
		echo "$node dropped $(dropped "$node") packets"
	done
	[ "$(dropped client)" -gt 0 ]
	[ "$(($(dropped donor1) + $(dropped donor2)))" -gt 0 ]
}

test_each_packet_takes_20_ms()
{
	local ms

	netem delay 20ms
	ms=$(lab_run client ping -q -c 3 donor1 | sed -n 's,.*= \([0-9]*\)\..*,\1,p')
	echo "round trip: $ms ms"
	[ "$ms" -ge 40 ]
	load 10
}

# Now and then a request fails for good, in the transport's eyes. To resume the
# session takes a dozen messages, and the connection manager repeats a lost one
# after 4.3 s, so 10 s are not enough.
test_both_at_once()
{
	netem delay 20ms loss 1%
	load 30
	[ "$(dropped client)" -gt 0 ]
}

test_all_is_well_when_the_network_is()
{
	netem_off
	wait_for 30 lab_counter_is client state up
	for node in donor1 donor2; do
		[ "$(lab_counter client "donors/$node/state")" = live ]
		[ "$(lab_counter client "donors/$node/slabs")" -gt 0 ] || fail "$node took no part"
	done
	load 10
	lab swap off
	lab_run client rmmod infiniswap
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
