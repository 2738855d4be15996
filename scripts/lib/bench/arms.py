# SPDX-License-Identifier: GPL-2.0-only
"""What is compared. Each arm makes a swap device in the client, and unmakes it.

A site is where: one guest that is all, or a client and donors. It has the nodes
`client` and `donors(count)`, each with an address and with `run` and `script`, the
device's size `swap_mib` with slabs of `slab_mib`, and a disk for backups.
"""


class Arm:
    """What an arm is unless it says otherwise."""

    donors = 1
    zeros = 0           # percent of each page; the rest does not compress
    iops = None         # that the client's own disk is held to

    def down(self, site):
        """Leave nothing of it, no memory either; its swap is off already."""


class Infiniswap(Arm):
    """/dev/infiniswap0, over daemons of its own."""

    device = "/dev/infiniswap0"
    stat = "/sys/block/infiniswap0/stat"

    def __init__(self, redundancy, integrity=True, donors=1, slab_mib=None):
        self._redundancy = redundancy
        self._integrity = integrity
        self._slab_mib = slab_mib
        self.donors = 2 if redundancy == "mirror" else donors

    def up(self, site):
        slab_mib = self._slab_mib or site.slab_mib
        size_mib = max(site.swap_mib, slab_mib)
        donors = site.donors(self.donors)
        for donor in donors:
            donor.run("/lab/bin/daemon-up", "--bind", donor.address,
                      "--memory", f"{size_mib + site.slab_mib}M",
                      "--slab-size", f"{slab_mib}M", "--prepare", "1")
        attributes = [f"size={size_mib}M", f"slab_size={slab_mib}M",
                      f"integrity={int(self._integrity)}", f"redundancy={self._redundancy}"]
        if self._redundancy == "backup":
            attributes.append(f"backup={site.backup_disk()}")
        site.client.run("/lab/bin/swap-on", "infiniswap0", *attributes, "--",
                        *(f"donor{number}={donor.address}"
                          for number, donor in enumerate(donors, 1)))

    def down(self, site):
        site.client.run("/lab/bin/swap-off infiniswap0 && rmmod infiniswap")
        for donor in site.donors(self.donors):
            donor.script("daemon-down")


class NvmeRdma(Arm):
    """The kernel's own NVMe over RDMA, to a RAM disk of the donor."""

    device = "/dev/nvme0n1"
    # The path's, which has them; the multipath device above it counts nothing.
    stat = "/sys/block/nvme0c0n1/stat"

    def __init__(self, *options):
        self._options = options

    def up(self, site):
        donor, = site.donors(1)
        donor.script("nvmet-up", donor.address, str(site.swap_mib))
        site.client.run("modprobe", "nvme-rdma", *self._options)
        site.client.script("nvme-swap-on", donor.address)

    def down(self, site):
        donor, = site.donors(1)
        site.client.run("nvme disconnect --nqn=ram >/dev/null && rmmod nvme-rdma")
        donor.script("nvmet-down")


class Nbd(Arm):
    """The kernel's NBD client over TCP, to nbd-server and a RAM disk of the donor."""

    device = "/dev/nbd0"

    def up(self, site):
        donor, = site.donors(1)
        donor.script("nbd-up", str(site.swap_mib))
        site.client.script("nbd-swap-on", donor.address)

    def down(self, site):
        donor, = site.donors(1)
        site.client.run("nbd-client -d /dev/nbd0 >/dev/null && rmmod nbd")
        donor.script("nbd-down")


class Zram(Arm):
    """Compressed in the client's own memory, of which it takes some."""

    donors = 0
    device = "/dev/zram0"

    def __init__(self, zeros):
        self.zeros = zeros

    def up(self, site):
        site.client.run(f"modprobe zram && echo {site.swap_mib}M >/sys/block/zram0/disksize"
                        f" && mkswap {self.device} >/dev/null && swapon {self.device}")

    def down(self, site):
        site.client.run("rmmod zram")


class Disk(Arm):
    """The client's own disk, as slow next to RDMA as an SSD is on hardware: held to so many I/Os."""

    donors = 0
    device = "/dev/disk/by-id/virtio-lab-disk"

    def __init__(self, iops):
        self.iops = iops

    def up(self, site):
        site.client.script("disk-swap-on", "0")


class RamDisk(Arm):
    """A RAM disk as swap: what all arms have in common, with a network that is free."""

    donors = 0
    device = "/dev/ram0"
    stat = "/sys/block/ram0/stat"

    def up(self, site):
        site.client.script("brd-up", str(site.swap_mib))
        site.client.run(f"mkswap {self.device} >/dev/null && swapon {self.device}")

    def down(self, site):
        site.client.run("rmmod brd")


BASELINE = "nvme-rdma"
TUNED = "nvme-rdma-tuned"
# Reads of one segment need no registration then; writes are sent with the command anyway. Without
# write-back throttling, which our udev rule switches off, its page-outs would merge: see performance.md.
_NVME_TUNED = NvmeRdma("register_always=N")
INSTRUCTIONS = {        # where instructions are counted
    "none": Infiniswap("none"),
    "no-integrity": Infiniswap("none", integrity=False),
    "mirror": Infiniswap("mirror"),
    "backup": Infiniswap("backup"),
    BASELINE: NvmeRdma(),
    TUNED: _NVME_TUNED,
    "ram-disk": RamDisk(),
}
TIMES = {               # where time is taken
    "none": Infiniswap("none"),
    BASELINE: NvmeRdma(),
    "nbd": Nbd(),
    "mirror": Infiniswap("mirror"),
    "backup": Infiniswap("backup"),
    "no-integrity": Infiniswap("none", integrity=False),
    TUNED: _NVME_TUNED,
    "zram": Zram(70),
    "zram-incompressible": Zram(0),
    # 20 times a 4 KiB RDMA READ, which takes 0.52 ms here: 100 us and 5 us on hardware.
    "ssd": Disk(95),
    "ram-disk": RamDisk(),
}
FULL = {
    **TIMES,
    **{f"none-{donors}-donors": Infiniswap("none", donors=donors) for donors in (2, 3, 4)},
    **{f"none-slab-{mib}M": Infiniswap("none", slab_mib=mib) for mib in (1, 4, 64, 256, 1024)},
    "hard-disk": Disk(2),
}
