# SPDX-License-Identifier: GPL-2.0-only
"""One node of a running lab: its QEMU process, from power-on to power-off."""

import asyncio
import contextlib
import os
import signal

from . import LabError, qmp
from .agent import Agent
from .state import console_path

MTU = 4400              # of eth0; RoCE then uses 4096
_SLACK = 30             # a guest that shares two cores with four others is slow to answer
_NODE_UP_TIMEOUT = 60

# erms, fsrm: TCG runs "rep movsb" byte by byte, and with these Linux uses it
# for every copy. pclmulqdq, sse4.2's crc32: emulated, slower than table look-ups.
# cx16: the flags that an interrupt right after cmpxchg16b saves are an earlier
# instruction's operand (QEMU 7.2), and Linux allocates with it: 6.12 died of that.
_TCG_CPU = "max,-erms,-fsrm,-pclmulqdq,-sse4.2,-cx16,-la57"

# What a server has: with these a CRC takes as few instructions as there.
_ICOUNT_CPU = "max,-erms,-fsrm,-la57"


def is_counted(node, config):
    """Does its clock go by its instructions?"""
    return config["icount"] or node["name"] == config["counted"]


def kernel_command_line(node, config):
    words = ["console=ttyS0", "loglevel=5", "nokaslr", "mitigations=off", "random.trust_cpu=on",
             "panic=-1", "oops=panic", "no_timer_check", "reboot=t", "psi=1",
             f"lab.name={node['name']}", f"lab.address={node['address']}",
             f"lab.number={node['number']}", f"lab.mtu={MTU}"]
    if config["accel"] == "tcg":
        # TCG translates a page of code anew for each address that it is run at, and
        # each later write to that page, when it holds something else, walks all these
        # translations: 3 ms for 8 bytes were seen in a guest that had run some thousand
        # commands, and its kernel stood still while it cleared pages.
        words += ["norandmaps", "tsc=reliable"]
        if not is_counted(node, config):    # else at a rate that its kernel measures
            words.append(f"tsc_early_khz={config['tsc_khz']}")
    if node["debug"]:
        words.append("kasan_multi_shot")    # or KASAN tells of the first bug alone
    return " ".join(words)


def qemu_command(node, config, scratch):
    """The command line of one node's QEMU. setpriv makes it end when the broker does."""
    name = node["name"]
    if config["accel"] == "kvm":
        accel, cpu = "kvm", "host"
    else:
        # Several CPUs take turns. At once, one that comes by code which another is just
        # patching may run what was there before, for ever (QEMU 7.2): Linux' breakpoint.
        threads = "single" if is_counted(node, config) or node["cpus"] > 1 else "multi"
        accel = f"tcg,thread={threads}"
        cpu = _ICOUNT_CPU if config["icount"] else _TCG_CPU
    command = [
        "setpriv", "--pdeathsig", "KILL",
        "qemu-system-x86_64", "-name", f"lab-{name}", "-nodefaults", "-no-user-config",
        "-display", "none", "-no-reboot",
        "-M", "microvm,pit=on,pic=on,rtc=on,isa-serial=on,acpi=on",
        "-accel", accel, "-cpu", cpu, "-smp", str(node["cpus"]), "-m", f"{node['memory_mib']}M",
        "-kernel", node["vmlinux"], "-initrd", node["initramfs"],
        "-append", kernel_command_line(node, config),
        "-chardev", f"file,id=console,path={console_path(scratch, name)},append=on",
        "-serial", "chardev:console",
        "-chardev", f"socket,id=agent,path={scratch}/{name}.agent,server=on,wait=off",
        "-qmp", f"unix:{scratch}/{name}.qmp,server=on,wait=off",
        "-device", "virtio-serial-device", "-device", "virtserialport,chardev=agent,name=lab.agent",
        "-object", "rng-random,id=random,filename=/dev/urandom",
        "-device", "virtio-rng-device,rng=random",
        "-netdev", f"dgram,id=net,local.type=unix,local.path={scratch}/{name}.nic,"
                   f"remote.type=unix,remote.path={scratch}/{name}.switch",
        "-device", f"virtio-net-device,netdev=net,mac={node['mac']},mrg_rxbuf=on",
    ]
    for serial, path in (("lab-root", node["root_disk"]), ("lab-build", config["build_disk"])):
        command += ["-drive", f"file={path},if=none,id={serial},format=raw,readonly=on,"
                              "cache=writeback,file.locking=off",
                    "-device", f"virtio-blk-device,drive={serial},serial={serial}"]
    if config["icount"]:
        command += ["-icount", "shift=0,sleep=off"]     # 1 ns is one instruction; idle time is skipped
    elif is_counted(node, config):
        command += ["-icount", "shift=2,sleep=on"]      # 4 ns, about what it has anyway
    if node.get("disk"):
        command += ["-drive", f"file={node['disk']},if=none,id=lab-disk,format=raw,cache=none,"
                              "aio=threads",
                    "-device", "virtio-blk-device,drive=lab-disk,serial=lab-disk"]
    return command


