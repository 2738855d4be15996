#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""granttrace.py TRACE LOOP - what a donor's daemon did for one grant.

TRACE  tracefs, with the system calls and page faults of all its threads, the pages that
       were allocated for them, and what was registered (kprobe isw_pinned, of ib_umem_get)
LOOP   its thread that has the sessions; all others are workers

The grant is what is between the loop's wake-ups: from the one in which it was asked
for, before the first thing that a worker did, to the end of the one in which the
worker's answer was told. Prints KIND COUNT lines: "call-NR" for each system call's number,
"faults", "pages" that were allocated, "registrations", "registered" in bytes. Locks
(futex) are not counted: how often one is waited for is chance."""

import collections
import re
import sys

_WAIT = "426"       # io_uring_enter: the loop waits, all else it does in between
_WRITE = "1"
_FUTEX = "202"

_EVENT = re.compile(r"^ *\S+-(\d+) +\[\d+\] +\S+ +[\d.]+: (\w+): (.*)$")


def read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return [(found[1], found[2], found[3]) for found in map(_EVENT.match, file) if found]


def call(event):
    """The number of the system call that begins here, and its first argument."""
    found = event[1] == "sys_enter" and re.match(r"NR (\d+) \((\w+)", event[2])
    return (found[1], found[2]) if found else (None, None)


def of_the_grant(events, loop):
    worked = [n for n, event in enumerate(events) if event[0] != loop]
    if not worked:
        sys.exit("no worker did anything")
    waits = [n for n, event in enumerate(events) if event[0] == loop and call(event)[0] == _WAIT]
    told = [n for n, event in enumerate(events)
            if event[0] == loop and n > worked[0] and call(event) == (_WRITE, "2")]
    # it may have gone on before the worker that it woke ran
    woke = max((n for n in range(worked[0]) if call(events[n])[0] == _FUTEX), default=worked[0])
    begin = max((n for n in waits if n < woke), default=-1)
    end = min((n for n in waits if told and n > told[0]), default=None)
    if end is None:
        sys.exit("the trace ends before the grant")
    return events[begin + 1:end]


def main():
    path, loop = sys.argv[1:]
    counts = collections.Counter(faults=0, pages=0, registrations=0, registered=0)
    for event in of_the_grant(read(path), loop):
        number, _ = call(event)
        if number and number != _FUTEX and not (number == _WAIT and event[0] == loop):
            counts[f"call-{number}"] += 1
        elif event[1].startswith("page_fault_"):
            counts["faults"] += 1
        elif event[1] == "mm_page_alloc":
            counts["pages"] += 1 << int(re.search(r"order=(\d+)", event[2])[1])
        elif event[1] == "isw_pinned":
            counts["registrations"] += 1
            counts["registered"] += int(re.search(r"size=0x(\w+)", event[2])[1], 16)
    for kind, count in sorted(counts.items()):
        print(kind, count)


if __name__ == "__main__":
    main()
