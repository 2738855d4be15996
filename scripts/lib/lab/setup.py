# SPDX-License-Identifier: GPL-2.0-only
"""The verbs of scripts/setup that fill the cache and print where things are."""

import os
import signal
import sys

from . import LabError, UsageError, cache
from .kernel import KERNELS, NEWEST, Headers, bootable, source_files


def _version(arguments):
    """Take a leading kernel version off the arguments, if there is one."""
    if arguments and (arguments[0] in (*KERNELS, NEWEST) or arguments[0][:1].isdigit()):
        return arguments[0], arguments[1:]
    return os.environ.get("LAB_KERNEL", "6.1"), arguments


def _headers(version):
    return Headers(version) if version == NEWEST else bootable(version)


def run(verb, arguments):
    """Do it and return what to print."""
    if verb == "cache":
        return cache.directory()
    if verb == "linux-source-file":
        if not arguments:
            raise UsageError("linux-source-file: which files?")
        return source_files(arguments)
    version, rest = _version(arguments)
    if rest:
        raise UsageError(f"{verb}: unexpected argument '{rest[0]}'")
    if verb == "kdir":
        return _headers(version).kdir
    if verb == "kernel-release":
        return _headers(version).release
    if verb == "image":
        from .image import Image
        return Image(bootable(version)).path
    raise UsageError(f"no verb is called '{verb}'")


def main():
    # As with Ctrl-C, what is half made in the cache goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        print(run(sys.argv[1], sys.argv[2:]))
    except UsageError as error:
        print(f"setup: {error}", file=sys.stderr)
        sys.exit(2)
    except LabError as error:
        print(f"setup: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
