"""Lets httplint and redbot judge the answers of a proxy in front of the stand-in.

    run.py FOLDER-OF-THE-PROGRAMS

httplint is given what comes over the wire, byte for byte; redbot asks by itself, and again with conditions, a range and
a coding. All notes are shown; what is bad or doubtful fails, unless known.toml says why it may stay. `scripts/http-lint`
calls this.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import textwrap
import time
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from configparser import ConfigParser
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import thor
from httplint import HttpRequestLinter, HttpResponseLinter, Note, levels
from redbot.resource import HttpResource

from programs import Bench, NotReady, nobodys_port, stop_in_order

HERE = Path(__file__).resolve().parent
#: How long an answer, or all of redbot's questions, may take, in seconds.
LIMIT = 30
#: Worst first.
LEVELS = (levels.BAD, levels.WARN, levels.INFO, levels.GOOD)
#: From this `Age` on, in seconds, httplint compares it with `Date`.
OLD = 6

Fields = Sequence[tuple[str, str]]


class Unusable(Exception):
    """An answer that is not the one that was to be judged, or none at all."""


@dataclass
class Remark:
    """A note, and the answers that it was made on."""

    level: levels
    summary: str
    answers: list[str] = field(default_factory=list)


class Remarks:
    """All notes, by their name."""

    def __init__(self) -> None:
        self.by_name: dict[str, Remark] = {}
        self.answers: set[str] = set()

    def add(self, answer: str, notes: Iterable[Note]) -> None:
        """Takes the notes on one answer, and those below them."""
        self.answers.add(answer)
        for note in notes:
            remark = self.by_name.setdefault(type(note).__name__, Remark(note.level, note.summary))
            if answer not in remark.answers:
                remark.answers.append(answer)
            self.add(answer, note.subnotes)


@dataclass(frozen=True)
class Question:
    """A request, and what its answer must be so that the right one is judged."""

    name: str
    target: str
    method: str = "GET"
    fields: Fields = ()
    status: tuple[int, ...] = (200,)
    #: Stands in the answer's `Cache-Status`.
    served: str = ""

    def check(self, status: int | None, served: str) -> None:
        """Whether this was the answer that is to be judged."""
        if status not in self.status or self.served not in served:
            raise Unusable(f"{self}: the answer was {status}, {served or 'without Cache-Status'}")

    def __str__(self) -> str:
        return f"{self.method} {self.target[:40]}, {self.name}"


def ask(address: str, question: Question) -> HttpResponseLinter:
    """Asks on a connection of its own, and lets httplint judge every byte of the answer."""
    host, port = address.split(":")
    fields = [("Host", address), ("User-Agent", "http-lint"), *question.fields, ("Connection", "close")]
    request = HttpRequestLinter()
    request.process_request_topline(question.method.encode(), question.target.encode(), b"1.1")
    request.process_headers([(name.encode(), value.encode()) for name, value in fields])
    request.finish_content(True)
    lines = [f"{question.method} {question.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    answer = HttpResponseLinter(start_time=time.time())
    answer.request = request
    answer.is_head_response = question.method == "HEAD"
    with socket.create_connection((host, int(port)), LIMIT) as line:
        line.sendall("\r\n".join(lines).encode())
        said = b"".join(iter(lambda: line.recv(65536), b""))
    head, end, body = said.partition(b"\r\n\r\n")
    if not end:
        raise Unusable(f"{question}: no answer, but {said[:200]!r}")
    start, *rest = head.split(b"\r\n")
    version, status, phrase = start.split(b" ", 2)
    answer.process_response_topline(version.removeprefix(b"HTTP/"), status, phrase)
    answer.process_headers([(name, value) for name, _, value in (row.partition(b":") for row in rest)])
    if "transfer-encoding" in answer.headers.parsed:
        raise Unusable(f"{question}: in chunks, although all of it was there")
    # All that came: httplint compares it with what the head says.
    answer.feed_content(body)
    answer.finish_content(True)
    question.check(answer.status_code, served(answer))
    return answer


def served(answer: HttpResponseLinter) -> str:
    return " ".join(value.strip() for name, value in answer.headers.text if name.lower() == "cache-status")


def ask_with_redbot(questions: Sequence[tuple[str, Question]], remarks: Remarks) -> None:
    """Lets redbot ask each question at its address, and what follows from it, one after the other.

    To be called once: what redbot runs on does not start well again and again.
    """
    config = ConfigParser()
    config.read_dict({"redbot": {"enable_local_access": "True"}})
    asked: list[tuple[Question, HttpResource]] = []
    late = thor.schedule(LIMIT, thor.stop)

    def ask_next() -> None:
        if len(asked) == len(questions):
            late.delete()
            thor.stop()
            return
        address, question = questions[len(asked)]
        resource = HttpResource(config["redbot"])
        resource.set_request(f"http://{address}{question.target}", question.method, list(question.fields))
        asked.append((question, resource))
        resource.on("check_done", ask_next)
        resource.check()

    thor.schedule(0, ask_next)
    thor.run()
    for question, resource in asked:
        if not resource.check_done or resource.fetch_error is not None:
            raise Unusable(f"{question}: redbot did not come to an end: {resource.fetch_error or f'{LIMIT} s'}")
        question.check(resource.response.status_code, served(resource.response))
        remarks.add(f"{question}, by redbot", resource.response.notes)
        for check in resource.subreqs.values():
            if check.fetch_error is not None:
                raise Unusable(f"{question}: redbot's {check.check_name}: {check.fetch_error}")
            if check.fetch_started:
                remarks.add(f"{question}, by redbot for {check.check_name}", check.response.notes)


class Lists:
    """The proxy's lists, as somebody with a token sees them."""

    def __init__(self, address: str, token: str, remarks: Remarks) -> None:
        self.address = address
        self.remarks = remarks
        self.token = ("Authorization", f"Bearer {token}")
        #: When the last list was filled.
        self.filled = 0.0

    def judge(self, name: str, target: str, *more: tuple[str, str], **expected: object) -> HttpResponseLinter:
        question = self.question(name, target, *more, **expected)
        answer = ask(self.address, question)
        self.remarks.add(str(question), answer.notes)
        return answer

    def question(self, name: str, target: str, *more: tuple[str, str], **expected: object) -> Question:
        return Question(name, target, fields=(self.token, *more), **expected)  # type: ignore[arg-type]

    def judge_all(self, target: str) -> None:
        """A list in all the ways in which it can be asked for."""
        self.judge("a miss", target, served="fwd=miss")
        self.filled = time.monotonic()
        plain = self.judge("a hit", target, served="hit")
        self.judge("a hit", target, method="HEAD", served="hit")
        for codings in ("identity", "gzip", "br", "zstd", "gzip, deflate, br, zstd"):
            self.judge(f"coded {codings}", target, ("Accept-Encoding", codings), served="hit")
        tag = next((value.strip() for name, value in plain.headers.text if name.lower() == "etag"), '"none"')
        for method in ("GET", "HEAD"):
            told = {"method": method, "status": (200, 304), "served": "hit"}
            self.judge("if it is another", target, ("If-None-Match", tag), **told)
        self.judge("if it is another than one unknown", target, ("If-None-Match", '"unknown"'), served="hit")
        since = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        self.judge("if it is newer", target, ("If-Modified-Since", since), status=(200, 304), served="hit")

    def judge_errors(self, target: str) -> None:
        """The proxy's own refusals, and a token that the upstream refuses."""
        self.judge("a method that is not passed on", target, method="TRACE", status=(405,))
        self.judge("two Host fields", target, ("Host", "another"), status=(400,))
        self.judge("too long a target", f"{target}&x={'x' * 20_000}", status=(414,))
        self.token = ("Authorization", "Bearer nobodys")
        self.judge("a token that is refused", target, status=(401,), served="fwd=request; fwd-status=401")


