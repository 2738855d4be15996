# SPDX-License-Identifier: GPL-2.0-only
"""The cache directory: shared by all checkouts, safe when several of them fill it at once.

Every entry is a directory that is complete from the moment it has its name: it is
made under a temporary name and renamed. Whoever makes one holds the entry's lock,
so that a second process waits and then finds it there.
"""

import contextlib
import fcntl
import os
import sys
from pathlib import Path

from . import LabError


def directory():
    """The cache's directory, made if it is not there yet."""
    explicit = os.environ.get("INFINISWAP_CACHE")
    if explicit:
        path = Path(explicit)
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        path = Path(base) / "infiniswap"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"cache {path}: {error.strerror} (INFINISWAP_CACHE names another place)")
    return path.resolve()


def say(text):
    """Progress, for a person who waits; never part of a command's result."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(name):
    """Hold the lock of one entry; others that want the same entry wait."""
    path = directory() / "locks"
    path.mkdir(exist_ok=True)
    with open(path / name.replace("/", "-"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that makes {name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch(prefix):
    """A temporary directory inside the cache, so that a rename out of it is atomic."""
    import shutil       # here, because every lab command imports this module and
    import tempfile     # few of them make anything
    parent = directory() / "tmp"
    parent.mkdir(exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=prefix + ".", dir=parent))
    try:
        path.chmod(0o755)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def entry(name, make):
    """The directory called NAME, made by make(empty directory) if it is not there."""
    path = directory() / name
    if path.is_dir():
        return path
    with locked(name):
        if path.is_dir():
            return path
        with scratch(name.replace("/", "-")) as work:
            made = work / "made"
            made.mkdir()
            make(made)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.rename(made, path)
    return path


def require_space(mebibytes, what):
    """Fail now rather than half way when the disk has less than this free."""
    path = directory()
    status = os.statvfs(path)
    free = status.f_bavail * status.f_frsize >> 20
    if free < mebibytes:
        raise LabError(f"{what} needs {mebibytes} MiB of disk in {path}, {free} MiB are free")
