# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's own control socket: what is done to a guest from outside of it."""

import asyncio
import json

from . import LabError

_TIMEOUT = 10
_LIMIT = 1 << 20        # bytes of one answer


async def execute(path, command, **arguments):
    """Have QEMU execute one command; returns what it answers, raises its error."""
    try:
        return await asyncio.wait_for(_execute(path, command, arguments), _TIMEOUT)
    except asyncio.TimeoutError:
        raise LabError(f"QEMU does not answer to {command} in {_TIMEOUT} s")
    except OSError as error:
        raise LabError(f"QEMU's control socket {path}: {error.strerror}")


async def _execute(path, command, arguments):
    reader, writer = await asyncio.open_unix_connection(path, limit=_LIMIT)
    try:
        await reader.readline()         # the greeting
        await _ask(reader, writer, "qmp_capabilities", {})
        return await _ask(reader, writer, command, arguments)
    finally:
        writer.close()


async def _ask(reader, writer, command, arguments):
    writer.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    while True:
        line = await reader.readline()
        if not line:
            raise LabError(f"QEMU ended before it answered to {command}")
        answer = json.loads(line)
        if "error" in answer:
            raise LabError(f"QEMU refuses {command}: {answer['error']['desc']}")
        if "return" in answer:
            return answer["return"]     # and not an event
