"""Lets schemathesis look for answers of the operator's listener that are not as its own /openapi.json says.

    run.py FOLDER-OF-THE-PROGRAMS [OPTION-OF-SCHEMATHESIS…]

The listener is that of a proxy in front of the stand-in, with a Redis; asked without a token, with one, and after that
Redis was killed. A find fails and comes with the request that repeats it; so does an operation that never answered as
it should have. schemathesis.toml says how it looks, and what it may not hold against us. `scripts/admin-api` calls this.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from programs import Bench, NotReady, end, free_port, stop_in_order

HERE = Path(__file__).resolve().parent
#: What the operator says where there is a token.
TOKEN = "an-operator-of-the-tests"
#: Sellers whose catalogs are in the store at the start.
SELLERS = range(1, 31)
#: How long schemathesis may take for one stage, in seconds.
LIMIT = 180


class Unusable(Exception):
    """Something that has to be there for the test is not."""


@dataclass(frozen=True)
class Stage:
    """How the listener is while it is asked."""

    name: str
    #: How many requests schemathesis makes up for each operation, beside those that follow from /openapi.json.
    examples: int
    token: str = ""
    has_redis: bool = True

    def status(self, operation: str) -> int:
        """Is to be among an operation's answers."""
        if self.has_redis:
            return 200
        return {"GET /entries": 503, "POST /purge": 202}.get(operation, 200)

    def unfit(self, operation: str) -> set[int]:
        """May not be among them, although /openapi.json knows of it."""
        if operation == "GET /entries":
            return {503} if self.has_redis else {200}
        if operation == "POST /purge":
            return {202} if self.has_redis else {200}
        return set()


STAGES = (
    Stage("without a token", 50),
    Stage("with a token", 50, TOKEN),
    Stage("after Redis was killed", 10, TOKEN, has_redis=False),
)


class Answers:
    """What was asked and answered, as schemathesis has written it down."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self.all = entries
        self.by_operation: dict[str, Counter[int]] = defaultdict(Counter)
        #: What the 405s of a path allow; empty where one did not say.
        self.allowed: dict[str, set[str]] = defaultdict(set)
        for entry in entries:
            request, answer = entry["request"], entry["response"]
            path = urllib.parse.urlsplit(request["url"]).path
            self.by_operation[f"{request['method']} {path}"][answer["status"]] += 1
            if answer["status"] == 405:
                fields = {field["name"].lower(): field["value"] for field in answer["headers"]}
                self.allowed[path].add(fields.get("allow", ""))

    def bodies(self, path: str) -> Iterator[Any]:
        """What the JSON of a path's 200s says."""
        for entry in self.all:
            answer = entry["response"]
            if urllib.parse.urlsplit(entry["request"]["url"]).path == path and answer["status"] == 200:
                yield json.loads(answer["content"]["text"])


def fetch(url: str, token: str = "", form: dict[str, str] | None = None) -> bytes:
    """The body of a 200."""
    fields = {"Authorization": f"Bearer {token}"} if token else {}
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(urllib.request.Request(url, data, fields)) as answer:
        return answer.read()


def a_redis(bench: Bench) -> int:
    """A Redis that keeps nothing on disk; gives its port."""
    port = free_port()
    listen = ["--bind", "127.0.0.1", "--port", str(port)]
    forget = ["--save", "", "--appendonly", "no", "--dir", str(bench.folder)]
    bench.start("redis", ["redis-server", *listen, *forget], "(Ready to accept connections)")
    return port


def start(bench: Bench, programs: Path, stage: Stage) -> tuple[str, str]:
    """Starts a proxy with lists in its store; gives the base of its operator's listener, and a client's token.

    Leaves beside the programs' logs what schemathesis.toml asks for: where the list of entries goes on.
    """
    stand_in = [programs / "fake-abconnect", "--listen", "127.0.0.1:0", "--sellers", "120"]
    upstream = bench.start("stand-in", stand_in, r"Catalog API +(\S+)/api")
    serve = [programs / "catproxy", "serve", "--config", HERE / "catproxy.toml", "--listen", "127.0.0.1:0"]
    serve += ["--admin-listen", "127.0.0.1:0", "--upstream", upstream]
    serve += ["--redis-url", f"redis://127.0.0.1:{a_redis(bench)}"]
    told = {"CATPROXY_ADMIN_TOKEN": stage.token} if stage.token else {}
    started = bench.start("proxy", serve, r": (\S+ -> .*, admin [^\s,]+)", told)
    address, base = started.split()[0], f"http://{started.split()[-1]}"
    form = {"grant_type": "password", "username": "demo", "password": "demo", "client_id": "admin-api"}
    token = json.loads(fetch(f"{upstream}/connect/token", form=form))["access_token"]
    for target in ("/api/Seller", *(f"/api/Catalog?SellerIds={seller}" for seller in SELLERS)):
        fetch(f"http://{address}{target}", token)
    place = json.loads(fetch(f"{base}/entries?limit=1", stage.token))["next"]
    (bench.folder / "places.dict").write_text(f'"{place}"\n')
    if not stage.has_redis:
        end(bench.processes["redis"])
    return base, token


