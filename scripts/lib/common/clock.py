# SPDX-License-Identifier: GPL-2.0-only
"""A limit of time."""

import time

from . import OutOfTime


class Clock:
    """Seconds since the start, and how many are left; WHAT has the limit, as messages say it."""

    def __init__(self, limit, what):
        self._start = time.monotonic()
        self._what = what
        self.limit = limit

    def spent(self):
        return time.monotonic() - self._start

    def left(self):
        return self.limit - self.spent()

    def check(self):
        if self.left() <= 0:
            raise OutOfTime(f"{self._what}: the limit of {self.limit:.0f} s is reached")
