"""Where a comparison takes place: a folder, two CPUs, and the processes that are ended with it.

The proxies and Redis run on the first CPU that this process may use, the origin and the load on the second.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from programs import Bench, end

CONFIGURATIONS = Path(__file__).resolve().parent / "configurations"
#: tmpfs, where there is one.
SHARED_MEMORY = Path("/dev/shm")
SETTING = re.compile(r"@(\w+)@")


class CannotRun(Exception):
    """The comparison cannot go on; its text says why and what to do."""


class Ground:
    """Starts processes, each in a folder of its own; all are ended with `stack`."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catproxy-peers-")))
        shared = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
        self.memory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catproxy-peers-", dir=shared)))
        self.environment = Bench(stack, self.folder).environment()
        cpus = sorted(os.sched_getaffinity(0))
        self.proxy_cpu, self.load_cpu = cpus[0], cpus[-1] if len(cpus) < 2 else cpus[1]
        #: How many files a process may have open.
        self.files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))

    @property
    def alone(self) -> bool:
        """Whether proxies have a CPU that the load does not use."""
        return self.proxy_cpu != self.load_cpu

    def room(self, name: str) -> Path:
        """An empty folder."""
        room = self.folder / name
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir(parents=True)
        return room

    def spawn(
        self, name: str, command: Sequence[str | Path], cpu: int, told: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a program on one CPU. What it says is in its log."""
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                [program("taskset"), "-c", str(cpu), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment | dict(told or {}),
            )
        self.stack.callback(end, process)
        return process

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def said(self, name: str) -> str:
        """The end of what a program has said, for a message."""
        return self.log(name).read_text(errors="replace")[-1500:].strip() or "(it said nothing)"


def configured(template: str, target: Path, **settings: object) -> Path:
    """Writes a configuration with its settings filled in."""
    user = "user root;" if os.geteuid() == 0 else ""
    known = {"user": user} | settings
    text = SETTING.sub(lambda found: str(known[found[1]]), (CONFIGURATIONS / template).read_text())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def program(name: str) -> str:
    """Where a program is."""
    found = _found(name)
    if found is None:
        raise CannotRun(f"{name} is not here: `make bench-peers`, as root, installs it from Debian's packages")
    return found


def all_here(names: Iterable[str]) -> None:
    """Says at once what is missing of them."""
    missing = [name for name in names if _found(name) is None]
    if missing:
        names = ", ".join(missing)
        raise CannotRun(f"not here: {names}; `make bench-peers`, as root, installs Debian's packages of them")


def _found(name: str) -> str | None:
    # Debian has servers where only root looks.
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
