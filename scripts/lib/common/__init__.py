# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/demo and scripts/bench share: guests, redis in one, how a program ends."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
GUEST_SCRIPTS = CHECKOUT / "tests/bench/guest"


class Failed(Exception):
    """A step did not work; the text says which and why."""


class Hung(Failed):
    """Nothing was heard from a guest for too long."""


class OutOfTime(Failed):
    """A limit of time is reached."""
