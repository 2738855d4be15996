#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Run test programs that print KTAP, merge their results and count them.

Reads suites from standard input, one a line: NAME, time limit in seconds and shell
command, separated by tabs. Prints one KTAP document with a subtest for each suite, the
slowest tests, the failures, and last of all "N passed, N failed, N skipped".

ISW_CHECK_JOBS suites run at a time (1), each one's output in one piece if they are
several; what stands behind an empty line waits for all before it.

A suite that failed while the whole machine stood still, as one that is shared may, is run
once more when all others have ended; that is said, and the second run counts.

What a suite planned and did not report is a failure, and so are a time limit that passed,
an exit status that its results do not explain, and a skip without a reason. All
suites together have an hour (ISW_CHECK_LIMIT: seconds), because nobody runs before a
merge what takes much longer.
"""

import concurrent.futures
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time

# Seconds that a suite has after SIGTERM to take its guests down.
GRACE = 30
SLOWEST = 10
# A sleep that ends so many seconds late: the machine stood still.
STILL = 1.0
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
        self.said = []          # the last two lines of the test that runs
        self.why = []           # those of the first one that failed
        self.still = 0          # seconds in which the machine stood still
        self.began = self.last = time.monotonic()

    def add(self, verdict, test):
        now = time.monotonic()
        if verdict == "failed" and not self.count("failed"):
            self.why = self.said
        self.said = []
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
            elif line.startswith("# ") and not line[2:3].isspace():
                self.said = [*self.said[-1:], line[2:]]
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


class Machine(threading.Thread):
    """Watches for moments in which nothing ran, and for a wall clock that was set."""

    def __init__(self):
        super().__init__(daemon=True)
        self.lock = threading.Lock()
        self.last, self.wall = time.monotonic(), time.time()
        self.still = []         # (end, seconds)

    def run(self):
        while True:
            time.sleep(0.1)
            self.look()

    def look(self):
        with self.lock:
            now, wall = time.monotonic(), time.time()
            late = max(now - self.last, abs(wall - self.wall)) - 0.1
            if late > STILL:
                self.still.append((now, late))
            self.last, self.wall = now, wall

    def stood_still(self, begin):
        """How many seconds in all since then."""
        self.look()
        return sum(seconds for end, seconds in self.still if end > begin)


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


running = set()


def run(suite, command, seconds, limit, tell):
    """Run one suite and tell its output, indented. LIMIT says what SECONDS are."""
    process = Running(command)
    running.add(process)
    for line in process.lines(seconds):
        tell(f"  {line}".rstrip())
        suite.feed(line)
    untold = suite.end(process.process.wait(), limit if process.over_limit else None)
    running.discard(process)
    for reason in untold:
        tell(f"  # {reason}")


def say(line):
    print(line, flush=True)


class Work:
    """What is to be run, at most so many suites at a time, until a deadline."""

    def __init__(self, jobs, seconds):
        self.jobs = jobs
        self.deadline = time.monotonic() + seconds
        self.limit = f"time limit of {seconds} s for all suites"
        self.printing = threading.Lock()
        self.machine = Machine()
        self.machine.start()

    def suite(self, number, name, limit, command):
        """Run it and print what comes of it; return its Suite."""
        told = []
        tell = say if self.jobs == 1 else told.append
        suite = Suite(name)
        left = self.deadline - time.monotonic()
        tell(f"# Subtest: {name}")
        if left <= 0:
            suite.add("failed", f"not run: {self.limit} passed")
        elif left < int(limit):
            run(suite, command, left, self.limit, tell)
        else:
            run(suite, command, int(limit), f"time limit of {limit} s", tell)
        seconds = time.monotonic() - suite.began
        suite.still = self.machine.stood_still(suite.began)
        tell(f"{'ok' if suite.passed() else 'not ok'} {number} {name} # {seconds:.1f} s")
        with self.printing:
            for line in told:
                say(line)
        return suite

    def run(self, group):
        """Run a group of (number, (name, limit, command)); return its suites in order."""
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            begun = [pool.submit(self.suite, number, *line) for number, line in group]
            return [suite.result() for suite in begun]

    def again(self, lines, suites):
        """Run once more, one by one, what failed while the machine stood still."""
        self.jobs = 1
        for i, suite in enumerate(suites):
            if suite.passed() or not suite.still:
                continue
            say(f"# {suite.name} is run again: it failed, and the machine stood still for "
                f"{suite.still:.1f} s in it: {'; '.join(suite.why)}")
            suites[i] = self.suite(i + 1, *lines[i])


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
    for suite in suites:
        if suite.why:
            say("#")
            say(f"# Said by the first that failed in {suite.name}:")
        for line in suite.why:
            say(f"#   {line}")
    say("#")
    passed, failed, skipped = (sum(suite.count(verdict) for suite in suites)
                               for verdict in ("passed", "failed", "skipped"))
    say(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


def interrupted(number, _frame):
    """Ctrl-C or SIGTERM: the suites that run get it too, and clean up, before we go."""
    deadline = time.monotonic() + GRACE
    processes = list(running)
    for process in processes:
        process.signal(signal.SIGTERM)
    for process in processes:
        try:
            process.process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.signal(signal.SIGKILL)
    os._exit(128 + number)      # nothing that still waits for its turn begins


def main():
    groups = [[]]
    for line in sys.stdin:
        if line.strip():
            number = sum(map(len, groups)) + 1
            groups[-1].append((number, line.rstrip("\n").split("\t", 2)))
        else:
            groups.append([])
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    work = Work(int(os.environ.get("ISW_CHECK_JOBS", 1)),
                int(os.environ.get("ISW_CHECK_LIMIT", TOTAL_LIMIT)))
    say("KTAP version 1")
    say(f"1..{sum(map(len, groups))}")
    suites = [suite for group in groups for suite in work.run(group)]
    work.again([line for group in groups for _, line in group], suites)
    sys.exit(summary(suites))


if __name__ == "__main__":
    main()
