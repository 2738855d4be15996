# SPDX-License-Identifier: GPL-2.0-only
"""The ways to swap that are compared, and what each says about itself afterwards."""

import json

from . import CHECKOUT

SWAP_MIB = 512
SLAB_MIB = 16
DONORS = 2
_SCRIPTS = CHECKOUT / "tests/bench/guest"


class Infiniswap:
    """/dev/infiniswap0 over all donors."""

    name = "infiniswap"
    up_options = ()

    def swap_on(self, guests):
        guests.lab("swap", "on", "--size", f"{SWAP_MIB}M", "--slab-size", f"{SLAB_MIB}M")

    def donor_ticks(self, guests):
        """User-space CPU time of all daemons so far, in clock ticks."""
        read = "cat /proc/$(pidof infiniswapd)/stat"
        ticks = 0
        for number in range(1, DONORS + 1):
            stat = guests.run(f"donor{number}", read)
            # Field 14 of proc(5); the name, field 2, may hold blanks.
            ticks += int(stat.rpartition(")")[2].split()[11])
        return ticks

    def facts(self, guests):
        donors = json.loads(guests.run("client", "infiniswapctl", "donors", "--json"))["donors"]
        status = json.loads(guests.run("client", "infiniswapctl", "show", "infiniswap0",
                                       "--json"))["status"]
        return {"slabs": {donor["donor"]: donor["slabs"] for donor in donors},
                "errors": status["read_errors"] + status["write_errors"]}


class NvmeRdma:
    """NVMe over RDMA to a RAM disk of one donor, by the kernel's own client and target."""

    name = "nvme-rdma"
    up_options = ("--no-daemon",)

    def swap_on(self, guests):
        address = guests.run("donor1", "ip -4 -o address show dev eth0"
                                       " | sed 's|.* inet \\([0-9.]*\\)/.*|\\1|'")
        guests.put("donor1", _SCRIPTS / "nvmet-up")
        guests.run("donor1", "/run/nvmet-up", address, str(SWAP_MIB))
        guests.put("client", _SCRIPTS / "nvme-swap-on")
        guests.run("client", "/run/nvme-swap-on", address)

    def donor_ticks(self, _):
        return None     # no user-space program takes part

    def facts(self, _):
        return {}


ARMS = {arm.name: arm for arm in (Infiniswap, NvmeRdma)}
