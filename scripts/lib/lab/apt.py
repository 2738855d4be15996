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
from .cache import say

# Downloads go to our own directory: dpkg's lock is none of our business, and the
# file need not be readable by the user that apt downloads as.
_OPTIONS = ["-q", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]


def _run(argv, cwd=None):
    environment = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    return subprocess.run(argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)


def update():
    """Refresh apt's package lists."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    say("refreshing apt's package lists")
    result = _run([*sudo, "apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", "update"])
    if result.returncode:
        raise LabError(f"apt-get update failed:\n{result.stderr.strip()[-2000:]}")


def _with_fresh_lists(action):
    """Do it; if that fails, refresh the lists and do it once more."""
    try:
        return action()
    except LabError as first:
        try:
            update()
        except LabError as second:
            raise LabError(f"{first}\n{second}")
        return action()


def dependency(package, pattern):
    """The one dependency of PACKAGE whose name matches; how versioned names are looked up."""
    def look():
        result = _run(["apt-cache", "depends", "--important", package])
        found = re.findall(rf"^\s+Depends: ({pattern})$", result.stdout, re.M)
        if len(found) != 1:
            raise LabError(f"apt knows no dependency of {package} like {pattern}"
                           f" (found: {', '.join(found) or 'none'})")
        return found[0]
    return _with_fresh_lists(look)


def download(packages, into):
    """Download exactly these packages; return the files."""
    def fetch():
        result = _run(["apt-get", *_OPTIONS, "download", *packages], cwd=into)
        if result.returncode:
            raise LabError(f"apt-get download {' '.join(packages)} failed:\n"
                           f"{result.stderr.strip()[-2000:]}")
    _with_fresh_lists(fetch)
    return sorted(Path(into).glob("*.deb"))


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
    _with_fresh_lists(fetch)
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
