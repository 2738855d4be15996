#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The ledgers of scripts/soak and scripts/bench: results as JSON, one a line, only appended to.

  ledger.py FILE append KEY=VALUE...            numbers, true and false are not strings; a key
                                                that is given again becomes a list of all
  ledger.py FILE count PART SOURCE KERNEL       print the sum of "count" of what was right;
                                                a seed that ran again shows nothing new
  ledger.py FILE right PART SOURCE KERNEL       fail if anything was not
  ledger.py FILE summary                        print a table for docs/reliability.md
"""

import json
import os
import sys
import time

_LABELS = ("part", "source", "kernel")


def read(path):
    """All entries. A line that a crash cut short is an error: it hides a result."""
    if not os.path.exists(path):
        return []
    entries = []
    with open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                entries.append(json.loads(line))
            except ValueError:
                sys.exit(f"{path}:{number}: not JSON")
    return entries


def value(text):
    """What KEY= is followed by; names of kernels and commits look like numbers, too."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def append(path, settings):
    given = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        given.setdefault(key, []).append(text if key in _LABELS else value(text))
    entry = {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    entry.update((key, values if len(values) > 1 else values[0]) for key, values in given.items())
    write(path, entry)


def write(path, entry):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "a") as file:
        file.write(json.dumps(entry) + "\n")


def of(entries, labels):
    return [entry for entry in entries if [entry[label] for label in _LABELS] == labels]


def count(entries):
    done = {entry.get("ISW_SEED", entry.get("seed", f"none, {number}")): entry["count"]
            for number, entry in enumerate(entries) if entry["right"]}
    return sum(done.values())


def summary(entries):
    print("| part | source | kernel | steps | count | wrong steps | minutes | from | to |")
    print("|---|---|---|---|---|---|---|---|---|")
    for labels in dict.fromkeys(tuple(entry[label] for label in _LABELS) for entry in entries):
        some = of(entries, list(labels))
        minutes = sum(float(entry.get("seconds") or 0) for entry in some) / 60
        print("|", " | ".join([
            *labels, str(len(some)), f"{count(some):,}",
            str(sum(not e["right"] for e in some)), f"{minutes:.0f}",
            some[0]["date"][:10], some[-1]["date"][:10]]), "|")


def main():
    path, verb, *arguments = sys.argv[1:]
    if verb == "append":
        append(path, arguments)
    elif verb == "count":
        print(count(of(read(path), arguments)))
    elif verb == "right":
        sys.exit(0 if all(entry["right"] for entry in of(read(path), arguments)) else 1)
    elif verb == "summary":
        summary(read(path))
    else:
        sys.exit(f"ledger.py: {verb}: unknown")


if __name__ == "__main__":
    main()
