"""Lets slowhttptest attack a proxy in each of its four ways, all at once, and sees who bears it.

    run.py FOLDER-OF-THE-PROGRAMS

Each attack has a proxy of its own in front of one stand-in, and an honest client asks that proxy twice a second. What
slowhttptest itself says judges nothing. Judged is that every honest request is answered soon, that the attacker's
connections are closed while the attack would still go on, and that the proxy is left with as many open files as
before. `make slow-attacks` calls this.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from programs import Bench, NotReady, end, stop_in_order

HERE = Path(__file__).resolve().parent
#: Connections of each attack, opened within two seconds.
CONNECTIONS = 150
#: How long an attack goes on if nobody ends it, in seconds.
LENGTH = 60
#: How long an honest request may take, in seconds; most take milliseconds.
SOON = 2
#: Between two honest requests, in seconds.
PAUSE = 0.5
#: How often connections are counted, in seconds.
LOOK = 0.25
#: How long the proxy may take after the attack to close what it had opened for it, in seconds.
AFTERWARDS = 10
LIST = "/api/Seller?PageSize=100"
#: In /proc/net/tcp.
LISTEN = "0A"
#: Open, or closed by one side only: with what was written and not taken.
KEPT = ("01", "04", "08")  # ESTABLISHED, FIN_WAIT1, CLOSE_WAIT


@dataclass(frozen=True)
class Attack:
    """One way to hold a server's connections."""

    name: str
    target: str
    options: tuple[str, ...]


ATTACKS = (
    # A field each second, and never the end of the head.
    Attack("slow head (-H)", "/_fake/status/204", ("-H", "-i", "1", "-x", "10")),
    # Some 20 bytes each second, of 100,000 that were announced.
    Attack("slow body (-B)", "/_fake/echo", ("-B", "-i", "1", "-x", "10", "-s", "100000")),
    # A thousand ranges of one answer. It waits for no more than that answer, so few are open at a time.
    Attack("ranges    (-R)", "/_fake/bytes/100000", ("-R", "-t", "GET", "-a", "1", "-b", "1000")),
    # A large answer through a small window. Of a small one all would go into the kernel's buffers at once.
    Attack(
        "slow read (-X)",
        "/_fake/bytes/8000000",
        ("-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32"),
    ),
)


@dataclass
class Outcome:
    """What was seen of one attack."""

    #: The ports that the attacker came from, its probes among them.
    came: set[int] = field(default_factory=set)
    #: Seconds from the attack's beginning until none was left.
    ended: float | None = None
    #: Those that were still open when it was over.
    left: int = 0
    #: What each honest request took, in seconds.
    took: list[float] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    files: tuple[int, int] = (0, 0)

    def violations(self) -> list[str]:
        """What is not as it should be."""
        slowest = max(self.took, default=0.0)
        wrong = [f"an honest request was not answered: {why}" for why in self.unanswered[:3]]
        if not self.took:
            wrong.append("no honest request was answered")
        if slowest > SOON:
            wrong.append(f"an honest request took {slowest:.1f} s; {SOON} s are allowed")
        if len(self.came) < CONNECTIONS * 2 / 3:
            wrong.append(f"that was no attack: only {len(self.came)} connections of {CONNECTIONS} were seen")
        if self.ended is None:
            wrong.append(f"{self.left} of the attacker's connections were open until it ended by itself")
        if self.files[1] > self.files[0]:
            wrong.append(f"{self.files[1]} files are open; before the attack {self.files[0]} were")
        return wrong


class Proxy:
    """A proxy in a process of its own, seen from outside."""

    def __init__(self, bench: Bench, name: str, command: list[str | Path]) -> None:
        self.address = bench.start(name, command, r": (\S+) -> ")
        self.port = int(self.address.rpartition(":")[2])
        self.process = bench.processes[name].pid

    def files(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.process}/fd").iterdir()))

    def peers(self) -> tuple[set[int], set[int]]:
        """The ports of all who have a connection with it for which it or its system still keeps something; and of all
        who had one a while ago."""
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ends = [(port(row[1]), port(row[2]), row[3]) for row in rows]
        is_open = {there for here, there, state in ends if here == self.port and state in KEPT}
        # Who closed first has the connection's remains: here or there.
        here = {there for here, there, state in ends if here == self.port and state != LISTEN}
        return is_open, here | {here for here, there, _ in ends if there == self.port}


def port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


