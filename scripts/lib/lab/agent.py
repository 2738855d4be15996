# SPDX-License-Identifier: GPL-2.0-only
"""The broker's end of one guest's agent: jobs under way, and the frames between."""

import asyncio

from . import LabError, wire


class Job:
    """One command or file transfer in a guest; RECEIVE gets its frames but the last."""

    def __init__(self, receive):
        self.receive = receive
        self.ended = asyncio.get_running_loop().create_future()

    def end(self, status):
        if not self.ended.done():
            self.ended.set_result(status)

    def fail(self, reason):
        if not self.ended.done():
            self.ended.set_exception(LabError(reason))
            # Whoever started the job may have gone already.
            self.ended.exception()


class Agent:
    """A connection to the agent of a guest that may still be booting."""

    def __init__(self, name):
        self.name = name
        self.hello = asyncio.Event()
        self._jobs = {}
        self._last_job = 0
        self._writer = None
        self._pongs = {}

    async def connect(self, path):
        """Take the port's socket, which QEMU has made."""
        reader, self._writer = await asyncio.open_unix_connection(path)
        return asyncio.create_task(self._read(reader))

    def close(self, reason):
        """The guest has gone: so have its jobs."""
        if self._writer:
            self._writer.close()
            self._writer = None
        for job in self._jobs.values():
            job.fail(f"{self.name}: {reason}")
        self._jobs.clear()

    def start(self, kind, payload, receive):
        """Start a job; returns its id and the Job."""
        if not self._writer or not self.hello.is_set():
            raise LabError(f"{self.name}: the agent is not up")
        self._last_job += 1
        job = self._jobs[self._last_job] = Job(receive)
        self.send(kind, self._last_job, payload)
        return self._last_job, job

    def send(self, kind, job, payload=b""):
        if self._writer:
            self._writer.write(wire.frame(kind, job, payload))

    def kill(self, job):
        self.send(wire.KILL, job)

    def forget(self, job):
        """Nobody waits for this job any more; its late frames go nowhere."""
        self._jobs.pop(job, None)

    async def run(self, argv, timeout, slack):
        """Run a command; return its exit status and its output, both streams as one."""
        output = bytearray()
        number, job = self.start(wire.RUN, wire.run_payload(argv, timeout),
                                 lambda kind, payload: output.extend(payload))
        try:
            status = await asyncio.wait_for(asyncio.shield(job.ended), timeout + slack)
        except asyncio.TimeoutError:
            raise LabError(f"{self.name}: no answer to '{' '.join(argv)}' in {timeout + slack} s")
        finally:
            self.forget(number)
        return status, output.decode(errors="replace")

    async def ping(self, timeout):
        """Seconds until the agent answered, or None."""
        loop = asyncio.get_running_loop()
        self._last_job += 1
        answer = self._pongs[self._last_job] = loop.create_future()
        begin = loop.time()
        self.send(wire.PING, self._last_job)
        try:
            await asyncio.wait_for(answer, timeout)
        except asyncio.TimeoutError:
            return None
        return loop.time() - begin

    async def _read(self, reader):
        try:
            while True:
                header = await reader.readexactly(wire.HEADER.size)
                kind, number, length = wire.HEADER.unpack(header)
                self._take(kind, number, await reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.close("it went down")

    def _take(self, kind, number, payload):
        if kind == wire.HELLO:
            # Also after a restart of the agent, whose jobs ended with it.
            for job in self._jobs.values():
                job.fail(f"{self.name}: its agent was restarted")
            self._jobs.clear()
            self.hello.set()
        elif kind == wire.PONG:
            answer = self._pongs.pop(number, None)
            if answer and not answer.done():
                answer.set_result(None)
        elif number in self._jobs:
            if kind == wire.EXIT:
                self._jobs.pop(number).end(wire.u32(payload))
            else:
                self._jobs[number].receive(kind, payload)
