# SPDX-License-Identifier: GPL-2.0-only
"""Instructions for each page, of one arm in one guest."""

import statistics

from common import Failed

from .guest import Guest

# Bytes of an Ethernet frame's payload that make RoCE's MTU what it is.
_FRAME = {4096: 4400, 1024: 1500}

# Operation: what it moves, and how many pages a run of it asks for.
OPERATIONS = {
    "page-in": ("in", 1000),
    "page-out": ("out", 1000),
    "reclaim-scattered": ("out", 1000),
    "reclaim-merged": ("out", 1024),
}
IDLE_SECONDS = 600


def _numbers(line):
    return {key: int(value) for key, value in (word.split("=") for word in line.split())}


def _once(guest, arm, operation, seed, *samples):
    pages = IDLE_SECONDS if operation == "idle" else OPERATIONS[operation][1]
    return _numbers(guest.client.run("/lab/bin/pagecost", operation, str(pages), str(seed), arm.stat,
                              *samples))


def _moved(run, operation):
    """How many pages and requests; a run that did something else than asked is no measurement."""
    way = OPERATIONS[operation][0]
    pages = run[f"pages_{way}"]
    # A disk that takes a page at a time counts no requests.
    requests = run["reads" if way == "in" else "writes"] or pages
    if not pages:
        raise Failed(f"{operation}: no page moved")
    # Of scattered slots a few are neighbours all the same.
    if "merged" not in operation and requests < 0.95 * pages:
        raise Failed(f"{operation}: {pages} pages in {requests} requests, not one in each")
    return pages, requests


def _operation(guest, arm, operation, repeats):
    costs, daemon, sizes = [], [], []
    for seed in range(1, repeats + 1):
        run = _once(guest, arm, operation, seed)
        pages, requests = _moved(run, operation)
        costs.append(run["instructions"] / pages)
        daemon.append(run["daemon"] / pages)
        sizes.append(pages / requests)
    median = statistics.median(costs)
    return {"instructions": median, "runs": costs, "spread": (max(costs) - min(costs)) / median,
            "daemon": min(daemon), "daemon_runs": daemon,
            "pages_per_request": statistics.median(sizes)}


def measure(arm, mtu, operations, repeats, sampled, build):
    """Boot, run, end. Returns the results, and samples by operation with the kernel's symbols."""
    results, samples = {}, {}
    with Guest(build) as guest:
        guest.client.run(f"ip link set eth0 mtu {_FRAME[mtu]}")
        arm.up(guest)
        active = guest.client.run("ibv_devinfo -d rxe0 | sed -n 's/.*active_mtu:[[:space:]]*\\([0-9]*\\).*/\\1/p'")
        if active.strip() != str(mtu):
            raise Failed(f"RoCE's MTU is {active.strip()}, not {mtu}")
        guest.client.run("echo 0 >/proc/sys/vm/page-cluster")
        for operation in operations:
            if operation == "idle":
                results[operation] = _once(guest, arm, operation, 1)
            else:
                results[operation] = _operation(guest, arm, operation, repeats)
        for operation in sampled:
            _once(guest, arm, operation, 1, "/run/samples")
            samples[operation] = guest.client.run("cat /run/samples")
        symbols = guest.client.run("cat /proc/kallsyms") if sampled else None
    return results, samples, symbols
