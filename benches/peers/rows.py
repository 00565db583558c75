"""What is compared: the rows, who is in them, and what must hold. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from bodies import Bodies

OURS = "catproxy"
CACHES = (OURS, "nginx", "haproxy", "varnish", "trafficserver")
FORWARDERS = (OURS, "nginx", "haproxy")


@dataclass(frozen=True)
class Floor:
    """Ours divided by the peer's, or where there is no peer ours alone, is at most so much."""

    measure: str
    peer: str | None
    floor: float
    goal: float | None = None


@dataclass(frozen=True)
class Row:
    """One kind of load, the same for all."""

    name: str
    title: str
    #: "cache" or "forward": which servers run meanwhile.
    group: str
    target: str
    connections: int
    servers: tuple[str, ...]
    floors: tuple[Floor, ...]
    method: str = "GET"
    #: Bytes of the request's body.
    upload: int = 0
    #: A new connection for each request.
    closes: bool = False
    #: Bytes of an answer, where so few end in a round that those under way count too.
    download: int = 0
    #: What the peers are asked for, where that is something else.
    peers_target: str | None = None

    def target_of(self, server: str) -> str:
        ours = server in (OURS, "before")
        return self.target if ours or self.peers_target is None else self.peers_target


SLOWEST = (Floor("cpu", "varnish", 0.45, 0.35), Floor("cpu", "trafficserver", 0.45, 0.35))
ROWS = (
    Row(
        "hit-64", "warm hit, 2.5 KB, 64 connections", "cache", Bodies.small, 64, CACHES,
        (Floor("cpu", "nginx", 0.75, 0.55), Floor("cpu", "haproxy", 0.85, 0.65), *SLOWEST),
    ),
    Row(
        "hit-1", "warm hit, 2.5 KB, 1 connection", "cache", Bodies.small, 1, CACHES,
        (Floor("p50", "haproxy", 1.0, 0.9),),
    ),
    Row(
        "hit-512", "warm hit, 2.5 KB, 512 connections", "cache", Bodies.small, 512, CACHES,
        (Floor("cpu", "nginx", 0.75, 0.5), Floor("p99", "haproxy", 1.0, 0.5)),
    ),
    Row(
        "close-64", "warm hit, 2.5 KB, a new connection for each request, 64 at a time", "cache", Bodies.small, 64,
        FORWARDERS, (Floor("cpu", "haproxy", 1.0),), closes=True,
    ),
    Row(
        "large-64", "warm hit, the same 49 KB from all, 64 connections", "cache", Bodies.large, 64, CACHES,
        (Floor("cpu", "nginx", 1.05, 0.85), Floor("cpu", "haproxy", 0.7)),
    ),
    Row(
        "whole-64", "the same question: our 2.5 KB, the peers' whole page of 49 KB, 64 connections", "cache",
        Bodies.small, 64, CACHES, (Floor("cpu", "nginx", 0.65, 0.5),), peers_target=Bodies.whole,
    ),
    Row(
        "get-1KB", "forwarding 1 KB, 64 connections", "forward", "/files/1KB", 64, FORWARDERS,
        (Floor("cpu", "haproxy", 1.25, 1.05),),
    ),
    Row(
        "get-50KB", "forwarding 50 KB, 64 connections", "forward", "/files/50KB", 64, FORWARDERS,
        (Floor("cpu", "nginx", 1.3, 1.1), Floor("cpu", "haproxy", 1.0)),
    ),
    Row(
        "get-10MB", "forwarding 10 MB, 64 connections", "forward", "/files/10MB", 64, FORWARDERS,
        (
            Floor("cpu", "nginx", 1.3, 1.1), Floor("cpu", "haproxy", 1.0),
            Floor("peak", "nginx", 1.0), Floor("peak", None, 80 * 2**20, 32 * 2**20),
        ),
        download=10_000_000,
    ),
    Row(
        "post-1MB", "forwarding uploads of 1 MB, 16 connections", "forward", "/api/Lot/1/images", 16, FORWARDERS,
        (Floor("cpu", "haproxy", 0.9, 0.8),), method="POST", upload=1_000_000,
    ),
)  # fmt: skip
