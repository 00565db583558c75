"""Rounds of one row, all its servers in turn; before them, whether each sends what it should from where it should."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from bodies import FEW, SELLERS
from ground import CannotRun, Ground
from load import Sample, sample
from rows import Load
from servers import Server, Servers

#: Answers until catproxy has a copy: one fills, the next may come from Redis.
TRIES = 10


def publish(servers: Servers, ours: Server) -> None:
    """Lets the origin send to the peers the bytes that ours sends."""
    for target, size in ((servers.bodies.small, FEW), (servers.bodies.large, SELLERS)):
        servers.bodies.sent(size, near(ours, target))


def near(ours: Server, target: str) -> bytes:
    """What catproxy sends once it has a copy in its process."""
    for _ in range(TRIES):
        status, fields, body = ours.get(target)
        told = fields.get("cache-status", "no Cache-Status")
        if status == 200 and "detail=near" in told:
            return body
    raise CannotRun(f"{ours.name} has no copy of {target} after {TRIES} answers; the last is {status}, {told}")


def samples(
    ground: Ground, servers: Servers, running: Mapping[str, Server], row: Load, rounds: int, seconds: int
) -> dict[str, list[Sample]]:
    """Of each server in `running`, in their order."""
    for server in running.values():
        _check(servers, server, row)
    found: dict[str, list[Sample]] = {name: [] for name in running}
    names = list(running)
    for turn in range(rounds):
        # Each is the first of a round once in a while.
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            progress(f"{row.name}: round {turn + 1} of {rounds}, {name}")
            found[name].append(sample(ground, running[name], row, seconds))
    progress("")
    return found


def _check(servers: Servers, server: Server, row: Load) -> None:
    target = row.target_of(server.name)
    if row.method != "GET":
        return
    ours = server.name in servers.programs
    cached = target.startswith("/api/")
    body = near(server, target) if ours and cached else server.get(target)[2]
    wanted = _file(servers, target)
    if body != wanted.read_bytes():
        raise CannotRun(f"{row.name}: {server.name} sends {len(body)} bytes that are not those of {wanted.name}")
    if cached:
        before = servers.asked()
        server.get(target)
        # The question how many there were is one, too.
        if servers.asked() - before > 1:
            raise CannotRun(f"{row.name}: {server.name} asks the origin again for {target}")


def _file(servers: Servers, target: str) -> Path:
    """Where the body that a target should have is kept."""
    folder = servers.bodies.folder
    if target.startswith("/files/"):
        return folder / target.removeprefix("/")
    return folder / ("upstream" if target == servers.bodies.whole else "sent") / target.rpartition("=")[2]


def progress(text: str) -> None:
    """One line on a terminal, overwritten by the next one."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
