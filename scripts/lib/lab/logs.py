# SPDX-License-Identifier: GPL-2.0-only
"""The guests' kernel logs: show one, or find reports of bugs in all of them."""

import re
from pathlib import Path

from . import LabError, state
from .state import CHECKOUT

KNOWN_REPORTS = CHECKOUT / "tests/lab/known-reports"

# What the kernel says when something is wrong with it.
_REPORT = re.compile("|".join((
    r"\bBUG:", r"kernel BUG at", r"\bWARNING:", r"\bOops\b", r"general protection fault",
    r"Unable to handle kernel", r"unable to handle", r"hung[ _]task", r"blocked for more than",
    r"Call Trace:", r"refcount_t", r"rcu.*stall", r"soft lockup", r"hard LOCKUP",
    r"possible (circular|recursive|irq lock inversion|deadlock)", r"suspicious RCU usage",
    r"inconsistent lock state", r"bad unlock balance", r"held lock freed", r"KASAN", r"UBSAN",
    r"kmemleak: \d+ new", r"list_(add|del) corruption", r"Kernel panic",
    r"DMA-API: .*(device driver|debugging out)")))
_BLOCK_BEGINS = "------------[ cut here ]------------"
_BLOCK_ENDS = "---[ end trace"


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


def reports(lines, known):
    """Reports that no pattern knows, each as one line.

    A warning with its trace, from "cut here" to "end trace", is one report: it is
    known if any line of it is. Other lines stand for themselves.
    """
    block = None
    for line in lines:
        if _BLOCK_BEGINS in line:
            if block:
                yield from _judge(block, known)
            block = []
        if block is None:
            yield from _judge([line], known)
        else:
            block.append(line)
            if _BLOCK_ENDS in line:
                yield from _judge(block, known)
                block = None
    if block:
        yield from _judge(block, known)


def _judge(block, known):
    found = next((line for line in block if _REPORT.search(line)), None)
    if found and not any(pattern.search(line) for line in block for pattern in known):
        yield found


def check(scratch):
    """All unknown reports of all nodes as (node, line)."""
    known = known_reports()
    config = state.read_config(scratch)
    return [(node["name"], line) for node in config["nodes"]
            for line in reports(read(scratch, node["name"]), known)]
