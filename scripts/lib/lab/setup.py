# SPDX-License-Identifier: GPL-2.0-only
"""The verbs of scripts/setup that fill the cache and print where things are."""

import sys

from . import LabError, UsageError, cache
from .kernel import KERNELS, Kernel, source_files


def _version(arguments):
    """Take a leading kernel version off the arguments, if there is one."""
    if arguments and (arguments[0] in KERNELS or arguments[0][:1].isdigit()):
        return arguments[0], arguments[1:]
    return "6.1", arguments


def run(verb, arguments):
    """Do it and return what to print."""
    if verb == "cache":
        return cache.directory()
    version, rest = _version(arguments)
    if verb == "linux-source-file":
        if not rest:
            raise UsageError("linux-source-file: which files?")
        return source_files(version, rest)
    if rest:
        raise UsageError(f"{verb}: unexpected argument '{rest[0]}'")
    if verb == "kdir":
        return Kernel(version).kdir
    if verb == "kernel-release":
        return Kernel(version).release
    if verb == "image":
        from .image import Image
        return Image(Kernel(version)).path
    raise UsageError(f"no verb is called '{verb}'")


def main():
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
