"""What is kept of a whole run: every sample, on which machine, of which versions."""

from __future__ import annotations

import datetime
import json
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from figures import Samples, Verdict
from ground import program
from rows import OURS, ROWS
from servers import Servers

NUMBERS = re.compile(r"\[[\s\d.,]+\]")
VERSION = re.compile(r"\d+\.\d+[\w.+~-]*")


def written(
    path: Path, servers: Servers, rows: Mapping[str, Samples], judged: Sequence[Verdict], rounds: int, seconds: int
) -> None:
    """Writes it as JSON. Times are in microseconds, sizes in bytes, `cpu` is of a request."""
    titles = {row.name: row.title for row in ROWS}
    kept = {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": _cpu(), "kernel": platform.release(), "system": _system()},
        "versions": _versions(servers),
        "rounds": rounds,
        "seconds": seconds,
        "rows": {
            name: {
                "title": titles[name],
                "samples": {server: _columns(own) for server, own in samples.items()},
            }
            for name, samples in rows.items()
        },
        "floors": [
            {
                "row": verdict.row,
                **asdict(verdict.floor),
                **_rounded({"is": verdict.value, "least": verdict.least, "most": verdict.most}),
                "holds": verdict.holds,
            }
            for verdict in judged
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # A measure's rounds on one line.
    text = NUMBERS.sub(lambda found: " ".join(found[0].split()), json.dumps(kept, indent=1))
    path.write_text(text + "\n")


def _columns(samples: Sequence[Any]) -> dict[str, list[float]]:
    """A measure's values in all rounds."""
    rows = [asdict(sample) for sample in samples]
    return {measure: [round(row[measure], 3) for row in rows] for measure in rows[0]}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}


def _versions(servers: Servers) -> dict[str, str]:
    asked = {
        OURS: [str(servers.programs[OURS]), "--version"],
        "nginx": [program("nginx"), "-v"],
        "haproxy": [program("haproxy"), "-v"],
        "varnish": [program("varnishd"), "-V"],
        "trafficserver": [program("traffic_server"), "-V"],
        "redis": [program("redis-server"), "--version"],
        "wrk": [program("wrk"), "-v"],
    }
    return {name: _version(command) for name, command in asked.items()}


def _version(command: Sequence[str]) -> str:
    run = subprocess.run(command, capture_output=True, text=True, timeout=10)
    found = VERSION.search(run.stdout + run.stderr)
    return found[0] if found else "unknown"


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
