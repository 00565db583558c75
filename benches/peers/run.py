"""Compares catproxy with nginx, HAProxy, Varnish and Traffic Server: `make bench-peers`, 8 to 9 minutes.

    run.py --ours PROGRAM [--before PROGRAM] [--only ROWS] [--against PEERS] [--rounds N] [--seconds N]

What is compared. Each server is set as fast as we know how (`configurations/`), with one worker, on one CPU; wrk with
one thread and the origin, an nginx, are on another. A row is measured in rounds: two seconds of load on each server
in turn, so that all of a round meet the same machine. The peers cache the very bytes that catproxy sends; only in the
row `whole-64` they have the page as the API sends it, which is what a cache must send that does not project. Before a
row each server is seen to send the right bytes, and a cache not to ask the origin. Each request has a token of 1 KB:
catproxy checks it, the peers do not. catproxy has a real redis-server beside it, and its warm reads come from copies
in the process (`detail=near`).

How to read it. *CPU s per 1M*: seconds of CPU time for a million requests, of all the server's threads and processes
and of the kernel for them; Redis is not in it, which warm reads do not ask. It is the figure to judge by: *ours /
theirs* is the median of the ratios within each round, and `!` stands where a floor does not hold. wrk sends its next
request when an answer has come, so at 64 and 512 connections requests/s, p50 and p99 say how a full core queues; at 1
connection p50 is what an answer takes. *memory*: the most that was resident during the row, pages that processes
share counted for each; HAProxy's has its whole cache in it from the start. Do not compare absolute figures of
different runs, nor ratios that differ by less than 5 %. The last line says how quiet the machine was: on a busy one
only ratios of CPU time, and memory, are worth something.

At the end stands what must hold, by the median, with the range of the rounds. Exit code 1: some of it does not; 2: it
could not be measured. A whole run writes every sample to `results/peers.json` and draws `charts/peers.svg`, which
README shows; one that any option restricts only prints.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import idle
from chart import drawn
from compare import progress, publish, samples
from figures import Samples, Verdict, verdicts
from ground import CannotRun, Ground, all_here
from programs import stop_in_order
from results import written
from rows import BEFORE, CACHES, FORWARDING, HITS, IDLE, OURS, ROWS, START, Load, Row
from servers import Server, Servers
from table import block, judged

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "peers.json"
CHART = HERE.parent.parent / "charts" / "peers.svg"
ROUNDS, SECONDS = 5, 2
#: Of a CPU, what others may have of it without being seen in p50, p99 and requests/s.
QUIET = 0.05
#: What everything stands on, the origin among it.
NEEDED = ("nginx", "redis-server", "taskset", "wrk")
PROGRAMS = {"nginx": "nginx", "haproxy": "haproxy", "varnish": "varnishd", "trafficserver": "traffic_server"}


@dataclass
class Run:
    """One run: what was asked for, and what has been found so far."""

    flags: argparse.Namespace
    ground: Ground
    servers: Servers
    found: dict[str, Samples] = field(default_factory=dict)
    judged: list[Verdict] = field(default_factory=list)

    def everything(self) -> None:
        self.bytes_for_peers()
        self.loads(HITS, self.servers.cache)
        self.loads(FORWARDING, self.servers.forwarder)
        self.fresh(START, self.flags.rounds, lambda name: idle.start(self.servers, name))
        self.fresh(IDLE, 1, lambda name: idle.idle(self.ground, self.servers, name))

    def loads(self, rows: Sequence[Load], start: Callable[[str], Server]) -> None:
        """Rows whose servers run side by side."""
        chosen = [row for row in rows if self.chosen(row)]
        wanted = {name for row in chosen for name in self.taking_part(row)}
        running: dict[str, Server] = {}
        for name in (one for one in (OURS, BEFORE, *CACHES[1:]) if one in wanted):
            progress(f"starting {name}")
            running[name] = start(name)
        for row in chosen:
            among = {name: running[name] for name in self.taking_part(row)}
            self.tell(row, samples(self.ground, self.servers, among, row, self.flags.rounds, self.flags.seconds))
        for server in running.values():
            server.end()

    def fresh(self, row: Row, rounds: int, measured: Callable[[str], object]) -> None:
        """A row whose servers are started anew each time."""
        if not self.chosen(row):
            return
        names = self.taking_part(row)
        samples: dict[str, list[object]] = {name: [] for name in names}
        for turn in range(rounds):
            for name in names:
                progress(f"{row.name}: round {turn + 1} of {rounds}, {name}")
                samples[name].append(measured(name))
        progress("")
        self.tell(row, samples)

    def bytes_for_peers(self) -> None:
        """What they cache is what ours sends; and Redis has its entry from here on."""
        ours = self.servers.cache(OURS)
        publish(self.servers, ours)
        ours.end()

    def chosen(self, row: Row) -> bool:
        only = self.flags.only
        return not only or any(row.name.startswith(name) for name in only)

    def taking_part(self, row: Row) -> list[str]:
        before = [BEFORE] if BEFORE in self.servers.programs else []
        return [OURS, *before, *(name for name in row.servers[1:] if name in self.flags.against)]

    def others(self) -> float | None:
        """What others had of the proxies' CPU, over all samples of rows under load."""
        shares = [
            sample.others
            for row in (*HITS, *FORWARDING)
            for own in self.found.get(row.name, {}).values()
            for sample in own
        ]
        return median(shares) if shares else None

    def tell(self, row: Row, samples: Samples) -> None:
        self.found[row.name] = samples
        self.judged += verdicts(row, samples)
        print(block(row, samples), end="\n\n", flush=True)


