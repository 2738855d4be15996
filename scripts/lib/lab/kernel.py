# SPDX-License-Identifier: GPL-2.0-only
"""Debian's kernels for the guests: image, modules, headers and sources, out of the cache."""

import lzma
import os
import re
import shutil
import subprocess
import zlib
from pathlib import Path

from . import LabError, UsageError, apt, cache

# The lab's name of a kernel -> releases that are one.
KERNELS = {
    "6.1": r"6\.1\.\d+-\d+-amd64",
    "6.12": r"6\.12\.\d+\+\w+-amd64",
}
# Built here, with what finds bugs (debug.py); of the sources of _SOURCES.
DEBUG = "6.1-debug"
# What is only compiled for: the newest that Debian has, of which there are headers alone.
NEWEST = "newest"
_NEWEST_RELEASE = r"\d+\.\d+\.\d+\+\w+-amd64"

# checkpatch and kselftest are of this one's.
_SOURCES = "6.1"

# Where to look, in this order: point releases of Debian drop what backports still have.
_BOOTED_FROM = (apt.MACHINE, apt.SuiteLists("{}-backports"))
_NEWEST_FROM = (apt.SuiteLists("unstable"),)

# Parts of the module tree that no guest of the lab can have a device for.
_NO_SUCH_DEVICE = [f"./lib/modules/*/kernel/{part}" for part in (
    "sound", "drivers/gpu", "drivers/media", "drivers/staging", "drivers/hid", "drivers/iio",
    "drivers/net/wireless", "drivers/isdn", "drivers/usb", "drivers/bluetooth")]
_DOCUMENTATION = ["./usr/share/doc", "./usr/share/bug", "./usr/share/lintian"]


def require(version):
    """Refuse a kernel that the lab cannot boot, by name."""
    if version not in (*KERNELS, DEBUG):
        raise UsageError(f"kernel {version}: unknown (known: {', '.join((*KERNELS, DEBUG))})")


def bootable(version):
    """The kernel of that name, in the cache from now on."""
    require(version)
    if version == DEBUG:
        from .debug import DebugKernel
        return DebugKernel()
    return Kernel(version)


class Headers:
    """A kernel's headers in the cache: `release` is what uname -r says where it runs."""

    def __init__(self, version):
        self.version = version
        self.path = cache.entry(f"kernels/{self._entry()}", self._unpack)
        self.release = (self.path / "release").read_text().strip()
        self.kdir = self.path / f"usr/src/linux-headers-{self.release}"

    def _entry(self):
        return self.version

    def _unpack(self, root):
        cache.require_space(1200, f"kernel {self.version}")
        with cache.scratch("kernel-debs") as debs:
            release, packages = self._download(debs)
            apt.unpack(packages, root, _NO_SUCH_DEVICE + _DOCUMENTATION)
        final = cache.directory() / f"kernels/{self.version}"
        _relocate_headers(root, release, final)
        if self.version == NEWEST:
            _relocate_tools(root, final)
        (root / "release").write_text(release + "\n")

    def _download(self, into):
        return _download(_NEWEST_RELEASE, _NEWEST_FROM, (), into, ("libc6",))


class Kernel(Headers):
    """A kernel that guests boot, with modules and headers."""

    def __init__(self, version="6.1"):
        super().__init__(version)
        self.vmlinux = self.path / "vmlinux"

    def _download(self, into):
        # Image and headers are one entry: modules built against one ABI
        # number do not load into a kernel that has another.
        return _download(KERNELS[self.version], _BOOTED_FROM, ("linux-image-",), into)

    def _unpack(self, root):
        super()._unpack(root)
        release = (root / "release").read_text().strip()
        extract_vmlinux(root / f"boot/vmlinuz-{release}", root / "vmlinux")
        subprocess.run(["depmod", "-b", root, release], check=True, stderr=subprocess.DEVNULL)

    def modules_for(self, names):
        """Paths of these modules and all they need, relative to lib/modules/RELEASE."""
        base = self.path / "lib/modules" / self.release
        found = {}
        for name in names:
            result = subprocess.run(["modprobe", "-d", self.path, "-S", self.release,
                                     "--show-depends", name],
                                    capture_output=True, text=True, check=False)
            if result.returncode:
                raise LabError(f"kernel {self.release} has no module {name}: "
                               f"{result.stderr.strip()}")
            for line in result.stdout.splitlines():
                if line.startswith("insmod "):
                    path = Path(line.split()[1])
                    found[str(path.relative_to(base))] = path
        return found


def _download(pattern, places, parts, into, others=()):
    """The newest release like PATTERN of the first place that has one: headers, PARTS, OTHERS."""
    reasons = []
    for lists in places:
        def look(lists=lists):
            release = _newest_release(lists, pattern, parts)
            headers = f"linux-headers-{release}"
            cache.say(f"downloading kernel {release}")
            return release, lists.download([
                headers, lists.dependency(headers, r"linux-headers-\S+-common"),
                lists.dependency(headers, r"linux-kbuild-\S+"),
                *(part + release for part in parts), *others], into)
        try:
            return lists.fresh(look)
        except LabError as error:
            reasons.append(str(error))
    raise LabError("\n".join(reasons))