def a_document(base: str, stage: Stage, token: str) -> dict[str, Any]:
    """/openapi.json, with one more example: a refresh by a client's token."""
    document = json.loads(fetch(f"{base}/openapi.json", stage.token))
    order = document["paths"]["/refresh"]["post"]["requestBody"]["content"]["application/json"]
    order["examples"]["by a client's token"] = {"value": {"key": "cat_sellers_all", "token": token}}
    return document


def look(bench: Bench, base: str, document: dict[str, Any], stage: Stage, more: list[str]) -> tuple[str, Answers]:
    """Lets schemathesis look. Gives what it says, empty where it found nothing, and what was answered."""
    (bench.folder / "schemathesis.toml").write_bytes((HERE / "schemathesis.toml").read_bytes())
    # From a file: the path that it is loaded from is one that schemathesis leaves out.
    described, report = bench.folder / "openapi.json", bench.folder / "asked.har"
    described.write_text(json.dumps(document))
    command: list[str | Path] = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"]
    command += ["--url", base, "--max-examples", str(stage.examples), "--report-har-path", report]
    if stage.token:
        command += ["--header", f"Authorization: Bearer {stage.token}"]
    ended = subprocess.run(
        [*command, *more, described],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=bench.folder,
        env=bench.environment(),
        timeout=LIMIT,
        text=True,
    )
    if not report.exists():
        raise Unusable(f"schemathesis did not come to an end:\n{ended.stdout}")
    answers = Answers(json.loads(report.read_text())["log"]["entries"])
    return ended.stdout if ended.returncode else "", answers


def resolved(document: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` into the same document stands for."""
    part: Any = document
    for name in described["$ref"].removeprefix("#/").split("/"):
        part = part[name]
    return part


def unmet(document: dict[str, Any], answers: Answers, stage: Stage) -> Iterator[str]:
    """What has to have been asked and answered, so that nothing found means that nothing is wrong, and was not."""
    for path, item in document["paths"].items():
        for method, described in item.items():
            operation = f"{method.upper()} {path}"
            seen = answers.by_operation[operation]
            if stage.status(operation) not in seen:
                yield f"{operation} never answered {stage.status(operation)}, but {dict(seen)}"
            for status in stage.unfit(operation) & seen.keys():
                yield f"{operation} answered {status}"
            # schemathesis does not look at what /openapi.json says of a method that it does not name.
            refusal = resolved(document, described["responses"]["405"])
            allowed = refusal["headers"]["Allow"]["schema"]["const"]
            for said in answers.allowed[path] - {allowed}:
                yield f"{path} answered 405 with Allow: {said}, but {allowed} is described"
            is_guarded = bool(described.get("security", document["security"]))
            if is_guarded != (401 in seen):
                yield f"{operation} {'never' if is_guarded else 'once'} asked for a token"
    if stage.has_redis:
        lists = list(answers.bodies("/entries"))
        if not any(body["next"] for body in lists) or not any(body["entries"] for body in lists):
            yield "/entries never listed anything, or never said where to go on"


def check(programs: Path, stage: Stage, more: list[str]) -> bool:
    """One stage, and what came of it; whether all is well."""
    began = time.monotonic()
    with ExitStack() as stack:
        bench = Bench(stack, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catproxy-admin-api-"))))
        base, token = start(bench, programs, stage)
        document = a_document(base, stage, token)
        said, answers = look(bench, base, document, stage, more)
        wrong = list(unmet(document, answers, stage))
        if bench.processes["proxy"].poll() is not None:
            wrong.append(f"the proxy has ended:\n{bench.log('proxy')}")
    if said:
        print(said)
    for line in wrong:
        print(f"  {line}")
    well = not said and not wrong
    took = f"{len(answers.all)} requests, {time.monotonic() - began:.0f} s"
    print(f"{'ok' if well else 'FAILED'} {stage.name}: {took}", flush=True)
    return well


def main() -> int:
    programs, more = Path(sys.argv[1]).resolve(), sys.argv[2:]
    stop_in_order()
    # All that is asked is on this machine.
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
    failed = 0
    for stage in STAGES:
        try:
            failed += not check(programs, stage, more)
        except (NotReady, Unusable, subprocess.TimeoutExpired, OSError) as error:
            print(f"FAILED {stage.name}: {error}", file=sys.stderr)
            failed += 1
    print(f"{len(STAGES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
