"""Runs the checks of both SDKs, each against a stand-in and a proxy of its own: with Redis and without.

    run.py FOLDER-OF-THE-PROGRAMS

All processes it starts have free ports and end with it. `scripts/test-sdks` calls it.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: More than one page of 500, so that a list cut short is noticed.
SELLERS = 530
#: How long a program may take until it is ready, in seconds.
PATIENCE = 30
#: Variables of the caller's that would tell a program or an SDK something else than the tests do.
FOREIGN = re.compile(r"^(CATPROXY_|FAKE_ABCONNECT_|REDIS_|RUST_|ABC|AB_|PYTHON|NETRC)|_proxy$", re.IGNORECASE)


@dataclass(frozen=True)
class Sdk:
    """An SDK, the generation of the API it is written for, and the module of its checks."""

    name: str
    version: str
    generation: int

    @property
    def python(self) -> Path:
        return ROOT / f".venv-{self.name}" / "bin" / "python"

    @property
    def checks(self) -> Path:
        return HERE / f"check_{self.name.replace('-', '_')}.py"


SDKS = (Sdk("abconnect", "0.2.1", 1), Sdk("annex-abconnect", "0.3.0", 2))


class NotReady(Exception):
    """A program did not get ready; its last words say why."""


@dataclass(frozen=True)
class Bench:
    """Starts programs that `stack` ends, in a folder of their own."""

    stack: ExitStack
    folder: Path

    def environment(self) -> dict[str, str]:
        """The caller's variables but the foreign ones. The home, with its tokens and settings, is not the caller's."""
        kept = {name: value for name, value in os.environ.items() if not FOREIGN.search(name)}
        return kept | {
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, name: str, command: list[str | Path], ready: str) -> str:
        """Starts a program and waits until its output says `ready`; gives that expression's group."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment(),
            )
        self.stack.callback(end, process)
        by = time.monotonic() + PATIENCE
        while not (found := re.search(ready, log.read_text(errors="replace"))):
            if process.poll() is not None or time.monotonic() > by:
                raise NotReady(f"{name} did not get ready:\n{log.read_text(errors='replace')}")
            time.sleep(0.01)
        return found[1]


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
    with ExitStack() as stack:
        return nobodys_port(stack)


def redis(bench: Bench) -> int:
    """A Redis that keeps nothing on disk; gives its port."""
    port = free_port()
    listen = ["--bind", "127.0.0.1", "--port", str(port)]
    forget = ["--save", "", "--appendonly", "no", "--dir", str(bench.folder)]
    bench.start("redis", ["redis-server", *listen, *forget], "(Ready to accept connections)")
    return port


def check(sdk: Sdk, programs: Path, with_redis: bool, heard: Callable[[str], None]) -> bool:
    """Runs the checks of one SDK; every line they say goes to `heard`. Whether all is well."""
    with ExitStack() as stack:
        bench = Bench(stack, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catproxy-sdks-"))))
        stand_in: list[str | Path] = [programs / "fake-abconnect", "--generation", str(sdk.generation)]
        api = ["--listen", "127.0.0.1:0", "--sellers", str(SELLERS)]
        upstream = bench.start("stand-in", [*stand_in, *api], r"Catalog API +(\S+)/api")
        # Of the same issuer and key, but what it gives has expired.
        expired = f"127.0.0.1:{free_port()}"
        late = ["--listen", expired, "--sellers", "1", "--public-url", upstream, "--token-lifetime", "0"]
        bench.start("stand-in-of-expired-tokens", [*stand_in, *late], "(Catalog API)")
        port = redis(bench) if with_redis else nobodys_port(stack)
        serve = [programs / "catproxy", "serve", "--profile", "catalog-ui", "--listen", "127.0.0.1:0"]
        serve += ["--upstream", upstream, "--redis-url", f"redis://127.0.0.1:{port}"]
        address = bench.start("proxy", serve, r"catalog-ui: (\S+) -> ")
        told = {
            "CHECK_PROXY": f"http://{address}",
            "CHECK_UPSTREAM": upstream,
            "CHECK_EXPIRED": f"http://{expired}",
            "CHECK_REDIS": str(port) if with_redis else "",
        }
        checks = subprocess.Popen(
            [sdk.python, sdk.checks],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=bench.folder,
            env=bench.environment() | told,
            text=True,
        )
        stack.callback(end, checks)
        for line in checks.stdout or ():
            heard(line)
        well = checks.wait() == 0
        if not well:
            heard(f"  the proxy's log:\n{(bench.folder / 'proxy.log').read_text(errors='replace')}")
        return well


class Tally:
    """Passes lines on, and counts what they say."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def __call__(self, line: str) -> None:
        print(line.rstrip("\n"), flush=True)
        self.passed += line.startswith("  ok ")
        self.failed += line.startswith("  FAILED ")


def stopped(number: int, _frame: object) -> None:
    # An exception, so that everything on the stack is ended.
    sys.exit(128 + number)


def main() -> int:
    programs = Path(sys.argv[1]).resolve()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopped)
    tally, well = Tally(), True
    for sdk in SDKS:
        for with_redis in (True, False):
            how = "with Redis" if with_redis else "while Redis is down"
            print(f"{sdk.name} {sdk.version}, generation {sdk.generation}, {how}:", flush=True)
            try:
                well &= check(sdk, programs, with_redis, tally)
            except (NotReady, FileNotFoundError) as error:
                tally(f"  FAILED to start: {error}")
                well = False
    print(f"{tally.passed} passed, {tally.failed + (not well and not tally.failed)} failed")
    return 0 if well and tally.passed else 1


if __name__ == "__main__":
    sys.exit(main())
