# SPDX-License-Identifier: GPL-2.0-only
"""A guest, or one of its addresses, as arms and loads see it."""

from common import GUEST_SCRIPTS


class Node:
    """NAME in the lab, at ADDRESS; GUESTS has `run` and `put`."""

    def __init__(self, guests, name, address):
        self._guests = guests
        self.name = name
        self.address = address

    def run(self, *command, **options):
        """A command; a single word is a line for sh."""
        return self._guests.run(self.name, *command, **options)

    def script(self, name, *arguments):
        """One of tests/bench/guest."""
        self.put(name)
        return self.run(f"/run/{name}", *arguments)

    def put(self, name):
        self._guests.put(self.name, GUEST_SCRIPTS / name)
