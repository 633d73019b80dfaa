"""What the figures show, as plain values: the page draws them itself, `plotly.py` makes figures of them for notebooks.

A thread is its place in the threads table, and `NOBODY` where the GIL was free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.analyzers import ANALYZERS
from tracekit.model.arrays import NULL, int64_values
from tracekit.timeline.picture import Picture
from tracekit.words import count, duration, percent

THREADS_SHOWN = 24
NOBODY = -1


class Drawable(Protocol):
    """What figures need of an `Analysis`."""

    @property
    def unit(self) -> str: ...
    @property
    def duration(self) -> int: ...
    @property
    def tables(self) -> Mapping[str, pa.Table]: ...
    @property
    def names(self) -> dict[str, str]: ...
    @property
    def picture(self) -> Picture: ...


CAUSES = {
    analyzer.cause: (analyzer.cause.replace("_", " "), f"It {analyzer.reason}.")
    for analyzer in ANALYZERS.values()
    if analyzer.cause
}
"""Each cause of the table `causes`, in the order in which it is drawn: what it is called, and what it means."""


@dataclass(frozen=True)
class Causes:
    """Why threads waited, and for how long: thread, place in CAUSES, duration; place in CAUSES, holder, duration."""

    threads: list[tuple[int, int, int]]
    holders: list[tuple[int, int, int]]


@dataclass(frozen=True)
class Bars:
    """What each thread did: thread, held, waited."""

    rows: list[tuple[int, int, int]]


@dataclass(frozen=True)
class Matrix:
    """A value where two threads meet: row, column, value, by their places in `rows` and `columns`."""

    rows: list[int]
    columns: list[int]
    cells: list[tuple[int, int, int]]


@dataclass(frozen=True)
class Spread:
    """How long things took.

    rows: thread, count, median, 99th percentile, longest. buckets: place of the row, from, to, count.
    """

    rows: list[tuple[int, int, int, int, int]]
    buckets: list[tuple[int, int, int, int]]


@dataclass(frozen=True)
class Waiters:
    """For how long how many waited at once."""

    rows: list[tuple[int, int]]


def causes(analysis: Drawable) -> Causes:
    table = analysis.tables["causes"]
    waiters, holders, durations = (each.tolist() for each in _codes(table, "thread", "holder", "duration"))
    places = [list(CAUSES).index(cause) for cause in table.column("cause").to_pylist()]
    by_thread: Counter[tuple[int, int]] = Counter()
    by_holder: Counter[tuple[int, int]] = Counter()
    for waiter, place, holder, length in zip(waiters, places, holders, durations, strict=True):
        by_thread[waiter, place] += length
        by_holder[place, holder] += length
    return Causes([(*key, length) for key, length in by_thread.items()], [(*k, n) for k, n in by_holder.items()])


def label(analysis: Drawable, thread: int) -> str:
    return "nobody" if thread == NOBODY else list(analysis.names.values())[thread]


def busiest(analysis: Drawable) -> list[int]:
    """The threads that a figure has room for: those which held and waited most."""
    held, waited = (analysis.tables["threads"].column(name).to_pylist() for name in ("held", "waited"))
    return sorted(range(len(held)), key=lambda i: -(held[i] + waited[i]))[:THREADS_SHOWN]


def bars(analysis: Drawable) -> Bars:
    held, waited = (analysis.tables["threads"].column(name).to_pylist() for name in ("held", "waited"))
    return Bars([(thread, held[thread], waited[thread]) for thread in busiest(analysis)])


def matrix(analysis: Drawable, table: str, row: str, column: str, value: str) -> Matrix:
    """Of the busiest threads, those which have a value in this table."""
    ys, xs, values = _codes(analysis.tables[table], row, column, value)
    shown = busiest(analysis)
    rows = [thread for thread in shown if thread in set(ys.tolist())]
    columns = [thread for thread in shown if thread in set(xs.tolist())]
    columns += [NOBODY] if NOBODY in xs else []
    inside = np.isin(ys, rows) & np.isin(xs, columns) & (values > 0)
    cells = zip(*(each[inside].tolist() for each in (ys, xs, values)), strict=True)
    return Matrix(rows, columns, [(rows.index(y), columns.index(x), value) for y, x, value in cells])


def blame(analysis: Drawable) -> Matrix:
    return matrix(analysis, "blame", "waiter", "holder", "duration")


def handoffs(analysis: Drawable) -> Matrix:
    return matrix(analysis, "handoffs", "from", "to", "count")


def spread(analysis: Drawable, kind: str) -> Spread:
    """Of `distributions` and `histograms` the rows of this kind, those threads first that spent most on it."""
    rows = _of_kind(analysis, "distributions", kind, "thread", "count", "p50", "p99", "max")
    rows = sorted(rows, key=lambda row: -(row[2] * row[1]))[:THREADS_SHOWN]
    places = {row[0]: place for place, row in enumerate(rows)}
    buckets = _of_kind(analysis, "histograms", kind, "thread", "low", "high", "count")
    return Spread(
        [(thread, number, p50, p99, most) for thread, number, p50, p99, most in rows],
        [(places[thread], low, high, number) for thread, low, high, number in buckets if thread in places],
    )


def waiting(analysis: Drawable) -> Waiters:
    waiters, durations = (analysis.tables["waiting"].column(name).to_pylist() for name in ("waiters", "duration"))
    return Waiters(list(zip(waiters, durations, strict=True)))


def _codes(table: pa.Table, *names: str) -> list[npt.NDArray[Any]]:
    """Columns as numbers: a thread as its place in the threads table, NOBODY where there is none."""
    columns = []
    for name in names:
        array = table.column(name).combine_chunks()
        named = pa.types.is_dictionary(array.type)
        values = int64_values(array.indices if named else array)
        columns.append(np.where(values == NULL, NOBODY, values) if named else values)
    return columns


def _of_kind(analysis: Drawable, table: str, kind: str, *names: str) -> Iterable[tuple[int, ...]]:
    """The rows of a kind. Without Arrow's compute functions, whose import takes longer than all of this."""
    table_rows = analysis.tables[table]
    kinds = table_rows.column("kind").combine_chunks().dictionary.to_pylist()
    code, *columns = _codes(table_rows, "kind", *names)
    inside = code == (kinds.index(kind) if kind in kinds else NULL)
    return list(zip(*(column[inside].tolist() for column in columns), strict=True))


