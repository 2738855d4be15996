# SPDX-License-Identifier: GPL-2.0-only
"""The lab as a program uses it: guests are booted, asked, listened to and ended."""

import contextlib
import os
import selectors
import subprocess
import time

from . import CHECKOUT, Failed, Hung, OutOfTime

LAB = CHECKOUT / "scripts/lab"
SILENCE = 20        # seconds without a sign of life: hung
_BOOT = 150         # seconds, on a machine that does other things too
_STEP = 90          # for a command that has work to do


def _text(data):
    return data.decode(errors="replace").strip()


def _name(arguments):
    """What a call of scripts/lab is called in messages: the node and its command, or the verb."""
    if "--" in arguments:
        split = arguments.index("--")
        return f"{arguments[split - 1]}: {' '.join(arguments[split + 1:])[:60]}"
    return f"lab {arguments[0]}"


class Background:
    """A command in a guest that goes on while others run. It ends by itself."""

    def __init__(self, argv):
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def wait_line(self):
        """The next line that it prints."""
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"{self._process.args[4]}: its script ended early")
        return _text(line)

    def is_running(self):
        return self._process.poll() is None


class Guests:
    """One client and its donors, fresh. A context manager: they end with it."""

    def __init__(self, clock):
        self._clock = clock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    @staticmethod
    def down():
        """End them, also those that hang, and when no time is left."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([LAB, "down"], stdin=subprocess.DEVNULL, capture_output=True,
                           timeout=60, check=False)

    def limit(self, clock):
        """Another limit of time from now on."""
        self._clock = clock

    def up(self, *options):
        """Boot. Once more if that fails: on a busy machine a guest may be too slow."""
        argv = ("up", "--no-build", "--owner", str(os.getpid()), *options)
        try:
            self.lab(*argv, timeout=_BOOT)
        except (Hung, OutOfTime):
            raise
        except Failed:
            self.lab(*argv, timeout=_BOOT)

    def lab(self, *arguments, timeout=_STEP):
        """A verb of scripts/lab; returns what it printed."""
        self._clock.check()
        timeout = min(timeout, self._clock.left())
        try:
            result = subprocess.run([LAB, *arguments], stdin=subprocess.DEVNULL,
                                    capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            self._clock.check()
            raise Hung(f"{_name(arguments)}: no end after {timeout:.0f} s")
        if result.returncode:
            raise Failed(f"{_name(arguments)}: {_text(result.stderr + result.stdout)}"
                         f" (status {result.returncode})")
        return _text(result.stdout)

    def run(self, node, *command, timeout=SILENCE):
        """A command in a guest that ends soon."""
        return self.lab("exec", "--timeout", str(timeout), node, "--", *command,
                        timeout=timeout + 5)

    def put(self, node, *files):
        self.lab("put", node, *map(str, files), "/run", timeout=SILENCE)

    def begin(self, node, script):
        """Start a script in a guest; its lines are waited for later."""
        return Background([LAB, "exec", "--timeout", str(_STEP), node, "--", script])

    def follow(self, node, command, on_line):
        """A command that reports on stderr at least once a second; returns status and stdout."""
        self._clock.check()
        argv = [LAB, "exec", "--timeout", "0", node, "--", *command]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            try:
                output = self._listen(process, command[0], on_line)
                return process.wait(SILENCE), output
            except BaseException:
                process.terminate()
                raise

    def _listen(self, process, name, on_line):
        output, errors, heard = b"", b"", time.monotonic()
        with selectors.DefaultSelector() as selector:
            for stream in (process.stdout, process.stderr):
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(timeout=1):
                    data = os.read(key.fd, 65536)
                    heard = time.monotonic()
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is process.stdout:
                        output += data
                    else:
                        *lines, errors = (errors + data).split(b"\n")
                        for line in lines:
                            on_line(_text(line))
                self._clock.check()
                if time.monotonic() - heard > SILENCE:
                    raise Hung(f"{name}: nothing heard for {SILENCE} s")
        return _text(output)
