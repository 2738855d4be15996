#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=600
# debug=no: it is about the lab's verbs; what little it does with the module others do, too
#
# What tests rely on when they break things: that the lab's verbs do what they
# say, and nothing else.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

pings=3

# echoes NODE - echo requests that have reached it
echoes()
{
	lab_run "$1" "nstat -asz IcmpInEchos | awk 'END { print \$2 }'"
}

# pinged FROM TO - send requests, and tell how many arrived; fails without answers
pinged()
{
	local before status=0

	before=$(echoes "$2")
	lab_run "$1" ping -q -c "$pings" -i 0.2 -W 1 "$2" >/dev/null || status=$?
	echo $(($(echoes "$2") - before))
	return "$status"
}

# What is asked of the network shall be one question, not ARP's too.
know_each_other()
{
	lab_run client ip neigh replace 10.7.0.101 dev eth0 lladdr 52:54:00:07:00:65 nud permanent
	lab_run donor1 ip neigh replace 10.7.0.1 dev eth0 lladdr 52:54:00:07:00:01 nud permanent
}

# round_trip NODE OTHER - the shortest of some, in ms
round_trip()
{
	lab_run "$1" ping -q -c "$pings" -i 0.2 "$2" | sed -n 's/^rtt .* = \([0-9]*\).*/\1/p'
}

# reads NODE N - how long N reads of its extra disk take, in ms
reads()
{
	lab_run "$1" "begin=\$(cut -d ' ' -f 1 /proc/uptime)
		dd if=/dev/disk/by-id/virtio-lab-disk of=/dev/null bs=4k count=$2 iflag=direct 2>/dev/null
		echo \$begin \$(cut -d ' ' -f 1 /proc/uptime) | awk '{ print int((\$2 - \$1) * 1000) }'"
}

# clocks NODE - its uptime, and the host's before and after that was read, in ms
clocks()
{
	local guest before after

	read -r before _ </proc/uptime
	guest=$(lab_run "$1" cat /proc/uptime)
	read -r after _ </proc/uptime
	awk -v g="${guest%% *}" -v b="$before" -v a="$after" \
		'BEGIN { print int(g * 1000), int(b * 1000), int(a * 1000) }'
}

lab_up --clients 2 --donors 1 --donor-mem 768M --daemon-args="--slab_size=16M"
know_each_other

test_cut_in_loses_what_goes_to_a_node_and_nothing_else()
{
	local arrived

	lab cut client in
	! arrived=$(pinged client donor1) || fail "answers came in"
	[ "$arrived" = "$pings" ] || fail "$arrived of $pings requests got out"
	! arrived=$(pinged donor1 client) || fail "answers came out of nothing"
	[ "$arrived" = 0 ] || fail "$arrived requests came in"
	lab heal client
	[ "$(pinged client donor1)" = "$pings" ]
}

test_cut_out_loses_what_comes_from_a_node_and_nothing_else()
{
	local arrived

	lab cut client out
	! arrived=$(pinged client donor1) || fail "answers came to nothing"
	[ "$arrived" = 0 ] || fail "$arrived requests got out"
	! arrived=$(pinged donor1 client) || fail "answers got out"
	[ "$arrived" = "$pings" ] || fail "$arrived of $pings requests came in"
	lab heal client
	[ "$(pinged client donor1)" = "$pings" ]
}

test_cut_loses_both_ways_and_spares_other_nodes()
{
	local arrived

	lab cut client
	! arrived=$(pinged client donor1) || fail "answers"
	[ "$arrived" = 0 ] || fail "$arrived requests got out"
	! arrived=$(pinged donor1 client) || fail "answers"
	[ "$arrived" = 0 ] || fail "$arrived requests came in"
	[ "$(pinged client2 donor1)" = "$pings" ]
	lab heal client
	[ "$(pinged client donor1)" = "$pings" ]
}

test_paused_node_is_silent_and_sees_none_of_it()
{
	local guest0 host0 guest host begin end

	read -r guest0 host0 _ < <(clocks donor1)
	lab pause donor1
	read -r begin _ < <(tr -d . </proc/uptime)
	! lab_run client ping -q -c 3 -W 1 donor1 >/dev/null || fail "it answers"
	! lab_run donor1 true 2>"$result" || fail "it runs commands"
	grep -q 'donor1 is paused' "$result"
	read -r end _ < <(tr -d . </proc/uptime)
	lab resume donor1
	read -r guest _ host < <(clocks donor1)
	echo "guest $((guest - guest0)) ms, host $((host - host0)) ms, paused $(((end - begin) * 10)) ms"
	[ $(((end - begin) * 10)) -ge 2000 ]
	# 100 ms for clocks that are read in steps of 10 ms and more.
	[ $((guest - guest0)) -le $((host - host0 - (end - begin) * 10 + 100)) ] ||
		fail "its clock went on"
	[ "$(pinged client donor1)" = "$pings" ]
}

