"""The table: a block for each row, then what must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from figures import Samples, Verdict, middle, ratios, verdicts
from rows import BEFORE, IDLE, MIB, OURS, START, Floor, Row

NAMES = {
    OURS: "catproxy", BEFORE: "before", "nginx": "nginx", "haproxy": "HAProxy", "varnish": "Varnish",
    "trafficserver": "Traffic Server",
}  # fmt: skip
MEASURES = {
    "cpu": "CPU", "p50": "p50", "p99": "p99", "peak": "peak memory", "started": "start", "idle": "memory",
    "each_of_some": "a connection of 1,000", "each_of_many": "a connection of many",
}  # fmt: skip
#: Behind a ratio whose floor does not hold.
MISSED = "!"


@dataclass(frozen=True)
class Column:
    """What is shown of a sample: the measure's median, or ours divided by theirs."""

    heading: tuple[str, str]
    measure: str
    width: int
    decimals: int = 0
    unit: float = 1
    is_ratio: bool = False


LOAD = (
    Column(("CPU s", "per 1M"), "cpu", 9, 1),
    Column(("of it", "user"), "user", 8, 1),
    Column(("ours /", "theirs"), "cpu", 9, 2, is_ratio=True),
    Column(("requests", "/s"), "requests_per_second", 10),
    Column(("p50", "ms"), "p50", 9, 3, 1000),
    Column(("p99", "ms"), "p99", 8, 1, 1000),
    Column(("memory", "MiB"), "peak", 8, 1, MIB),
    Column(("answer", "KB"), "bytes", 9, 1, 1000),
)
COLUMNS = {
    START.name: (Column(("ms", ""), "started", 9, 1), Column(("ours /", "theirs"), "started", 9, 2, is_ratio=True)),
    IDLE.name: (
        Column(("unused", "MiB"), "idle", 9, 1, MIB),
        Column(("a connection", "of 1,000, KiB"), "each_of_some", 16, 1, 1024),
        Column(("of many,", "KiB"), "each_of_many", 11, 1, 1024),
        Column(("of so", "many"), "many", 9),
    ),
}


def block(row: Row, samples: Samples) -> str:
    """A row: a line for each server."""
    columns = COLUMNS.get(row.name, LOAD)
    missed = {(verdict.floor.measure, verdict.floor.peer) for verdict in verdicts(row, samples) if not verdict.holds}
    lines = [f"{row.name}: {row.title}"]
    for place in (0, 1):
        lines.append(" " * 17 + "".join(f"{column.heading[place]:>{column.width}} " for column in columns).rstrip())
    for name in samples:
        cells = "".join(_cell(column, name, samples, missed) for column in columns)
        lines.append(f"  {NAMES[name]:15}{cells.rstrip()}")
    return "\n".join(line for line in lines if line.strip())


def _cell(column: Column, name: str, samples: Samples, missed: set[tuple[str, str | None]]) -> str:
    ours = name == OURS
    if column.is_ratio and ours:
        return " " * (column.width + 1)
    if column.is_ratio:
        value = median(ratios(samples, name, column.measure) or [0.0])
    else:
        value = middle(samples[name], column.measure) / column.unit
    if not value:
        return f"{'-':>{column.width}} "
    mark = (column.measure, name) in missed if column.is_ratio else ours and (column.measure, None) in missed
    return f"{value:{column.width},.{column.decimals}f}" + (MISSED if mark else " ")


def judged(found: Sequence[Verdict]) -> str:
    """What must hold, a line each."""
    lines = [f"{'must hold':37}{'is':>10}{'rounds':>15}{'floor':>8}{'goal':>8}"]
    for verdict in found:
        floor = verdict.floor
        what = f"{verdict.row}: {MEASURES[floor.measure]}" + (f" / {NAMES[floor.peer]}'s" if floor.peer else "")
        unit, sign, form = _unit(floor)
        value, least, most = (format(number / unit, form) for number in (verdict.value, verdict.least, verdict.most))
        bounds = [format(bound / unit, form) if bound else "" for bound in (floor.floor, floor.goal)]
        rounds = f"{least} to {most}" if verdict.least < verdict.most else ""
        word = "goal" if verdict.reaches_goal else "holds" if verdict.holds else "DOES NOT HOLD"
        lines.append(f"  {what:35}{value + sign:>10}{rounds:>15}{bounds[0]:>8}{bounds[1]:>8}  {word}")
    return "\n".join(lines)


def _unit(floor: Floor) -> tuple[float, str, str]:
    """Of a ratio, or of bytes as its floor has them: what one is, its sign, the format of numbers."""
    if floor.peer is not None:
        return 1, "", ".2f"
    return (MIB, " MiB", ".1f") if floor.floor >= MIB else (1024, " KiB", ".1f")
