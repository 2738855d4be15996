#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# debug=no: KASAN and kmemleak need more memory than it gives
#
# A client with as little memory as it boots with, and the kernel's own reserve:
# Soft-RoCE may get stuck then, and with a backup the client must not. For a
# minute no page is wrong or lost, and the client answers all the time.
#
#	ISW_KERNEL=6.12		of the guests
#	ISW_RIVAL=nvme-rdma	the control: the same load swaps to a RAM disk at the
#				donor; right is that the client stops to answer

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/functions.sh
. "${ISW_TOP:-$here/../..}/tests/lib/functions.sh"

answers_within=20	# seconds: sessions may stall one after the other, 5 s each
result=$(mktemp)
cleanup_add rm -f "$result"

case $LAB_KERNEL in
6.1)	memory=128M ;;
*)	memory=144M ;;
esac

# heartbeat - run a program in the client till the load has ended; what the
# slowest took is in $longest, in ms. Fails if one had no answer.
heartbeat()
{
	local began took

	longest=0
	while kill -0 "$load" 2>/dev/null; do
		began=${EPOCHREALTIME/./}
		lab exec client --timeout "$answers_within" -- true || return
		took=$(((${EPOCHREALTIME/./} - began) / 1000))
		((took <= longest)) || longest=$took
		sleep 0.2
	done
}

# begin_load SEED - its process is in $load
begin_load()
{
	lab exec client --timeout 700 -- pageverify -p 1 -m 256 -R 1000000 -w 70 -t 60 \
		-s "$1" >"$result" 2>&1 &
	load=$!
}

# The lab's own settings would give it a larger reserve.
lab_up --donors 2 --client-mem "$memory" --sysctl vm.min_free_kbytes= \
	--disk 512M --donor-mem 768M --daemon-args=--slab_size=4M

# the control, and no test of the whole
nvme_rdma_gets_stuck()
{
	local longest seed=${ISW_SEED:-$RANDOM}

	echo "seed $seed"
	for node in donor1 client; do
		lab put "$node" "$here/../bench/guest/nvmet-up" "$here/../bench/guest/nvme-swap-on" /tmp
	done
	lab_run donor1 sh /tmp/nvmet-up 10.7.0.101 384
	lab_run client sh /tmp/nvme-swap-on 10.7.0.101
	begin_load "$seed"
	! heartbeat || fail "it answered all the time, after $longest ms at most: $(cat "$result")"
}

test_a_minute_of_swap_with_the_kernels_own_reserve()
{
	local longest seed=${ISW_SEED:-$RANDOM}

	echo "seed $seed"
	lab_run client 'cat /proc/sys/vm/min_free_kbytes; grep MemTotal /proc/meminfo'
	[ "$(lab_run client cat /proc/sys/vm/min_free_kbytes)" -lt 2048 ]
	lab swap on --size 384M --slab-size 4M --redundancy backup
	begin_load "$seed"
	heartbeat || fail "no answer in $answers_within s"
	wait "$load" || fail "pageverify: $(cat "$result")"
	cat "$result"
	figure "slowest_answer_ms=$longest" "sessions_broken=$(lab_counter client failovers)" \
		"page_ins=$(field pswpin)" "pages_out=$(field pswpout)" "slowest_fault_ms=$(field max_ms)"
	no_page_wrong
	[ "$(field pswpin)" -ge 5000 ] || fail "$(field pswpin) page-ins"
	none_counted read_errors lost_pages crc_errors
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

if [ "${ISW_RIVAL:-}" = nvme-rdma ]; then
	ktap_plan 1
	ktap_test nvme_rdma_gets_stuck nvme_rdma_gets_stuck
	ktap_finish
fi
ktap_main
