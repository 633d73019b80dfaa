"""What each thread would wait under another GIL, predicted by replaying a trace; or why that cannot be told.

docs/whatif.md has the model, its limits, and how often it was right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracekit.errors import OptionError
from tracekit.model.arrays import int64_values, numbers
from tracekit.model.attributes import sparse
from tracekit.trace import Trace, read
from tracekit.whatif.gate import Gate, checked
from tracekit.whatif.learning import learn
from tracekit.whatif.observing import Events
from tracekit.whatif.prediction import Prediction, WhatIf, predict, refused
from tracekit.whatif.programs import Programs
from tracekit.whatif.replaying import observe
from tracekit.whatif.scenarios import Change, Cores, Interval, Move, NoGil, Split
from tracekit.whatif.threads import Threads
from tracekit.words import whole_number

__all__ = ["Prediction", "WhatIf", "what_if"]

STANDARD_INTERVALS = (100_000, 500_000, 20_000_000)
"""ns"""
FEWEST_WAITS = 20
"""Contended waits of a trace from which something can be learned."""


def what_if(
    trace: Trace | str | os.PathLike[str],
    *,
    interval: float | Sequence[float] = (),
    move: str | Sequence[str] = (),
    split: str | Sequence[str] = (),
    cores: int | None = None,
    no_gil: bool = False,
    slowdown: float | None = None,
    rate: Mapping[str, float] | None = None,
) -> WhatIf:
    """Replays a trace of the new GIL with something changed, and tells what each thread would wait.

    interval: switch intervals in seconds, as `sys.setswitchinterval` takes them.
    move: threads, by id or name, each of which gets a process of its own.
    split: threads whose C calls that keep the GIL are made in ten parts.
    cores: another number of cores. no_gil: a free-threaded build; slowdown: how many times as long a thread alone takes
    there (1: an upper bound of what is gained). rate: requests a second, by thread, where they come at a fixed rate.
    Without any change: intervals of 0.1, 0.5 and 20 ms, the costliest hog moved, then split, one core, and no GIL.
    Raises OptionError; SourceError, NoEventsError where the trace cannot be read.
    """
    trace = trace if isinstance(trace, Trace) else read(trace)
    threads = Threads.of(trace)
    changes: list[Change] = [Interval(_nanoseconds(seconds)) for seconds in _several(interval)]
    changes += map(Move, _several(move))
    changes += map(Split, _several(split))
    for change in changes:
        if isinstance(change, (Move, Split)):
            threads.place(change.thread)  # says so if there is none
    if cores is not None:
        changes.append(Cores(_at_least("cores", cores, 1)))
    if slowdown is not None and not no_gil:
        raise OptionError("slowdown says more about no_gil, which is not asked for.", "Add --no-gil.")
    if no_gil:
        changes.append(NoGil(_at_least("slowdown", 1.0 if slowdown is None else slowdown, 1e-3)))
    rates = {threads.place(thread): _at_least("rate", often, 1e-3) for thread, often in (rate or {}).items()}
    if not changes:
        hog = _costliest_hog(trace)
        changes += map(Interval, STANDARD_INTERVALS)
        changes += [Move(hog), Split(hog)] if hog else []
        changes += [Cores(1), NoGil()]

    reason = _unfit(trace)
    if reason:
        return WhatIf(trace.path, Gate(False, None, None, reason), tuple(refused(change, reason) for change in changes))
    programs = _programs(trace, len(threads.ids))
    gate, script = checked(programs, threads, rates)
    if gate.reason:
        return WhatIf(trace.path, gate, tuple(refused(change, gate.reason) for change in changes))
    return WhatIf(
        trace.path, gate, tuple(predict(change, programs, script, threads, trace.metadata, gate) for change in changes)
    )


def _programs(trace: Trace, threads: int) -> Programs:
    told = whole_number(trace.metadata.get("switch-interval-us", ""), 10**9)
    return learn(observe(events_of(trace, threads)), None if told is None else 1000 * told)


def events_of(trace: Trace, threads: int) -> Events:
    """The trace's rows, with what is told beside them and matters here."""
    events = trace.events
    columns = [events.column(name).combine_chunks() for name in ("thread", "event", "clock", "checks")]
    beside = events.select(["cpu", "lock", "unlocks"]).combine_chunks().to_batches(max_chunksize=len(events))[0]
    return Events(
        threads,
        numbers(columns[0].indices),
        numbers(columns[1].indices).astype(np.uint8),
        numbers(columns[2]),
        int64_values(columns[3]),
        sparse(beside),
    )


def _unfit(trace: Trace) -> str | None:
    """Why this trace cannot be replayed at all."""
    events = trace.events
    if trace.unit != "ns":
        return "The trace has no times. Record it with times: tracekit record does."
    if trace.metadata.get("gil") == "old" or (
        "gil" not in trace.metadata and events.column("ticks").null_count < len(events)
    ):
        return "The trace is one of the old GIL, whose checks a replay does not know. Record the program on Python 3."
    if trace.metadata.get("retries") == "unknown" or events.column("checks").null_count:
        return "The trace does not tell when a thread was made to stop. Record the program with tracekit."
    errors = sum(diagnostic.count for diagnostic in trace.summary if diagnostic.severity == "error")
    if errors:
        return f"The trace has {errors:,} errors, so what its threads did is not known. Record it again."
    if trace.threads.num_rows < 2:
        return "The trace has one thread, which waits for nobody. Record a program of several."
    contended = sum(trace.threads.column("contended_waits").to_pylist())
    if not contended:
        return "No thread waited for the GIL, so no change of it would help."
    if contended < FEWEST_WAITS:
        return f"Only {contended} waits were contended, fewer than the {FEWEST_WAITS} that it takes. Record longer."
    return None


def _costliest_hog(trace: Trace) -> str | None:
    """The thread for which others waited most."""
    cost: dict[str, int] = {}
    for row in trace.blame.to_pylist():
        if row["holder"] is not None and row["holder"] != row["waiter"]:
            cost[row["holder"]] = cost.get(row["holder"], 0) + row["duration"]
    return max(cost, key=lambda thread: cost[thread], default=None)


def _several(values: Any) -> list[Any]:
    return [values] if isinstance(values, (str, int, float)) else list(values)


def _nanoseconds(seconds: float) -> int:
    return round(float(_at_least("interval", seconds, 1e-6)) * 1e9)


def _at_least(name: str, value: Any, least: float) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= 1e6:
        raise OptionError(
            f"{name} is {value!r}, but must be a number from {least:g} to 1000000.", "See docs/whatif.md."
        )
    return value
