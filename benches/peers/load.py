"""One sample: wrk against one server for some seconds, and what that cost the server."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import measure
from bodies import TOKEN
from ground import CannotRun, Ground, program
from rows import Row
from servers import Server

SCRIPT = Path(__file__).resolve().parent / "wrk.lua"


@dataclass(frozen=True)
class Sample:
    """Of one server in one round."""

    #: Microseconds of CPU time for a request, which is seconds for a million.
    cpu: float
    #: Of them outside of the kernel.
    user: float
    requests_per_second: float
    bytes_per_second: float
    #: Microseconds.
    p50: float
    p99: float
    #: Bytes in memory afterwards, and at most.
    resident: float
    peak: float


def sample(ground: Ground, server: Server, row: Row, target: str, seconds: float) -> Sample:
    process = server.process.pid
    measure.forget_peak(process)
    before = measure.cost(process)
    said = wrk(ground, row, server.url(target), seconds)
    after = measure.cost(process)
    requests = said["bytes"] / row.download if row.download else said["requests"]
    if requests == 0 or said["status"] or said["timeout"]:
        raise CannotRun(
            f"{row.name}: {server.name} answered {requests} requests, {said['status']} of them with an error, and"
            f" {said['timeout']} too late; it said:\n{ground.said(server.name)}"
        )
    return Sample(
        cpu=1e6 * (after.cpu - before.cpu) / requests,
        user=1e6 * (after.user - before.user) / requests,
        requests_per_second=1e6 * requests / said["duration"],
        bytes_per_second=1e6 * said["bytes"] / said["duration"],
        p50=said["p50"],
        p99=said["p99"],
        resident=measure.resident(process),
        peak=measure.resident(process, "VmHWM"),
    )


def wrk(ground: Ground, row: Row, url: str, seconds: float) -> dict[str, float]:
    """Lets wrk ask, with one thread, and gives what it counted."""
    command = [
        "taskset", "-c", str(ground.load_cpu), program("wrk"), "-t1", f"-c{row.connections}",
        f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-H", f"Authorization: Bearer {TOKEN}",
        *(["-H", "Connection: close"] if row.closes else []),
        "-s", str(SCRIPT), url, "--", row.method, str(row.upload),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    lines = [line for line in run.stdout.splitlines() if line.startswith('{"requests"')]
    if run.returncode != 0 or not lines:
        raise CannotRun(f"wrk against {url} failed:\n{run.stdout}{run.stderr}")
    return json.loads(lines[-1])
