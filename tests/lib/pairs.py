#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What something costs, from pairs of runs: one with it, one without.

  pairs.py FILE WHAT LIMIT      FILE has a pair a line: a rate with it, one without

Prints the loss of each pair, and the median and the mean of all with their 95 %
intervals. Exit status 1 if the median is above LIMIT percent. Fewer than JUDGED
pairs are told and not judged."""

import math
import statistics
import sys

JUDGED = 5      # fewer pairs say nothing about all that there could be

# 97.5 % of Student's t, by degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
      2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086)


def loss(with_it, without, events=1):
    """The part of `without` that each of `events` took."""
    return (1 - with_it / without) / events


def mean_interval(values):
    """Mean and 95 % interval: that of Student's t, None of a single value."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, None
    t = _T[min(len(values) - 1, len(_T)) - 1]
    half = t * statistics.stdev(values) / math.sqrt(len(values))
    return mean, (mean - half, mean + half)


def median_interval(values):
    """Median, the narrowest interval of values that holds it in 95 of 100 cases,
    and in how many it does: of few values all are too few, so then it is fewer."""
    ordered = sorted(values)
    n = len(ordered)
    outside, rank = 2 * 0.5 ** n, 0
    while rank + 1 < n // 2:
        more = outside + 2 * math.comb(n, rank + 1) * 0.5 ** n
        if more > 0.05:
            break
        outside, rank = more, rank + 1
    return statistics.median(ordered), (ordered[rank], ordered[n - 1 - rank]), 1 - outside


def percent(value):
    return f"{value * 100:.2f} %"


def between(interval):
    return f"{interval[0] * 100:.2f} to {interval[1] * 100:.2f} %"


def figure(name, *parts):
    """What scripts/soak notes; a list of several."""
    values = [round(part * 100, 2) for part in parts]
    print(f"figure: {name}={values if len(parts) > 1 else values[0]}")


def main():
    path, what, limit = sys.argv[1:]
    losses = []
    with open(path, encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            with_it, without = (float(word) for word in line.split())
            losses.append(loss(with_it, without))
            print(f"{what}, pair {number}: {with_it:.1f} against {without:.1f},"
                  f" a loss of {percent(losses[-1])}")
    if not losses:
        sys.exit(f"{path}: no pair")
    median, interval, sure = median_interval(losses)
    mean, around = mean_interval(losses)
    name = what.replace(" ", "_")
    figure(f"{name}_loss_percent", median)
    figure(f"{name}_loss_interval_percent", *interval)
    if len(losses) < JUDGED:
        print(f"{what}, {len(losses)} pairs, not judged: median loss {percent(median)}")
        return
    print(f"{what}, {len(losses)} pairs: median loss {percent(median)}, {sure * 100:.1f} % interval"
          f" {between(interval)}; mean {percent(mean)}, 95 % interval {between(around)}")
    sys.exit(median * 100 > float(limit))


if __name__ == "__main__":
    main()
