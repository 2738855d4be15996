# SPDX-License-Identifier: GPL-2.0-only
"""The broker: the one process that a running lab is.

It owns the switch, every node's QEMU and the connections to their agents, and
serves lab commands on a socket, any number at a time. Nothing outlives it: the
kernel kills its children when it dies, however it dies.

`lab up` starts it with the configuration on standard input and reads its progress
from standard output; when that ends before the lab is ready, so does the lab.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
from pathlib import Path

from . import LabError, logs, state, wire
from .node import Node

_MAX_BACKLOG = 256 << 20    # output that a lab command may leave unread


class Switch:
    """The Ethernet between the nodes (tests/lab/switch.c)."""

    def __init__(self):
        self._process = None
        self._turn = asyncio.Lock()

    async def start(self, config, scratch):
        names = [node["name"] for node in config["nodes"]]
        with open(scratch / "switch.log", "ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                "setpriv", "--pdeathsig", "KILL", config["switch"], str(scratch), *names,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors)
        if await self._process.stdout.readline() != b"ready\n":
            raise LabError("the switch did not start: " + (scratch / "switch.log").read_text())

    async def tell(self, command):
        """Returns when it is done, so that whoever asked may rely on it."""
        async with self._turn:
            if self._process and self._process.returncode is None:
                self._process.stdin.write(command.encode() + b"\n")
                await self._process.stdout.readline()

    async def stop(self):
        if self._process and self._process.returncode is None:
            self._process.stdin.close()
            await self._process.wait()


class Broker:
    """All of a running lab; its public coroutines are what commands can ask for."""

    def __init__(self, config):
        self.config = config
        self.scratch = Path(config["scratch"])
        self.switch = Switch()
        self.nodes = {settings["name"]: Node(settings, config, self.scratch, self.switch)
                      for settings in config["nodes"]}
        self.quit = asyncio.Event()

    async def boot(self):
        """Power everything on; fails if any node does."""
        await self.switch.start(self.config, self.scratch)
        tasks = [asyncio.create_task(node.start(self.config["boot_timeout"]))
                 for node in self.nodes.values()]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def shutdown(self):
        await asyncio.gather(*(node.stop() for node in self.nodes.values()))
        await self.switch.stop()

    def node(self, name):
        state.require_node(self.config, name)
        return self.nodes[name]

    async def status(self):
        """Every node: what it is, how it is, whether it answers."""
        async def one(node):
            answer = await node.agent.ping(2) if node.state == "up" else None
            return {**node.settings, "state": node.state, "pid": node.pid,
                    "cut": node.cut_off, "disk_iops": node.disk_iops,
                    "boot_seconds": node.boot_seconds, "answer_seconds": answer}
        return {"broker": os.getpid(), "scratch": str(self.scratch),
                "accel": self.config["accel"],
                "nodes": await asyncio.gather(*map(one, self.nodes.values()))}


class Connection:
    """One lab command."""

    def __init__(self, broker, reader, writer):
        self._broker = broker
        self._reader = reader
        self._writer = writer

    async def serve(self):
        try:
            kind, payload = await self._read()
            if kind == wire.REQUEST:
                result = await self._answer(json.loads(payload))
                self._writer.write(wire.json_frame(wire.RESULT, result))
                await self._writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writer.close()

    async def _read(self):
        kind, _, length = wire.HEADER.unpack(await self._reader.readexactly(wire.HEADER.size))
        return kind, await self._reader.readexactly(length)

    async def _answer(self, request):
        broker = self._broker
        try:
            verb = request["verb"]
            if verb == "down":
                broker.quit.set()
                return {}
            if verb == "status":
                return await broker.status()
            node = broker.node(request["node"])
            if verb in ("kill", "pause", "resume"):
                await getattr(node, verb)()
            elif verb == "cut":
                await node.cut(request["direction"])
            elif verb == "disk":
                await node.limit_disk(request["iops"])
            elif verb == "start":
                await node.start(broker.config["boot_timeout"])
            elif verb in ("exec", "put", "get"):
                return {"status": await self._job(node, request)}
            else:
                raise LabError(f"the broker knows no '{verb}'")
            return {}
        except LabError as error:
            return {"error": str(error)}

    async def _job(self, node, request):
        """Run one job in a guest, its frames passing through, until it or the command ends."""
        agent = node.require_up()
        timeout = request["timeout"]
        verb = request["verb"]
        if verb == "exec":
            kind, payload = wire.RUN, wire.run_payload(request["argv"], timeout)
            if len(payload) > wire.MAX_COMMAND:
                raise LabError(f"the command is {len(payload)} bytes long,"
                               f" {wire.MAX_COMMAND} are possible")
        elif verb == "put":
            kind = wire.PUT
            payload = wire.put_payload(request["path"], request["mode"], request["size"], timeout)
        else:
            kind, payload = wire.GET, wire.get_payload(request["path"], timeout)

        number, job = agent.start(kind, payload, self._forward)
        input_task = asyncio.create_task(self._input(agent, number))
        try:
            done, _ = await asyncio.wait({job.ended, input_task},
                                         timeout=timeout + request["slack"] if timeout else None,
                                         return_when=asyncio.FIRST_COMPLETED)
            if job.ended in done:
                return job.ended.result()
            agent.kill(number)
            if input_task in done:
                raise ConnectionResetError("the command has gone")
            raise LabError(f"{node.name} does not answer: no end of '{verb}' "
                           f"{request['slack']} s after its limit of {timeout} s;"
                           f" its console ends:\n{node.console_tail(1500)}")
        finally:
            agent.forget(number)
            input_task.cancel()

    def _forward(self, kind, payload):
        if self._writer.transport.get_write_buffer_size() > _MAX_BACKLOG:
            # Not waiting for one slow reader is what keeps the others served.
            self._writer.transport.abort()
            return
        self._writer.write(wire.frame(kind, 0, payload))

    async def _input(self, agent, number):
        """Pass a put's data on; returns when the command closed its side."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, payload = await self._read()
                if kind == wire.DATA:
                    agent.send(wire.DATA, number, payload)


