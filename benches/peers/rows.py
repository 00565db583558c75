"""What is compared: the rows, who is in them, and what must hold. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from bodies import Bodies

OURS = "catproxy"
#: Another build of ours, where one is given.
BEFORE = "before"
CACHES = (OURS, "nginx", "haproxy", "varnish", "trafficserver")
FORWARDERS = (OURS, "nginx", "haproxy")
MIB = 2**20


@dataclass(frozen=True)
class Floor:
    """A measure of ours divided by a peer's, or ours alone where there is no peer, must be at most `floor` and should
    be at most `goal`."""

    measure: str
    peer: str | None
    floor: float
    goal: float | None = None


@dataclass(frozen=True)
class Row:
    """One comparison."""

    name: str
    title: str
    servers: tuple[str, ...]
    floors: tuple[Floor, ...]


@dataclass(frozen=True)
class Load(Row):
    """Of servers under the same load."""

    target: str
    connections: int
    #: What the peers are asked for, where that is something else.
    peers_target: str | None = None
    method: str = "GET"
    #: Bytes of the request's body.
    upload: int = 0
    #: Bytes of an answer, where so few end in a round that those under way count too.
    download: int = 0
    #: A new connection for each request.
    closes: bool = False
    #: Requests a second of all connections together, well below what any server can do; 0: as many as are answered.
    rate: int = 0

    def target_of(self, server: str) -> str:
        ours = server in (OURS, BEFORE)
        return self.target if ours or self.peers_target is None else self.peers_target


HITS = (
    Load(
        "hit-64", "warm hit, 2.5 KB, 64 connections", CACHES,
        (
            Floor("cpu", "nginx", 0.75, 0.55), Floor("cpu", "haproxy", 0.85, 0.65),
            Floor("cpu", "varnish", 0.45, 0.35), Floor("cpu", "trafficserver", 0.45, 0.35),
        ),
        Bodies.small, 64,
    ),
    Load(
        "hit-1", "warm hit, 2.5 KB, 1 connection", CACHES, (Floor("p50", "haproxy", 1.0, 0.9),), Bodies.small, 1
    ),
    Load(
        "hit-512", "warm hit, 2.5 KB, 512 connections", CACHES,
        (Floor("cpu", "nginx", 0.75, 0.5),),
        Bodies.small, 512,
    ),
    # Above, the load asks as fast as it is answered, and the times are its own as much as the servers'.
    Load(
        "paced-512", "warm hit, 2.5 KB, 512 connections, 10,000 requests/s together", CACHES,
        (Floor("p99", "haproxy", 1.0, 0.5),),
        Bodies.small, 512, rate=10_000,
    ),
    Load(
        "close-64", "warm hit, 2.5 KB, each request on a connection of its own, 64 at a time", FORWARDERS,
        (Floor("cpu", "haproxy", 1.0),),
        Bodies.small, 64, closes=True,
    ),
    Load(
        "large-64", "warm hit, the same 49 KB of all, 64 connections", CACHES,
        (Floor("cpu", "nginx", 1.05, 0.85), Floor("cpu", "haproxy", 0.7)),
        Bodies.large, 64,
    ),
    Load(
        "whole-64", "the same question answered: by 2.5 KB of ours, by the API's 48 KB of theirs", CACHES,
        (Floor("cpu", "nginx", 0.65, 0.5),),
        Bodies.small, 64, peers_target=Bodies.whole,
    ),
)  # fmt: skip

FORWARDING = (
    Load(
        "get-1KB", "forwarding 1 KB, 64 connections", FORWARDERS,
        (Floor("cpu", "haproxy", 1.25, 1.05),),
        "/files/1KB", 64,
    ),
    Load(
        "get-50KB", "forwarding 50 KB, 64 connections", FORWARDERS,
        (Floor("cpu", "nginx", 1.3, 1.1), Floor("cpu", "haproxy", 1.0)),
        "/files/50KB", 64,
    ),
    Load(
        "get-10MB", "forwarding 10 MB, 64 connections", FORWARDERS,
        (
            Floor("cpu", "nginx", 1.3, 1.1), Floor("cpu", "haproxy", 1.0),
            Floor("peak", "nginx", 1.0), Floor("peak", None, 80 * MIB, 32 * MIB),
        ),
        "/files/10MB", 64, download=10_000_000,
    ),
    Load(
        "post-1MB", "forwarding uploads of 1 MB, 16 connections", FORWARDERS,
        (Floor("cpu", "haproxy", 0.9, 0.8),),
        "/api/Lot/1/images", 16, method="POST", upload=1_000_000,
    ),
)  # fmt: skip

START = Row(
    "start", "from the start of the process to the first 200", CACHES, (Floor("started", "nginx", 0.6, 0.4),)
)
IDLE = Row(
    "idle", "memory, without load and with unused connections that have had an answer", CACHES,
    (
        Floor("idle", None, 12 * MIB, 8 * MIB),
        Floor("each_of_some", None, 16 * 1024, 3 * 1024), Floor("each_of_many", None, 16 * 1024, 3 * 1024),
    ),
)  # fmt: skip

ROWS: tuple[Row, ...] = (*HITS, *FORWARDING, START, IDLE)
