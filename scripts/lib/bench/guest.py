# SPDX-License-Identifier: GPL-2.0-only
"""The one guest of a measurement: client, donors and Soft-RoCE in it.

Its clock counts instructions and skips idle time, so limits of time can only be
the host's: commands in the guest have none.
"""

import contextlib
import os
import subprocess

from . import CHECKOUT, SCRIPTS, Failed

_LAB = CHECKOUT / "scripts/lab"
_LIMIT = 600        # seconds for any step, on a machine that does other things too
_MEMORY = "768M"


class Guest:
    """A context manager: it boots, and ends with the block."""

    def __init__(self, build):
        self._options = () if build else ("--no-build",)

    def __enter__(self):
        self.lab("up", "--icount", "--donors", "0", "--client-mem", _MEMORY, "--disk", "none",
                 "--owner", str(os.getpid()), *self._options)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([_LAB, "down"], stdin=subprocess.DEVNULL, capture_output=True,
                           timeout=60, check=False)

    @staticmethod
    def lab(*arguments):
        """A verb of scripts/lab; returns what it printed."""
        argv = [_LAB, *arguments]
        try:
            result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True,
                                    text=True, errors="replace", timeout=_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"lab {' '.join(arguments)[:80]}: no end after {_LIMIT} s")
        if result.returncode:
            raise Failed(f"lab {' '.join(arguments)[:80]}: status {result.returncode}: "
                         + (result.stderr + result.stdout).strip())
        return result.stdout

    def run(self, *command):
        """A command in the guest; a single word is a line for sh."""
        return self.lab("exec", "--timeout", "0", "client", "--", *command)

    def script(self, name, *arguments):
        """One of tests/bench/guest."""
        self.lab("put", "client", str(SCRIPTS / name), "/run")
        return self.run(f"/run/{name}", *arguments)
