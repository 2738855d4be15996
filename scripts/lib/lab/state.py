# SPDX-License-Identifier: GPL-2.0-only
"""Where the running lab of this checkout keeps its state, and whether there is one.

The scratch directory is in memory (/dev/shm) and named by a hash of the checkout's
path, so two checkouts never meet; LAB_NAME gives one checkout several labs. The
broker holds a lock beside it for as long as it lives: a directory whose lock is free
belongs to a dead lab and may be removed.
"""

import fcntl
import hashlib
import json
import os
from pathlib import Path

from . import LabError, UsageError
from .cache import directory as cache_directory

CHECKOUT = Path(__file__).resolve().parents[3]
_SHM = Path("/dev/shm")
_PREFIX = "infiniswap-lab-"


def factor(name, default=1):
    """What an environment variable multiplies by: 1 or more."""
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0
    if value < 1:
        raise UsageError(f"{name}={text}: not a number from 1 on")
    return value


def time_factor():
    """By how much guests are slower than tests expect: every time limit gets so much longer."""
    return factor("LAB_TIME_FACTOR")


def scratch():
    """The scratch directory; its name is short because unix sockets' paths must be."""
    identity = os.fsencode(CHECKOUT) + b"\0" + os.fsencode(os.environ.get("LAB_NAME", ""))
    return _SHM / (_PREFIX + hashlib.sha256(identity).hexdigest()[:12])


def disks(scratch_path):
    """Where the extra disks of this lab are: on a disk, as their name says."""
    return cache_directory() / "disks" / scratch_path.name


def _lock_path(scratch_path):
    return scratch_path.with_name(scratch_path.name + ".lock")


def try_lock(scratch_path):
    """The lock of a lab as an open file, or None if its broker lives."""
    lock = open(_lock_path(scratch_path), "a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def running():
    """Whether this checkout has a lab."""
    if not scratch().is_dir():
        return False
    lock = try_lock(scratch())
    if lock:
        lock.close()
    return lock is None


def require_running():
    """The scratch directory of the lab that must be there."""
    if not running():
        raise LabError("no lab is up in this checkout (scripts/lab up)")
    return scratch()


def remove(scratch_path):
    """Remove a lab's directories; the caller holds its lock."""
    import shutil   # here, because most lab commands need not pay for it
    shutil.rmtree(scratch_path, ignore_errors=True)
    shutil.rmtree(disks(scratch_path), ignore_errors=True)


def clean_stale():
    """Remove what labs left that were ended by force, of any checkout of this user."""
    for path in _SHM.glob(_PREFIX + "*"):
        if not path.is_dir() or path.stat().st_uid != os.geteuid():
            continue
        lock = try_lock(path)
        if lock:
            remove(path)
            lock.close()


def read_config(scratch_path):
    """What `lab up` told the broker."""
    return json.loads((scratch_path / "config.json").read_text())


def console_path(scratch_path, node):
    return scratch_path / f"{node}.console"


def require_node(config, name):
    """The configuration of one node; refuses names that the lab does not have."""
    for node in config["nodes"]:
        if node["name"] == name:
            return node
    names = ", ".join(node["name"] for node in config["nodes"])
    raise LabError(f"no node is called '{name}' (this lab has {names})")