def watch_owner(pid, loop, quit_event):
    """End the lab when the process that asked for it ends, even by force."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        quit_event.set()
        return
    loop.add_reader(descriptor, quit_event.set)


async def serve(config, say):
    """Boot, serve until told to quit, clean up."""
    broker = Broker(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, broker.quit.set)
    # Standard input stays open until `lab up` has what it wants.
    loop.add_reader(0, broker.quit.set)
    if config["owner"]:
        watch_owner(config["owner"], loop, broker.quit)

    quit_task = asyncio.create_task(broker.quit.wait())
    boot = asyncio.create_task(broker.boot())
    server = None
    try:
        await asyncio.wait({boot, quit_task}, return_when=asyncio.FIRST_COMPLETED)
        if not boot.done():
            boot.cancel()
            await asyncio.gather(boot, return_exceptions=True)
            return
        boot.result()
        server = await asyncio.start_unix_server(
            lambda reader, writer: Connection(broker, reader, writer).serve(),
            broker.scratch / "broker.socket")
        loop.remove_reader(0)
        say({"ready": await broker.status()})
        await quit_task
    except LabError as error:
        say({"error": str(error)})
    finally:
        if server:
            server.close()
        await broker.shutdown()


def main():
    config = json.loads(sys.stdin.readline())
    scratch = Path(config["scratch"])

    def say(message):
        with contextlib.suppress(BrokenPipeError, ValueError):
            print(json.dumps(message), flush=True)
            if "ready" in message:
                # From now on nobody reads; errors go to the log.
                os.dup2(2, 1)

    # `lab up` locked the scratch directory, and the lock came with us.
    os.set_inheritable(config["lock_fd"], False)
    image_locks = [open(path, "w") for path in config["image_locks"]]
    for lock in image_locks:
        fcntl.flock(lock, fcntl.LOCK_SH)
    try:
        asyncio.run(serve(config, say))
    finally:
        if config["reports"]:
            logs.save(scratch, config["reports"])
        state.remove(scratch)


if __name__ == "__main__":
    main()