class Node:
    """A node that can be powered on and off any number of times."""

    def __init__(self, settings, config, scratch, switch):
        self.settings = settings
        self.name = settings["name"]
        self.state = "off"
        self.agent = None
        self.boot_seconds = None
        self.cut_off = None             # "in", "out" or "both": survives a reboot, as a cable does
        self.disk_iops = None
        self._config = config
        self._scratch = scratch
        self._switch = switch
        self._process = None
        self._tasks = []

    @property
    def pid(self):
        return self._process.pid if self._process and self._process.returncode is None else None

    def require_up(self):
        """The agent of a node that can do something."""
        if self.state != "up":
            way_out = "resume" if self.state == "paused" else "start" if not self.pid else None
            raise LabError(f"{self.name} is {self.state}"
                           + (f" (scripts/lab {way_out} {self.name})" if way_out else ""))
        return self.agent

    async def start(self, deadline):
        """Power on; return when the node is ready for use."""
        if self.pid:
            raise LabError(f"{self.name} is on already")
        begin = asyncio.get_running_loop().time()
        self.state = "booting"
        self.agent = Agent(self.name)
        for end in ("agent", "nic", "qmp"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._scratch}/{self.name}.{end}")
        with open(f"{self._scratch}/{self.name}.qemu", "ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *qemu_command(self.settings, self._config, self._scratch),
                stdin=asyncio.subprocess.DEVNULL, stdout=errors, stderr=errors)
        self._tasks.append(asyncio.create_task(self._watch(self._process, self.agent)))
        try:
            await asyncio.wait_for(self._boot(), deadline)
        except asyncio.TimeoutError:
            raise LabError(f"{self.name} did not boot in {deadline} s; its console ends:\n"
                           + self.console_tail())
        self.boot_seconds = round(asyncio.get_running_loop().time() - begin, 1)
        self.state = "up"

    async def _boot(self):
        await self._connect_agent()
        hello = asyncio.create_task(self.agent.hello.wait())
        ended = asyncio.create_task(self._process.wait())
        await asyncio.wait({hello, ended}, return_when=asyncio.FIRST_COMPLETED)
        hello.cancel()
        ended.cancel()
        if not self.agent.hello.is_set():
            raise LabError(f"{self.name} ended while it booted; its console ends:\n"
                           + self.console_tail() + self._qemu_errors())
        await self._prepare(["/lab/bin/node-up", *self.settings["sysctls"]])
        if self.settings["role"] == "donor" and self._config["daemon"]:
            await self._prepare(["/lab/bin/daemon-up", *self._config["daemon_args"]])

    async def _connect_agent(self):
        path = f"{self._scratch}/{self.name}.agent"
        while True:
            if self._process.returncode is not None:
                raise LabError(f"{self.name}: QEMU did not start:\n{self._qemu_errors()}")
            try:
                self._tasks.append(await self.agent.connect(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(0.01)
        # QEMU makes its sockets in the order of its command line, then
        # starts the guest; frames before that would only be dropped.
        while not os.path.exists(f"{self._scratch}/{self.name}.nic"):
            await asyncio.sleep(0.01)
        await self._switch.tell(f"up {self.name}")
        if self.disk_iops:
            await self._set_disk_iops()

    async def _prepare(self, argv):
        factor = self._config["time_factor"]
        # A guest that skips its idle time has limits of the host's alone.
        limit = 0 if self._config["icount"] else _NODE_UP_TIMEOUT * factor
        status, output = await self.agent.run(
            argv, limit, (_NODE_UP_TIMEOUT + _SLACK) * factor - limit)
        if status:
            raise LabError(f"{self.name}: {argv[0]} failed with status {status}:\n"
                           + output.rstrip())

    async def _watch(self, process, agent):
        await process.wait()
        if self.state != "killed":
            self.state = "dead (its QEMU ended by itself)"
        await self._switch.tell(f"down {self.name}")
        agent.close("it went down")

    async def pause(self):
        """Stop the guest as a whole, its clock too: it sees nothing of it, others see silence.

        With SIGSTOP its clock would jump when it goes on, and its kernel would
        report stalls and lockups of which none is true.
        """
        self.require_up()
        await self._qmp("stop")
        self.state = "paused"

    async def resume(self):
        """Let it go on, with the frames that the switch kept."""
        if self.state != "paused":
            raise LabError(f"{self.name} is {self.state}, not paused")
        await self._qmp("cont")
        self.state = "up"

    async def cut(self, direction):
        """Lose all frames to it (in), from it (out) or both; None loses none."""
        await self._switch.tell(f"cut {self.name} {direction or 'none'}")
        self.cut_off = direction

    async def limit_disk(self, iops):
        """So many I/O requests of the extra disk a second; None for no limit."""
        if not self.settings.get("disk"):
            raise LabError(f"{self.name} has no extra disk")
        self.disk_iops = iops
        if self.pid:
            await self._set_disk_iops()

    async def _set_disk_iops(self):
        # No maximum beside the average: then QEMU's burst is what a tenth of
        # a second lends, less than one request of a slow disk.
        await self._qmp("block_set_io_throttle", device="lab-disk", iops=self.disk_iops or 0,
                        iops_rd=0, iops_wr=0, bps=0, bps_rd=0, bps_wr=0)

    async def _qmp(self, command, **arguments):
        return await qmp.execute(f"{self._scratch}/{self.name}.qmp", command, **arguments)

    async def kill(self):
        """Pull the plug."""
        if not self.pid:
            raise LabError(f"{self.name} is {self.state}")
        self.state = "killed"
        await self._end(signal.SIGKILL)

    async def stop(self):
        """Power off for good; QEMU's own end is as abrupt for the guest, but flushes its disks."""
        if self.pid:
            self.state = "killed"
            await self._end(signal.SIGTERM)

    async def _end(self, number):
        process = self._process
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            await asyncio.wait_for(process.wait(), 5)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()

    def console_tail(self, size=2500):
        try:
            data = console_path(self._scratch, self.name).read_bytes()
        except OSError:
            return "(no console)"
        return data[-size:].decode(errors="replace").replace("\r", "")

    def _qemu_errors(self):
        with open(f"{self._scratch}/{self.name}.qemu", errors="replace") as errors:
            return errors.read()[-1000:]