def arguments() -> argparse.Namespace:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", type=a_program, required=True, help="the catproxy to compare")
    parser.add_argument("--before", type=a_program, help="another build of it, which runs beside it")
    parser.add_argument(
        "--only", type=words, default=[], metavar="ROWS",
        help=f"rows, by the beginning of their names, with commas between: {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument(
        "--against", type=words, default=list(CACHES[1:]), metavar="PEERS",
        help=f"with whom, with commas between: {', '.join(CACHES[1:])}",
    )  # fmt: skip
    parser.add_argument("--rounds", type=positive, default=ROUNDS, help=f"of each row [{ROUNDS}]")
    parser.add_argument("--seconds", type=positive, default=SECONDS, help=f"of load in each, whole ones [{SECONDS}]")
    flags = parser.parse_args()
    for name in flags.only:
        if not any(known.startswith(name) for known in names):
            parser.error(f"there is no row {name}; there are {', '.join(names)}")
    for name in flags.against:
        if name not in CACHES[1:]:
            parser.error(f"there is no peer {name}; there are {', '.join(CACHES[1:])}")
    return flags


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def a_program(text: str) -> Path:
    path = Path(text).resolve()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is not there; `cargo build --release` makes target/release/catproxy")
    return path


def is_whole(flags: argparse.Namespace) -> bool:
    """Whether what README shows may be replaced by this run."""
    shortened = flags.rounds < ROUNDS or flags.seconds < SECONDS
    return not (flags.only or flags.before or shortened or set(flags.against) != set(CACHES[1:]))


def main() -> int:
    stop_in_order()
    flags = arguments()
    try:
        all_here([*NEEDED, *(PROGRAMS[name] for name in flags.against)])
        with ExitStack() as stack:
            ground = Ground(stack)
            if not ground.alone:
                print("there is only one CPU here: the load takes from what it measures\n", file=sys.stderr)
            run = Run(flags, ground, Servers(ground, flags.ours, flags.before))
            run.everything()
            print(judged(run.judged))
            if (others := run.others()) is not None:
                quiet = f"{QUIET:.0%} is quiet enough for times and requests/s"
                print(f"\nothers had {others:.0%} of the proxies' CPU; {quiet}")
            if is_whole(flags):
                written(RESULTS, run.servers, run.found, run.judged, flags.rounds, flags.seconds)
                CHART.parent.mkdir(exist_ok=True)
                CHART.write_text(drawn(run.found))
                print(f"\nwritten: {RESULTS} and {CHART}")
    except (CannotRun, OSError) as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0 if all(verdict.holds for verdict in run.judged) else 1


if __name__ == "__main__":
    sys.exit(main())
