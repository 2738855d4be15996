# SPDX-License-Identifier: GPL-2.0-only
"""This checkout's own build as a disk: what changes between two boots, and nothing else.

The guests stack it over the shared image, so it holds files where they belong:
the module with a fresh index of all modules, the daemon and the tool, programs
of the tests, the guest's side of the lab, and libraries that the image lacks.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

from . import LabError
from .image import CHECKOUT, GUEST_SOURCES, depmod, make_disk

PROGRAMS = {
    "infiniswapd": CHECKOUT / "build/infiniswapd",
    "infiniswapctl": CHECKOUT / "build/infiniswapctl",
}
TEST_PROGRAMS = CHECKOUT / "build/tests/guest"
_LIBRARY = re.compile(r"^\s+(\S+) => (/\S+) \(0x|^\s+(/\S+) \(0x", re.M)


def module(release):
    """Where make puts the module for the kernel of that release."""
    return CHECKOUT / "build/modules" / release / "infiniswap.ko"


@contextlib.contextmanager
def locked():
    """One lab of a checkout builds, or takes what is built, at a time."""
    descriptor = os.open(CHECKOUT, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make(kdir, say):
    """Run the checkout's own make for the lab's kernel; quiet unless it fails."""
    if not (CHECKOUT / "Makefile").exists():
        return
    say("building")
    jobs = len(os.sched_getaffinity(0))
    result = subprocess.run(["make", "-s", f"-j{jobs}", f"KDIR={kdir}", "all", "guest-programs"],
                            cwd=CHECKOUT, text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if result.returncode:
        tail = "\n".join(result.stdout.splitlines()[-60:])
        raise LabError(f"make KDIR={kdir} failed with status {result.returncode}"
                       f" (lab up --no-build takes what is there):\n{tail}")


def make_build_disk(image, scratch, nodes, say):
    """Make the disk in the scratch directory; returns its path and what is on it."""
    root = scratch / "build"
    release = image.kernel.release
    shutil.copytree(GUEST_SOURCES / "guest", root / "lab/bin")
    (root / "lab/lib").mkdir()
    (root / "lab/bin/stage2").rename(root / "lab/lib/stage2")
    _hosts(root, nodes)
    built = module(release)
    found = {"module": built.exists(),
             **{name: path.exists() for name, path in PROGRAMS.items()}}

    if found["module"]:
        _add_module(built, root, image, scratch)
    (root / "usr/sbin").mkdir(parents=True, exist_ok=True)
    for name, path in PROGRAMS.items():
        if found[name]:
            shutil.copy(path, root / "usr/sbin" / name)
    if TEST_PROGRAMS.is_dir():
        for path in TEST_PROGRAMS.iterdir():
            if path.is_file() and os.access(path, os.X_OK):
                shutil.copy(path, root / "lab/bin" / path.name)
    for name, there in found.items():
        if not there:
            say(f"no {built if name == 'module' else PROGRAMS[name]}: guests go without")

    _add_libraries(root, image)
    disk = scratch / "build.img"
    make_disk(root, disk, "lab-build", spare_mib=2)
    shutil.rmtree(root)
    return disk, found


def _hosts(root, nodes):
    (root / "etc").mkdir()
    lines = ["127.0.0.1 localhost"] + [f"{node['address']} {node['name']}" for node in nodes]
    (root / "etc/hosts").write_text("\n".join(lines) + "\n")


def _add_module(built, root, image, scratch):
    """The module, without its debug information, and an index that knows it."""
    release = image.kernel.release
    # depmod wants to see all modules, the disk only needs the new ones.
    tree = scratch / "modules"
    shutil.copytree(image.modules, tree)
    modules = tree / "lib/modules" / release
    (modules / "extra").mkdir()
    target = modules / "extra/infiniswap.ko"
    strip = subprocess.run(["strip", "-g", "-o", target, built],
                           capture_output=True, text=True, check=False)
    if strip.returncode:
        raise LabError(f"strip -g {built}: {strip.stderr.strip()}")
    depmod(tree, release)
    final = root / "usr/lib/modules" / release
    (final / "extra").mkdir(parents=True)
    shutil.move(target, final / "extra/infiniswap.ko")
    for path in modules.glob("modules.*"):
        shutil.move(path, final / path.name)
    shutil.rmtree(tree)


def _is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def _add_libraries(root, image):
    """Whatever shared libraries the programs need and the image has not."""
    in_image = set(image.files.read_text().splitlines())
    programs = [path for part in ("usr/sbin", "lab/bin") for path in (root / part).iterdir()
                if _is_elf(path)]
    for program in programs:
        listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        if "not found" in listing.stdout:
            raise LabError(f"{program.name} needs a library that this machine has not:\n"
                           + listing.stdout.rstrip())
        for name, path, bare in _LIBRARY.findall(listing.stdout):
            source = Path(path or bare)
            name = name or source.name
            places = [f"usr/lib/x86_64-linux-gnu/{name}", f"usr/lib/{name}", f"usr/lib64/{name}"]
            target = root / places[0]
            if not any(place in in_image for place in places) and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source.resolve(), target)
