"""Starts, and memory without load: each server in a process of its own, fresh, one after the other."""

from __future__ import annotations

import select
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass

import measure
from bodies import TOKEN, Bodies
from ground import CannotRun, Ground
from servers import PATIENCE, Server, Servers

#: Unused connections, each of which has had an answer.
SOME = 1_000
MANY = 10_000
#: What is freed after the last answer is gone by then, in seconds.
SETTLED = 0.5


@dataclass(frozen=True)
class Start:
    """Of one process."""

    #: Milliseconds to its first 200.
    started: float


@dataclass(frozen=True)
class Idle:
    """Of one process, in bytes."""

    idle: float
    #: For each connection of `SOME`, and of as many more as files may be open, up to `MANY`.
    each_of_some: float
    each_of_many: float
    #: How many those are.
    many: float


def many(ground: Ground) -> int:
    """How many connections this machine allows to a process, but for some files that it needs itself."""
    return min(MANY, (ground.files - 400) // 2 // 100 * 100)


def start(servers: Servers, name: str) -> Start:
    server = servers.cache(name)
    server.end()
    return Start(server.started)


def idle(ground: Ground, servers: Servers, name: str) -> Idle:
    server = servers.cache(name)
    # With its copies, its connections to the origin and whatever else it makes at the first requests.
    for _ in range(3):
        server.get(Bodies.small)
    time.sleep(SETTLED)
    alone = measure.resident(server.process.pid)
    with ExitStack() as stack:
        lines: list[socket.socket] = []

        def each_of(count: int) -> float:
            while len(lines) < count:
                lines.append(stack.enter_context(_answered(server)))
            time.sleep(SETTLED)
            return (measure.resident(server.process.pid) - alone) / count

        found = Idle(alone, each_of(SOME), each_of(many(ground)), len(lines))
        closed = _readable(lines)
        if closed:
            raise CannotRun(f"{name} closed {closed} of {len(lines)} unused connections")
    server.end()
    return found


def _readable(lines: list[socket.socket]) -> int:
    """Of how many connections there is something to read: all answers were taken, so it is their end."""
    poll = select.poll()
    for line in lines:
        poll.register(line, select.POLLIN)
    return len(poll.poll(0))


def _answered(server: Server) -> socket.socket:
    """A connection that has had one whole answer, and stays open."""
    request = f"GET {Bodies.small} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    line = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    line.sendall(request.encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += _more(line, server)
    head, _, body = got.partition(b"\r\n\r\n")
    fields = dict(field.lower().split(b":", 1) for field in head.split(b"\r\n")[1:])
    left = int(fields[b"content-length"]) - len(body)
    while left > 0:
        left -= len(_more(line, server))
    return line


def _more(line: socket.socket, server: Server) -> bytes:
    got = line.recv(65536)
    if not got:
        raise CannotRun(f"{server.name} closed a connection of many in the midst of its answer")
    return got
