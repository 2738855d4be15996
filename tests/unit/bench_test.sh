#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What scripts/bench makes of samples and figures: which side a stack belongs to, what
# the reports call reached, who is next, and what is not done again.

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
from bench.instructions_report import render
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
from bench.instructions_report import render
print(render({('mirror', 1024): {'failed': 'it hung'}}, ['page-in']))" |
		grep -x -- '- mirror, MTU 1024: it hung'
}

# told ENTRY… CODE - run it; `entries` are the given ones: "ROUND ARM LOAD FIGURE=VALUE…"
# or "ROUND ARM LOAD failed REASON"
told()
{
	local code=${*: -1}

	python "
import ledger
from bench import plot, schedule, times_report
from bench.loads import fault_figures, fio_figures, redis_figures, work_figures
from common import Failed

def entry(text):
    number, arm, load, *rest = text.split()
    told = {'failed': ' '.join(rest[1:])} if rest[:1] == ['failed'] else {
        'figures': {key: float(value) for key, value in (word.split('=') for word in rest)}}
    return {'source': 'x', 'kernel': '6.1', 'cpus': 1, 'seconds': 8, 'round': int(number),
            'arm': arm, 'load': load, **told}

entries = [entry(text) for text in '''$(printf '%s\n' "${@:1:$#-1}")'''.splitlines() if text]
$code"
}

test_arms_take_turns()
{
	is "$(told "print(*(arm + str(number) for number, arm, _ in
    schedule.steps(['a', 'b', 'c'], ['load'], 2)))")" "a1 b1 c1 a2 b2 c2"
}

test_all_loads_of_an_arm_follow_each_other()
{
	is "$(told "print(*(arm + load for _, arm, load in schedule.steps('ab', 'xy', 1)))")" "ax ay bx by"
}

test_what_the_ledger_has_is_not_done_again()
{
	is "$(told "1 none fio" "1 none swap failed it hung" "2 none fio" "
planned = [{**step, 'round': number} for number in (1, 2, 3) for step in entries[:2]]
print(*(str(step['round']) + step['load'] for step in schedule.left(planned, entries)))")" \
		"2swap 3fio 3swap"
}

test_other_sources_and_seconds_are_other_results()
{
	is "$(told "1 none fio" "
print(*(len(schedule.left([{**entries[0], **change}], entries)) for change in
        ({}, {'source': 'y'}, {'seconds': 9}, {'kernel': '6.12'}, {'cpus': 2})))")" "0 1 1 1 1"
}

test_ledger_gives_back_what_was_written()
{
	local file

	file=$(mktemp)
	is "$(python "
import ledger
given = [{'round': 1, 'figures': {'p50_us': 1.5}}, {'round': 2, 'failed': 'hung: \"no\"'}]
for entry in given:
    ledger.write('$file', entry)
print(ledger.read('$file') == given)")" True
	rm "$file"
}

# three rounds of which one is disturbed, for both arms alike
disturbed=("1 none page-in p50_us=500" "2 none page-in p50_us=5000" "3 none page-in p50_us=600"
	"1 nvme-rdma page-in p50_us=1000" "2 nvme-rdma page-in p50_us=10000"
	"3 nvme-rdma page-in p50_us=1000")

# cell ARM LOAD FIGURE ENTRY… - as the report has it
cell()
{
	told "${@:4}" "print(times_report.cell(entries, '$1', '$2', '$3'))"
}

test_cell_has_median_extremes_and_the_median_of_the_rounds_ratios()
{
	is "$(cell none page-in p50_us "${disturbed[@]}")" "600 (500 to 5,000) 0.50x"
	is "$(cell nvme-rdma page-in p50_us "${disturbed[@]}")" "1,000 (1,000 to 10,000)"
}

test_rounds_that_the_baseline_lacks_have_no_ratio()
{
	is "$(told "1 none swap pages_s=100" "2 none swap pages_s=300" "2 nvme-rdma swap pages_s=100" \
		"print(*times_report.ratios(entries, 'none', 'swap', 'pages_s'))")" "3.0"
}

