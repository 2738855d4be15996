# SPDX-License-Identifier: GPL-2.0-only
"""The kernel 6.1-debug: Debian's sources, configured to find bugs, built into the cache.

A small configuration (debug.config) of what guests need, with KASAN, UBSAN, lockdep,
kmemleak, debug objects and fault injection. The entry is named by configuration and
sources; it has the form of Debian's packages, so image and module are made as for those.
"""

import os
import shutil
import subprocess
from pathlib import Path

from . import LabError, cache
from .image import CHECKOUT, hashed
from .kernel import DEBUG, Kernel, source_tarball

_CONFIG = Path(__file__).with_name("debug.config")
_LAYOUT = 1             # of what _unpack makes: another number, another entry
_BUILD_MIB = 4000
# Guests enter the kernel by PVH, in C that calls memcmp(), before there is a shadow that
# KASAN could look into.
_NO_KASAN = ("KASAN_SANITIZE_enlighten.o=n", "KASAN_SANITIZE_string.o=n")
_LOG_LINES = 40

# What a module's build wants of a kernel's tree, as scripts/package/builddeb has it.
_HEADERS = r"""
{
    find . arch/x86 -maxdepth 1 -name 'Makefile*'
    find include scripts \( -type f -o -type l \) ! -name '*.o' ! -name '.*.cmd'
    find arch/x86 -name Kbuild.platforms -o -name Platform
    find $(find arch/x86 -name include -o -name scripts -type d) -type f
    find Kconfig .config Module.symvers tools/objtool/objtool
} | tar -c -T - | tar -x -C "$1"
"""


class DebugKernel(Kernel):
    """A kernel that says when something is wrong with it."""

    def __init__(self):
        super().__init__(DEBUG)

    def _entry(self):
        tarball = source_tarball()
        status = tarball.stat()         # its time is that of Debian's build
        return f"{DEBUG}-" + hashed(_CONFIG, tarball.name, status.st_size,
                                    int(status.st_mtime), _LAYOUT)

    def _unpack(self, root):
        cache.require_space(_BUILD_MIB, f"to build kernel {DEBUG}")
        if subprocess.run([CHECKOUT / "scripts/setup", "packages", "kernel"],
                          check=False).returncode:
            raise LabError(f"packages that kernel {DEBUG} is built with are missing, see above")
        with cache.scratch("kernel-debug") as tree:
            cache.say("unpacking the kernel's sources")
            _run(["tar", "-x", "-f", source_tarball(), "--strip-components=1"], tree)
            _configure(tree)
            cache.say(f"building kernel {DEBUG}: once, for 15 to 20 minutes on two cores")
            _make(tree, f"-j{len(os.sched_getaffinity(0))}", *_NO_KASAN, "vmlinux", "modules")
            _install(tree, root)


def _run(argv, cwd):
    """Run one step of the build; LAB_BUILD_IDLE: only when nobody else wants a core."""
    if os.environ.get("LAB_BUILD_IDLE"):
        argv = ["chrt", "--idle", "0", "nice", "-n", "19", *argv]
    # We may be make's own child: its flags and variables are for another build.
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
    result = subprocess.run(argv, cwd=cwd, env=dict(environment, LC_ALL="C"),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode:
        tail = "\n".join(result.stdout.splitlines()[-_LOG_LINES:])
        raise LabError(f"kernel {DEBUG}: {' '.join(map(str, argv))} failed:\n{tail}")
    return result.stdout


def _make(tree, *arguments):
    return _run(["make", "-s", *arguments], tree)


def _configure(tree):
    """Make the configuration, and see that it has what debug.config asks for."""
    _make(tree, f"KCONFIG_ALLCONFIG={_CONFIG}", "allnoconfig")
    made = set((tree / ".config").read_text().splitlines())
    missing = [line for line in _CONFIG.read_text().splitlines()
               if (line.startswith("CONFIG_") or line.endswith("is not set")) and line not in made]
    if missing:
        raise LabError(f"kernel {DEBUG} cannot be configured so: {', '.join(missing)}")


def _install(tree, root):
    """Leave what guests boot and what modules are built with."""
    release = _make(tree, "kernelrelease").strip()
    _run(["strip", "-s", "-o", root / "vmlinux", "vmlinux"], tree)
    (root / "boot").mkdir()
    shutil.copy(tree / "System.map", root / f"boot/System.map-{release}")
    shutil.copy(tree / ".config", root / f"boot/config-{release}")
    _make(tree, f"INSTALL_MOD_PATH={root}", "modules_install")
    headers = root / f"usr/src/linux-headers-{release}"
    headers.mkdir(parents=True)
    _run(["sh", "-ec", _HEADERS, "headers", headers], tree)
    for link in ("build", "source"):
        path = root / "lib/modules" / release / link
        path.unlink(missing_ok=True)
        path.symlink_to(Path("../../..") / headers.relative_to(root))
    (root / "release").write_text(release + "\n")
