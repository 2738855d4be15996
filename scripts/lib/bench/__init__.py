# SPDX-License-Identifier: GPL-2.0-only
"""scripts/bench: what swapping to remote memory costs, against what else could be used."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
SCRIPTS = CHECKOUT / "tests/bench/guest"


class Failed(Exception):
    """A step did not work; the text says which and why."""
