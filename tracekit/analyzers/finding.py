"""What analyzers share: what a kind of finding is, what is known of a trace when its findings are put into words, and
how the state machine's rows become Arrow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.analyzers.places import NOTHING, Places, Told
from tracekit.model.rows import Rows
from tracekit.words import duration

NAMED = 0.01
"""A finding is reported if it costs at least this share of the trace's duration."""
SEVERITIES = ((0.2, "high"), (0.05, "medium"), (0.0, "low"))


@dataclass(frozen=True)
class Group:
    """All findings of one kind about the same threads, as `rows.GROUP_ROW`; start and end of the costliest.

    lost: what they cost together, in the clock's unit; `cost` sums what the costliest are chosen by.
    """

    count: int
    cost: int
    lost: int
    more: tuple[int, int, int, int]
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
        advice: what to do about it with this interpreter, and with the functions that kept the GIL, if they are known
            for it.
        lines: sentences with the lines at which the GIL was held, and at which it was waited, where those are known.
        start_seq, end_seq: the costliest instance; None: open.
        threads: whom it concerns, those first who suffer.
        subject: what tells it from the others of its kind, in any trace of the program; empty where there is one.
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
    subject: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loss:
    """What one thread lost by findings of one kind, and to whom. thread: None where none is meant."""

    thread: str | None
    hog: str | None
    count: int
    lost: int
    subject: str = ""


@dataclass(frozen=True)
class Waited:
    """What one thread waited for one cause, in all and behind each holder, in the clock's unit.

    waits: in how many waits; one behind several holders counts for each.
    """

    duration: int
    waits: int
    _behind: npt.NDArray[np.int32]
    _durations: npt.NDArray[np.int64]
    _names: Sequence[str]

    @property
    def holders(self) -> Counter[str | None]:
        """Made when it is asked for: of many threads these would be far larger than the table that they come from."""
        behind, durations = self._behind.tolist(), self._durations.tolist()
        names = [None if code < 0 else self._names[code] for code in behind]
        return Counter(dict(zip(names, durations, strict=True)))


@dataclass(frozen=True)
class Story:
    """What is known of the trace, to word a finding with.

    Attributes:
        names: thread id -> what to show for it. called: -> what it is in any trace of the program, its name or else
            its id.
        threads: rows of the table, by thread id.
        hogs: waiter -> who held the GIL for the longest part of its waits.
        groups: all findings that the state machine collected, by kind, costliest first.
        causes: cause -> thread -> what it waited for that; all causes are there.
        release_kinds_known: the trace tells forced releases from blocking calls.
        places: at which lines it was waited.
        free_gap: for how long the GIL was free while it was wanted, on average for each switch; None without any.
        findings: those of the analyzers before.
    """

    unit: str
    duration: int
    new_gil: bool
    switch_interval: int | None
    names: Mapping[str, str]
    called: Mapping[str | None, str]
    threads: Mapping[str, Mapping[str, Any]]
    hogs: Mapping[str, str]
    causes: Mapping[str, Mapping[str, Waited]]
    release_kinds_known: bool
    free_gap: int | None
    groups: Mapping[str, Sequence[Group]]
    unobserved: frozenset[str]
    places: Places
    findings: tuple[Finding, ...] = ()

    @property
    def shown_interval(self) -> str:
        """The switch interval, in words."""
        return "5 ms unless it was changed" if self.switch_interval is None else duration(self.switch_interval, "ns")

    @property
    def of_trace(self) -> str:
        """What a share is of."""
        return "of the trace" if self.unit == "ns" else "of the trace's ticks"

    def share(self, part: int) -> float:
        """Of the trace's duration; at most 1, since several may wait at once."""
        return min(1.0, part / self.duration) if self.duration else 0.0

    def finding(
        self,
        kind: str,
        cost: int,
        title: str,
        explanation: str,
        advice: str,
        groups: Sequence[Group],
        threads: Sequence[str],
        subject: str = "",
        told: Told = NOTHING,
    ) -> Finding:
        """With its severity, and the span of the costliest one in `groups`."""
        share = self.share(cost)
        severity = next(name for least, name in SEVERITIES if share >= least)
        worst = max(groups, key=lambda group: (group.worst_cost, -group.start_seq), default=None)
        start, end = (worst.start_seq, worst.end_seq) if worst else (None, None)
        advice = " ".join([*told.advice, *([advice] if advice else [])])
        return Finding(
            kind, severity, share, title, explanation, advice, start, end, tuple(threads), subject, told.sentences
        )


class ToArrow(Protocol):
    """Columns of machine rows to Arrow: codes to names, -1 to null, clocks to the trace's own."""

    def thread(self, codes: npt.NDArray[Any]) -> pa.Array: ...
    def seq(self, seqs: npt.NDArray[Any]) -> pa.Array: ...
    def clock(self, clocks: npt.NDArray[Any]) -> pa.Array: ...


def summed(losses: Iterable[Loss]) -> tuple[int, int]:
    """How many findings there are, and what they cost together."""
    count = lost = 0
    for loss in losses:
        count += loss.count
        lost += loss.lost
    return count, lost


@dataclass(frozen=True)
class Analyzer:
    """A kind of finding: all that the rest of tracekit knows of it. A new one needs this, in a file of its own, and a
    schema in `schemas/v1/findings/` if the state machine collects its rows.

    Attributes:
        kind: what it is called in options, JSON, SQL and the API.
        label: what a page calls it.
        fleet: what is said of it for many traces, of the groups of threads {thread} and {hog}.
        losses: what each thread lost by it.
        explain: its findings worth naming, costliest first.
        needs: what a trace must tell for these to be seen, of `observed.OPTIONAL`.
        measure: how many findings there are in all and what they cost; None: what all losses sum up to.
        cause: of those in the table `causes`, the one that it is about; reason: why a thread then waited, in a
            summary's line.
        columns: the columns of its table, of the rows that the state machine collects; None where it collects none.
        costs_span: its rows cost what passes from their start to their end, not what they are chosen by.
        colour: of its marks: a custom property of the report's style sheet.
    """

    kind: str
    label: str
    fleet: str
    losses: Callable[[Story], Iterator[Loss]]
    explain: Callable[[Story], list[Finding]]
    needs: frozenset[str] = frozenset()
    measure: Callable[[Story], tuple[int, int]] | None = None
    cause: str | None = None
    reason: str = ""
    columns: Callable[[Rows, ToArrow], dict[str, pa.Array]] | None = None
    costs_span: bool = False
    colour: str = "accent"

    def measured(self, story: Story) -> tuple[int, int]:
        """How many findings there are in all, and what they cost in the clock's unit."""
        return self.measure(story) if self.measure else summed(self.losses(story))

    @property
    def words(self) -> str:
        """As it stands in a sentence."""
        return self.label.lower()


def span(rows: npt.NDArray[Any], to: ToArrow) -> dict[str, pa.Array]:
    """The columns that every kind of finding has."""
    return {
        "start_seq": to.seq(rows["start_seq"]),
        "end_seq": to.seq(rows["end_seq"]),
        "start_clock": to.clock(rows["start_clock"]),
        "end_clock": to.clock(rows["end_clock"]),
    }
