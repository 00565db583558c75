"""Runs the checks of both SDKs, each against a stand-in and a proxy of its own: with Redis and without.

    run.py FOLDER-OF-THE-PROGRAMS

All processes it starts have free ports and end with it. `scripts/test-sdks` calls it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from programs import Bench, NotReady, end, free_port, nobodys_port, stop_in_order

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: More than one page of 500, so that a list cut short is noticed.
SELLERS = 530


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
            heard(f"  the proxy's log:\n{bench.log('proxy')}")
        return well


class Tally:
    """Passes lines on, and counts what they say."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def __call__(self, line: str) -> None:
        print(line.rstrip("\n"), flush=True)
        self.passed += line.startswith("  ok ")
        self.failed += line.startswith("  FAILED ")


def main() -> int:
    programs = Path(sys.argv[1]).resolve()
    stop_in_order()
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
