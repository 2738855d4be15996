# SPDX-License-Identifier: GPL-2.0-only
"""The guests' kernel logs: show one, or find reports of bugs in all of them."""

import re
from pathlib import Path

from . import LabError, state
from .state import CHECKOUT

KNOWN_REPORTS = CHECKOUT / "tests/lab/known-reports"

# What the kernel says when something is wrong with it.
_REPORT = re.compile("|".join((
    r"\bBUG:", r"\bBUG \S+ \(", r"kernel BUG at", r"\bWARNING:", r"\bOops\b",
    r"general protection fault",
    r"Unable to handle kernel", r"unable to handle", r"hung[ _]task", r"blocked for more than",
    r"Call Trace:", r"refcount_t", r"rcu.*stall", r"soft lockup", r"hard LOCKUP",
    r"possible (circular|recursive|irq lock inversion|deadlock)", r"suspicious RCU usage",
    r"inconsistent lock state", r"bad unlock balance", r"held lock freed",
    r"trying to register non-static key", r"KASAN:", r"UBSAN:",
    r"ODEBUG:", r"kmemleak: \d+ new", r"list_(add|del) corruption", r"Kernel panic",
    r"DMA-API: .*(device driver|debugging out)",
    # a check that gave up finds nothing any more
    r"turning off the locking correctness validator", r"memory leak detector disabled",
    r"ODEBUG disabled")))
_BLOCK_BEGINS = "------------[ cut here ]------------"
_BLOCK_ENDS = re.compile(r"---\[ end trace")
# Around what KASAN and UBSAN say; lockdep begins with one and ends with a trace.
_RULE = re.compile(r"={20,}$")
_RULED = re.compile(r"KASAN:|UBSAN:")
_TRACE = re.compile(r"Call Trace:")
_TRACE_ENDS = re.compile(r"</TASK>")
_REPORT_LINES = 400     # the longest that lockdep says, and more
_TRACE_LINES = 80       # a line, some more about it, and its trace

# A frame of the module: by name, or as kmemleak has it once the module has gone.
_OURS = re.compile(r"\[infiniswap\]|\] 0xffffffff[a-f][0-9a-f]{7}$")
_LEAK = re.compile(r"unreferenced object")


class Report:
    """What a kernel said about one bug: its lines, and the one that names it."""

    def __init__(self, lines):
        self.lines = lines
        self.title = next((line for line in lines if _REPORT.search(line) or _LEAK.search(line)),
                          None)

    @property
    def ours(self):
        """Whether our code takes part: then no pattern makes it a known one."""
        return any(_OURS.search(line) for line in self.lines)

    def known(self, patterns):
        return not self.ours and any(pattern.search(line)
                                     for line in self.lines for pattern in patterns)


def read(scratch, node):
    """Lines of a node's console since its first boot."""
    path = state.console_path(scratch, node)
    text = path.read_text(errors="replace") if path.exists() else ""
    return text.replace("\r", "").splitlines()


def known_reports(path=KNOWN_REPORTS):
    """The patterns of reports that are known not to be ours."""
    patterns = []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            patterns.append(re.compile(line))
        except re.error as error:
            raise LabError(f"{path}:{number}: '{line}': {error}")
    return patterns


def reports(lines):
    """All reports in a log, each with its trace."""
    found = []
    begin = 0
    while begin < len(lines):
        end = _end(lines, begin)
        report = Report(lines[begin:end])
        if report.title:
            found.append(report)
        begin = end
    return found


def _begins(lines, at):
    """Whether a report of several lines begins there."""
    if _BLOCK_BEGINS in lines[at]:
        return True
    return bool(_RULE.search(lines[at]) and at + 1 < len(lines) and _REPORT.search(lines[at + 1]))


def _end(lines, begin):
    """Where what begins there ends: behind its last line, and before the next report."""
    limit = min(len(lines), begin + (_REPORT_LINES if _begins(lines, begin) else _TRACE_LINES))
    limit = next((at for at in range(begin + 1, limit) if _begins(lines, at)), limit)

    def behind(what, start):
        return next((at + 1 for at in range(start, limit) if what.search(lines[at])), None)

    if _BLOCK_BEGINS in lines[begin]:
        return behind(_BLOCK_ENDS, begin) or limit
    if _begins(lines, begin):
        if _RULED.search(lines[begin + 1]):
            return behind(_RULE, begin + 1) or limit
    elif not _REPORT.search(lines[begin]):
        return begin + 1
    # Nothing marks its end: it goes as far as its trace, if it has one.
    trace = behind(_TRACE, begin)
    return trace and behind(_TRACE_ENDS, trace) or begin + 1


def leaks(lines):
    """The leaks that kmemleak tells of, each a report."""
    begins = [at for at, line in enumerate(lines) if _LEAK.search(line)]
    return [Report(lines[begin:end]) for begin, end in zip(begins, begins[1:] + [len(lines)])]


def leaks_path(scratch, node):
    """What the node's kmemleak said when it was last asked."""
    return scratch / f"{node}.leaks"


def all_reports(scratch):
    """Of all nodes, as (node, Report)."""
    found = []
    for node in (node["name"] for node in state.read_config(scratch)["nodes"]):
        found += [(node, report) for report in reports(read(scratch, node))]
        if leaks_path(scratch, node).exists():
            found += [(node, report) for report in
                      leaks(leaks_path(scratch, node).read_text().splitlines())]
    return found


def check(scratch):
    """All unknown reports of all nodes as (node, line)."""
    known = known_reports()
    return [(node, report.title + (" [our code]" if report.ours else ""))
            for node, report in all_reports(scratch) if not report.known(known)]


def save(scratch, directory):
    """Keep the lab's reports, whole, in a file of that directory: LAB_REPORTS."""
    config = state.read_config(scratch)
    known = known_reports()
    text = f"lab: {config['label']}, kernel {config['release']}\n"
    for node, report in all_reports(scratch):
        kind = "ours" if report.ours else "known" if report.known(known) else "unknown"
        text += f"\nreport: {kind}: {node}: {report.title}\n" + "\n".join(report.lines) + "\n"
    path = Path(directory) / f"{scratch.name}.{config['label'].replace('/', '-')}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        file.write(text)
