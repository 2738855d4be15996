# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bench times and full: latency and throughput, arms side by side."""

import argparse
import os
import subprocess
import sys
import time

import ledger
from common import CHECKOUT, Failed, Hung, OutOfTime, program
from lab import state

from . import arms, loads, plot, schedule, times_report
from .cluster import Cluster
from .options import add_common, chosen_of

_SECONDS = 10           # three rounds are half a minute of each load, and take three quarters of an hour in all
_ROUNDS = 3
_WARM_SECONDS = 2


def options(name, all_arms, all_loads, arguments):
    parser = argparse.ArgumentParser(
        prog=f"scripts/bench {name}", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Times of remote memory.\n\n"
        "A client and donors in virtual machines, the same for all arms, which take turns, A B C\n"
        "A B C. Each swaps or is read and written; an arm that hangs or is killed is a result.\n"
        "Ratios are of the same round. Nothing else should run on this machine meanwhile.",
        epilog="Exit status: 0 if all was measured, 1 if not; 2: wrong usage; 3: --minutes are\n"
        "over, run it again to go on.")
    parser.add_argument("--arms", metavar="LIST", default=",".join(all_arms),
                        help="which, in this order (default: %(default)s)")
    parser.add_argument("--workloads", metavar="LIST", default=",".join(all_loads),
                        help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, metavar="N",
                        help="of all arms, a seed each (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=_SECONDS, metavar="S",
                        help="that each load is measured for in each round (default: %(default)s)")
    parser.add_argument("--cpus", type=int, default=1, metavar="N",
                        help="of each guest (default: %(default)s)")
    parser.add_argument("--minutes", type=int, default=24 * 60, metavar="N",
                        help="begin nothing new after so long (default: %(default)s)")
    add_common(parser)
    return chosen_of(parser, arguments, lists={"arms": all_arms, "workloads": all_loads},
                     positive=("rounds", "seconds", "cpus", "minutes"))


def _source():
    """What is measured, by name: figures of other sources are none of this one."""
    def git(*words):
        return subprocess.run(["git", "-C", CHECKOUT, *words, "--", "kmod", "daemon", "include"],
                              stdout=subprocess.PIPE, text=True, check=False)
    head = git("log", "-1", "--format=%h").stdout.strip() or "unknown"
    return head + ("-changed" if git("diff", "--quiet", "HEAD").returncode else "")


def _failure(cluster, reason):
    """As a result. The guests are replaced."""
    outcome = "hung" if isinstance(reason, Hung) else \
        "out of time" if isinstance(reason, OutOfTime) else "failed"
    killed = cluster.killed()
    cluster.replace()
    return {"failed": f"{outcome}: {reason}" + (f"; {killed}" if killed else "")}


def _make(cluster, arm):
    """Have the arm up; what goes wrong is the result of all its loads."""
    try:
        cluster.use(arm)
    except Failed as reason:
        return _failure(cluster, reason)
    return None


def _measure(cluster, arm, load, seconds, seed):
    """One step; what goes wrong is its result."""
    begin = time.monotonic()
    try:
        cluster.limit(seconds * 2 + load.limit, "this load")
        if load.raw:
            cluster.free_device()
        before = cluster.cpu_seconds()
        figures = load.run(cluster, arm, seconds, seed)
        after = cluster.cpu_seconds()
    except Failed as reason:
        return _failure(cluster, reason)
    spent = time.monotonic() - begin
    machine, lab = (now - then for now, then in zip(after, before))
    return {"figures": figures, "took_s": round(spent, 1),
            "other_load": round(max(0, machine - lab) / spent, 2)}


def _warm_up(cluster, arms_in_turn, workloads):
    """Guests that have just booted are slow while QEMU translates what they run: in its first
    round the first arm had 1.6 times the latency of its others. So the first arm has all loads,
    the others have one of them, for what of the kernel is theirs. Not counted; what goes wrong
    here does so in the steps, too."""
    for arm in arms_in_turn:
        for load in workloads:
            if _make(cluster, arm) or "failed" in _measure(cluster, arm, load, _WARM_SECONDS, 0):
                break
        workloads = workloads[:1]


def _run(chosen, all_arms, all_loads, path):
    """All that the ledger does not have. Returns what was planned, and why it is not all, if so."""
    entry = {"source": _source(), "kernel": os.environ.get("LAB_KERNEL") or "6.1",
             "cpus": chosen.cpus, "seconds": chosen.seconds}
    planned = [{**entry, "round": number, "arm": arm, "load": load} for number, arm, load in
               schedule.steps(chosen.arms, chosen.workloads, chosen.rounds)]
    todo = schedule.left(planned, ledger.read(path))
    if not todo:
        return planned, []
    if state.running():
        raise Failed("a bench runs in this checkout already (LAB_NAME=bench scripts/lab down)")
    if chosen.build:
        program.set_up("bench")
    deadline = time.monotonic() + chosen.minutes * 60
    donors = max(1, *(all_arms[name].donors for name in chosen.arms))
    lost, why = None, None      # the turn of an arm that could not be made
    with Cluster(donors, chosen.cpus) as cluster:
        _warm_up(cluster, [all_arms[name] for name in dict.fromkeys(step["arm"] for step in todo)],
                 sorted((all_loads[name] for name in chosen.workloads), key=lambda load: load.raw))
        for number, step in enumerate(todo, 1):
            if time.monotonic() > deadline:
                break
            arm, turn = all_arms[step["arm"]], (step["round"], step["arm"])
            if turn != lost:
                why = _make(cluster, arm)
                lost = turn if why else None
            told = why or _measure(cluster, arm, all_loads[step["load"]], chosen.seconds,
                                   step["round"])
            ledger.write(path, {**step, **told})
            print(f"bench: {number} of {len(todo)}: round {step['round']}, {step['arm']},"
                  f" {step['load']}: " + (told.get("failed") or f"{told['took_s']} s"),
                  file=sys.stderr, flush=True)
    return planned, cluster.troubles


def _part(name, all_arms, all_loads, arguments):
    chosen = options(name, all_arms, all_loads, arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / f"{name}.jsonl"
    if name == "times":
        path.unlink(missing_ok=True)
    planned, troubles = _run(chosen, all_arms, all_loads, path)
    wanted = {schedule.key(entry) for entry in planned}
    entries = [entry for entry in ledger.read(path) if schedule.key(entry) in wanted]
    times_report.save_csv(entries, chosen.out / f"{name}.csv")
    pictures = plot.draw(entries, chosen.arms, chosen.out, name)
    text = times_report.render(entries, chosen.arms, chosen.workloads, pictures, troubles)
    (chosen.out / f"{name}.md").write_text(text)
    print(text, end="")
    if troubles or any("failed" in entry for entry in entries):
        return 1
    return 0 if len(entries) == len(planned) else 3


def main(arguments):
    return _part("times", arms.TIMES, loads.LOADS, arguments)


def main_full(arguments):
    return _part("full", arms.FULL, loads.FULL, arguments)
