# SPDX-License-Identifier: GPL-2.0-only
"""The times as Markdown and CSV."""

import csv
import statistics

from .arms import BASELINE
from .markdown import table

_LATENCIES = (("p50_us", "median, us"), ("p99_us", "p99, us"), ("p999_us", "p99.9, us"))
# Figures of a load that the report shows, and how; fio's are named by what is in the ledger.
_COLUMNS = {
    "faults": (*_LATENCIES, ("pages_s", "pages in and out a second"),
               ("storm_s", "the storm's pages a second")),
    "redis": (("ram_us", "all in memory, us a read"), ("beyond_us", "beyond that, us"),
              ("p50_us", "median, us"), ("p99_us", "p99, us")),
    **dict.fromkeys(("sort", "graph"), (
        ("ram_ms", "all in memory, ms"), ("beyond_s", "beyond that, s"), ("pages_in", "pages in"))),
}
_MOST_OTHER_LOAD = 0.2      # cores; more than that, and times are not worth comparing

# Load, figure, whether it is at most or at least so many times the baseline's.
TARGETS = (
    ("page-in", "p50_us", "median page-in", "at most", 0.60),
    ("storm", "p99_us", "p99 of page-ins under a storm", "at most", 0.40),
    ("swap", "pages_s", "pages a second", "at least", 1.8),
    ("redis-50", "beyond_us", "redis at 50 %, time beyond all in memory", "at most", 0.60),
)


def values(entries, arm, load, figure):
    """By round."""
    return {entry["round"]: entry["figures"][figure] for entry in entries
            if (entry["arm"], entry["load"]) == (arm, load)
            and figure in entry.get("figures", ())}


def median(entries, arm, load, figure):
    found = values(entries, arm, load, figure)
    return statistics.median(found.values()) if found else None


def ratios(entries, arm, load, figure):
    """To the baseline, each of the same round: what changes meanwhile is in both."""
    ours, baseline = (values(entries, name, load, figure) for name in (arm, BASELINE))
    return [ours[number] / baseline[number] for number in sorted(ours)
            if baseline.get(number, 0) > 0]


def _number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


def cell(entries, arm, load, figure):
    """Median, smallest and largest, ratio; or what happened instead."""
    found = sorted(values(entries, arm, load, figure).values())
    failed = [entry["failed"] for entry in entries
              if (entry["arm"], entry["load"]) == (arm, load) and "failed" in entry]
    if not found:
        return failed[0].partition(":")[0] if failed else "-"
    text = _number(statistics.median(found))
    if len(found) > 1:
        text += f" ({_number(found[0])} to {_number(found[-1])})"
    against = ratios(entries, arm, load, figure)
    if against and arm != BASELINE:
        text += f" {statistics.median(against):.2f}x"
    return text + (f", {len(failed)} of {len(failed) + len(found)} failed" if failed else "")


def _columns(entries, load):
    found = dict.fromkeys(name for entry in entries if entry["load"] == load
                          for name in entry.get("figures", ()))
    if load.startswith("fio"):
        latencies = dict(_LATENCIES)
        for name in found:
            job, _, unit = name.partition(".")
            if unit == "mib_s" and job.endswith("128k"):
                yield name, f"{job}, MiB/s"
            elif unit in latencies and not job.endswith("128k"):
                yield name, f"{job} {latencies[unit]}"
            elif unit == "iops" and not job.endswith(("128k", "-1")):
                yield name, f"{job}, a second"
        return
    shown = _COLUMNS.get(load.partition("-")[0], _COLUMNS["faults"])
    yield from (column for column in shown if column[0] in found)


def _table(entries, arms, load):
    """Arms are the columns of the many figures of fio, else the rows."""
    columns = list(_columns(entries, load))
    if load.startswith("fio"):
        return table([load, *arms], [[title, *(cell(entries, arm, load, name) for arm in arms)]
                                     for name, title in columns])
    return table([load, *(title for _, title in columns)],
                 [[arm, *(cell(entries, arm, load, name) for name, _ in columns)]
                  for arm in arms])


def targets(entries, arm="none"):
    for load, figure, title, way, limit in TARGETS:
        found = ratios(entries, arm, load, figure)
        if not found:
            continue
        ratio = statistics.median(found)
        worse = ratio / limit - 1 if way == "at most" else 1 - ratio / limit
        spread = f" ({min(found):.2f} to {max(found):.2f})" if len(found) > 1 else ""
        yield [title, f"{way} {limit:.2f}x", f"{ratio:.2f}x{spread}",
               "yes" if worse <= 0 else f"no, by {worse:.0%}"]


def failures(entries):
    return [f"- {entry['arm']}, {entry['load']}, round {entry['round']}: {entry['failed']}"
            for entry in entries if "failed" in entry]


def _disturbed(entries):
    return [f"- {entry['arm']}, {entry['load']}, round {entry['round']}: {entry['other_load']:.2f}"
            for entry in entries if entry.get("other_load", 0) > _MOST_OTHER_LOAD]


def save_csv(entries, path):
    with open(path, "w", newline="", encoding="ascii") as file:
        rows = csv.writer(file)
        rows.writerow(["source", "kernel", "cpus", "seconds", "round", "arm", "load", "figure",
                       "value"])
        for entry in entries:
            for name, value in entry.get("figures", {}).items():
                rows.writerow([entry["source"], entry["kernel"], entry["cpus"], entry["seconds"],
                               entry["round"], entry["arm"], entry["load"], name, f"{value:.2f}"])


def render(entries, arms, loads, pictures, troubles=()):
    parts = []
    if entries:
        first = entries[0]
        parts.append(f"Source {first['source']}, kernel {first['kernel']}, {first['cpus']} CPU a"
                     f" guest, {max(entry['round'] for entry in entries)} rounds of"
                     f" {first['seconds']} s. Median, in brackets smallest and largest, then the"
                     f" median of each round's ratio to {BASELINE}.")
    reached = list(targets(entries))
    if reached:
        parts.append("## Targets\n\n" + table(["none", "target", "measured", "reached"], reached))
    parts += [f"## {load}\n\n" + _table(entries, arms, load) for load in loads]
    parts += [f"![{picture}]({picture})" for picture in pictures]
    for title, lines in (("Failed", failures(entries)),
                         ("Beside the measurements", [f"- {trouble}" for trouble in troubles]),
                         ("Other programs had so many cores meanwhile", _disturbed(entries))):
        if lines:
            parts.append(f"## {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"