@dataclass(frozen=True)
class Drawing:
    """A figure's title, what it shows in a sentence or two, and how it is made."""

    title: str
    about: str
    content: Callable[[Drawable], Bars | Matrix | Spread | Waiters]
    tell: Callable[[Drawable], str]
    """What it shows of this trace, for those who do not see it."""


def _tell_threads(analysis: Drawable) -> str:
    whole = max(1, analysis.duration)
    shares = [
        f"{label(analysis, thread)} held {percent(held / whole)} and waited {percent(waited / whole)}"
        for thread, held, waited in bars(analysis).rows
    ]
    return f"Of the trace's time {'; '.join(shares)}."


def _largest(matrix: Matrix, most: int = 4) -> list[tuple[int, int, int]]:
    """The largest cells: two threads and their number."""
    cells = sorted(matrix.cells, key=lambda cell: -cell[2])[:most]
    return [(matrix.rows[y], matrix.columns[x], value) for y, x, value in cells]


def _tell_blame(analysis: Drawable) -> str:
    whole = max(1, analysis.duration)
    parts = [
        f"{label(analysis, waiter)} waited {percent(length / whole)} of the trace "
        f"while {label(analysis, holder)} held the GIL"
        for waiter, holder, length in _largest(blame(analysis))
    ]
    return f"Most of it: {'; '.join(parts)}." if parts else "Nobody waited."


def _tell_handoffs(analysis: Drawable) -> str:
    parts = [
        f"{count(number, 'time')} from {label(analysis, giver)} to {label(analysis, taker)}"
        for giver, taker, number in _largest(handoffs(analysis))
    ]
    return f"Most often the GIL went {'; '.join(parts)}." if parts else "The GIL never went from one thread to another."


def _tell_spread(kind: str, what: str) -> Callable[[Drawable], str]:
    def tell(analysis: Drawable) -> str:
        unit = analysis.unit
        rows = [row for row in spread(analysis, kind).rows if row[1]]
        parts = [
            f"{label(analysis, thread)}: {count(number, what)}, half of them at most {duration(p50, unit)}, "
            f"the longest {duration(most, unit)}"
            for thread, number, p50, _, most in sorted(rows, key=lambda row: -row[4])
        ]
        return f"{'; '.join(parts)}." if parts else f"There is no {what}."

    return tell


def _tell_waiting(analysis: Drawable) -> str:
    rows = waiting(analysis).rows
    whole = max(1, sum(length for _, length in rows))
    parts = [f"{count(number, 'thread')} {percent(length / whole)}" for number, length in rows]
    return f"Share of the time in which this many threads waited at once: {', '.join(parts)}."


CONTENTS: Mapping[str, Drawing] = {
    "threads": Drawing("Where the time went", "What each thread did with the trace's time.", bars, _tell_threads),
    "blame": Drawing(
        "Who waited for whom", "Who waited while whom held the GIL, as shares of the trace's time.", blame, _tell_blame
    ),
    "waits": Drawing(
        "Waits that found the GIL taken", "How long they were, on a log axis; taller where more of them lie.",
        lambda analysis: spread(analysis, "contended_wait"), _tell_spread("contended_wait", "contended wait"),
    ),
    "holds": Drawing(
        "Holds", "How long each thread kept the GIL, on a log axis; taller where more of them lie.",
        lambda analysis: spread(analysis, "hold"), _tell_spread("hold", "hold"),
    ),
    "handoffs": Drawing("Hand-offs", "How often the GIL went from one thread to another.", handoffs, _tell_handoffs),
    "waiting": Drawing("Waiters", "For how much of the time how many waited at once.", waiting, _tell_waiting),
}  # fmt: skip
