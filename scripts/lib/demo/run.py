# SPDX-License-Identifier: GPL-2.0-only
"""One arm: boot, swap on, load redis, verify every value, read at random.

All arms have the same client, but for what it swaps to."""

from common import Failed, Hung, OutOfTime
from common.guests import Guests
from common.redis import VALUE_BYTES, Redis

from .arms import STOP_SECONDS

CLIENT_MIB = 192
DONOR_MIB = 768
PAGE_CLUSTER = 3        # the kernel's default: up to 8 pages are read at once


class Run:
    """An arm under way; the result grows with each step, so that a part is shown too."""

    def __init__(self, arm, options, clock, progress, earlier):
        self._arm = arm()
        self._options = options
        self._clock = clock
        self._progress = progress
        self._earlier = earlier     # results of the arms before
        self._guests = Guests(clock)
        self._redis = None
        self.result = {"arm": arm.name, "outcome": "started"}

    def run(self):
        """Do it all; what goes wrong is the result's outcome."""
        try:
            self._arm.prepare(self._earlier)
            with self._guests:
                self._steps()
            self.result["outcome"] = "complete"
        except Hung as reason:
            self._fail("hung", reason)
        except OutOfTime as reason:
            self._fail("out of time", reason)
        except Failed as reason:
            self._fail("failed", reason)
        return self.result

    def _fail(self, outcome, reason):
        self.result.update(outcome=outcome, reason=str(reason))
        self._step(f"{outcome}: {reason}")

    def _step(self, text):
        self._progress.step(f"{self._arm.name}: {text}")

    def _steps(self):
        self._step(f"booting a client with {CLIENT_MIB} MiB and {self._arm.donors} donors")
        self._guests.up("--client-mem", f"{CLIENT_MIB}M", "--donor-mem", f"{DONOR_MIB}M",
                        "--donors", str(self._arm.donors),
                        "--sysctl", "vm.min_free_kbytes=8192",
                        "--sysctl", f"vm.page-cluster={PAGE_CLUSTER}", *self._arm.up_options)
        self._step("swap on")
        self._arm.swap_on(self._guests)
        self._load()
        if self._arm.verified:
            self._verify()
        self._arm.before_reads(self._guests)
        self._read()
        self._read_without_daemons()
        self.result.update(self._arm.facts(self._guests))
        self._check_logs()

    def _memory_kib(self):
        meminfo = self._guests.run("client", "cat", "/proc/meminfo")
        return int(dict(line.split(":") for line in meminfo.splitlines())["MemTotal"].split()[0])

    def _load(self):
        memory = self._memory_kib()
        keys = -(-2 * memory * 1024 // VALUE_BYTES)
        self.result.update(memory_kib=memory, keys=keys)
        self._redis = Redis(self._guests, keys, self._options.seed)
        self._redis.up()
        self._step(f"loading {keys} values, {keys * VALUE_BYTES >> 20} MiB;"
                   f" the client's MemTotal is {memory >> 10} MiB")
        self._redisload("load")

    def _verify(self):
        self._step("reading back and verifying every value")
        self._redisload("verify")

    def _read(self):
        self._step(f"random reads for {self._options.seconds} s")
        self._redisload("read", "-t", str(self._options.seconds))

    def _read_without_daemons(self):
        if not self._arm.while_stopped:
            return
        seconds = STOP_SECONDS - 2
        self._step(f"random reads for {seconds} s while the donors' daemons are stopped")

        def work():
            self._redisload("read", "-t", str(seconds), "-r", "2", key="stopped_read")

        self.result["stopped_ticks"] = self._arm.while_stopped(self._guests, work)

    def _redisload(self, verb, *options, key=None):
        """Run it, show how far it is, and keep what it says as the result's KEY."""
        def on_percent(percent):
            self._progress.update(f"{self._arm.name}: {verb} {percent} %")

        try:
            self._redis.load(verb, *options, on_percent=on_percent)
        finally:
            if self._redis.said:
                self.result[key or verb] = self._redis.said

    def _check_logs(self):
        """Reports of bugs in a guest's kernel log; the lab knows what to look for."""
        try:
            self._guests.lab("check-logs")
        except Failed as reason:
            self.result["kernel"] = str(reason)
        else:
            self.result["kernel"] = "clean"
