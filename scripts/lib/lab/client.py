# SPDX-License-Identifier: GPL-2.0-only
"""The lab commands' side of the broker's socket: run a command, move files, ask."""

import json
import os
import socket
import stat
import sys
from pathlib import Path

from . import LabError, state, wire

_SLACK = 30     # seconds that a guest may be late with what should have ended
_TRANSFER_TIMEOUT = 300


class Request:
    """One request and all that comes back for it."""

    def __init__(self, **request):
        scratch = state.require_running()
        request = {"slack": _SLACK, **request}
        for limit in ("slack", "timeout"):
            if limit in request:
                request[limit] *= state.time_factor()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(scratch / "broker.socket"))
        except (FileNotFoundError, ConnectionRefusedError):
            raise LabError("the lab of this checkout is still coming up")
        self._stream = self._socket.makefile("rb")
        self._socket.sendall(wire.json_frame(wire.REQUEST, request))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()
        self._socket.close()

    def send_data(self, data):
        self._socket.sendall(wire.frame(wire.DATA, 0, data))

    def next(self):
        """The next frame's type and payload; the result raises its error."""
        header = self._stream.read(wire.HEADER.size)
        if len(header) < wire.HEADER.size:
            raise LabError("the lab went down meanwhile")
        kind, _, length = wire.HEADER.unpack(header)
        payload = self._stream.read(length)
        if len(payload) < length:
            raise LabError("the lab went down meanwhile")
        if kind == wire.RESULT:
            payload = json.loads(payload)
            if "error" in payload:
                raise LabError(payload["error"])
        return kind, payload

    def result(self):
        """Wait for the result; nothing else comes before it."""
        kind, payload = self.next()
        while kind != wire.RESULT:
            kind, payload = self.next()
        return payload


def ask(verb, **request):
    with Request(verb=verb, **request) as reply:
        return reply.result()


def execute(node, argv, timeout, out=None, err=None):
    """Run a command on a node; its output goes to OUT and ERR (binary) as it comes."""
    out = out or sys.stdout.buffer
    err = err or sys.stderr.buffer
    with Request(verb="exec", node=node, argv=argv, timeout=timeout) as request:
        while True:
            kind, payload = request.next()
            if kind == wire.RESULT:
                return payload["status"]
            stream = out if kind == wire.OUT else err
            stream.write(payload)
            stream.flush()


def capture(node, argv, timeout):
    """Run a command on a node; its status and output, both streams as one."""
    class Both:
        def __init__(self):
            self.data = bytearray()
            self.write = self.data.extend

        def flush(self):
            pass
    both = Both()
    status = execute(node, argv, timeout, both, both)
    return status, both.data.decode(errors="replace")


def put(node, files, directory):
    """Copy files of the host into a directory of the node, with their modes."""
    for name in files:
        _put_one(node, Path(name), directory)


def _put_one(node, source, directory):
    try:
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):
            raise LabError(f"put {source}: not a regular file")
        file = open(source, "rb")
    except OSError as error:
        raise LabError(f"put {source}: {error.strerror}")
    with file, Request(verb="put", node=node, path=f"{directory}/{source.name}",
                       mode=stat.S_IMODE(status.st_mode), size=status.st_size,
                       timeout=_TRANSFER_TIMEOUT) as request:
        _feed(request, file, status.st_size, f"put {source} to {node}:{directory}")


def _feed(request, file, size, what):
    """Send as much as the guest has room for, until the result comes."""
    room = wire.WINDOW
    errors = b""
    while True:
        while size and room:
            data = file.read(min(wire.CHUNK, size, room))
            if not data:
                raise LabError(f"{what}: the file got shorter")
            request.send_data(data)
            size -= len(data)
            room -= len(data)
        kind, payload = request.next()
        if kind == wire.CREDIT:
            room += wire.u32(payload)
        elif kind == wire.ERR:
            errors += payload
        elif kind == wire.RESULT:
            if payload["status"]:
                raise LabError(f"{what}: {_reason(errors, payload['status'])}")
            return


def _reason(errors, status):
    return errors.decode(errors="replace").strip() or f"status {status} in the guest"


def get(node, path, directory):
    """Copy a file of the node into a directory of the host, with its mode."""
    if not os.path.isdir(directory):
        raise LabError(f"get: {directory} is not a directory")
    what = f"get {node}:{path}"
    target = Path(directory) / Path(path).name
    partial = target.with_name(target.name + ".lab-partial")
    try:
        with Request(verb="get", node=node, path=path, timeout=_TRANSFER_TIMEOUT) as request:
            with open(partial, "wb") as file:
                mode = _receive(request, file, what)
        os.chmod(partial, mode)
        os.rename(partial, target)
    except OSError as error:
        raise LabError(f"{what}: {error.filename}: {error.strerror}")
    finally:
        partial.unlink(missing_ok=True)


def _receive(request, file, what):
    """Write the file's bytes; return its mode. The size must be what the guest said."""
    head, received, errors = b"", 0, b""
    while True:
        kind, payload = request.next()
        if kind == wire.OUT:
            missing = wire.GET_HEADER.size - len(head)
            head += payload[:missing]
            file.write(payload[missing:])
            received += len(payload[missing:])
        elif kind == wire.ERR:
            errors += payload
        elif kind == wire.RESULT:
            if payload["status"] or len(head) < wire.GET_HEADER.size:
                raise LabError(f"{what}: {_reason(errors, payload['status'])}")
            mode, size = wire.GET_HEADER.unpack(head)
            if received != size:
                raise LabError(f"{what}: {received} of {size} bytes came")
            return mode
