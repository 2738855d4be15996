# SPDX-License-Identifier: GPL-2.0-only
"""The ways to swap that are compared, and what each says about itself afterwards."""

import json

from . import CHECKOUT, Failed

DEVICE = "infiniswap0"
SWAP_MIB = 512
SLAB_MIB = 16
DONORS = 2
STOP_SECONDS = 6
_SCRIPTS = CHECKOUT / "tests/bench/guest"

# Field 14 of proc(5) is the user-space time; the name, field 2, has no blanks.
_STOP = f"""
pid=$(pidof infiniswapd)
kill -STOP $pid
before=$(cut -d ' ' -f 14 /proc/$pid/stat)
echo stopped
sleep {STOP_SECONDS}
echo $(($(cut -d ' ' -f 14 /proc/$pid/stat) - before))
kill -CONT $pid
"""


class Infiniswap:
    """/dev/infiniswap0 over all donors."""

    name = "infiniswap"
    up_options = ()

    def swap_on(self, guests):
        guests.lab("swap", "on", "--size", f"{SWAP_MIB}M", "--slab-size", f"{SLAB_MIB}M")

    def while_stopped(self, guests, work):
        """Do the work while no daemon can run; returns their CPU time meanwhile, in ticks.

        The CPU time of a running daemon would not tell: the kernel charges it
        with interrupts that come its way, and it answers heartbeats.
        """
        stall = f"/sys/kernel/config/infiniswap/{DEVICE}/stall_ms"
        before = guests.run("client", "cat", stall)
        guests.run("client", f"echo {4 * STOP_SECONDS}000 >{stall}")
        stopped = [guests.begin(f"donor{number}", _STOP) for number in range(1, DONORS + 1)]
        for donor in stopped:
            donor.wait_line()
        work()
        if not all(donor.is_running() for donor in stopped):
            raise Failed("the daemons ran again before the reads were done")
        ticks = sum(int(donor.wait_line()) for donor in stopped)
        guests.run("client", f"echo {before} >{stall}")
        return ticks

    def facts(self, guests):
        donors = json.loads(guests.run("client", "infiniswapctl", "donors", "--json"))["donors"]
        status = json.loads(guests.run("client", "infiniswapctl", "show", DEVICE,
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

    while_stopped = None    # no user-space program takes part

    def facts(self, _):
        return {}


ARMS = {arm.name: arm for arm in (Infiniswap, NvmeRdma)}
