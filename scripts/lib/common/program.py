# SPDX-License-Identifier: GPL-2.0-only
"""How a program of scripts/ runs and ends, and what it needs before."""

import os
import signal
import subprocess
import sys

from lab import LabError

from . import CHECKOUT, Failed

_SETUP = CHECKOUT / "scripts/setup"


def run(name, main):
    """Exit with main()'s status. What fails is one line, and the guests end in any case."""
    # SIGTERM unwinds like Ctrl-C. A lab of the user's in this checkout is left alone.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ["LAB_NAME"] = name
    try:
        sys.exit(main())
    except (Failed, LabError) as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _command(*argv):
    """A step of the set-up; its stderr is for the user, its output is returned."""
    result = subprocess.run([str(word) for word in argv], cwd=CHECKOUT, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    if result.returncode:
        print(result.stdout, end="", file=sys.stderr)
        raise Failed(f"{' '.join(str(word) for word in argv)}: status {result.returncode}")
    return result.stdout.strip()


def set_up(*packages):
    """Packages, the guests' kernel and image, the build. Quick when it is all there."""
    _command(_SETUP, "packages", "build", "lab", *packages)
    _command(_SETUP, "image")
    kdir = _command(_SETUP, "kdir")
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    _command("make", "-s", jobs, f"KDIR={kdir}", "all", "guest-programs")
