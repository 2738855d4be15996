# SPDX-License-Identifier: GPL-2.0-only
"""What the guests boot: a shared read-only root of Debian packages, and a small initramfs.

Neither holds anything of the checkout's own build; that comes on a second disk
(build.py), so a rebuild of the module never means a rebuild of the image. Both are
cache entries named by a hash of all that goes into them: an image cannot be stale.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from . import LabError, apt, cache

CHECKOUT = Path(__file__).resolve().parents[3]
GUEST_SOURCES = CHECKOUT / "tests/lab"

PACKAGES = """
    bash busybox-static coreutils dash ethtool findutils gawk grep iproute2 iputils-ping kmod mount
    procps python3-minimal sed util-linux
    ibverbs-providers ibverbs-utils libibverbs1 librdmacm1 perftest rdmacm-utils
    libinih1 libjson-c5 liburing2 libsmartcols1
    e2fsprogs fio nbd-client nbd-server nvme-cli redis-server redis-tools strace stress-ng
""".split()

# Needed to find and mount the root.
BOOT_MODULES = """
    virtio_pci virtio_mmio virtio_console virtio_net virtio_blk virtio-rng crc32c_generic
    ext4 overlay
""".split()

# crc32_generic: without a "crc32" hash rdma_rxe does not load.
MODULES = BOOT_MODULES + """
    configfs crc32_generic crc32_pclmul crc32c-intel crct10dif-pclmul libcrc32c af_packet
    rdma_rxe rdma_ucm ib_uverbs ib_umad rdma_cm
    nvme-rdma nvmet-rdma nvme-tcp nvmet-tcp nbd
    brd null_blk zram loop dm-mod dm-flakey dm-delay dm-crypt
    lzo lzo-rle lz4 zstd sch_netem sch_fq dummy tun
    hmac sha256_generic
""".split()

_UNWANTED = [f"./usr/share/{part}" for part in (
    "doc", "man", "locale", "info", "lintian", "bash-completion", "bug", "X11", "zoneinfo",
    "perl5", "doc-base", "menu", "icons", "common-licenses", "stress-ng")] + \
    ["./var/lib/dpkg", "./lib/systemd", "./usr/lib/systemd", "./etc/init.d", "./etc/cron*"]

_KEEP_IMAGES = 6        # of three kernels, and of checkouts that differ


def hashed(*parts):
    """A short name for exactly this content: strings, and files by what is in them."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:16]


def compile_c(source, out, *flags):
    """Compile one of the lab's C programs for the host or, static, for the guests."""
    result = subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", *flags, "-o", out, source],
                            capture_output=True, text=True, check=False)
    if result.returncode:
        raise LabError(f"cannot compile {source}:\n{result.stderr}")


def tool(name):
    """One of the lab's host programs, compiled into the cache."""
    source = GUEST_SOURCES / f"{name}.c"
    made = cache.entry(f"tools/{name}-{hashed(source)}",
                       lambda root: compile_c(source, root / name))
    return made / name


