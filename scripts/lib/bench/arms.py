# SPDX-License-Identifier: GPL-2.0-only
"""What is compared. Each arm makes a swap device in the guest and says where its counters are."""

SWAP_MIB = 16       # small, for one operation fills it
_ADDRESSES = ("10.7.0.1", "10.7.0.2")   # the guest's own, and one more for a second donor


class Infiniswap:
    """/dev/infiniswap0, its donors being daemons in the same guest."""

    stat = "/sys/block/infiniswap0/stat"

    def __init__(self, redundancy, integrity=True):
        self.redundancy = redundancy
        self.integrity = integrity

    def up(self, guest):
        donors = _ADDRESSES[:2 if self.redundancy == "mirror" else 1]
        guest.run(f"ip address replace {_ADDRESSES[1]}/24 dev eth0")
        for address in donors:
            guest.run("/lab/bin/daemon-up", "--bind", address, "--memory", f"{2 * SWAP_MIB}M",
                      "--slab-size", f"{SWAP_MIB}M", "--prepare", "1")
        attributes = [f"size={SWAP_MIB}M", f"slab_size={SWAP_MIB}M",
                      f"integrity={int(self.integrity)}", f"redundancy={self.redundancy}"]
        if self.redundancy == "backup":
            guest.script("brd-up", str(2 * SWAP_MIB))
            attributes.append("backup=/dev/ram0")
        guest.run("/lab/bin/swap-on", "infiniswap0", *attributes, "--",
                  *(f"donor{number}={address}" for number, address in enumerate(donors, 1)))


class NvmeRdma:
    """The kernel's own NVMe over RDMA, to a RAM disk in the same guest."""

    # The path's, which has them; the multipath device above it counts nothing.
    stat = "/sys/block/nvme0c0n1/stat"

    def up(self, guest):
        guest.script("nvmet-up", _ADDRESSES[0], str(SWAP_MIB))
        guest.script("nvme-swap-on", _ADDRESSES[0])


class RamDisk:
    """A RAM disk as swap: what all arms have in common, with a network that is free."""

    stat = "/sys/block/ram0/stat"

    def up(self, guest):
        guest.script("brd-up", str(SWAP_MIB))
        guest.run("mkswap /dev/ram0 >/dev/null && swapon /dev/ram0")


BASELINE = "nvme-rdma"
ARMS = {
    "none": Infiniswap("none"),
    "no-integrity": Infiniswap("none", integrity=False),
    "mirror": Infiniswap("mirror"),
    "backup": Infiniswap("backup"),
    BASELINE: NvmeRdma(),
    "ram-disk": RamDisk(),
}
