"""Compares catproxy with nginx, HAProxy, Varnish and Traffic Server."""

from __future__ import annotations

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

import load
from bodies import FEW, SELLERS
from ground import CannotRun, Ground
from load import Sample
from programs import stop_in_order
from rows import OURS, ROWS, Row
from servers import Server, Servers


def publish(servers: Servers, ours: Server) -> None:
    """The peers are given the bytes that ours sends."""
    for target, size in ((servers.bodies.small, FEW), (servers.bodies.large, SELLERS)):
        servers.bodies.sent(size, near(ours, target))


def near(server: Server, target: str) -> bytes:
    """What catproxy answers once it has a copy of its own."""
    for _ in range(5):
        status, fields, body = server.get(target)
        if status == 200 and "detail=near" in fields.get("cache-status", ""):
            return body
    raise CannotRun(f"{server.name} has no copy of {target}: {status}, {fields.get('cache-status')}")


def warm(servers: Servers, server: Server, row: Row) -> None:
    """Sees that a server answers from its cache and with the right bytes."""
    target = row.target_of(server.name)
    body = near(server, target) if server.name in servers.programs else server.get(target)[2]
    size = target.rpartition("=")[2]
    wanted = servers.bodies.folder / ("upstream" if "/whole/" in target else "sent") / size
    if body != wanted.read_bytes():
        raise CannotRun(f"{row.name}: {server.name} sends {len(body)} bytes that are not those of {wanted}")
    before = servers.asked()
    for _ in range(3):
        server.get(target)
    if (asked := servers.asked() - before) > 1:
        raise CannotRun(f"{row.name}: {server.name} does not answer from its cache: it asked {asked - 1} times of 3")


def compare(ground: Ground, servers: Servers, running: dict[str, Server], row: Row, rounds: int, seconds: float) -> dict[str, list[Sample]]:
    names = [name for name in row.servers if name in running]
    if "before" in running:
        names.insert(1, "before")
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    if row.group == "cache":
        for name in names:
            warm(servers, running[name], row)
    for turn in range(rounds):
        # Each is first, and last, once in a while.
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            print(f"\r\x1b[K{row.name}: round {turn + 1} of {rounds}, {name}", end="", file=sys.stderr, flush=True)
            samples[name].append(load.sample(ground, running[name], row, row.target_of(name), seconds))
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return samples


def median(samples: list[Sample], what: str) -> float:
    return statistics.median(getattr(one, what) for one in samples)


def ratio(ours: list[Sample], peers: list[Sample], what: str) -> float:
    return statistics.median(getattr(a, what) / getattr(b, what) for a, b in zip(ours, peers, strict=True))


def show(row: Row, samples: dict[str, list[Sample]]) -> None:
    print(f"\n{row.name}: {row.title}")
    print(f"  {'':14}{'CPU s/M':>9}{'of it user':>12}{'ours':>7}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'RSS MiB':>9}{'peak':>7}{'MB/s':>7}")
    ours = samples[OURS]
    for name, own in samples.items():
        times = "" if name == OURS else f"{ratio(ours, own, 'cpu'):.2f}"
        print(
            f"  {name:14}{median(own, 'cpu'):9.1f}{median(own, 'user'):12.1f}{times:>7}{median(own, 'requests_per_second'):9.0f}"
            f"{median(own, 'p50') / 1000:9.3f}{median(own, 'p99') / 1000:9.2f}{median(own, 'resident') / 2**20:9.1f}"
            f"{median(own, 'peak') / 2**20:7.1f}{median(own, 'bytes_per_second') / 1e6:7.0f}"
        )
    for floor in row.floors:
        if floor.peer is not None and floor.peer not in samples:
            continue
        value = ratio(ours, samples[floor.peer], floor.measure) if floor.peer else median(ours, floor.measure)
        mark = "holds" if value <= floor.floor else "DOES NOT HOLD"
        print(f"    {floor.measure} / {floor.peer}: {value:.2f}, at most {floor.floor:.2f}: {mark}")
    sys.stdout.flush()


def main() -> int:
    stop_in_order()
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--against", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    flags = parser.parse_args()
    only = [name for name in flags.only.split(",") if name]
    rows = [row for row in ROWS if not only or any(row.name.startswith(name) for name in only)]
    try:
        with ExitStack() as stack:
            ground = Ground(stack)
            servers = Servers(ground, flags.ours.resolve(), flags.before and flags.before.resolve())
            for group in ("cache", "forward"):
                chosen = [row for row in rows if row.group == group]
                if not chosen:
                    continue
                names = {name for row in chosen for name in row.servers}
                if flags.against:
                    names &= {OURS, *flags.against.split(",")}
                start = servers.cache if group == "cache" else servers.forwarder
                running = {OURS: start(OURS)}
                if group == "cache":
                    publish(servers, running[OURS])
                for name in [*(n for n in servers.programs if n != OURS), *(n for n in ("nginx", "haproxy", "varnish", "trafficserver") if n in names)]:
                    running[name] = start(name)
                for row in chosen:
                    show(row, compare(ground, servers, running, row, flags.rounds, flags.seconds))
                for server in running.values():
                    server.end()
    except CannotRun as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