class Image:
    """The files to boot guests of one kernel from; made if they are not there."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.root = cache.entry("images/" + hashed(
            kernel.release, kernel.path.name, PACKAGES, MODULES, _UNWANTED, Path(__file__)),
            self._make_root)
        self.path = cache.entry("boots/" + hashed(
            self.root.name, GUEST_SOURCES / "init", GUEST_SOURCES / "agent.c"), self._make_boot)
        self.vmlinux = kernel.vmlinux
        self.initramfs = self.path / "initramfs"
        self.root_disk = self.root / "root.img"
        self.modules = self.root / "modules"
        self.files = self.root / "files"
        self.locks = [self.root / "lock", self.path / "lock"]  # shared by the labs that boot from it
        os.utime(self.root)
        os.utime(self.path)

    def _make_root(self, made):
        cache.require_space(1500, "the guests' image")
        _prune("images")
        _prune("boots")
        with cache.scratch("image") as work:
            root = work / "root"
            _skeleton(root)
            cache.say("downloading the guests' packages")
            apt.unpack(apt.download_closure(PACKAGES, work), root, _UNWANTED)
            cache.say("making the guests' image")
            _finish(root)
            # The module tree stays beside the image: depmod wants to see it
            # whole when a build adds its module.
            tree = made / "modules"
            self._copy_modules(MODULES, tree)
            shutil.copytree(tree / "lib", root / "usr/lib", dirs_exist_ok=True)
            make_disk(root, made / "root.img", "lab-root")
            # For build.py, which adds the libraries that are not there.
            names = (str(path.relative_to(root)) for path in root.rglob("*"))
            (made / "files").write_text("\n".join(sorted(names)) + "\n")
            shutil.copy(root / "usr/bin/busybox", made / "busybox")

    def _make_boot(self, made):
        with cache.scratch("boot") as root:
            for name in ("bin", "dev", "proc", "sys"):
                (root / name).mkdir()
            shutil.copy(self.root / "busybox", root / "bin/busybox")
            shutil.copy(GUEST_SOURCES / "init", root / "init")
            compile_c(GUEST_SOURCES / "agent.c", root / "agent", "-static")
            self._copy_modules(BOOT_MODULES, root)
            make_cpio(root, made / "initramfs")

    def _copy_modules(self, names, root):
        """Modules with all they need, and an index of them, as lib/modules/RELEASE."""
        release = self.kernel.release
        source = self.kernel.path / "lib/modules" / release
        target = root / "lib/modules" / release
        for relative, path in self.kernel.modules_for(names).items():
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / relative)
        for name in ("modules.builtin", "modules.order", "modules.builtin.modinfo"):
            if (source / name).exists():
                shutil.copy(source / name, target / name)
        depmod(root, release)


def depmod(root, release):
    """Index ROOT/lib/modules/RELEASE."""
    result = subprocess.run(["depmod", "-b", root, release],
                            capture_output=True, text=True, check=False)
    if result.returncode:
        raise LabError(f"depmod {root} {release}: {result.stderr.strip()}")


def make_cpio(root, out):
    """An initramfs of everything below ROOT, owned by root."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    result = subprocess.run(["cpio", "-0", "-o", "-H", "newc", "--quiet", "-R", "0:0", "-F", out],
                            input="\0".join(names).encode(), cwd=root,
                            capture_output=True, check=False)
    if result.returncode:
        raise LabError(f"cpio {out}: {result.stderr.decode(errors='replace')}")


def make_disk(root, out, label, spare_mib=8):
    """A read-only ext4 image of everything below ROOT; needs no mount and no root's rights."""
    size = sum(path.lstat().st_blocks for path in root.rglob("*")) * 512
    mebibytes = (size >> 20) * 21 // 20 + spare_mib    # 5 % for ext4 itself
    result = subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal,^resize_inode", "-m", "0",
                             "-L", label, "-d", root, out, f"{mebibytes}M"],
                            capture_output=True, text=True, check=False)
    if result.returncode:
        raise LabError(f"mkfs.ext4 {out}: {result.stderr.strip()}")


def _skeleton(root):
    """The directories and links that Debian's packages expect to be there."""
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "lab/bin", "etc/nvme", "var/log",
                 "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")


def _finish(root):
    """What the packages' install scripts, which nobody ran, would have done."""
    # Busybox gives the commands that no package has. Its sh prefers its own
    # applets to programs of the same name (ip!); dash has /bin/sh already.
    applets = subprocess.run([root / "usr/bin/busybox", "--list"],
                             capture_output=True, text=True, check=True)
    for applet in applets.stdout.split():
        if not any((root / f"usr/{part}/{applet}").is_symlink() or
                   (root / f"usr/{part}/{applet}").exists() for part in ("bin", "sbin")):
            (root / "usr/bin" / applet).symlink_to("busybox")
    for name, text in (
            ("passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n"),
            ("group", "root:x:0:\nnogroup:x:65534:\n"),
            ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")):
        (root / "etc" / name).write_text(text)
    driver = root / "usr/lib/x86_64-linux-gnu/libibverbs"
    if not list(driver.glob("librxe*.so")):
        raise LabError(f"the guests' image has no verbs driver for rxe in {driver}")
    subprocess.run(["ldconfig", "-r", root], check=False, capture_output=True)


def _unused(path):
    try:
        with open(path / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _prune(kind):
    """Drop images that newer ones replaced, but not one that a running lab boots from."""
    entries = cache.directory() / kind
    if not entries.is_dir():
        return
    newest = sorted(entries.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest[_KEEP_IMAGES - 1:]:
        if _unused(path):
            shutil.rmtree(path, ignore_errors=True)
