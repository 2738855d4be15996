# SPDX-License-Identifier: GPL-2.0-only
"""`lab up`: everything from a clean clone to nodes that answer."""

import json
import os
import shutil
import signal
import subprocess
import sys

from . import LabError, UsageError, build, image, kernel, state
from .state import CHECKOUT

_SETUP = CHECKOUT / "scripts/setup"
_QEMU_OVERHEAD_MIB = 150        # translated code, device models
_DEBUG_MEMORY = 2               # times what Debian's kernel has: checks take theirs
_ICOUNT_SLOWER = 4              # a limit for machines that do other things too
_MAX_NODES = 99                 # of each role: numbers 1 to 99, and 101 to 199
DEFAULT_SYSCTLS = {"vm.min_free_kbytes": "8192"}
# What KASAN allocates is larger, and its large slabs raise the watermarks (boost) by so
# much that a task is ended while memory is free.
_DEBUG_SYSCTLS = {"vm.min_free_kbytes": "16384", "vm.watermark_boost_factor": "0"}


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def parse_size(text, what):
    """A size with suffix K, M, G or T in bytes."""
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    digits, shift = text, 0
    if text[-1:].upper() in units:
        digits, shift = text[:-1], units[text[-1].upper()]
    if not digits.isdigit() or int(digits) == 0:
        raise UsageError(f"{what} '{text}': not a size (like 512M or 2G)")
    return int(digits) << shift


def parse_sysctls(settings, defaults):
    merged = dict(defaults)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--sysctl '{setting}': not NAME=VALUE")
        merged[key] = value
    return [f"{key}={value}" for key, value in merged.items() if value]


def plan_nodes(options):
    """Names, numbers and sizes of all nodes; clients first."""
    nodes = []
    for role, count, memory, version in (
            ("client", options.clients, options.client_mem, options.kernel),
            ("donor", options.donors, options.donor_mem, options.donor_kernel)):
        debug = version == kernel.DEBUG
        factor = state.factor("LAB_MEM_FACTOR", _DEBUG_MEMORY if debug else 1)
        if not (role == "donor" and count == 0) and not 1 <= count <= _MAX_NODES:
            raise UsageError(f"--{role}s {count}: between 1 and {_MAX_NODES} are possible")
        memory_mib = int((parse_size(memory, f"--{role}-mem") >> 20) * factor)
        if memory_mib < 96:
            raise UsageError(f"--{role}-mem {memory}: a guest does not boot with less than 96M")
        for index in range(1, count + 1):
            number = index if role == "client" else 100 + index
            name = f"{role}{index}" if role == "donor" or index > 1 else "client"
            nodes.append({"name": name, "role": role, "number": number,
                          "address": f"10.7.0.{number}", "mac": f"52:54:00:07:00:{number:02x}",
                          "memory_mib": memory_mib, "cpus": options.cpus,
                          "kernel": version, "debug": debug,
                          "sysctls": parse_sysctls(options.sysctl, _DEBUG_SYSCTLS if debug
                                                   else DEFAULT_SYSCTLS)})
    return nodes


def require_machine(nodes):
    """Refuse before anything is downloaded what this machine cannot hold."""
    if os.uname().machine != "x86_64":
        raise LabError(f"the lab runs on x86_64 only, this machine is {os.uname().machine}")
    need = sum(node["memory_mib"] + _QEMU_OVERHEAD_MIB for node in nodes)
    with open("/proc/meminfo") as meminfo:
        fields = dict(line.split(":") for line in meminfo)
    available = int(fields["MemAvailable"].split()[0]) >> 10
    if available < need:
        raise LabError(f"{len(nodes)} nodes need {need} MiB of memory, {available} MiB are"
                       " available (fewer --donors, smaller --client-mem or --donor-mem)")
    free = shutil.disk_usage("/dev/shm").free >> 20
    if free < 64:
        raise LabError(f"/dev/shm has {free} MiB free, the lab needs 64 MiB there")


def make_disks(scratch, nodes, size):
    """One sparse file for each client: it costs what is written to it."""
    if size is None:
        return
    directory = state.disks(scratch)
    directory.mkdir(parents=True, exist_ok=True)
    for node in nodes:
        if node["role"] == "client":
            path = directory / f"{node['name']}.disk"
            with open(path, "wb") as disk:
                disk.truncate(size)
            node["disk"] = str(path)


def install_packages():
    if subprocess.run([_SETUP, "packages", "build", "lab"], check=False).returncode:
        raise LabError("packages are missing, see above")


def _label(owner):
    """Whose lab it is: the script that passed its pid, for who reads the reports."""
    if owner is None:
        return "lab"
    with open(f"/proc/{owner}/cmdline", "rb") as file:
        words = os.fsdecode(file.read()).split("\0")
    script = next((word for word in words if word.endswith(".sh")), words[0])
    return "/".join(script.split("/")[-2:])


