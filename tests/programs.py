"""What the checks in Python stand on: starts programs, waits until they are ready, and sees them gone.

The scripts that run such checks put this folder on Python's path.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: How long a program may take until it is ready, in seconds.
PATIENCE = 30
#: Variables of the caller's that would tell a program something else than the tests do.
FOREIGN = re.compile(r"^(CATPROXY_|FAKE_ABCONNECT_|REDIS_|RUST_|ABC|AB_|PYTHON|NETRC|NODE_|npm_)|_proxy$", re.IGNORECASE)


class NotReady(Exception):
    """A program did not get ready; its last words say why."""


@dataclass(frozen=True)
class Bench:
    """Starts programs that `stack` ends, in a folder of their own."""

    stack: ExitStack
    folder: Path
    #: What was started, by its name.
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The caller's variables but the foreign ones. The home, with its tokens and settings, is not the caller's."""
        kept = {name: value for name, value in os.environ.items() if not FOREIGN.search(name)}
        return kept | {
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(
        self,
        name: str,
        command: list[str | Path],
        ready: str,
        told: Mapping[str, str] | None = None,
        at: Path | None = None,
    ) -> str:
        """Starts a program, with the variables `told` and in the folder `at`, and waits until its output says `ready`;
        gives that expression's group."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=at or self.folder,
                env=self.environment() | dict(told or {}),
            )
        self.stack.callback(end, process)
        self.processes[name] = process
        by = time.monotonic() + PATIENCE
        while not (found := re.search(ready, self.log(name))):
            if process.poll() is not None or time.monotonic() > by:
                raise NotReady(f"{name} did not get ready:\n{self.log(name)}")
            time.sleep(0.01)
        return found[1]

    def log(self, name: str) -> str:
        """What a program has said so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")


def end(process: subprocess.Popen[Any]) -> None:
    """Ends one process and sees it gone."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def nobodys_port(stack: ExitStack) -> int:
    """A port on which nobody listens, nor can until the stack ends."""
    held = stack.enter_context(socket.socket())
    held.bind(("127.0.0.1", 0))
    return held.getsockname()[1]


def free_port() -> int:
    """A port that was free a moment ago."""
    with ExitStack() as stack:
        return nobodys_port(stack)


def stop_in_order() -> None:
    """Lets a signal that would end this process at once end first what it has started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stopped)


def _stopped(number: int, _frame: object) -> None:
    # An exception, so that everything on the stack is ended.
    sys.exit(128 + number)