def _newest_release(lists, pattern, parts):
    """The newest release like PATTERN that has headers and PARTS."""
    prefix = "linux-headers-"
    found = {name[len(prefix):] for name in lists.names(prefix)
             if re.fullmatch(pattern, name[len(prefix):])}
    for part in parts:
        found &= {name[len(part):] for name in lists.names(part)}
    if not found:
        raise LabError(f"apt knows no kernel like {pattern}")
    return max(found, key=lambda release: [int(part) for part in re.findall(r"\d+", release)])


def _relocate_headers(root, release, final):
    """Debian's headers expect to live in /usr/src; make them work in the cache."""
    headers = root / f"usr/src/linux-headers-{release}"
    makefile = headers / "Makefile"
    text = makefile.read_text()
    makefile.write_text(text.replace("/usr/src/", f"{final}/usr/src/"))
    modules = root / f"lib/modules/{release}"
    for link in (modules / "build", modules / "source"):
        if not link.is_symlink():
            continue
        target = Path(os.readlink(link))
        link.unlink()
        link.symlink_to(Path("../../..") / target.relative_to("/"))


def _relocate_tools(root, final):
    """Let the build's tools run on the C library they want where this machine's is too old."""
    libraries = "usr/lib/x86_64-linux-gnu"
    tools = [path for path in root.glob("usr/lib/linux-kbuild-*/**/*")
             if path.is_file() and not path.is_symlink() and os.access(path, os.X_OK)]
    for path in tools:
        listing = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
        if "GLIBC_" not in listing.stdout + listing.stderr:
            continue
        real = path.with_name(path.name + ".elf")
        path.rename(real)
        # Only the C library is from there: what else they need, make needs too.
        path.write_text(f"""#!/bin/sh
exec {final}/{libraries}/ld-linux-x86-64.so.2 --library-path \\
\t{final}/{libraries}:/{libraries}:/lib/x86_64-linux-gnu {final}/{real.relative_to(root)} "$@"
""")
        path.chmod(0o755)


def extract_vmlinux(bzimage, out):
    """Unpack the kernel: the guests then need not, which saves over two seconds a boot."""
    data = Path(bzimage).read_bytes()
    for magic, decompress in (
            (b"\xfd7zXZ\0", lambda part: lzma.LZMADecompressor().decompress(part)),
            (b"\x28\xb5\x2f\xfd", _zstd),
            (b"\x1f\x8b\x08", lambda part: zlib.decompressobj(31).decompress(part))):
        start = data.find(magic)
        while start >= 0:
            try:
                image = decompress(data[start:])
            except (lzma.LZMAError, zlib.error):
                image = b""
            if image.startswith(b"\x7fELF"):
                Path(out).write_bytes(image)
                return
            start = data.find(magic, start + 1)
    raise LabError(f"{bzimage}: no compressed kernel found in it")


def _zstd(part):
    return subprocess.run(["zstd", "-dcq"], input=part, capture_output=True, check=False).stdout


def source_tarball():
    """Debian's linux-source, packed as it comes."""
    package = f"linux-source-{_SOURCES}"

    def fetch(root):
        cache.require_space(400, package)
        cache.say(f"downloading {package}")
        with cache.scratch("source-deb") as work:
            apt.unpack(apt.MACHINE.fresh(
                lambda: apt.MACHINE.download([package], work)), work)
            tarballs = list(work.glob(f"usr/src/{package}.tar.*"))
            if len(tarballs) != 1:
                raise LabError(f"{package}: expected one tarball in it, found {len(tarballs)}")
            shutil.move(tarballs[0], root / tarballs[0].name)

    source = cache.entry(f"sources/{_SOURCES}", fetch)
    return next(source.glob(f"{package}.tar.*"))


def source_files(paths):
    """Take files out of Debian's linux-source once; return the tree that holds them."""
    package = f"linux-source-{_SOURCES}"
    tarball = source_tarball()
    tree = tarball.parent / "tree"
    with cache.locked(f"sources/{_SOURCES}-tree"):
        missing = [path for path in paths if not (tree / path).exists()]
        if missing:
            cache.say(f"taking {' '.join(missing)} out of {package}")
            _extract(tarball, missing, tree, package)
    return tree


def _extract(tarball, paths, tree, package):
    with cache.scratch("source-files") as work:
        result = subprocess.run(["tar", "-x", "-f", tarball, "-C", work, "--strip-components=1",
                                 *(f"{package}/{path}" for path in paths)],
                                capture_output=True, text=True, check=False)
        for path in paths:
            if not (work / path).exists():
                raise LabError(f"{package} has no {path}: {result.stderr.strip()[-300:]}")
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            if (work / path).is_dir():
                shutil.copytree(work / path, tree / path, symlinks=True)
            else:
                # A reader in another process sees the old name or all of the file.
                os.rename(work / path, tree / path)
