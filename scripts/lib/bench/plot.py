# SPDX-License-Identifier: GPL-2.0-only
"""Pictures of the times, by gnuplot."""

import subprocess

from common import Failed

from . import times_report

# File, load, title and y axis, whether it is logarithmic, figures and what they are called.
PICTURES = (
    ("page-in", "page-in", "page faults at random", "microseconds", True,
     (("p50_us", "median"), ("p99_us", "p99"), ("p999_us", "p99.9"))),
    ("storm", "storm", "page faults beside a storm of page-outs", "microseconds", True,
     (("p50_us", "median"), ("p99_us", "p99"), ("p999_us", "p99.9"))),
    ("swap", "swap", "pages in and out, four processes", "a second", True,
     (("pages_s", "pages"),)),
    ("redis", "redis-50", "a read of redis at 50 %, beyond all in memory", "microseconds", True,
     (("beyond_us", "beyond"),)),
    ("sort", "sort-50", "a sort in half of its memory, beyond all in memory", "seconds", True,
     (("beyond_s", "beyond"),)),
    ("graph", "graph-50", "walks through a graph in half of its memory, beyond all in memory",
     "seconds", True, (("beyond_s", "beyond"),)),
)


def script(entries, arms, picture, output):
    """For gnuplot, or nothing if no arm has a figure. Its data are in it."""
    _, load, title, unit, logarithmic, figures = picture
    rows = [(arm, [times_report.median(entries, arm, load, name) for name, _ in figures])
            for arm in arms]
    rows = [(arm, found) for arm, found in rows if None not in found]
    if not rows:
        return None
    lines = ['set terminal svg size 1000,500 background "white"', f'set output "{output}"',
             f'set title "{title}"', f'set ylabel "{unit}"',
             "set style data histograms", "set style fill solid 0.6", "set xtics rotate by -30",
             "set logscale y" if logarithmic else "set yrange [0:*]", "$figures << END",
             *(f'"{arm}" ' + " ".join(f"{value:.1f}" for value in found) for arm, found in rows),
             "END", "plot " + ", ".join(
                 f'$figures using {column}:xtic(1) title "{name}"'
                 for column, (_, name) in enumerate(figures, 2))]
    return "\n".join(lines) + "\n"


def draw(entries, arms, out, prefix):
    """Returns the names of the files."""
    drawn = []
    for picture in PICTURES:
        name = f"{prefix}-{picture[0]}.svg"
        text = script(entries, arms, picture, out / name)
        if not text:
            continue
        result = subprocess.run(["gnuplot"], input=text, capture_output=True, text=True,
                                check=False)
        if result.returncode:
            raise Failed(f"gnuplot: {result.stderr.strip()}")
        drawn.append(name)
    return drawn