def a_token(upstream: str) -> str:
    form = {"grant_type": "password", "username": "demo", "password": "demo", "client_id": "http-lint"}
    with urllib.request.urlopen(f"{upstream}/connect/token", urllib.parse.urlencode(form).encode()) as answer:
        return json.load(answer)["access_token"]


def a_seller(upstream: str, token: str) -> int:
    request = urllib.request.Request(f"{upstream}/api/Seller", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["items"][0]["id"]


def gather(programs: Path) -> Remarks:
    """All notes on the answers of a proxy, and on those of one whose upstream is away."""
    remarks = Remarks()
    with ExitStack() as stack:
        bench = Bench(stack, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catproxy-http-lint-"))))
        stand_in = [programs / "fake-abconnect", "--listen", "127.0.0.1:0", "--sellers", "120"]
        upstream = bench.start("stand-in", stand_in, r"Catalog API +(\S+)/api")
        serve = [programs / "catproxy", "serve", "--config", HERE / "catproxy.toml", "--listen", "127.0.0.1:0"]
        address = bench.start("proxy", [*serve, "--upstream", upstream], r": (\S+) -> ")
        nowhere = f"http://127.0.0.1:{nobodys_port(stack)}"
        alone = bench.start("proxy-alone", [*serve, "--upstream", nowhere], r": (\S+) -> ")
        # urllib is for the stand-in alone.
        urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
        token = a_token(upstream)
        targets = ("/api/Seller?PageSize=100", f"/api/Catalog?SellerIds={a_seller(upstream, token)}")
        lists, lost = Lists(address, token, remarks), Lists(alone, token, remarks)
        for target in targets:
            lists.judge_all(target)
        lost.judge("an upstream that is away", targets[0], status=(502,))
        time.sleep(max(0.0, lists.filled + OLD - time.monotonic()))
        for target in targets:
            lists.judge("an old hit", target, served="hit")
        asked = [
            (address, lists.question("an old hit", target, method=method, served="hit"))
            for target in targets
            for method in ("GET", "HEAD")
        ]
        asked.append((alone, lost.question("an upstream that is away", targets[0], status=(502,))))
        ask_with_redbot(asked, remarks)
        lists.judge_errors(targets[1])
    return remarks


def show(remarks: Remarks, chosen: Callable[[str, Remark], bool], heading: str, why: dict[str, str]) -> None:
    """Shows some of the notes: how bad, what, where, and why it may stay."""
    some = [(name, remark) for name, remark in remarks.by_name.items() if chosen(name, remark)]
    if not some:
        return
    print(f"\n{heading}")
    for name, remark in sorted(some, key=lambda item: (LEVELS.index(item[1].level), item[0])):
        print(f"  {remark.level.name:4} {name}: {remark.summary}")
        many = len(remark.answers)
        where = ["all answers"] if many == len(remarks.answers) else remark.answers if many <= 8 else [f"{many} answers"]
        if name in why:
            print(textwrap.fill(why[name], 112, initial_indent=" " * 7, subsequent_indent=" " * 7))
        for answer in where:
            print(f"         on {answer}")


def main() -> int:
    programs = Path(sys.argv[1]).resolve()
    stop_in_order()
    why = {note["name"]: note["reason"] for note in tomllib.loads((HERE / "known.toml").read_text())["note"]}
    try:
        remarks = gather(programs)
    except (NotReady, Unusable, OSError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    complaints = {name for name, remark in remarks.by_name.items() if remark.level in (levels.BAD, levels.WARN)}
    print(f"httplint and redbot have judged {len(remarks.answers)} answers.")
    show(remarks, lambda name, _: name not in complaints, "In order:", {})
    show(remarks, lambda name, _: name in complaints & why.keys(), "Known:", why)
    show(remarks, lambda name, _: name in complaints - why.keys(), "FAILED, and known.toml does not say why:", {})
    gone = sorted(why.keys() - complaints)
    if gone:
        print(f"\nFAILED: these stand in known.toml but are no longer found; take them out: {', '.join(gone)}")
    wrong = {answer for name in complaints - why.keys() for answer in remarks.by_name[name].answers}
    print(f"\n{len(remarks.answers - wrong)} passed, {len(wrong) + len(gone)} failed")
    return 1 if wrong or gone else 0


if __name__ == "__main__":
    sys.exit(main())
