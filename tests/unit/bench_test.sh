#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What scripts/bench makes of samples and figures: which side a stack belongs to,
# and what the report calls reached.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "${ISW_TOP:-$here/../..}" && pwd)
# shellcheck source=tests/lib/ktap.sh
. "$top/tests/lib/ktap.sh"

# python CODE - with the bench's modules at hand
python()
{
	PYTHONPATH=$top/scripts/lib PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -S -c "$1"
}

# sides SAMPLE… - "client donor user" in instructions, of 100 an operation. Functions
# of the samples are at 16 requester, 32 completer, 48 responder, 64 rcv, 80 any.
sides()
{
	python "
from bench.split import Symbols, split
symbols = Symbols('''0000000000000010 t rxe_requester	[rdma_rxe]
0000000000000020 t rxe_completer	[rdma_rxe]
0000000000000030 t rxe_responder.isra.0	[rdma_rxe]
0000000000000040 T rxe_rcv	[rdma_rxe]
0000000000000050 T memcpy''')
told = split('''$(printf '%s\n' "$@")''', symbols, 100)['sides']
print(*(round(told[side]) for side in ('client kernel', 'donor kernel', 'donor user space')))"
}

is()
{
	[ "$1" = "$2" ] || fail "'$1', not '$2'"
}

test_innermost_side_of_a_stack_has_it()
{
	is "$(sides 'fio kernel 50 10 50')" "100 0 0"
	is "$(sides 'fio kernel 52 34 10 50')" "0 100 0"
	is "$(sides 'fio kernel 50 21 34 10')" "100 0 0"
}

test_receiving_is_the_other_side_of_sending()
{
	is "$(sides 'fio kernel 50 41 11')" "0 100 0"
	is "$(sides 'fio kernel 50 41 33 11')" "100 0 0"
}

test_kernel_without_soft_roce_is_whose_process_it_is()
{
	is "$(sides 'fio kernel 50' 'infiniswapd kernel 50' 'kworker/0:1 kernel 50' 'fio kernel')" "75 25 0"
}

test_donors_program_is_seen()
{
	is "$(sides 'fio kernel 50' 'infiniswapd user')" "50 0 50"
}

test_idle_time_and_the_measuring_program_do_not_count()
{
	is "$(sides 'fio kernel 50' 'idle kernel 50' 'pagecost user')" "100 0 0"
}

# targets PAGE_IN - what the report says of it beside nvme-rdma's 1000 instructions
targets()
{
	python "
from bench.report import render
def arm(cost):
    return {'page-in': {'instructions': cost, 'spread': 0, 'daemon': 0, 'pages_per_request': 1}}
print(render({('none', 4096): arm($1), ('nvme-rdma', 4096): arm(1000)}, ['page-in']))" |
		sed -n 's/^| none: page-in, MTU 4096 | //p'
}

test_report_says_what_is_reached_and_by_how_much_not()
{
	is "$(targets 450)" "0.45x | 0.45x | yes |"
	is "$(targets 540)" "0.45x | 0.54x | no, 20% above |"
}

test_report_tells_of_an_arm_that_failed()
{
	python "
from bench.report import render
print(render({('mirror', 1024): {'failed': 'it hung'}}, ['page-in']))" |
		grep -x -- '- mirror, MTU 1024: it hung'
}

ktap_main
