#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout=800
# debug=no: KASAN and kmemleak need the memory that it has one guest short of
#
# One machine that is client and donor at once: its swap is memory that its own daemon
# lends. First only a cgroup is short, and pages go into that memory. Then the whole
# machine is, with the daemon: each page that it sends out takes as much as it frees,
# so the daemon takes its slabs back, and the pages are on the disk. Nobody waits for
# ever, for what the daemon needs to do so is locked in memory.
#
#	ISW_KERNEL=6.12		of the guests

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"
# shellcheck source=tests/lib/faults.sh
. "$ISW_TOP/tests/lib/faults.sh"

answers_within=$(lab_time 20)	# seconds
log=/var/log/infiniswapd.log
seed=${ISW_SEED:-$RANDOM}
scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"
result=$scratch/result

lab_up --donors 0 --client-mem 384M --disk 512M

# daemon_is_locked - it answers, and nothing of it is on the device that it serves
daemon_is_locked()
{
	local locked swapped

	# shellcheck disable=SC2016 # for the guest's shell
	read -r locked swapped < <(lab exec client --timeout "$answers_within" -- \
		awk '/^Vm(Lck|Swap):/ { printf "%s ", $2 } END { print "" }' "/proc/$daemon/status") ||
		fail "no answer in $answers_within s"
	[ "$locked" -gt 0 ] || fail "the daemon has nothing locked"
	[ "$swapped" = 0 ] || fail "$swapped KiB of the daemon are paged out"
	seen=$((seen + 1))
}

# press NAME COMMAND… - pageverify in the background, what it said in $scratch/NAME
press()
{
	lab exec client --timeout 400 -- "${@:2}" -p 1 -R 1000000 -w 50 -s "$seed" >"$scratch/$1" 2>&1 &
}

# pressed NAME PID - it is through, and no page was wrong
pressed()
{
	result=$scratch/$1
	wait "$2" || fail "$1: $(<"$result")"
	echo "$1: $(tail -n 1 "$result")"
	no_page_wrong
	[ "$(field failed)" = 0 ] || fail "$(field failed) processes died"
}

# With no right to, and no more than 64 KiB, it says so, and runs.
test_daemon_that_cannot_be_locked_says_so()
{
	# shellcheck disable=SC2016 # for the guest's shell
	lab_run client 'printf "%s\n" "#!/bin/sh" "ulimit -l 64" "exec setpriv --bounding-set=-ipc_lock,-sys_resource \
		$(which infiniswapd) \"\$@\"" >/run/infiniswapd && chmod +x /run/infiniswapd
		PATH=/run:$PATH daemon-up --memory=64M --prepare=0'
	lab_run client "cat $log"
	lab_run client "grep -q 'warning: the daemon is not locked in memory: Cannot allocate memory' $log && rm $log"
	daemon_kill client
}

test_its_pages_go_out_and_come_back_and_its_daemon_stays_in_memory()
{
	local daemon cgroup whole room before seen=0

	echo "seed $seed"
	lab_run client daemon-up --slab_size=1M --memory=120M --headroom=32M
	! lab_run client "grep 'not locked in memory' $log" || fail "it is not"
	daemon=$(lab_run client pidof infiniswapd)
	lab_run client swap-on infiniswap0 size=384M slab_size=1M redundancy=backup \
		backup=/dev/disk/by-id/virtio-lab-disk -- self=10.7.0.1
	press cgroup held-to 24M pageverify -m 80 -t 30 -n
	cgroup=$!
	wait_for 180 lab_counter_above client donors/self/slabs 50
	pages_come_in 1000
	daemon_is_locked
	before=$(lab_counter client evictions)
	echo "$(lab_counter client donors/self/slabs) slabs, $before evicted"
	# 64 MiB more than is there, and all that is lent is lent to itself
	room=$(lab_run client "awk '/^MemAvailable/ { print int(\$2 / 1024) }' /proc/meminfo")
	press whole pageverify -m $((room + 64)) -t 10
	whole=$!
	while kill -0 "$whole" 2>/dev/null || kill -0 "$cgroup" 2>/dev/null; do
		daemon_is_locked
	done
	pressed cgroup "$cgroup"
	pressed whole "$whole"
	echo "$(lab_counter client evictions) slabs evicted, $(lab_counter client evictions_forced) taken;" \
		"$(lab_counter client pages_in_remote) pages from itself, $(lab_counter client pages_in_backup)" \
		"from the disk; $(lab_counter client failovers) sessions broke; the daemon was seen $seen times"
	lab_run client infiniswapctl donor evictions
	[ "$(lab_counter client evictions)" -gt "$before" ] || fail "nothing was evicted"
	none_counted lost_pages read_errors crc_errors
	# killed by nobody, and the same one
	[ "$(lab_run client pidof infiniswapd)" = "$daemon" ]
	! lab_run client dmesg | grep -i 'out of memory\|oom-kill' || fail "killed"
}

test_swapoff_and_rmmod_succeed()
{
	lab swap off
	lab_run client rmmod infiniswap
}

test_kernel_logs_are_clean()
{
	lab_logs_clean
}

ktap_main