test_cell_of_an_arm_that_failed_says_how()
{
	is "$(cell zram swap pages_s "1 zram swap failed hung: no answer")" hung
	is "$(cell zram swap pages_s "1 zram swap failed hung: no answer" "2 zram swap pages_s=7")" \
		"7.0, 1 of 2 failed"
	is "$(cell zram swap pages_s "1 zram fio x=1")" -
}

test_failures_are_printed_with_their_reason()
{
	told "1 zram swap failed hung: no answer" "1 none swap pages_s=7" \
		"print(times_report.render(entries, ['none', 'zram'], ['swap'], []))" |
		grep -x -- '- zram, swap, round 1: hung: no answer'
}

test_targets_are_reached_from_the_right_side()
{
	is "$(told "1 none page-in p50_us=60" "1 nvme-rdma page-in p50_us=100" \
		"1 none swap pages_s=179" "1 nvme-rdma swap pages_s=100" \
		"print(*(row[-1] for row in times_report.targets(entries)))")" "yes no, by 1%"
}

test_fio_is_read_the_way_that_the_job_went()
{
	is "$(told "
def way(count, ns):
    return {'total_ios': count, 'iops': count / 2, 'bw_bytes': 1 << 21, 'clat_ns':
            {'percentile': {'50.000000': ns, '99.000000': 2 * ns, '99.900000': 3 * ns}}}
figures = fio_figures({'jobs': [{'jobname': 'write-4k-1', 'error': 0, 'read': way(0, 0),
                                 'write': way(10, 3000)}]})
print(*(figures['write-4k-1.' + name] for name in ('iops', 'p50_us', 'p99_us', 'p999_us', 'mib_s')))")" \
		"5.0 3.0 6.0 9.0 2.0"
}

# reason CODE - why it raised Failed
reason()
{
	told "
try:
    $1
except Failed as reason:
    print(reason)"
}

test_a_load_that_did_nothing_is_no_figure()
{
	is "$(reason "fault_figures({'faults': 0})")" "pageverify: no page came in"
	is "$(reason "fio_figures({'jobs': [{'jobname': 'read-4k-1', 'error': 5}]})")" \
		"fio read-4k-1: error 5"
}

test_redis_time_beyond_memory_is_the_difference_of_a_read()
{
	is "$(told "
def reads(done, seconds):
    return {'done': done, 'bad': 0, 'missing': 0, 'seconds': seconds, 'per_s': done / seconds,
            'p50_us': 1, 'p99_us': 2}
print(round(redis_figures(reads(1000, 1), reads(1000, 4))['beyond_us']))")" 3000
}

test_wrong_values_of_redis_are_a_failure()
{
	is "$(reason "redis_figures(*2 * [{'done': 9, 'bad': 1, 'missing': 0}])")" \
		"redis: 1 values wrong, 0 missing, 9 read"
}

# work SECONDS PAGES_IN RESULT - what a sort in half of its memory comes to, whose
# result should be 5
work()
{
	told "
def sort(seconds, pages_in, result):
    return {'seconds': seconds, 'pswpin': pages_in, 'result': result, 'peak': 3 << 19}
try:
    print(work_figures('sort', sort(0.5, 0, 5), sort($1, $2, $3), 5))
except Failed as reason:
    print(reason)"
}

test_time_of_work_beyond_memory_is_the_difference()
{
	is "$(work 8.0 9000 5)" \
		"{'ram_ms': 500.0, 'beyond_s': 7.5, 'pages_in': 9000, 'ram_mib': 1.5}"
}

test_work_with_another_result_is_a_failure()
{
	is "$(work 8.0 9000 4)" "sort: 4 instead of 5"
}

test_work_that_needed_no_swap_is_no_figure()
{
	is "$(work 8.0 0 5)" "sort: no page came in"
}

test_report_has_the_time_beyond_memory_of_a_sort_and_a_graph_walk()
{
	told "1 none graph-50 ram_ms=50 beyond_s=4 pages_in=9000" \
		"1 nvme-rdma graph-50 ram_ms=50 beyond_s=8 pages_in=9000" \
		"1 none sort-50 ram_ms=200 beyond_s=3 pages_in=7000" \
		"print(times_report.render(entries, ['none', 'nvme-rdma'], ['graph-50', 'sort-50'], []))" |
		grep '^| \(none\|graph-50\) ' | {
		read -r line
		is "$line" "| graph-50 | all in memory, ms | beyond that, s | pages in |"
		read -r line
		is "$line" "| none | 50.0 1.00x | 4.0 0.50x | 9,000 1.00x |"
		read -r line
		is "$line" "| none | 200 | 3.0 | 7,000 |"
	}
}

