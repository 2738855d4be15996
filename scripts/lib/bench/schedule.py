# SPDX-License-Identifier: GPL-2.0-only
"""What is measured, in which order, and what of it a ledger has already."""

import json


def steps(arms, loads, rounds):
    """Arms take turns, A B C A B C: what changes on this machine meanwhile meets all of them."""
    return [(number, arm, load) for number in range(1, rounds + 1) for arm in arms
            for load in loads]


def key(entry):
    """What makes two entries results of the same step."""
    return json.dumps([entry[name] for name in
                       ("source", "kernel", "cpus", "seconds", "round", "arm", "load")])


def left(planned, entries):
    """Those of the planned entries that are not among ENTRIES. A failure is a result, too."""
    done = {key(entry) for entry in entries}
    return [entry for entry in planned if key(entry) not in done]
