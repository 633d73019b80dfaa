"""A part of a trace, by its clock: the events from one moment to another, as a stream like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.errors import NoEventsError, OptionError
from tracekit.model.arrays import NULL, int64_values
from tracekit.model.naming import Names
from tracekit.model.rows import Faults
from tracekit.model.stream import TIME_LIMIT, EventStream
from tracekit.words import duration, duration_in_ns

_HINT = "Write e.g. 1.5s or 200ms, counted from the trace's first event; 20000 of a trace that counts ticks."


@dataclass(frozen=True)
class Moment:
    """So long after a trace's first event. unit: `ns` or `ticks`; None: the trace's own."""

    value: int
    unit: str | None

    def __str__(self) -> str:
        return duration(self.value, self.unit) if self.unit else f"{self.value:,}"


@dataclass(frozen=True)
class Window:
    """From one moment to another, both included; None: the trace's beginning, its end."""

    start: Moment | None
    end: Moment | None

    def __str__(self) -> str:
        return f"{self.start or 'the beginning'} to {self.end or 'the end'}"


def window_of(
    start: str | int | None, end: str | int | None, names: tuple[str, str] = ("start", "end")
) -> Window | None:
    """The window between two times as people write them, `1.5s` or `200ms`; plain numbers are ticks, and integers of
    the trace's own unit. None where both are.

    names: what to call the two. Raises OptionError.
    """
    if start is None and end is None:
        return None
    first, last = (_moment(name, value) for name, value in zip(names, (start, end), strict=True))
    if first and last:
        if first.unit != last.unit:
            raise OptionError(f"{names[0]} is {start} and {names[1]} is {end}: one of them has no unit.", _HINT)
        if first.value >= last.value:
            raise OptionError(f"{names[0]} is {start}, which is not before {names[1]}, {end}.", _HINT)
    return Window(first, last)


def _moment(name: str, told: str | int | None) -> Moment | None:
    if told is None:
        return None
    unit = None
    value = -1
    if isinstance(told, str):
        ns = duration_in_ns(told)
        value, unit = -1 if ns is None else ns, "ticks" if told.strip().isdigit() else "ns"
    elif not isinstance(told, bool):
        value = told
    if not 0 <= value <= TIME_LIMIT:
        raise OptionError(f"{name} is {told!r}, which is not a time in a trace.", _HINT)
    return Moment(value, unit)


class WindowStream(EventStream):
    """The events of another stream whose clock lies in the window. All that the other tells besides is told.

    Raises while it is iterated: what the other raises, OptionError where the window has the other unit, NoEventsError
    where no event lies in it.
    """

    def __init__(self, stream: EventStream, window: Window) -> None:
        self._stream = stream
        self._window = window
        self._first_seq = 0
        self.repeatable = stream.repeatable
        self.fault_lines = {}  # those of the whole trace do not count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def names(self) -> Names:  # type: ignore[override]
        return self._stream.names.since(self._first_seq)

    def shorten(self) -> None:
        self._stream.shorten()

    def line_numbers(self) -> Callable[[int], int | None]:
        line = self._stream.line_numbers()
        return lambda seq: line(seq + self._first_seq)

    def first_line(self, faults: Faults) -> int | None:
        return self.line_numbers()(faults.first_seq)

    @property
    def check_interval(self) -> int:
        return self._stream.check_interval

    def position(self) -> tuple[int, int | None]:
        return self._stream.position()

    def close(self) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Reads to the end even where the window ends before: stacks may be defined further down."""
        clock: _Clock | None = None
        seq = found = 0
        for batch in self._stream:
            if not batch.num_rows:
                continue
            if clock is None:
                clock = _Clock(int64_values(batch.column("time"))[0] != NULL, self.check_interval)
                self._require(clock.unit)
            passed = clock.read(batch)
            start, end = self._window.start, self._window.end
            low = int(np.searchsorted(passed, start.value, "left")) if start else 0
            high = int(np.searchsorted(passed, end.value, "right")) if end else len(passed)
            if low < high:
                if not found:
                    self._first_seq = seq + low
                    self.metadata["window"] = str(self._window)
                found += high - low
                yield batch.slice(low, high - low)
            seq += len(passed)
        if clock and not found:
            lasts = duration(clock.passed, clock.unit)
            raise NoEventsError(
                f"{self.path}: no event lies from {self._window}; the trace lasts {lasts}.", "Name another time."
            )

    def _require(self, unit: str) -> None:
        for moment in (self._window.start, self._window.end):
            if moment and moment.unit not in (unit, None):
                counted = "counts ticks, so a time in it is a plain number" if unit == "ticks" else "has times"
                raise OptionError(f"{self.path}: {moment} is not a time in this trace, which {counted}.", _HINT)


class _Clock:
    """The clock of docs/format.md, batch by batch, counted from its first reading."""

    def __init__(self, timed: bool, interval: int) -> None:
        self.unit = "ns" if timed else "ticks"
        self._interval = interval
        self._first: int | None = None
        self._checks = NULL
        self.passed = 0

    def read(self, batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """How much has passed at each row."""
        values = int64_values(batch.column("time")) if self.unit == "ns" else self._ticks(batch)
        known = values != NULL
        if self._first is None:
            if not known.any():
                return np.zeros(len(values), np.int64)
            self._first = int(values[np.argmax(known)])
        passed = np.where(known, values - self._first, 0)
        passed = np.maximum.accumulate(np.maximum(passed, self.passed))
        self.passed = int(passed[-1]) if len(passed) else self.passed
        return passed

    def _ticks(self, batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
        ticks, checks = int64_values(batch.column("ticks")), int64_values(batch.column("checks"))
        last = np.maximum.accumulate(np.where(checks != NULL, np.arange(1, len(checks) + 1), 0))
        known = np.concatenate([[self._checks], checks])[last]
        self._checks = int(known[-1]) if len(known) else self._checks
        at = known * self._interval + self._interval - np.clip(ticks, 0, self._interval)
        return np.where((ticks != NULL) & (known != NULL), at, NULL)
