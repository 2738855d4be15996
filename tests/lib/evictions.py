#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""evictions.py SAMPLES WINDOWS PLOT - what an eviction costs its client.

SAMPLES  lines of pageverify -I, each after the host's clock in seconds
WINDOWS  stretches of time of equal length, two make a pair: "with" or "without",
         the host's clock at begin and end, and how many slabs were evicted
PLOT     written for gnuplot: PLOT.data, pages of each second, and PLOT.windows

Prints a line for each pair and one for all: how much of a window's pages each
eviction took. Exit status 1 if the upper end of the 95 % interval is above LIMIT;
fewer pairs than pairs.JUDGED are told and not judged."""

import sys

import pairs
import stalls

LIMIT = 3.0     # percent of a window's pages


def read_windows(path, offset):
    windows = []
    with open(path, encoding="ascii") as file:
        for line in file:
            kind, begin, end, events = line.split()
            windows.append((kind, float(begin) - offset, float(end) - offset, int(events)))
    return windows


def rate(samples, begin, end):
    """Pages a second and stalls between two times: of the lines that are all in it."""
    pages = stalled = 0
    first = last = None
    for at, count, _, stall in samples:
        if at < begin or at > end:
            continue
        if first is None:
            first = at
        else:
            pages += count
            stalled += stall
        last = at
    if first == last:
        sys.exit(f"no progress from {begin:.1f} to {end:.1f} s")
    return pages / (last - first), stalled


def paired(windows):
    """Each pair as (with, without), whichever came first."""
    if not windows or len(windows) % 2:
        sys.exit(f"{len(windows)} windows are no pairs")
    for one, other in zip(windows[::2], windows[1::2]):
        both = {one[0]: one, other[0]: other}
        if set(both) != {"with", "without"}:
            sys.exit(f"a pair of {one[0]} and {other[0]}")
        yield both["with"], both["without"]


def main():
    samples, offset = stalls.read_samples(sys.argv[1])
    windows = read_windows(sys.argv[2], offset)
    losses, total, stalled, stalled_without = [], 0, 0, 0
    for number, (with_it, without) in enumerate(paired(windows), 1):
        events = with_it[3]
        if not events or without[3]:
            sys.exit(f"pair {number}: {events} evictions with, {without[3]} without")
        pages, some = rate(samples, *with_it[1:3])
        pages_without, some_without = rate(samples, *without[1:3])
        losses.append(pairs.loss(pages, pages_without, events))
        total += events
        stalled += some
        stalled_without += some_without
        print(f"pair {number}: {pages:.0f} pages a second with {events} evictions,"
              f" {pages_without:.0f} without: {pairs.percent(losses[-1])} each;"
              f" over 10 ms took {some} pages with, {some_without} without")
    write_plot(sys.argv[3], samples, windows)
    mean, interval = pairs.mean_interval(losses)
    seconds = windows[0][2] - windows[0][1]
    text = (f"{len(losses)} pairs of {seconds:.0f} s, {total} evictions: each took"
            f" {pairs.percent(mean)} of that time's pages, as many as in {mean * seconds:.2f} s")
    print(f"{text}; 95 % interval {pairs.between(interval)}" if interval else text)
    print(f"over 10 ms took {stalled} pages with, {stalled_without} without")
    pairs.figure("loss_percent", mean)
    if interval:
        pairs.figure("loss_interval_percent", *interval)
    print(f"figure: stalls_with={stalled}\nfigure: stalls_without={stalled_without}")
    if len(losses) < pairs.JUDGED:
        print(f"not judged: fewer than {pairs.JUDGED} pairs")
        return
    sys.exit(interval[1] * 100 > LIMIT)


def write_plot(path, samples, windows):
    begin = samples[0][0]
    seconds = {}
    for at, pages, wait, _ in samples[1:]:
        count, longest = seconds.get(int(at - begin), (0, 0))
        seconds[int(at - begin)] = count + pages, max(longest, wait)
    with open(f"{path}.data", "w", encoding="ascii") as file:
        for second, (count, longest) in sorted(seconds.items()):
            print(f"{second} {count} {longest * 1e3:.1f}", file=file)
    with open(f"{path}.windows", "w", encoding="ascii") as file:
        for kind, first, last, _ in windows:
            print(f"{kind} {first - begin:.2f} {last - begin:.2f}", file=file)


if __name__ == "__main__":
    main()