# lines VERB… - the guests' program of that name
lines()
{
	"$top/tests/bench/guest/lines" "$@"
}

test_sum_of_lines_is_of_the_lines_and_not_of_their_order()
{
	local scratch made

	scratch=$(mktemp -d)
	made=$(lines make "$scratch/text" 100 64 70 1)
	sort "$scratch/text" >"$scratch/sorted"
	is "$(lines sum "$scratch/sorted")" "$made"
	sed -i '50s/./+/' "$scratch/sorted"
	[ "$(lines sum "$scratch/sorted")" != "$made" ] || fail "a changed line is not seen"
	rm -r "$scratch"
}

test_lines_are_as_long_and_as_compressible_as_asked_for()
{
	local text

	text=$(mktemp)
	lines make "$text" 100 1001 70 1 >/dev/null
	is "$(grep -cE '^[A-Za-z0-9+/]{300}0{700}$' "$text")" 100
	rm "$text"
}

test_pictures_have_the_arms_that_have_figures()
{
	is "$(told "1 none swap pages_s=60" "1 zram swap failed hung: x" "
picture, = (picture for picture in plot.PICTURES if picture[1] == 'swap')
print(plot.script(entries, ['none', 'zram'], picture, 'x.svg'))" |
		sed -n '/<< END/,/^END/p' | sed '1d;$d')" '"none" 60.0'
}

# run ROUNDS - with guests that are none, an arm that cannot be made and a load that
# hangs: what was done, and the ledger as "ROUND ARM LOAD: RESULT" lines
run()
{
	told "
import os, types
from bench import times
from common import Hung

class Cluster:
    troubles = []
    def __init__(self, *_): print('booted')
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def use(self, arm):
        if arm.broken:
            raise Failed('no such disk')
    def replace(self): print('replaced')
    def killed(self): return 'Killed process 7'
    def cpu_seconds(self): return 0, 0
    def limit(self, *_): pass

class Load:
    raw, limit = False, 1
    def __init__(self, hangs): self.hangs = hangs
    def run(self, cluster, arm, seconds, seed):
        if self.hangs:
            raise Hung('nothing heard')
        if seconds == times._WARM_SECONDS:
            print('warm')
        return {'x': 1}

times.Cluster = Cluster
arms = {name: types.SimpleNamespace(broken=name == 'bad', donors=1) for name in ('good', 'bad')}
chosen = types.SimpleNamespace(arms=list(arms), workloads=['quick', 'slow'], rounds=$1, seconds=1,
                               cpus=1, build=False, minutes=9)
os.environ['LAB_NAME'] = 'bench-test'
times._run(chosen, arms, {'quick': Load(False), 'slow': Load(True)}, '$ledger')
for entry in ledger.read('$ledger'):
    print(entry['round'], entry['arm'], entry['load'] + ':', entry.get('failed') or entry['figures'])" 2>/dev/null
}

test_what_fails_is_a_result_and_the_rest_goes_on_in_new_guests()
{
	local ledger

	ledger=$(mktemp -u)
	is "$(run 1)" "booted
warm
replaced
replaced
replaced
replaced
1 good quick: {'x': 1}
1 good slow: hung: nothing heard; Killed process 7
1 bad quick: failed: no such disk; Killed process 7
1 bad slow: failed: no such disk; Killed process 7"
	rm "$ledger"
}

test_run_goes_on_where_the_last_one_ended()
{
	local ledger

	ledger=$(mktemp -u)
	run 1
	sed -i 2,3d "$ledger"
	is "$(run 1 | sed -n '/^[1-9]/!p;/good slow/p')" "booted
warm
replaced
replaced
replaced
replaced
1 good slow: hung: nothing heard; Killed process 7"
	is "$(run 1 | grep -c booted)" 0
	rm "$ledger"
}

ktap_main
