# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bench: which of its parts runs."""

import argparse
import sys
import time

from common import program

from . import instructions, times

_TIMES_MINUTES = 60     # with the instructions' twelve and a last step an hour and a quarter, whatever hangs
_PARTS = {"instructions": instructions.main, "times": times.main, "full": times.main_full}


def _both():
    """The default: what `make bench` is."""
    status = 0
    for name in ("instructions", "times"):
        begin = time.monotonic()
        status |= _PARTS[name](["--minutes", str(_TIMES_MINUTES)] if name == "times" else [])
        print(f"bench: {name}: {(time.monotonic() - begin) / 60:.0f} minutes", flush=True)
    return status


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="What swapping to remote memory costs, against what else could be used.",
        epilog="parts, each with options of its own (scripts/bench PART --help):\n"
        "  instructions  that a page costs: exact, on a busy machine too\n"
        "  times         latency and throughput, on a quiet machine\n"
        "  full          more of them, in steps that go on where the last one ended\n"
        "Without a part: instructions, then times. Results: build/bench.")
    parser.add_argument("part", nargs="?", choices=_PARTS, metavar="PART")
    chosen = parser.parse_args(sys.argv[1:2])
    if not chosen.part:
        return _both()
    return _PARTS[chosen.part](sys.argv[2:])


if __name__ == "__main__":
    program.run("bench", main)
