# SPDX-License-Identifier: GPL-2.0-only
"""The ways to swap that are compared, and what each says about itself afterwards."""

import json
import statistics

from common import GUEST_SCRIPTS, Failed

DEVICE = "infiniswap0"
SWAP_MIB = 512
SLAB_MIB = 16
DONORS = 2
STOP_SECONDS = 6
_READS = 1000       # pages that the READ time is taken of

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


class Arm:
    """What an arm is unless it says otherwise."""

    donors = DONORS
    up_options = ("--disk", "none")
    verified = True         # every value, before the random reads
    while_stopped = None    # no user-space program takes part

    def prepare(self, results):
        """Before anything is booted; RESULTS are those of the arms before."""

    def before_reads(self, guests):
        """Values are loaded, random reads come next."""

    def facts(self, _):
        """What to add to the result."""
        return {}


class Infiniswap(Arm):
    """/dev/infiniswap0 over all donors."""

    name = "infiniswap"

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
                "errors": status["read_errors"] + status["write_errors"],
                "rdma_read_us": self._rdma_read_us(guests)}

    def _rdma_read_us(self, guests):
        """The median of single 4 KiB RDMA READs while redis rests."""
        guests.put("client", GUEST_SCRIPTS / "read-latency")
        times = guests.run("client", "/run/read-latency", str(_READS)).split()
        if len(times) < _READS // 10:
            raise Failed(f"only {len(times)} of {_READS} pages were read from donors")
        return statistics.median(int(time) for time in times)


class NvmeRdma(Arm):
    """NVMe over RDMA to a RAM disk of one donor, by the kernel's own client and target."""

    name = "nvme-rdma"
    up_options = ("--disk", "none", "--no-daemon")

    def swap_on(self, guests):
        address = guests.run("donor1", "ip -4 -o address show dev eth0"
                                       " | sed 's|.* inet \\([0-9.]*\\)/.*|\\1|'")
        guests.put("donor1", GUEST_SCRIPTS / "nvmet-up")
        guests.run("donor1", "/run/nvmet-up", address, str(SWAP_MIB))
        guests.put("client", GUEST_SCRIPTS / "nvme-swap-on")
        guests.run("client", "/run/nvme-swap-on", address)


class _Disk(Arm):
    """The guest's own disk, as slow next to RDMA as on hardware.

    It is a file on this host and faster than any emulated network. So it is
    loaded at that speed, and then held to so many I/Os a second that one takes
    `slower` times an RDMA READ. Emptying it would take long: the guest is
    ended as it is, without swapoff.
    """

    donors = 0
    up_options = ("--disk", f"{SWAP_MIB}M")
    verified = False        # each value that is read at random is, at the disk's own speed

    def __init__(self):
        self._iops = None

    def prepare(self, results):
        reads = [result["rdma_read_us"] for result in results if "rdma_read_us" in result]
        if not reads:
            raise Failed(f"needs the RDMA READ time that the {Infiniswap.name} arm measures")
        self._iops = max(1, round(1e6 / (self.slower * reads[-1])))

    def swap_on(self, guests):
        guests.put("client", GUEST_SCRIPTS / "disk-swap-on")
        guests.run("client", "/run/disk-swap-on", self.rotational)

    def before_reads(self, guests):
        guests.lab("disk", "client", "iops", str(self._iops))

    def facts(self, _):
        return {"iops": self._iops, "slower": self.slower}


class Ssd(_Disk):
    """About 100 us where an RDMA READ of 4 KiB takes 5."""

    name = "ssd"
    slower = 20
    rotational = "0"


class HardDisk(_Disk):
    """About 5 ms a seek."""

    name = "hard-disk"
    slower = 1000
    rotational = "1"


ARMS = {arm.name: arm for arm in (Infiniswap, NvmeRdma, Ssd, HardDisk)}
