# SPDX-License-Identifier: GPL-2.0-only
"""The lab where times are taken: one client and the donors that some arm needs, for all arms.

Arms take turns in it: one is up at a time. After a failure all guests are
replaced, for nobody knows what it left behind.
"""

import contextlib
import glob
import json
import os

from common import Failed
from common.clock import Clock
from common.guests import Guests

from .node import Node

CLIENT_MIB = 1024       # programs are held to less by cgroups; a RAM disk fits beside them
DONOR_MIB = 1536        # a slab of 1 GiB can be lent
SYSCTLS = ("vm.min_free_kbytes=8192", "vm.page-cluster=0")
_UP_SECONDS = 200       # to boot, or to make or unmake an arm
_TICK = os.sysconf("SC_CLK_TCK")


class Cluster:
    """A context manager: it boots, and ends with the block."""

    swap_mib = 512
    slab_mib = 16

    def __init__(self, donors, cpus=1):
        self._donors = donors
        self._cpus = cpus
        self._guests = None
        self._arm = None
        self._swap = False
        self.troubles = []      # that no load has: bugs that kernels report, an arm that stays

    def __enter__(self):
        self._guests = Guests(Clock(_UP_SECONDS, "booting"))
        self._boot()
        return self

    def __exit__(self, *_):
        self._keep_reports()
        self._guests.down()

    def _boot(self):
        self._guests.limit(Clock(_UP_SECONDS, "booting"))
        sysctls = [word for setting in SYSCTLS for word in ("--sysctl", setting)]
        self._guests.up("--client-mem", f"{CLIENT_MIB}M", "--donor-mem", f"{DONOR_MIB}M",
                        "--donors", str(self._donors), "--cpus", str(self._cpus),
                        "--disk", f"{self.swap_mib}M", "--no-daemon", *sysctls)
        status = json.loads(self._guests.lab("status", "--json"))
        self._session = status["broker"]
        nodes = status["nodes"]
        self.client, *self._all_donors = [
            Node(self._guests, node["name"], node["address"]) for node in nodes]
        self._arm, self._swap = None, False
        for donor in self._all_donors:
            self._guests.lab("pause", donor.name)

    def replace(self):
        """New guests: as the old ones were, and nothing in them."""
        self._keep_reports()
        self._guests.down()
        self._boot()

    def _keep_reports(self):
        try:
            self._guests.limit(Clock(60, "check-logs"))
            self._guests.lab("check-logs")
        except Failed as reason:
            self.troubles.append(str(reason))

    # ---- what an arm sees --------------------------------------------------

    def donors(self, count):
        return self._all_donors[:count]

    @staticmethod
    def backup_disk():
        return "/dev/disk/by-id/virtio-lab-disk"

    # ---- arms take turns ---------------------------------------------------

    def limit(self, seconds, what):
        """From now on so many seconds."""
        self._guests.limit(Clock(seconds, what))

    def use(self, arm):
        """Have this arm up, with its swap on, and no other. Donors that it does not need stand still."""
        if self._arm is not arm:
            self._leave()
        self.limit(_UP_SECONDS, "making the swap device")
        if self._arm is not arm:
            for donor in self.donors(arm.donors):
                self._guests.lab("resume", donor.name)
            self._arm = arm
            self._swap = True
            arm.up(self)
            if arm.iops:
                self._guests.lab("disk", "client", "iops", str(arm.iops))
        self._swap_on()

    def _leave(self):
        """Unmake the arm that is up. If that fails it is none of the next arm's."""
        if not self._arm:
            return
        arm, self._arm = self._arm, None
        self.limit(_UP_SECONDS, "unmaking the swap device")
        try:
            if arm.iops:
                self._guests.lab("disk", "client", "none")
            self._swap_off(arm)
            arm.down(self)
            for donor in self.donors(arm.donors):
                self._guests.lab("pause", donor.name)
        except Failed as reason:
            self.troubles.append(str(reason))
            self.replace()

    def free_device(self):
        """The arm's device stays, and nobody uses it until the next use()."""
        self._swap_off(self._arm)

    def _swap_off(self, arm):
        if self._swap:
            self.client.run(f"swapoff $(readlink -f {arm.device})", timeout=120)
            self._swap = False

    def _swap_on(self):
        """What was written to it meanwhile is not worth keeping, where it can be dropped."""
        if not self._swap:
            self.client.run(f"device=$(readlink -f {self._arm.device});"
                            " blkdiscard -f $device 2>/dev/null; mkswap $device >/dev/null 2>&1"
                            " && swapon $device")
            self._swap = True

    # ---- what loads need ---------------------------------------------------

    @property
    def guests(self):
        return self._guests

    def killed(self):
        """What the OOM killer of the client says, or nothing. Guests that hang say nothing."""
        try:
            self.limit(10, "asking")
            return self.client.run("dmesg | grep -i 'killed process' | tail -n 1")
        except Failed:
            return ""

    def cpu_seconds(self):
        """CPU time so far of the whole machine, and of the lab alone. What is niced gives way."""
        with open("/proc/stat", encoding="ascii") as file:
            user, _, system, _, _, irq, softirq, *_ = map(int, file.readline().split()[1:])
        lab = 0
        for path in glob.glob("/proc/[0-9]*/stat"):
            with contextlib.suppress(OSError):
                with open(path, encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
                if int(fields[3]) == self._session:     # guests and switch are of the broker's
                    lab += int(fields[11]) + int(fields[12])
        return (user + system + irq + softirq) / _TICK, lab / _TICK
