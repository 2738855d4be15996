# SPDX-License-Identifier: GPL-2.0-only
"""What is going on, for the person who waits."""

import sys
import time

_EVERY = 10     # seconds between two lines of one step where there is no terminal


class Progress:
    """On a terminal one line that changes, elsewhere a line now and then."""

    def __init__(self, clock):
        self._clock = clock
        self._terminal = sys.stdout.isatty()
        self._open = False
        self._last = 0.0

    def step(self, text):
        """A step begins: always a line of its own."""
        self._end_line()
        self._write(text)
        self._last = time.monotonic()

    def update(self, text):
        """Where the step is now."""
        if not self._terminal and time.monotonic() - self._last < _EVERY:
            return
        if self._terminal:
            sys.stdout.write("\r\033[K")
            self._open = False
        self._write(text)
        self._last = time.monotonic()

    def done(self):
        self._end_line()

    def _write(self, text):
        sys.stdout.write(f"[{self._clock.spent():4.0f} s] {text}")
        self._open = True
        if not self._terminal:
            self._end_line()
        sys.stdout.flush()

    def _end_line(self):
        if self._open:
            sys.stdout.write("\n")
            sys.stdout.flush()
        self._open = False
