"""Runs http-cache-tests against its origin and through the proxy, and compares what became of each test.

    run.py FOLDER-OF-THE-PROGRAMS FOLDER-OF-THE-SUITE

The suite scores caches of arbitrary URLs, which this proxy is not: all it sends is forwarded, and most tests fail with
and without the proxy. What counts is that they end alike, to the word. A test is judged by itself, not by those that it
depends on. `scripts/cache-tests` calls this where the ports below are free and nobody else can connect.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from programs import Bench, NotReady, end, stop_in_order

HERE = Path(__file__).resolve().parent
ORIGIN_PORT = 18000
#: The proxy's port stands in catproxy.toml.
ORIGIN = f"http://127.0.0.1:{ORIGIN_PORT}"
#: How many tests this version of the suite has for what is no browser: a run that has lost some proves nothing.
TESTS = 350
#: How long a run may take, in seconds; it takes 15.
LIMIT = 90
PASSED = "passed"

#: What became of each test, by its id: `passed`, or why not.
Outcomes = dict[str, str]


class Unusable(Exception):
    """A run that cannot be judged."""


def run_suite(bench: Bench, suite: Path, base: str) -> Outcomes:
    """Runs all tests with this server."""
    # The suite's client wants an id, the empty one for all tests, and ends well whatever has failed.
    told = {"npm_config_base": base, "npm_package_config_id": ""}
    client = subprocess.Popen(
        ["node", "--no-warnings", "cli.mjs"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=suite,
        env=bench.environment() | told,
        text=True,
    )
    try:
        said, complaints = client.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Unusable(f"the suite took longer than {LIMIT} s with {base}") from None
    finally:
        end(client)
    try:
        results = json.loads(said)
    except ValueError:
        raise Unusable(f"the suite gave no results with {base}:\n{said}{complaints}") from None
    if len(results) != TESTS:
        raise Unusable(f"{len(results)} tests ran with {base}, not {TESTS}")
    return {test: outcome(result) for test, result in results.items()}


def outcome(result: bool | list[str]) -> str:
    """The suite's word for what became of a test, without what is another in each run: address and id."""
    if result is True:
        return PASSED
    kind, message = result if isinstance(result, list) else ("unknown", str(result))
    return f"{kind}: {re.sub(r'http://[^ ]*?(?=[:,]? |$)', 'URL', message)}"


def known_differences(file: Path) -> dict[str, str]:
    """The reason for each test that may end otherwise."""
    reasons: dict[str, str] = {}
    for difference in tomllib.loads(file.read_text())["difference"]:
        for test in difference["tests"]:
            if test in reasons:
                raise Unusable(f"{file.name} names {test} twice")
            reasons[test] = difference["reason"]
    return reasons


def both_runs(programs: Path, suite: Path) -> tuple[Outcomes, Outcomes]:
    """What became of the tests with the origin itself and through the proxy."""
    with ExitStack() as stack:
        bench = Bench(stack, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catproxy-cache-tests-"))))
        origin = {
            "npm_config_protocol": "http",
            "npm_config_port": str(ORIGIN_PORT),
            "npm_config_pidfile": str(bench.folder / "origin.pid"),
        }
        bench.start("origin", ["node", "server/server.mjs"], "(Listening on)", told=origin, at=suite)
        serve: list[str | Path] = [programs / "catproxy", "serve", "--config", HERE / "catproxy.toml"]
        proxy = bench.start("proxy", serve, rf": (\S+) -> {ORIGIN}")
        # Side by side: most of the time goes by in the tests' own pauses.
        with ThreadPoolExecutor() as threads:
            runs = [threads.submit(run_suite, bench, suite, base) for base in (ORIGIN, f"http://{proxy}")]
            direct, through = (run.result() for run in runs)
    return direct, through


def show_table(runs: Mapping[str, Outcomes]) -> None:
    kinds = {name: Counter(text.split(":")[0] for text in outcomes.values()) for name, outcomes in runs.items()}
    columns = [PASSED, *sorted(set().union(*kinds.values()) - {PASSED})]
    print(f"{'':24}" + "".join(f"{column:>12}" for column in columns))
    for name, counts in kinds.items():
        print(f"{name:24}" + "".join(f"{counts[column]:12}" for column in columns))


def show_test(test: str, direct: Outcomes, through: Outcomes) -> None:
    print(f"  {test}")
    print(f"    the origin itself:  {direct[test]}")
    print(f"    through the proxy:  {through[test]}")


def judge(direct: Outcomes, through: Outcomes, reasons: Mapping[str, str]) -> bool:
    """Says what differs and why; whether all of it is explained."""
    if direct.keys() != through.keys():
        raise Unusable(f"other tests ran through the proxy: {sorted(direct.keys() ^ through.keys())}")
    show_table({"the origin itself": direct, "through the proxy": through})
    differing = {test for test in direct if direct[test] != through[test]}
    for reason in dict.fromkeys(reasons.values()):
        tests = sorted(test for test in differing if reasons.get(test) == reason)
        if tests:
            print(f"\nknown: {len(tests)} differ")
            print(textwrap.fill(reason, 110, initial_indent="  ", subsequent_indent="  "))
            print(textwrap.fill(", ".join(tests), 110, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))
    unexplained = sorted(differing - reasons.keys())
    if unexplained:
        print("\nFAILED: these differ, and known.toml does not say why")
        for test in unexplained:
            show_test(test, direct, through)
    gone = sorted(reasons.keys() - differing)
    if gone:
        print(f"\nFAILED: these stand in known.toml but do not differ; take them out: {', '.join(gone)}")
    failed = len(unexplained) + len(gone)
    print(f"\n{len(direct.keys() - set(unexplained) - set(gone))} passed, {failed} failed")
    return not failed


def main() -> int:
    programs, suite = (Path(folder).resolve() for folder in sys.argv[1:3])
    stop_in_order()
    try:
        reasons = known_differences(HERE / "known.toml")
        return 0 if judge(*both_runs(programs, suite), reasons) else 1
    except (NotReady, Unusable, FileNotFoundError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
