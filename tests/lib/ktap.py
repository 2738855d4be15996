#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Run test programs that print KTAP, merge their results and count them.

Reads suites from standard input, one a line: NAME, time limit in seconds and shell
command, separated by tabs. Prints one KTAP document with a subtest for each suite, the
slowest tests, the failures, and last of all "N passed, N failed, N skipped".

What a suite planned and did not report is a failure, and so are a time limit that passed,
an exit status that its results do not explain, and a skip without a reason. All
suites together have 85 minutes (ISW_CHECK_LIMIT: seconds), because nobody runs before a
merge what takes longer.
"""

import os
import re
import selectors
import signal
import subprocess
import sys
import time

# Seconds that a suite has after SIGTERM to take its guests down.
GRACE = 30
SLOWEST = 10
TOTAL_LIMIT = 60 * 60

PLAN = re.compile(r"1\.\.(\d+)(?:\s*#\s*SKIP\b\s*(.*))?$", re.IGNORECASE)
RESULT = re.compile(r"(not ok|ok)\b\s*(\d+)?\s*(?:-\s+)?(.*)$")
DIRECTIVE = re.compile(r"(?:^|\s)#\s*(SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b:?\s*(.*)$", re.IGNORECASE)


class Suite:
    """The results of one test program, fed line by line."""

    def __init__(self, name):
        self.name = name
        self.planned = None
        self.results = []       # (verdict, test's name, seconds)
        self.began = self.last = time.monotonic()

    def add(self, verdict, test):
        now = time.monotonic()
        self.results.append((verdict, test, now - self.last))
        self.last = now

    def feed(self, line):
        """Take one line of output. Only unindented ones are this program's own results."""
        plan = PLAN.match(line)
        if plan and self.planned is None:
            self.planned = int(plan[1])
            self.last = time.monotonic()    # what came before was set-up
            if self.planned == 0:
                self.skip(self.name, plan[2])
            return
        result = RESULT.match(line)
        if not result:
            if line.startswith("Bail out!"):
                self.add("failed", line.strip())
            return
        test = result[3].strip()
        directive = DIRECTIVE.search(test)
        if directive:
            test = test[:directive.start()].strip()
        test = test or (directive and directive[2]) or f"test {result[2]}"
        if result[1] == "not ok":
            # TODO and XFAIL would hide a failure; nothing here is expected to fail.
            self.add("failed", test)
        elif directive and directive[1].upper() == "SKIP":
            self.skip(test, directive[2])
        else:
            self.add("passed", test)

    def skip(self, test, reason):
        if reason and reason.strip():
            self.add("skipped", test)
        else:
            self.add("failed", f"{test} (skipped without a reason)")

    def end(self, status, passed_limit):
        """The program ended. Returns the failures that its own output does not tell."""
        told = len(self.results)
        seen = told
        if self.planned is None:
            self.add("failed", "no plan was printed")
        elif self.planned:
            for number in range(seen + 1, self.planned + 1):
                self.add("failed", f"test {number} of {self.planned} gave no result")
            if seen > self.planned:
                self.add("failed", f"{seen} results, {self.planned} were planned")
        if passed_limit:
            self.add("failed", f"{passed_limit} passed")
        elif status < 0:
            self.add("failed", f"ended by signal {-status}")
        elif status and not self.count("failed") and not (status == 4 and self.all_skipped()):
            self.add("failed", f"exit status {status} though no test failed")
        return [test for _, test, _ in self.results[told:]]

    def count(self, verdict):
        return sum(1 for result in self.results if result[0] == verdict)

    def all_skipped(self):
        return self.count("skipped") == len(self.results)

    def passed(self):
        return not self.count("failed")


class Running:
    """A suite's process. All its descendants that stay in its session end with it."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            ["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)
        self.over_limit = False

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def lines(self, limit):
        """Its output, line by line, until it ended; sees to the time limit."""
        pipe = self.process.stdout.fileno()
        deadline = time.monotonic() + limit
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                if now > deadline and not self.over_limit:
                    self.over_limit = True
                    deadline = now + GRACE
                    self.signal(signal.SIGTERM)
                elif now > deadline:
                    self.signal(signal.SIGKILL)
                # A stray child may hold the pipe open: the process decides, not the pipe.
                ended = self.process.poll() is not None
                if not selector.select(0 if ended else 0.2):
                    if ended:
                        break
                    continue
                data = os.read(pipe, 1 << 16)
                if not data:
                    self.process.wait()
                    break
                *whole, pending = (pending + data).split(b"\n")
                for line in whole:
                    yield line.decode(errors="replace")
        if pending:
            yield pending.decode(errors="replace")
        self.signal(signal.SIGKILL)


running = None


def run(name, command, seconds, limit):
    """Run one suite and print its output, indented; return its Suite. LIMIT says what SECONDS are."""
    global running
    suite = Suite(name)
    say(f"# Subtest: {name}")
    running = Running(command)
    for line in running.lines(seconds):
        say(f"  {line}".rstrip())
        suite.feed(line)
    untold = suite.end(running.process.wait(), limit if running.over_limit else None)
    running = None
    for reason in untold:
        say(f"  # {reason}")
    return suite


def say(line):
    print(line, flush=True)


def summary(suites):
    """Print what a reader wants to know last; return the exit status."""
    tests = [(seconds, f"{suite.name}: {test}")
             for suite in suites for _, test, seconds in suite.results]
    say("#")
    say("# Slowest tests:")
    for seconds, test in sorted(tests, reverse=True)[:SLOWEST]:
        say(f"# {seconds:8.1f} s  {test}")
    for verdict in "skipped", "failed":
        chosen = [f"{suite.name}: {test}" for suite in suites
                  for kind, test, _ in suite.results if kind == verdict]
        if chosen:
            say("#")
            say(f"# {verdict.capitalize()}:")
        for test in chosen:
            say(f"#   {test}")
    say("#")
    passed, failed, skipped = (sum(suite.count(verdict) for suite in suites)
                               for verdict in ("passed", "failed", "skipped"))
    say(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


def interrupted(number, _frame):
    """Ctrl-C or SIGTERM: the suite that runs gets it too, and cleans up, before we go."""
    if running:
        running.signal(signal.SIGTERM)
        try:
            running.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            running.signal(signal.SIGKILL)
    sys.exit(128 + number)


def main():
    work = [line.rstrip("\n").split("\t", 2) for line in sys.stdin if line.strip()]
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    seconds = int(os.environ.get("ISW_CHECK_LIMIT", TOTAL_LIMIT))
    deadline = time.monotonic() + seconds
    all_limit = f"time limit of {seconds} s for all suites"
    say("KTAP version 1")
    say(f"1..{len(work)}")
    suites = []
    for number, (name, limit, command) in enumerate(work, 1):
        left = deadline - time.monotonic()
        if left <= 0:
            suite = Suite(name)
            suite.add("failed", f"not run: {all_limit} passed")
        elif left < int(limit):
            suite = run(name, command, left, all_limit)
        else:
            suite = run(name, command, int(limit), f"time limit of {limit} s")
        suites.append(suite)
        seconds = time.monotonic() - suite.began
        say(f"{'ok' if suite.passed() else 'not ok'} {number} {name} # {seconds:.1f} s")
    sys.exit(summary(suites))


if __name__ == "__main__":
    main()