test_netem_delays_roce_frames()
{
	local late

	lab netem client delay 200ms
	late=$(round_trip client donor1)
	[ "$late" -ge 200 ] || fail "round trip $late ms"
	lab_run donor1 'rping -s -P -a 10.7.0.101 -p 7174 >/dev/null 2>&1 & echo $! >/run/rping'
	wait_for 10 lab_run donor1 'rdma resource show cm_id | grep -q "LISTEN.*:7174"'
	# Of each turn the client sends four messages that wait for one another.
	late=$(lab_run client "begin=\$(cut -d ' ' -f 1 /proc/uptime)
		rping -c -a 10.7.0.101 -p 7174 -C 2 >/dev/null
		echo \$begin \$(cut -d ' ' -f 1 /proc/uptime) | awk '{ print int((\$2 - \$1) * 1000) }'")
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run donor1 'kill $(cat /run/rping)'
	echo "two turns of rping: $late ms"
	[ "$late" -ge 1200 ] || fail "RoCE frames were not late"
	lab netem client none
	lab netem client none	# again is no error
	late=$(round_trip client donor1)
	[ "$late" -lt 200 ] || fail "round trip $late ms without netem"
}

test_netem_loses_what_a_node_sends()
{
	local arrived

	lab netem client loss 100%
	! arrived=$(pinged client donor1) || fail "answers"
	[ "$arrived" = 0 ] || fail "$arrived requests got out"
	! arrived=$(pinged donor1 client) || fail "answers got out"
	[ "$arrived" = "$pings" ] || fail "$arrived of $pings requests came in"
	lab netem client none
	[ "$(pinged client donor1)" = "$pings" ]
}

test_netem_refuses_what_it_does_not_know()
{
	! lab netem client wobble 3 2>"$result" || fail "accepted"
	grep -q wobble "$result"
}

# Thirteen requests: the first is free, the others take their turn.
test_disk_limit_holds_from_the_first_requests_on()
{
	local took

	lab disk client iops 4
	took=$(reads client 13)
	echo "13 reads at 4 a second: $took ms"
	[ "$took" -ge 2700 ] || fail "a burst went through"
	[ "$took" -le 6000 ] || fail "slower than asked for"
	lab disk client none
	took=$(reads client 13)
	echo "13 reads without a limit: $took ms"
	[ "$took" -lt 2000 ]
}

test_disk_limit_and_cut_outlive_a_power_cycle()
{
	local took

	lab disk client2 iops 4
	lab cut client2
	lab kill client2
	lab start client2
	took=$(reads client2 9)
	[ "$took" -ge 1700 ] || fail "9 reads took $took ms"
	! lab_run client2 ping -q -c 1 -W 1 donor1 >/dev/null || fail "the cut is healed"
	lab heal client2
	lab disk client2 none
	lab_run client2 ping -q -c 1 donor1 >/dev/null
}

test_disk_limit_that_cannot_be_is_refused()
{
	! lab disk client iops 0.5 2>/dev/null || fail "half a request"
	! lab disk donor1 iops 4 2>"$result" || fail "a disk that is not there"
	grep -q 'no extra disk' "$result"
}

test_two_clients_swap_to_one_donor()
{
	local node

	for node in client client2; do
		lab swap on --client "$node" --size 128M --slab-size 16M
	done
	for node in client client2; do
		lab exec "$node" --timeout 240 -- pageverify -p 1 -m 200 -S 0 -R 1 -w 30 -i 500 \
			>"$result.$node" &
	done
	wait
	for node in client client2; do
		cat "$result.$node"
		grep -q '"bad": 0, "sigbus": 0' "$result.$node"
		[ "$(lab_counter "$node" pages_in_remote)" -gt 0 ]
		lab swap off --client "$node"
		lab_run "$node" rmmod infiniswap
	done
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

# Else the next `lab up` of the same name may be told that one is up.
test_lock_of_a_lab_is_free_when_down_returns()
{
	local scratch

	scratch=$(lab status --json | sed -n 's/.*"scratch": "\(.*\)".*/\1/p')
	! flock -n "$scratch.lock" true || fail "$scratch.lock is not held by a lab that is up"
	lab down
	flock -n "$scratch.lock" true || fail "$scratch.lock is still held"
	[ ! -e "$scratch" ]
}

result=$(mktemp)
cleanup_add rm -f "$result" "$result".*
ktap_main