def up(options):
    """Bring the lab up; returns what `lab status` shows."""
    kernel.require(options.kernel)
    if not options.donors:
        options.donor_kernel = options.kernel
    elif options.donor_kernel is None:
        options.donor_kernel = "6.1" if options.kernel == kernel.DEBUG else options.kernel
    kernel.require(options.donor_kernel)
    nodes = plan_nodes(options)
    if options.icount and (len(nodes) > 1 or options.cpus > 1 or options.accel != "tcg"):
        raise UsageError("--icount: for one node with one CPU, under TCG")
    if options.counted and (options.counted not in {node["name"] for node in nodes}
                            or options.cpus > 1 or options.accel != "tcg"):
        raise UsageError(f"--counted {options.counted}: for a node of this lab, with one CPU, under TCG")
    # Counting makes a guest slower, and nothing in it tells that it has to wait.
    time_factor = state.time_factor() * (_ICOUNT_SLOWER if options.icount or options.counted else 1)
    disk_size = None if options.disk == "none" else parse_size(options.disk, "--disk")
    if options.accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise LabError("LAB_ACCEL=kvm: /dev/kvm is not there or not ours to use")
    if options.owner is not None and not os.path.exists(f"/proc/{options.owner}"):
        raise LabError(f"--owner {options.owner}: no such process")

    state.clean_stale()
    scratch = state.scratch()
    lock = state.try_lock(scratch)
    if not lock:
        raise LabError("a lab is up in this checkout already (scripts/lab down)")
    require_machine(nodes)
    install_packages()

    try:
        kernels = {version: kernel.bootable(version)
                   for version in dict.fromkeys((options.kernel, options.donor_kernel))}
        images = {version: image.Image(found) for version, found in kernels.items()}
        chosen, guests = kernels[options.kernel], images[options.kernel]
        for node in nodes:
            booted = images[node["kernel"]]
            node |= {"vmlinux": str(booted.vmlinux), "initramfs": str(booted.initramfs),
                     "root_disk": str(booted.root_disk),
                     "release": kernels[node["kernel"]].release}
        scratch.mkdir(mode=0o700)
        make_disks(scratch, nodes, disk_size)
        with build.locked():
            if options.build:
                build.make(chosen.kdir, say)
            build_disk, found = build.make_build_disk(guests, scratch, nodes, say)
        config = {
            "nodes": nodes, "scratch": str(scratch), "lock_fd": lock.fileno(),
            "image_locks": [str(lock) for booted in images.values() for lock in booted.locks],
            "build_disk": str(build_disk),
            "release": chosen.release, "accel": options.accel, "owner": options.owner,
            "icount": options.icount, "counted": options.counted,
            "switch": str(image.tool("switch")),
            "daemon": options.daemon and found["infiniswapd"],
            "daemon_args": options.daemon_args.split(), "module": found["module"],
            "boot_timeout": (60 + 30 * len(nodes)) * time_factor, "time_factor": time_factor,
            "label": _label(options.owner), "reports": os.environ.get("LAB_REPORTS"),
            "debug": options.kernel == kernel.DEBUG,
        }
        if options.accel == "tcg":
            measured = subprocess.run([image.tool("tsckhz")], capture_output=True, text=True,
                                      check=True)
            config["tsc_khz"] = int(measured.stdout)
        say(f"booting {len(nodes)} nodes")
        (scratch / "config.json").write_text(json.dumps(config))
        return _start_broker(config, scratch, lock)
    except BaseException:
        # A broker that started has cleaned up itself; what is left is ours.
        state.remove(scratch)
        raise


def _start_broker(config, scratch, lock):
    with open(scratch / "broker.log", "ab") as errors:
        broker = subprocess.Popen(
            [sys.executable, "-S", "-m", "lab.broker"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=errors, start_new_session=True, cwd="/",
            pass_fds=[lock.fileno()])
    try:
        broker.stdin.write(json.dumps(config).encode() + b"\n")
        broker.stdin.flush()
        line = broker.stdout.readline()
        message = json.loads(line) if line else {}
        if "ready" in message:
            broker.stdin.close()
            return message["ready"]
        broker.wait()
        raise LabError(message.get("error") or "the broker ended:\n" + _tail(scratch))
    except BaseException:
        # Ctrl-C, SIGTERM or a failure: the broker ends its children.
        if broker.poll() is None:
            broker.send_signal(signal.SIGTERM)
            broker.wait()
        raise


def _tail(scratch):
    try:
        return (scratch / "broker.log").read_text()[-2000:]
    except OSError:
        return "(it left no log)"
