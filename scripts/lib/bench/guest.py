# SPDX-License-Identifier: GPL-2.0-only
"""The one guest where instructions are counted: client, donors and Soft-RoCE in it.

Its clock counts instructions and skips idle time, so limits of time can only be
the host's: commands in the guest have none.
"""

import os
import subprocess

from common import Failed
from common.guests import LAB, Guests

from .node import Node

_LIMIT = 600        # seconds for any step, on a machine that does other things too
_MEMORY = "768M"
_ADDRESSES = ("10.7.0.1", "10.7.0.2")   # the guest's own, and one more for a second donor


class Guest:
    """A context manager: it boots, and ends with the block."""

    swap_mib = 16       # small, for one operation fills it
    slab_mib = 16

    def __init__(self, build):
        self._options = () if build else ("--no-build",)
        self.client = Node(self, "client", _ADDRESSES[0])

    def __enter__(self):
        self.lab("up", "--icount", "--donors", "0", "--client-mem", _MEMORY, "--disk", "none",
                 "--owner", str(os.getpid()), *self._options)
        return self

    def __exit__(self, *_):
        Guests.down()

    def donors(self, count):
        self.client.run(f"ip address replace {_ADDRESSES[1]}/24 dev eth0")
        return [Node(self, "client", address) for address in _ADDRESSES[:count]]

    def backup_disk(self):
        """A RAM disk, so that what is measured is the device."""
        self.client.script("brd-up", str(2 * self.swap_mib))
        return "/dev/ram0"

    @staticmethod
    def lab(*arguments):
        """A verb of scripts/lab; returns what it printed."""
        argv = [LAB, *arguments]
        try:
            result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True,
                                    text=True, errors="replace", timeout=_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"lab {' '.join(arguments)[:80]}: no end after {_LIMIT} s")
        if result.returncode:
            raise Failed(f"lab {' '.join(arguments)[:80]}: status {result.returncode}: "
                         + (result.stderr + result.stdout).strip())
        return result.stdout

    def run(self, node, *command):
        return self.lab("exec", "--timeout", "0", node, "--", *command)

    def put(self, node, *files):
        self.lab("put", node, *map(str, files), "/run")
