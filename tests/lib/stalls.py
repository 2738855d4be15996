#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""stalls.py SAMPLES KILLS TRACE PLOT - how long pages waited when donors were killed.

SAMPLES  lines of pageverify -I, each after the host's clock in seconds
KILLS    for each kill the host's clock when the donor was dead for certain, the
         donor, and the host's clock since when all had been well
TRACE    the client's trace with isw_session_broken, of the clock "mono"
PLOT     written for gnuplot: PLOT.data and PLOT.kills

Prints a line for each kill and one for all. Times of the client are those of the
host less the smallest delay that a line of SAMPLES had. Exit status 1 if pages
waited too long after the client had noticed that the donor was gone, or if a kill
struck nothing."""

import re
import statistics
import sys

ALLOWED = 0.250     # after the donor's death was noticed, at the median
AFTER = 3.0         # what began to wait till so long after that is the kill's doing


def read_samples(path):
    """[(time, pages, longest, stalls)] of the client's clock, and what to add for the host's."""
    samples, delays = [], []
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if len(words) != 6 or words[1] != "progress":
                continue
            at = int(words[2]) / 1e9
            samples.append((at, int(words[3]), int(words[4]) / 1e9, int(words[5])))
            delays.append(float(words[0]) - at)
    if len(samples) < 20:
        sys.exit(f"{path}: {len(samples)} lines of progress")
    return samples, min(delays)


def read_kills(path, offset):
    with open(path, encoding="ascii") as file:
        for line in file:
            killed, donor, calm = line.split()
            yield float(killed) - offset, donor, float(calm) - offset


def read_breaks(path):
    with open(path, encoding="ascii") as file:
        return [(float(found[1]), found[2]) for found in
                (re.search(r" (\d+\.\d+): isw_session_broken: .* donor=(\S+)", line)
                 for line in file) if found]


def main():
    samples, offset = read_samples(sys.argv[1])
    breaks = read_breaks(sys.argv[3])
    begin = samples[0][0]
    excesses, wrong = [], []
    kills = list(read_kills(sys.argv[2], offset))
    for killed, donor, calm in kills:
        noticed = min((at for at, name in breaks if name == donor and at > killed - 0.5),
                      default=None)
        if noticed is None:
            sys.exit(f"{donor}, killed at {killed - begin:.1f} s: its session did not break")
        detection = noticed - killed
        before = max((wait for at, _, wait, _ in samples if calm <= at <= killed), default=0)
        # however long it took
        stall = max((wait for at, _, wait, _ in samples
                     if killed <= at and at - wait <= noticed + AFTER), default=0)
        excess = stall - detection
        excesses.append(excess)
        print(f"{donor} killed at {killed - begin:.1f} s: noticed after {detection * 1e3:.0f} ms,"
              f" longest stall {stall * 1e3:.0f} ms, {excess * 1e3:.0f} ms more;"
              f" before the kill {before * 1e3:.0f} ms")
        if stall < detection / 2:
            wrong.append(f"the kill of {donor} at {killed - begin:.1f} s struck no page")
        if excess > ALLOWED + before:
            wrong.append(f"{donor}: {excess * 1e3:.0f} ms, allowed {(ALLOWED + before) * 1e3:.0f}")
    median = statistics.median(excesses)
    print(f"{len(excesses)} kills: median {median * 1e3:.0f} ms, most {max(excesses) * 1e3:.0f} ms")
    print(f"figure: wait_ms={[round(excess * 1e3) for excess in excesses]}")
    print(f"figure: wait_median_ms={median * 1e3:.0f}")
    print(f"figure: wait_longest_ms={max(excesses) * 1e3:.0f}")
    if median > ALLOWED:
        wrong.append(f"the median is above {ALLOWED * 1e3:.0f} ms")
    write_plot(sys.argv[4], samples, kills, begin)
    for line in wrong:
        print(line)
    sys.exit(bool(wrong))


def write_plot(path, samples, kills, begin):
    with open(f"{path}.data", "w", encoding="ascii") as file:
        last = begin
        for at, pages, wait, _ in samples[1:]:
            print(at - begin, pages / (at - last), wait * 1e3, file=file)
            last = at
    with open(f"{path}.kills", "w", encoding="ascii") as file:
        for killed, donor, _ in kills:
            print(killed - begin, donor, file=file)


if __name__ == "__main__":
    main()
