# SPDX-License-Identifier: GPL-2.0-only
"""A redis server in the client, and redisload, which drives it."""

import json

from . import GUEST_SCRIPTS, Failed, Hung

VALUE_BYTES = 4080      # with redis' own bytes one page of its allocator
_NO_ANSWER = 3          # exit status of redisload


class Redis:
    """The client's server with KEYS values that follow from the seed, ZEROS percent of them zeros."""

    def __init__(self, guests, keys, seed, zeros=0):
        self._guests = guests
        self._keys = keys
        self._values = ("-z", str(VALUE_BYTES), "-s", str(seed), "-Z", str(zeros))
        self.said = None    # by redisload at its end, wrong values and all

    def up(self, *before):
        """Start it, by the command BEFORE if there is one."""
        self._guests.put("client", GUEST_SCRIPTS / "redis-up")
        self._guests.run("client", *before, "/run/redis-up")

    def load(self, verb, *options, on_percent=lambda percent: None):
        """redisload; returns what it says at its end. ON_PERCENT hears how far it is."""
        command = ["redisload", "-u", "/run/redis.socket", "-n", str(self._keys),
                   *self._values, *options, verb]
        said = []

        def on_line(line):
            words = line.split()
            if words[:1] == [verb]:
                done, _, of = words[1].partition("/")
                on_percent(100 * int(done) // int(of))
            else:
                said.append(line)

        self.said = None
        status, output = self._guests.follow("client", command, on_line)
        if output:
            self.said = json.loads(output)
        if status == _NO_ANSWER:
            raise Hung(" ".join(said))
        if status:
            raise Failed(f"{verb}: {' '.join(said[:3]) or output} (status {status})")
        return self.said
