# SPDX-License-Identifier: GPL-2.0-only
"""What the command lines of both halves have in common."""

from pathlib import Path

from common import CHECKOUT


def add_common(parser):
    parser.add_argument("--no-build", dest="build", action="store_false",
                        help="take the build as it is")
    parser.add_argument("--out", default=CHECKOUT / "build/bench", type=Path, metavar="DIR",
                        help="for raw results and the report (default: build/bench)")


def chosen_of(parser, arguments, lists, positive):
    """Parse; LISTS has what each list may hold, and numbers of POSITIVE are."""
    chosen = parser.parse_args(arguments)
    for name, known in lists.items():
        values = getattr(chosen, name).split(",")
        setattr(chosen, name, values)
        for value in values:
            if value not in known:
                parser.error(f"--{name}: there is no '{value}' (known: {', '.join(known)})")
    for name in positive:
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} {getattr(chosen, name)}: must be positive")
    return chosen
