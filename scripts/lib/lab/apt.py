# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages that are downloaded and unpacked, never installed.

apt finds the versions, checks the signatures and does the downloading; what comes
out is a plain directory tree. Nothing here changes the machine beyond refreshing
apt's package lists, and that only when a download cannot do without.
"""

import os
import re
import subprocess
from pathlib import Path

from . import LabError
from .cache import directory, say

# Downloads go to our own directory: dpkg's lock is none of our business, and the
# file need not be readable by the user that apt downloads as.
_OPTIONS = ["-q", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def _run(argv, cwd=None):
    environment = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    return subprocess.run(argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)


class Lists:
    """Package lists that apt looks into; this one is the machine's own."""

    options = ()

    def update(self):
        """Refresh them."""
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        self._update([*sudo, "apt-get", "-q", "-o", "DPkg::Lock::Timeout=600"], "")

    def _update(self, command, whose):
        say(f"refreshing apt's package lists{whose}")
        result = _run([*command, "update"])
        if result.returncode:
            raise LabError(f"apt-get update{whose} failed:\n{result.stderr.strip()[-2000:]}")

    def fresh(self, action):
        """Do it; if that fails, refresh the lists and do it once more."""
        try:
            return action()
        except LabError as first:
            try:
                self.update()
            except LabError as second:
                raise LabError(f"{first}\n{second}")
            return action()

    def names(self, prefix):
        """All packages whose names begin so."""
        return _run(["apt-cache", *self.options, "pkgnames", prefix]).stdout.split()

    def dependency(self, package, pattern):
        """The one dependency of PACKAGE whose name matches; how versioned names are looked up."""
        result = _run(["apt-cache", *self.options, "depends", "--important", package])
        found = re.findall(rf"^\s+Depends: ({pattern})$", result.stdout, re.M)
        if len(found) != 1:
            raise LabError(f"apt knows no dependency of {package} like {pattern}"
                           f" (found: {', '.join(found) or 'none'})")
        return found[0]

    def download(self, packages, into):
        """Download exactly these packages; return the files."""
        result = _run(["apt-get", *_OPTIONS, *self.options, "download", *packages], cwd=into)
        if result.returncode:
            raise LabError(f"apt-get download {' '.join(packages)} failed:\n"
                           f"{result.stderr.strip()[-2000:]}")
        return sorted(Path(into).glob("*.deb"))


class SuiteLists(Lists):
    """Lists of another suite of the machine's own Debian mirror, kept in the cache.

    The machine's apt never sees them, so nothing is ever installed from there.
    """

    def __init__(self, suite):
        """SUITE may have a place for the machine's codename: "{}-backports"."""
        self._suite = suite
        self._path = None

    @property
    def options(self):
        if not self._path:
            mirror, codename = MACHINE.fresh(_mirror)
            suite = self._suite.format(codename)
            self._path = directory() / "apt" / suite
            (self._path / "lists/partial").mkdir(parents=True, exist_ok=True)
            (self._path / "sources.list").write_text(
                f"deb [signed-by={_KEYRING}] {mirror} {suite} main\n")
        return ("-o", f"Dir::Etc::sourcelist={self._path}/sources.list",
                "-o", "Dir::Etc::sourceparts=-", "-o", f"Dir::State::lists={self._path}/lists",
                "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")

    def update(self):
        self._update(["apt-get", *_OPTIONS, *self.options, "-o", "APT::Update::Error-Mode=any"],
                     f" of {self._suite.format('Debian')}")


MACHINE = Lists()


def _mirror():
    """Where the machine's apt gets Debian from, and the codename of what it has."""
    result = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(CODENAME)",
                   "Identifier: Packages"])
    found = re.findall(r"^(\S+) Debian ([a-z]+)$", result.stdout, re.M)
    if not found:
        raise LabError("apt knows no mirror of Debian")
    return found[0]


def download_closure(packages, into):
    """Download these packages and all they depend on, as for an empty machine."""
    into = Path(into)
    status = into / "status"
    status.touch()
    archives = into / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)

    def fetch():
        result = _run(["apt-get", *_OPTIONS, "-y", "--download-only", "--no-install-recommends",
                       "-o", f"Dir::State::status={status}", "-o", "Dir::Cache::pkgcache=",
                       "-o", "Dir::Cache::srcpkgcache=", "-o", f"Dir::Cache::archives={archives}",
                       "install", *packages])
        if result.returncode:
            raise LabError(f"apt-get could not download {' '.join(packages)}:\n"
                           f"{(result.stderr + result.stdout).strip()[-2000:]}")
    MACHINE.fresh(fetch)
    return sorted(archives.glob("*.deb"))


def unpack(packages, root, exclude=()):
    """Unpack package files into ROOT, through the symbolic links that are there."""
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package],
                              stdout=subprocess.PIPE) as source:
            tar = subprocess.run(["tar", "-x", "--keep-directory-symlink", "--no-same-owner",
                                  *(f"--exclude={pattern}" for pattern in exclude), "-C", root],
                                 stdin=source.stdout, capture_output=True, text=True, check=False)
        if source.returncode or tar.returncode:
            raise LabError(f"cannot unpack {package}: {tar.stderr.strip()}")
