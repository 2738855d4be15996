#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the lab makes of a kernel's log: where a report begins and ends, whether
# our code takes part, which are known.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ISW_TOP=${ISW_TOP:-$here/../..}
# shellcheck source=tests/lib/functions.sh
. "$ISW_TOP/tests/lib/functions.sh"

scratch=$(mktemp -d)
cleanup_add rm -rf "$scratch"

# judged [PATTERN…] - the log on standard input: "ours|known|unknown LINES: TITLE"
# for each report
judged()
{
	printf '%s\n' "$@" >"$scratch/known"
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$ISW_TOP/scripts/lib /usr/bin/python3 -S -c '
import sys
from lab import logs
lines = sys.stdin.read().splitlines()
known = logs.known_reports(sys.argv[1])
for report in logs.leaks(lines) if lines[0].startswith("unref") else logs.reports(lines):
    kind = "ours" if report.ours else "known" if report.known(known) else "unknown"
    print(f"{kind} {len(report.lines)}: {report.title}")' "$scratch/known"
}

# is TEXT - standard input is exactly that
is()
{
	local found

	found=$(cat)
	[ "$found" = "$1" ] || fail "$found" "instead of:" "$1"
}

kasan='[    5.1] ==================================================================
[    5.1] BUG: KASAN: use-after-free in FUNCTION+0x10/0x20 MODULE
[    5.1] Read of size 4 at addr ffff888001000000 by task sh/77
[    5.1] Call Trace:
[    5.1]  <TASK>
[    5.1]  FUNCTION+0x10/0x20 MODULE
[    5.1]  </TASK>
[    5.1] Allocated by task 77:
[    5.1] =================================================================='

lockdep='[    6.1] ======================================================
[    6.1] WARNING: possible circular locking dependency detected
[    6.1] 6.1.192-infiniswap-debug #1 Tainted: G           O
[    6.1] ------------------------------------------------------
[    6.1] sh/77 is trying to acquire lock:
[    6.1] ffff888001000000 (&a->lock){+.+.}-{3:3}, at: FUNCTION+0x10/0x20 MODULE
[    6.1] stack backtrace:
[    6.1] Call Trace:
[    6.1]  <TASK>
[    6.1]  dump_stack_lvl+0x10/0x20
[    6.1]  </TASK>'

warning='[    7.1] ------------[ cut here ]------------
[    7.1] ODEBUG: free active (active state 0) object type: work_struct hint: FUNCTION+0x0/0x20 MODULE
[    7.1] WARNING: CPU: 0 PID: 77 at lib/debugobjects.c:505 debug_print_object+0x1/0x2
[    7.1] Modules linked in: infiniswap(O) [last unloaded: infiniswap]
[    7.1] Call Trace:
[    7.1]  <TASK>
[    7.1]  </TASK>
[    7.1] ---[ end trace 0000000000000000 ]---'

quiet='[    1.0] Linux version 6.1
[    1.1] infiniswap: infiniswap0: up'

# of SAMPLE FUNCTION MODULE
of()
{
	local text=${1//FUNCTION/$2}

	printf '%s\n' "${text//MODULE/$3}"
}

test_log_without_a_report()
{
	judged <<<"$quiet" | is ""
}

test_kasan_from_rule_to_rule()
{
	{ echo "$quiet"; of "$kasan" isw_io_start "[infiniswap]"; echo "$quiet"; } | judged |
		is "ours 9: [    5.1] BUG: KASAN: use-after-free in isw_io_start+0x10/0x20 [infiniswap]"
	of "$kasan" rxe_x "[rdma_rxe]" | judged |
		is "unknown 9: [    5.1] BUG: KASAN: use-after-free in rxe_x+0x10/0x20 [rdma_rxe]"
}

test_lockdep_to_the_end_of_its_trace()
{
	{ of "$lockdep" isw_conn_put "[infiniswap]"; of "$kasan" rxe_x "[rdma_rxe]"; } | judged |
		is "ours 11: [    6.1] WARNING: possible circular locking dependency detected
unknown 9: [    5.1] BUG: KASAN: use-after-free in rxe_x+0x10/0x20 [rdma_rxe]"
}

test_warning_from_mark_to_mark()
{
	{ of "$warning" isw_conn_work "[infiniswap]"; echo "$quiet"; of "$warning" x ""; } | judged |
		is "ours 8: [    7.1] ODEBUG: free active (active state 0) object type: work_struct hint: isw_conn_work+0x0/0x20 [infiniswap]
unknown 8: [    7.1] ODEBUG: free active (active state 0) object type: work_struct hint: x+0x0/0x20 "
}

test_warning_that_was_cut_off_does_not_hide_the_next()
{
	{ of "$warning" x "" | head -n 4; of "$kasan" rxe_x "[rdma_rxe]"; } | judged | grep -c unknown | is 2
}

test_a_line_and_its_trace_are_one()
{
	judged <<'END' | is "unknown 5: [    8.1] BUG: sleeping function called from invalid context at mm/x.c:1"
[    8.1] BUG: sleeping function called from invalid context at mm/x.c:1
[    8.1] in_atomic(): 1, irqs_disabled(): 0
[    8.1] Call Trace:
[    8.1]  <TASK>
[    8.1]  </TASK>
[    8.2] something else
END
}

test_pattern_makes_a_report_known_by_any_of_its_lines()
{
	{ of "$warning" x ""; of "$kasan" rxe_x "[rdma_rxe]"; } | judged 'at lib/debugobjects\.c:505' |
		grep -o '^[a-z]*' | paste -s -d ' ' | is "known unknown"
}

test_no_pattern_makes_ours_known()
{
	of "$kasan" isw_io_start "[infiniswap]" | judged 'KASAN' | grep -o '^[a-z]*' | is ours
}

test_leak_is_ours_by_its_frames_even_when_the_module_has_gone()
{
	judged <<'END' | is "ours 4: unreferenced object 0xffff888001000000 (size 64):
ours 4: unreferenced object 0xffff888002000000 (size 64):
unknown 4: unreferenced object 0xffff888003000000 (size 64):"
unreferenced object 0xffff888001000000 (size 64):
  comm "sh", pid 77, jiffies 4294900000 (age 20.000s)
  backtrace:
    [<00000000aaaaaaaa>] isw_device_make+0x10/0x20 [infiniswap]
unreferenced object 0xffff888002000000 (size 64):
  comm "sh", pid 77, jiffies 4294900000 (age 20.000s)
  backtrace:
    [<00000000bbbbbbbb>] 0xffffffffa0101234
unreferenced object 0xffff888003000000 (size 64):
  comm "sh", pid 77, jiffies 4294900000 (age 20.000s)
  backtrace:
    [<00000000cccccccc>] kmalloc_trace+0x10/0x20
END
}

test_check_that_gave_up_is_a_report()
{
	judged <<'END' | grep -c unknown | is 2
[    9.1] turning off the locking correctness validator.
[    9.2] kmemleak: Kernel memory leak detector disabled
END
}

ktap_main
