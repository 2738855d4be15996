# SPDX-License-Identifier: GPL-2.0-only
"""Frames: how lab commands, the broker and the guests' agents talk.

A frame is a type, the id of a job, and a payload. The agent's side of this is
tests/lab/agent.c; between command and broker the same frames carry a request as
JSON, then whatever the request is about.
"""

import json
import struct

HEADER = struct.Struct("<cII")
AGENT_VERSION = 1
WINDOW = 256 * 1024     # bytes of input that may be under way to one job
CHUNK = 16 * 1024
MAX_FRAME = 160 * 1024  # to an agent
MAX_COMMAND = 128 * 1024

# Host to agent.
RUN, PUT, GET, DATA, KILL, PING = b"r", b"p", b"g", b"d", b"k", b"i"
# Agent to host.
HELLO, OUT, ERR, CREDIT, EXIT, PONG = b"H", b"O", b"E", b"C", b"X", b"I"
# Command to broker: one REQUEST, then DATA as credit comes. Broker to command:
# OUT, ERR, CREDIT as they come, at last RESULT (JSON).
REQUEST, RESULT = b"Q", b"R"

GET_HEADER = struct.Struct("<IQ")   # mode, size; before the bytes of a file


def frame(kind, job=0, payload=b""):
    return HEADER.pack(kind, job, len(payload)) + payload


def json_frame(kind, value):
    return frame(kind, 0, json.dumps(value).encode())


def u32(payload):
    return struct.unpack("<I", payload)[0]


def run_payload(argv, timeout):
    """The payload that makes an agent run this command."""
    command = b"".join(argument.encode(errors="surrogateescape") + b"\0" for argument in argv)
    return struct.pack("<I", int(timeout * 1000)) + command


def put_payload(path, mode, size, timeout):
    return struct.pack("<IIQ", int(timeout * 1000), mode, size) + path.encode()


def get_payload(path, timeout):
    return struct.pack("<I", int(timeout * 1000)) + path.encode()
