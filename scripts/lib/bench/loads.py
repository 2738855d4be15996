# SPDX-License-Identifier: GPL-2.0-only
"""What an arm is loaded with. Each load returns its figures by name."""

import json

from common import Failed
from common.redis import VALUE_BYTES, Redis

_RAW_MIB = 64           # that fio writes and reads
_FAULT_MIB = 64         # that page faults go to; the program may have half of it
_STORM_MIB = 32
_REDIS_MIB = 96
_RAM_SECONDS = 3        # of reads before redis is short of memory
_SORT_LINES = 8192      # few and long: a page-in takes a millisecond, and a line 1.4 of them
_LINE_BYTES = 2048
_WALKS = 4              # through a graph of 32 MiB
_WALK_VERTICES = 4096   # of 65,536, then the walk ends: 0.6 page-ins each
_WORK_SECONDS = 300     # for work that has no end but its own


class Load:
    """What a load is unless it says otherwise."""

    raw = False         # it uses the device itself, not swap
    limit = 60          # seconds beside those that it measures


class Fio(Load):
    """fio on the device. The first job writes all that the others read."""

    raw = True

    # Name, what it does, bytes of a request, requests under way, processes.
    _JOBS = (("write-128k", "write", "128k", 1, 1),
             ("read-128k", "read", "128k", 1, 1),
             ("read-4k-1", "randread", "4k", 1, 1),
             ("read-4k-16", "randread", "4k", 16, 1),
             ("read-4k-1x4", "randread", "4k", 1, 4),
             ("write-4k-1", "randwrite", "4k", 1, 1),
             ("write-4k-16", "randwrite", "4k", 16, 1),
             ("write-4k-1x4", "randwrite", "4k", 1, 4))

    def __init__(self, jobs=_JOBS):
        self._jobs = jobs

    def run(self, cluster, arm, seconds, seed):
        each = max(1, seconds // 4)
        self_limit = 40 + len(self._jobs) * (each + 2)
        command = ["fio", "--output-format=json", "--ioengine=libaio", "--direct=1",
                   f"--filename={arm.device}", f"--size={_RAW_MIB}M", f"--randseed={seed}",
                   "--group_reporting=1"]
        if arm.zeros:
            command += [f"--buffer_compress_percentage={arm.zeros}", "--refill_buffers"]
        for number, (name, way, size, depth, processes) in enumerate(self._jobs):
            command += [f"--name={name}", "--stonewall", f"--rw={way}", f"--bs={size}",
                        f"--iodepth={depth}", f"--numjobs={processes}"]
            if number:
                command += ["--time_based=1", f"--runtime={each}"]
        told = cluster.client.run(*command, timeout=self_limit)
        return fio_figures(json.loads(told[told.index("{"):]))


def fio_figures(told):
    """Of what fio says: requests a second or MiB a second, and latencies."""
    figures = {}
    for job in told["jobs"]:
        if job["error"]:
            raise Failed(f"fio {job['jobname']}: error {job['error']}")
        way = job["write" if job["jobname"].startswith("write") else "read"]
        if not way["total_ios"]:
            raise Failed(f"fio {job['jobname']}: not one request ended")
        percentiles = way["clat_ns"]["percentile"]
        figures.update({
            f"{job['jobname']}.iops": way["iops"],
            f"{job['jobname']}.mib_s": way["bw_bytes"] / (1 << 20),
            f"{job['jobname']}.p50_us": percentiles["50.000000"] / 1000,
            f"{job['jobname']}.p99_us": percentiles["99.000000"] / 1000,
            f"{job['jobname']}.p999_us": percentiles["99.900000"] / 1000})
    return figures


class Faults(Load):
    """Page faults at random in twice the memory that there is, every page verified."""

    def __init__(self, processes=1, writes=0, storm=False, fit=50):
        self._processes = processes
        self._writes = writes
        self._storm = storm
        self._fit = fit

    def run(self, cluster, arm, seconds, seed):
        client = cluster.client
        client.put("limited")
        each = _FAULT_MIB // self._processes
        command = ["/run/limited", "faults", str((_FAULT_MIB << 20) * self._fit // 100),
                   "pageverify", "-p", str(self._processes), "-m", str(each), "-R", "1000000",
                   "-w", str(self._writes), "-t", str(seconds), "-I", "1000", "-n",
                   "-Z", str(arm.zeros), "-s", str(seed)]
        if not self._writes:
            command.append("-O")    # else half of the pages would go out once, in the measurement
        said = []

        def on_line(line):
            said.append(line)
            if self._storm and line.endswith("filled"):
                client.run(f"swapstorm {_STORM_MIB} {arm.zeros} </dev/null >/run/storm 2>&1 &"
                           " echo $! >/run/storm.pid")

        status, output = cluster.guests.follow("client", command, on_line)
        if status:
            raise Failed(f"pageverify: status {status}: {' '.join(said[-3:])}")
        figures = fault_figures(json.loads(output.splitlines()[-1]))
        if self._storm:
            storm = json.loads(client.run(
                "kill $(cat /run/storm.pid) && while kill -0 $(cat /run/storm.pid) 2>/dev/null;"
                " do sleep 0.05; done; cat /run/storm", timeout=60))
            figures["storm_s"] = storm["asked"] / storm["seconds"]
        return figures


def fault_figures(told):
    """Of what pageverify says."""
    if not told["faults"]:
        raise Failed("pageverify: no page came in")
    return {"p50_us": told["p50_us"], "p99_us": told["p99_us"], "p999_us": told["p999_us"],
            "max_ms": told["max_ms"], "faults_s": told["faults"] / told["pass_s"],
            "pages_s": (told["pass_in"] + told["pass_out"]) / told["pass_s"]}


class RedisReads(Load):
    """Reads of redis when all is in memory, then with a part of that."""

    limit = 120

    def __init__(self, fit):
        self._fit = fit

    def run(self, cluster, arm, seconds, seed):
        client = cluster.client
        for script in ("limited", "shrink"):
            client.put(script)
        redis = Redis(cluster.guests, (_REDIS_MIB << 20) // VALUE_BYTES, seed, arm.zeros)
        redis.up("/run/limited", "redis", "max")
        redis.load("load")
        ram = redis.load("read", "-t", str(_RAM_SECONDS))
        if self._fit < 100:
            client.run("/run/shrink", "redis", str(self._fit), timeout=60)
        swapped = redis.load("read", "-t", str(seconds), "-r", str(seed + 1))
        client.run("kill -9 $(pidof redis-server); while pidof redis-server >/dev/null;"
                   " do sleep 0.05; done")
        return redis_figures(ram, swapped)


def redis_figures(ram, swapped):
    """Of what redisload says: microseconds that a read takes, and those beyond all in memory."""
    for told in (ram, swapped):
        if told["bad"] or told["missing"] or not told["done"]:
            raise Failed(f"redis: {told['bad']} values wrong, {told['missing']} missing,"
                         f" {told['done']} read")
    each, least = (told["seconds"] * 1e6 / told["done"] for told in (swapped, ram))
    return {"ram_us": least, "each_us": each, "beyond_us": each - least,
            "p50_us": swapped["p50_us"], "p99_us": swapped["p99_us"],
            "reads_s": swapped["per_s"]}


class Sort(Load):
    """GNU sort of lines at random, in memory alone."""

    limit = _WORK_SECONDS

    def run(self, cluster, arm, seconds, seed):
        client = cluster.client
        for script in ("limited", "lines", "sort-lines"):
            client.put(script)
        unsorted = json.loads(client.run(
            "/run/lines", "make", "/run/unsorted", str(_SORT_LINES), str(_LINE_BYTES),
            str(arm.zeros), str(seed), timeout=60))
        ram, half = _twice(client, "sort", lambda memory: ["/run/sort-lines", memory])
        client.run("rm", "/run/unsorted", "/run/sorted")
        return work_figures("sort", ram, half, unsorted)


class GraphWalk(Load):
    """Walks through a graph at random, breadth first."""

    limit = _WORK_SECONDS

    def run(self, cluster, arm, seconds, seed):
        client = cluster.client
        client.put("limited")
        ram, half = _twice(client, "graph", lambda memory: [
            "/run/limited", "graph", memory, "graphwalk", "-n", str(_WALKS),
            "-m", str(_WALK_VERTICES), "-Z", str(arm.zeros), "-s", str(seed)])
        return work_figures("graph", ram, half, ram["result"])


def _twice(client, name, command):
    """What COMMAND(memory) says when its cgroup has all that it wants, then half of what it had."""
    told, memory, group = [], "max", f"/sys/fs/cgroup/{name}"
    for _ in range(2):
        # The load's limit comes first, and says that it was no guest that hung.
        said = client.run(*command(memory), timeout=2 * _WORK_SECONDS)
        peak = int(client.run(f"cat {group}/memory.peak && rmdir {group}"))
        told.append({**json.loads(said), "peak": peak})
        memory = str(peak // 2)
    return told


def work_figures(name, ram, half, result):
    """Of the same work done twice: the time that it takes, and that beyond all in memory."""
    for told in (ram, half):
        if told["result"] != result:
            raise Failed(f"{name}: {told['result']} instead of {result}")
    if not half["pswpin"]:
        raise Failed(f"{name}: no page came in")
    return {"ram_ms": ram["seconds"] * 1000, "beyond_s": half["seconds"] - ram["seconds"],
            "pages_in": half["pswpin"], "ram_mib": ram["peak"] / (1 << 20)}


LOADS = {
    "fio": Fio(),
    "page-in": Faults(),
    "storm": Faults(storm=True),
    "swap": Faults(processes=4, writes=30),
    "redis-50": RedisReads(50),
}
_DEPTHS = [(f"{way}-{size}-{depth}", f"rand{way}", size, depth, 1)
           for way in ("write", "read") for size in ("4k", "16k", "64k") for depth in (1, 4, 16, 32)]
FULL = {
    **LOADS,
    "fio-depths": Fio((("write-128k", "write", "128k", 1, 1), *_DEPTHS)),
    "swap-75": Faults(processes=4, writes=30, fit=75),
    "swap-25": Faults(processes=4, writes=30, fit=25),
    "redis-100": RedisReads(100),
    "redis-75": RedisReads(75),
    "sort-50": Sort(),
    "graph-50": GraphWalk(),
}
