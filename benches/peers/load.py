"""One sample: wrk against one server for some seconds, and what that cost the server."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import measure
from bodies import TOKEN
from ground import CannotRun, Ground, program
from rows import Load
from servers import Server

SCRIPT = Path(__file__).resolve().parent / "wrk.lua"
#: How long wrk waits for an answer, in seconds, and how long it may take beyond its time.
TIMEOUT = 10
PATIENCE = 60


@dataclass(frozen=True)
class Sample:
    """Of one server in one round."""

    #: Microseconds of CPU time for a request, which are seconds for a million.
    cpu: float
    #: Of them outside of the kernel.
    user: float
    requests_per_second: float
    #: Microseconds; 0 where no answer ended.
    p50: float
    p99: float
    #: Of an answer, its head included.
    bytes: float
    #: Bytes in memory afterwards, and at most meanwhile.
    resident: float
    peak: float
    #: What others than this server had of its CPU, 0 to 1.
    others: float


def sample(ground: Ground, server: Server, row: Load, seconds: int) -> Sample:
    process = server.process.pid
    _seen_alive(ground, server, row)
    measure.forget_peak(process)
    before, busy, began = measure.cost(process), measure.busy(ground.proxy_cpu), time.monotonic()
    said = wrk(ground, row, server.url(row.target_of(server.name)), seconds)
    _seen_alive(ground, server, row)
    after = measure.cost(process)
    took = time.monotonic() - began
    others = measure.busy(ground.proxy_cpu) - busy - (after.cpu - before.cpu)
    requests = said["bytes"] / row.download if row.download else said["requests"]
    if requests == 0 or said["status"] or said["broken"] or said["timeout"]:
        raise CannotRun(
            f"{row.name}: {server.name} answered {requests:.0f} requests, {said['status']} of them with an error;"
            f" {said['broken']} connections broke, and {said['timeout']} answers took longer than {TIMEOUT} s."
            f" It said:\n{ground.said(server.name)}"
        )
    return Sample(
        cpu=1e6 * (after.cpu - before.cpu) / requests,
        user=1e6 * (after.user - before.user) / requests,
        requests_per_second=1e6 * requests / said["duration"],
        p50=said["p50"],
        p99=said["p99"],
        bytes=said["bytes"] / requests,
        resident=measure.resident(process),
        peak=measure.resident(process, "VmHWM"),
        others=max(0.0, others / took),
    )


def _seen_alive(ground: Ground, server: Server, row: Load) -> None:
    if (code := server.process.poll()) is not None:
        said = ground.said(server.name)
        raise CannotRun(f"{row.name}: {server.name} ended by itself with {code}. It said:\n{said}")


def wrk(ground: Ground, row: Load, url: str, seconds: int) -> dict[str, float]:
    """Lets wrk ask, with one thread, and gives what it counted."""
    command = [
        program("taskset"), "-c", str(ground.load_cpu), program("wrk"), "-t1", f"-c{row.connections}", f"-d{seconds}s",
        "--timeout", f"{TIMEOUT}s", "-H", f"Authorization: Bearer {TOKEN}",
        *(["-H", "Connection: close"] if row.closes else []),
        "-s", str(SCRIPT), url, "--", row.method, str(row.upload),
        *([str(1000 * row.connections // row.rate)] if row.rate else []),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE)
    lines = [line for line in run.stdout.splitlines() if line.startswith('{"requests"')]
    if run.returncode != 0 or not lines:
        raise CannotRun(f"wrk against {url} failed:\n{run.stdout}{run.stderr}")
    return json.loads(lines[-1])
