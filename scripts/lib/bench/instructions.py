# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bench instructions: what a page costs, in instructions."""

import argparse
import csv
import json
import sys

from common import Failed

from . import instructions_report as report
from .arms import INSTRUCTIONS as ARMS
from .measure import OPERATIONS, measure
from .options import add_common, chosen_of
from .split import Symbols, split

_PROFILED = {(arm, mtu) for arm in ("none", "mirror") for mtu in (4096, 1024)}
_SAMPLED = ("page-in", "page-out")


def options(arguments):
    parser = argparse.ArgumentParser(
        prog="scripts/bench instructions", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Instructions that a page costs which is swapped to remote memory.\n\n"
        "One virtual machine for each arm is client and donor at once, with Soft-RoCE between,\n"
        "and its clock counts instructions: figures repeat, on a busy machine too. They are\n"
        "compared with those of NVMe over RDMA to a RAM disk.",
        epilog="Exit status: 0 if all was measured, 1 if not; 2: wrong usage.")
    parser.add_argument("--arms", metavar="LIST", default=",".join(ARMS),
                        help="which, in this order (default: %(default)s)")
    parser.add_argument("--mtu", metavar="LIST", default="4096,1024",
                        help="of RoCE (default: %(default)s)")
    parser.add_argument("--operations", metavar="LIST", default=",".join([*OPERATIONS, "idle"]),
                        help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=3, metavar="N",
                        help="of each operation, a seed each (default: %(default)s)")
    parser.add_argument("--no-profile", dest="profile", action="store_false",
                        help="do not sample what runs")
    add_common(parser)
    return chosen_of(parser, arguments, lists={
        "arms": ARMS, "mtu": ("4096", "1024"), "operations": (*OPERATIONS, "idle")},
        positive=("repeats",))


def _measure(name, mtu, chosen):
    """One arm. What goes wrong is its result."""
    profiled = chosen.profile and (name, mtu) in _PROFILED
    sampled = [operation for operation in _SAMPLED if profiled and operation in chosen.operations]
    try:
        result, samples, symbols = measure(ARMS[name], mtu, chosen.operations, chosen.repeats,
                                           sampled, chosen.build)
    except Failed as failure:
        return {"failed": str(failure)}
    if samples:
        symbols = Symbols(symbols)
        result["split"] = {operation: split(text, symbols, result[operation]["instructions"])
                           for operation, text in samples.items()}
    return result


def _save(results, out):
    """All of it as JSON, each run's figures as CSV."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "instructions.json", "w") as file:
        json.dump([{"arm": arm, "mtu": mtu, **result}
                   for (arm, mtu), result in results.items()], file, indent=2)
    with open(out / "instructions.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["mtu", "operation", "run", "instructions", "daemon_ns", "arm"])
        for (arm, mtu), result in results.items():
            for operation in OPERATIONS:
                runs = result.get(operation, {}).get("runs", ())
                for number, cost in enumerate(runs, 1):
                    daemon = result[operation]["daemon_runs"][number - 1]
                    rows.writerow([mtu, operation, number, f"{cost:.0f}", f"{daemon:.0f}", arm])


def main(arguments):
    chosen = options(arguments)
    results = {}
    for mtu in map(int, chosen.mtu):
        for name in chosen.arms:
            print(f"bench: {name}, MTU {mtu}", file=sys.stderr, flush=True)
            results[name, mtu] = _measure(name, mtu, chosen)
            if "failed" in results[name, mtu]:
                print(f"bench: {results[name, mtu]['failed']}", file=sys.stderr, flush=True)
            _save(results, chosen.out)
    text = report.render(results, chosen.operations)
    (chosen.out / "instructions.md").write_text(text)
    print(text, end="")
    return 1 if any("failed" in result for result in results.values()) else 0
