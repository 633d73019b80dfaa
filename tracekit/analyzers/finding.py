"""What analyzers share: a finding, what they know of the trace when they word one, and how its rows become Arrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt
import pyarrow as pa

NAMED = 0.01
"""Share of the trace's duration that a finding must cost to be worth naming."""
SEVERITIES = ((0.2, "high"), (0.05, "medium"), (0.0, "low"))


@dataclass(frozen=True)
class Group:
    """All findings of one kind about the same threads, as `rows.GROUP_ROW`; start and end of the costliest.

    lost: what they cost together, in the clock's unit; `cost` sums what the costliest are chosen by.
    """

    count: int
    cost: int
    lost: int
    more: tuple[int, int, int]
    worst_cost: int
    start_seq: int
    end_seq: int | None
    thread: str | None
    other: str | None


@dataclass(frozen=True)
class Finding:
    """What a trace shows, in words.

    Attributes:
        kind: of the analyzer.
        severity: high from 20 % of the trace's duration on, medium from 5 %, else low.
        cost: that share, 0 to 1.
        title: one sentence with the numbers in it.
        explanation: the mechanism.
        advice: what to do about it with this interpreter.
        start_seq, end_seq: the costliest instance; None: open.
        threads: whom it concerns, those first who suffer.
    """

    kind: str
    severity: str
    cost: float
    title: str
    explanation: str
    advice: str
    start_seq: int | None
    end_seq: int | None
    threads: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """What is known of the trace, to word a finding with. `blamed`: a waiter's rows of `blame`, costliest first."""

    unit: str
    duration: int
    new_gil: bool
    switch_interval: str
    names: Mapping[str, str]
    threads: Mapping[str, Mapping[str, Any]]
    blamed: Callable[[str], Sequence[Mapping[str, Any]]]
    unobserved: frozenset[str]

    def share(self, duration: int) -> float:
        """Of the trace's duration; at most 1, since several may wait at once."""
        return min(1.0, duration / self.duration) if self.duration else 0.0

    def finding(
        self,
        kind: str,
        cost: int,
        title: str,
        explanation: str,
        advice: str,
        groups: Sequence[Group],
        threads: Sequence[str],
    ) -> Finding:
        """With its severity, and the span of the costliest one in `groups`."""
        share = self.share(cost)
        severity = next(name for least, name in SEVERITIES if share >= least)
        worst = max(groups, key=lambda group: (group.worst_cost, -group.start_seq), default=None)
        start, end = (worst.start_seq, worst.end_seq) if worst else (None, None)
        return Finding(kind, severity, share, title, explanation, advice, start, end, tuple(threads))


class ToArrow(Protocol):
    """Columns of machine rows to Arrow: codes to names, -1 to null, clocks to the trace's own."""

    def thread(self, codes: npt.NDArray[Any]) -> pa.Array: ...
    def seq(self, seqs: npt.NDArray[Any]) -> pa.Array: ...
    def clock(self, clocks: npt.NDArray[Any]) -> pa.Array: ...


def span(rows: npt.NDArray[Any], to: ToArrow) -> dict[str, pa.Array]:
    """The columns that every kind of finding has."""
    return {
        "start_seq": to.seq(rows["start_seq"]),
        "end_seq": to.seq(rows["end_seq"]),
        "start_clock": to.clock(rows["start_clock"]),
        "end_clock": to.clock(rows["end_clock"]),
    }