class Honest(threading.Thread):
    """A client that asks for a list that is kept and for something that is forwarded, in turn, each time anew."""

    def __init__(self, proxy: Proxy, token: str, outcome: Outcome) -> None:
        super().__init__(daemon=True)
        self.proxy, self.token, self.outcome = proxy, token, outcome
        self.over = threading.Event()
        #: Where its connections come from.
        self.ports: set[int] = set()

    def run(self) -> None:
        targets = (LIST, "/_fake/bytes/1000")
        while not self.over.is_set():
            began = time.monotonic()
            self.ask(targets[len(self.outcome.took) % len(targets)])
            self.over.wait(max(0.0, began + PAUSE - time.monotonic()))

    def ask(self, target: str) -> None:
        began = time.monotonic()
        connection = HTTPConnection("127.0.0.1", self.proxy.port)
        try:
            connection.sock = self.connected()
            connection.request("GET", target, headers={"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                self.outcome.unanswered.append(f"{target}: {answer.status}")
            self.outcome.took.append(time.monotonic() - began)
        except (OSError, HTTPException) as error:
            self.outcome.unanswered.append(f"{target}: {error!r}")
        finally:
            connection.close()


    def connected(self) -> socket.socket:
        line = socket.socket()
        line.settimeout(5 * SOON)
        # Known before anybody can see the connection.
        line.bind(("127.0.0.1", 0))
        self.ports.add(line.getsockname()[1])
        line.connect(("127.0.0.1", self.proxy.port))
        return line


class Attacker(threading.Thread):
    """One attack, from before to after it."""

    def __init__(self, bench: Bench, attack: Attack, proxy: Proxy, token: str) -> None:
        super().__init__(daemon=True)
        self.bench, self.attack, self.proxy = bench, attack, proxy
        self.outcome = Outcome()
        self.honest = Honest(proxy, token, self.outcome)

    def run(self) -> None:
        # What is opened once and stays is open before.
        self.honest.ask(LIST)
        self.honest.ask("/_fake/bytes/1000")
        time.sleep(1)
        before = self.proxy.files()
        self.honest.start()
        try:
            self.look_on()
            self.outcome.files = (before, self.files_at_rest(before))
        finally:
            self.honest.over.set()
            self.honest.join()

    def look_on(self) -> None:
        """Attacks, and counts the attacker's connections until there are none or it gives up by itself."""
        began = time.monotonic()
        attacker = self.launch()
        while attacker.poll() is None:
            self.count(time.monotonic() - began)
            time.sleep(LOOK)
        # It ends early where nothing is left to it.
        self.count(min(time.monotonic() - began, LENGTH))

    def count(self, passed: float) -> None:
        # What ends from here on ends by itself.
        if passed > LENGTH - 1:
            return
        outcome = self.outcome
        is_open, came = self.proxy.peers()
        outcome.left = len(is_open - self.honest.ports)
        outcome.came |= came - self.honest.ports
        if outcome.left > 0:
            outcome.ended = None
        elif outcome.ended is None and outcome.came:
            outcome.ended = passed

    def launch(self) -> subprocess.Popen[bytes]:
        bounds = ["-c", str(CONNECTIONS), "-r", str(CONNECTIONS // 2), "-l", str(LENGTH), "-p", str(SOON)]
        url = f"http://{self.proxy.address}{self.attack.target}"
        command = ["slowhttptest", *self.attack.options, *bounds, "-v", "1", "-u", url]
        log = self.bench.stack.enter_context((self.bench.folder / f"{self.attack.options[0]}.log").open("wb"))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.bench.stack.callback(end, process)
        return process

    def files_at_rest(self, wanted: int) -> int:
        """How many files the proxy has open once it is so many, or once it had time to close what it does not need.

        Its honest client goes on meanwhile: connections to the upstream that are too old go when one comes back.
        """
        by = time.monotonic() + AFTERWARDS
        fewest = self.proxy.files()
        while fewest > wanted and time.monotonic() < by:
            time.sleep(LOOK)
            fewest = min(fewest, self.proxy.files())
        return fewest


def a_token(upstream: str) -> str:
    form = {"grant_type": "password", "username": "demo", "password": "demo", "client_id": "slow-attacks"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{upstream}/connect/token", urllib.parse.urlencode(form).encode()) as answer:
        return json.load(answer)["access_token"]


def attack_all(programs: Path) -> list[tuple[Attack, Outcome]]:
    """All attacks at the same time."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catproxy-slow-attacks-")))
        bench = Bench(stack, folder)
        stand_in = [programs / "fake-abconnect", "--listen", "127.0.0.1:0", "--sellers", "120"]
        upstream = bench.start("stand-in", stand_in, r"Catalog API +(\S+)/api")
        token = a_token(upstream)
        serve = [programs / "catproxy", "serve", "--config", HERE / "catproxy.toml", "--listen", "127.0.0.1:0"]
        attackers = []
        for attack in ATTACKS:
            proxy = Proxy(bench, f"proxy{attack.options[0]}", [*serve, "--upstream", upstream])
            attackers.append(Attacker(bench, attack, proxy, token))
        for attacker in attackers:
            attacker.start()
        for attacker in attackers:
            attacker.join()
        return [(attacker.attack, attacker.outcome) for attacker in attackers]


def show(outcomes: list[tuple[Attack, Outcome]]) -> None:
    """One row for each attack."""
    print(f"{'':15} {'':11} {'all ended':>9} {'honest':>9} {'slowest':>8}  open files")
    print(f"{'attack':15} {'connections':>11} {'after':>9} {'requests':>9} {'of them':>8}  before, after")
    for attack, seen in outcomes:
        ended = "never" if seen.ended is None else f"{seen.ended:.1f} s"
        slowest = f"{1000 * max(seen.took, default=0.0):.0f} ms"
        asked = len(seen.took) + len(seen.unanswered)
        before, after = seen.files
        print(f"{attack.name:15} {len(seen.came):11} {ended:>9} {asked:9} {slowest:>8}  {before:6}, {after:5}")


def main() -> int:
    stop_in_order()
    print(f"four attacks of {CONNECTIONS} connections each, for up to {LENGTH} seconds", flush=True)
    try:
        outcomes = attack_all(Path(sys.argv[1]).resolve())
    except (NotReady, OSError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    show(outcomes)
    wrong = [f"{attack.name}: {what}" for attack, seen in outcomes for what in seen.violations()]
    for what in wrong:
        print(f"FAILED: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
