"""From samples to what is said of them: medians, ratios within the same round, what holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rows import OURS, Floor, Row

#: Of one row: the samples of each server, a round's at the same place of each.
Samples = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Verdict:
    """Whether a floor holds, by the median over all rounds."""

    row: str
    floor: Floor
    value: float
    #: Of the rounds.
    least: float
    most: float

    @property
    def holds(self) -> bool:
        return self.value <= self.floor.floor

    @property
    def reaches_goal(self) -> bool:
        return self.floor.goal is not None and self.value <= self.floor.goal


def middle(samples: Sequence[Any], measure: str) -> float:
    return median(getattr(sample, measure) for sample in samples)


def ratios(samples: Samples, peer: str, measure: str) -> list[float]:
    """Ours divided by the peer's in each round where the peer's was measured."""
    pairs = zip(samples[OURS], samples[peer], strict=True)
    both = [(getattr(ours, measure), getattr(theirs, measure)) for ours, theirs in pairs]
    return [ours / theirs for ours, theirs in both if theirs]


def verdicts(row: Row, samples: Samples) -> list[Verdict]:
    """One for each floor whose peer took part."""
    judged = []
    for floor in row.floors:
        if floor.peer is None:
            values = [getattr(sample, floor.measure) for sample in samples[OURS]]
        elif floor.peer in samples:
            values = ratios(samples, floor.peer, floor.measure)
        else:
            continue
        if values:
            judged.append(Verdict(row.name, floor, median(values), min(values), max(values)))
    return judged
