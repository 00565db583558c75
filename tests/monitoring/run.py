"""Holds the alerts, the dashboard and the table of metrics against the metrics of a proxy that runs.

    run.py FOLDER-OF-THE-PROGRAMS

promtool judges the metrics' names, the alerts and each query of the dashboard, and runs the alerts' own tests. Beyond that:
what alerts and dashboard ask for is something the proxy exports, and `docs/metrics.md` names all that it exports and
nothing else. `make monitoring` calls this.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from programs import Bench, NotReady, free_port, stop_in_order

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "catproxy.json"
TABLE = ROOT / "docs" / "metrics.md"
NAME = re.compile(r"\b(?:catproxy|process)_[a-z_]+")
#: What a histogram's and an info's name is followed by where it is asked for.
ENDINGS = ("_bucket", "_sum", "_count")
LIMIT = 30


def scraped(programs: Path) -> str:
    """The metrics of a proxy that has filled, hit, forwarded, failed, and lost its Redis."""
    with ExitStack() as stack:
        bench = Bench(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        upstream = bench.start("fake-abconnect", [programs / "fake-abconnect", "--listen", "127.0.0.1:0"], r"(http://127\.0\.0\.1:\d+)")
        redis_port = free_port()
        redis = ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        bench.start("redis", redis, r"(Ready to accept connections)")
        command = [
            programs / "catproxy", "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
            "--upstream", upstream, "--redis-url", f"redis://127.0.0.1:{redis_port}",
        ]  # fmt: skip
        admin = bench.start("catproxy", command, r"admin (127\.0\.0\.1:\d+)")
        proxy = re.search(r"(127\.0\.0\.1:\d+) -> ", bench.log("catproxy"))[1]
        token = signed_in(upstream)
        for target in 3 * ["/api/Seller"] + ["/api/Catalog?SellerIds=1", "/api/Lot"]:
            answered(f"http://{proxy}{target}", token)
        answered(f"http://{proxy}/api/Seller", "nobodys")
        bench.processes["redis"].terminate()
        bench.processes["redis"].wait(LIMIT)
        bench.processes["fake-abconnect"].terminate()
        bench.processes["fake-abconnect"].wait(LIMIT)
        answered(f"http://{proxy}/api/Catalog?SellerIds=2", token)
        answered(f"http://{proxy}/api/Lot", token)
        with urllib.request.urlopen(f"http://{admin}/metrics", timeout=LIMIT) as answer:
            return answer.read().decode()


def signed_in(upstream: str) -> str:
    """A token of the stand-in's."""
    form = b"grant_type=password&username=demo&password=demo&client_id=a&client_secret=b&scope=offline_access"
    with urllib.request.urlopen(f"{upstream}/connect/token", form, timeout=LIMIT) as answer:
        return json.load(answer)["access_token"]


def answered(url: str, token: str) -> None:
    """Reads an answer, whatever it is."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        error.read()


def families(metrics: str) -> set[str]:
    """The metrics' names as they are asked for, but for what a histogram's ends with."""
    found = set()
    for line in metrics.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            found.add({"counter": f"{name}_total", "info": f"{name}_info"}.get(kind, name))
    return found


def asked_for(text: str) -> set[str]:
    """The metrics that a text names."""
    names = set(NAME.findall(text))
    return {name.removesuffix(next((end for end in ENDINGS if name.endswith(end)), "")) for name in names}


def promtool(*arguments: str | Path, given: str = "", at: Path = ALERTS) -> list[str]:
    """What promtool finds wrong."""
    run = subprocess.run(["promtool", *arguments], input=given, text=True, capture_output=True, cwd=at, timeout=LIMIT)
    return [] if run.returncode == 0 else [f"promtool {' '.join(map(str, arguments))}:\n{run.stdout}{run.stderr}"]


def older(metrics: str) -> str:
    """The same in the older format, which is all that promtool judges: counters are named in full, and nothing is an
    info or has a last line."""
    lines = []
    for line in metrics.splitlines():
        match line.split(" ", 3):
            case ["#", "TYPE", name, "counter"]:
                lines.append(f"# TYPE {name}_total counter")
            case ["#", "TYPE", name, "info"]:
                lines.append(f"# TYPE {name}_info gauge")
            case ["#", "HELP" | "UNIT" | "EOF", *_]:
                pass
            case _:
                lines.append(line)
    helped = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    return "\n".join([*(f"# HELP {name} It is there." for name in sorted(helped)), *lines, ""])


def queries(dashboard: dict[str, object], folder: Path) -> list[str]:
    """What promtool finds wrong with a dashboard's queries: it reads them as rules."""
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    written = [target["expr"] for panel in panels for target in panel["targets"]]
    plain = [query.replace("$__rate_interval", "5m").replace("$instance", ".*") for query in written]
    rules = [{"record": f"dashboard:{place}", "expr": query} for place, query in enumerate(plain)]
    path = folder / "dashboard.yml"
    # JSON is YAML.
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    return promtool("check", "rules", path)


def wrong(programs: Path) -> list[str]:
    """Everything that is."""
    metrics = scraped(programs)
    there, dashboard = families(metrics), DASHBOARD.read_text()
    with tempfile.TemporaryDirectory() as folder:
        found = queries(json.loads(dashboard), Path(folder))
    found += promtool("check", "metrics", given=older(metrics))
    found += promtool("check", "rules", "alerts.yml") + promtool("test", "rules", "alerts-test.yml")
    for path, text in [(ALERTS / "alerts.yml", None), (ALERTS / "alerts-test.yml", None), (DASHBOARD, dashboard)]:
        missing = asked_for(path.read_text() if text is None else text) - there
        found += [f"{path.name} asks for {name}, which there is not" for name in sorted(missing)]
    table = asked_for(TABLE.read_text())
    found += [f"{TABLE.name} does not name {name}" for name in sorted(there - table)]
    found += [f"{TABLE.name} names {name}, which there is not" for name in sorted(table - there)]
    if not found:
        print(f"{len(there)} metrics, each in the table; alerts and dashboard ask for no other")
    return found


def main() -> int:
    stop_in_order()
    try:
        found = wrong(Path(sys.argv[1]).resolve())
    except (NotReady, OSError) as error:
        print(f"it could not be looked at: {error}", file=sys.stderr)
        return 2
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
