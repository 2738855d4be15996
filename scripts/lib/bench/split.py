# SPDX-License-Identifier: GPL-2.0-only
"""Whose the instructions are, by samples of what ran: client or donor, and which function.

Both are in one kernel. What a sample's stack says decides: of the functions that one
side alone calls, the innermost.
"""

import bisect
import collections

CLIENT, DONOR, DONOR_USER = "client kernel", "donor kernel", "donor user space"

# Reads and writes are one-sided: the client requests and completes, the donor responds.
_SIDES = {"rxe_requester": CLIENT, "rxe_completer": CLIENT, "rxe_responder": DONOR}
_RECEIVE = "rxe_rcv"    # called by the sender on behalf of the other side: loopback
_OTHER = {CLIENT: DONOR, DONOR: CLIENT}


class Symbols:
    """Names for addresses, from a kernel's kallsyms."""

    def __init__(self, text):
        table = []
        for line in text.splitlines():
            address, kind, name, *module = line.split()
            if kind in "tTwW":
                table.append((int(address, 16), name.split(".")[0], bool(module)))
        table.sort()
        self._addresses = [entry[0] for entry in table]
        self._names = [entry[1] for entry in table]

    def name(self, address):
        index = bisect.bisect_right(self._addresses, address) - 1
        return self._names[index] if index >= 0 else "?"


def _side(process, stack):
    received = False
    for name in stack:
        side = _SIDES.get(name)
        if side:
            return _OTHER[side] if received else side
        received = received or name == _RECEIVE
    return DONOR if process == "infiniswapd" else CLIENT


def split(samples, symbols, instructions):
    """Instructions of each side, and of each function by side, of INSTRUCTIONS an operation."""
    sides, functions = collections.Counter(), collections.Counter()
    for line in samples.splitlines():
        process, mode, *addresses = line.split()
        if process == "idle":
            continue
        if mode == "user":
            # The measuring program's own do not count: it waits at random between operations.
            if process == "infiniswapd":
                sides[DONOR_USER] += 1
            continue
        stack = [symbols.name(int(address, 16)) for address in addresses]
        side = _side(process, stack)
        sides[side] += 1
        functions[side, stack[0] if stack else "?"] += 1
    each = instructions / max(1, sides.total())
    return {"samples": sides.total(),
            "sides": {side: sides[side] * each for side in (CLIENT, DONOR, DONOR_USER)},
            "functions": [(side, name, count * each)
                          for (side, name), count in functions.most_common(40)]}
