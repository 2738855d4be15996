# SPDX-License-Identifier: GPL-2.0-only
"""scripts/demo: the command line, the set-up, and the order of things."""

import argparse
import json

from common import Failed, program
from common.clock import Clock
from lab import cache, state
from lab.up import require_machine

from . import table
from .arms import ARMS, DONORS
from .progress import Progress
from .run import CLIENT_MIB, DONOR_MIB, Run

LAB_NAME = "demo"
LIMIT = 600         # seconds after set-up; a quiet machine needs half of them
_CACHE_MIB = 3000   # what set-up puts into the cache the first time


def options():
    parser = argparse.ArgumentParser(
        prog="scripts/demo", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Redis on remote memory.\n\n"
        "A virtual machine with 192 MiB of memory swaps to two donors over Soft-RoCE. A redis\n"
        "server there is loaded with twice as much as the machine has, every value is read\n"
        "back and verified, then values are read at random. The same follows on NVMe over\n"
        "RDMA to a RAM disk, then on disks as slow next to RDMA as an SSD and a hard disk are,\n"
        "and a table compares them.",
        epilog="Exit status: 0 if every value on infiniswap was right, else 1; 2: wrong usage.")
    parser.add_argument("--arms", default=",".join(ARMS), metavar="LIST",
                        help="which, in this order (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=15, metavar="S",
                        help="of random reads in each (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=LIMIT, metavar="S",
                        help="of all, after set-up (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="N",
                        help="of values and reads (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    chosen = parser.parse_args()
    chosen.arms = chosen.arms.split(",")
    for arm in chosen.arms:
        if arm not in ARMS:
            parser.error(f"--arms: no arm is called '{arm}' (known: {', '.join(ARMS)})")
    for name in ("seconds", "limit"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} {getattr(chosen, name)}: must be positive")
    return chosen


def check_machine():
    """Say now what would stop the demo after minutes of downloading."""
    if state.running():
        raise Failed(f"another demo runs in this checkout (LAB_NAME={LAB_NAME} scripts/lab down)")
    require_machine([{"memory_mib": CLIENT_MIB}] + DONORS * [{"memory_mib": DONOR_MIB}])
    if not (cache.directory() / "images").exists():
        cache.require_space(_CACHE_MIB, "the first set-up")


def lines_about(results):
    """What the table cannot say."""
    for result in results:
        if "reason" in result:
            yield f"{result['arm']}: {result['outcome']}: {result['reason']}"
        if result.get("kernel", "clean") != "clean":
            yield f"{result['arm']}: kernel reports: {result['kernel']}"
    disks = [result for result in results if "iops" in result]
    if disks:
        read_us = next(result["rdma_read_us"] for result in results if "rdma_read_us" in result)
        limits = ", ".join(f"{disk['arm']} {disk['iops']} I/Os a second, {disk['slower']:,} times"
                           for disk in disks)
        yield ("Disks are a file on this host, faster than any emulated network: loaded so, then"
               f" held, as on hardware, to multiples of this run's 4 KiB RDMA READ"
               f" ({read_us / 1000:.2f} ms): {limits}.")
    yield ("Soft-RoCE between emulated machines: compare the columns with each other,"
           " not with hardware.")


def succeeded(results):
    """Every value on infiniswap was verified, and no read was wrong."""
    ours = [result for result in results if result["arm"] == "infiniswap"]
    return all(result["outcome"] == "complete" and result["kernel"] == "clean" for result in ours)


def main():
    chosen = options()
    check_machine()
    print("demo: set-up: packages, guest kernel and image, build (minutes the first time)",
          flush=True)
    program.set_up()
    clock = Clock(chosen.limit, "the demo (--limit)")
    progress = Progress(clock)
    results = []
    for arm in chosen.arms:
        results.append(Run(ARMS[arm], chosen, clock, progress, results).run())
    progress.done()
    print()
    print(table.render(results))
    print()
    for line in lines_about(results):
        print(line)
    print(f"{clock.spent():.0f} s after set-up.")
    if chosen.json:
        with open(chosen.json, "w") as file:
            json.dump(results, file, indent=2)
    return 0 if succeeded(results) else 1


if __name__ == "__main__":
    program.run(LAB_NAME, main)
