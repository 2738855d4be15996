# SPDX-License-Identifier: GPL-2.0-only
"""scripts/demo: redis on remote memory and on disks, one after the other."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


class Failed(Exception):
    """A step did not work; the text says which and why."""


class Hung(Failed):
    """Nothing was heard from a guest for too long."""


class OutOfTime(Failed):
    """The demo's own time limit is reached."""
