"""From a trace to what its predictions need: it is replayed unchanged once, whatever is asked afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tracekit.model.arrays import int64_values, numbers
from tracekit.model.attributes import sparse
from tracekit.trace import Trace
from tracekit.whatif.gate import Gate, checked
from tracekit.whatif.learning import learn
from tracekit.whatif.observing import Events
from tracekit.whatif.prediction import Prediction, predict, refused
from tracekit.whatif.programs import Programs, Script
from tracekit.whatif.replaying import observe
from tracekit.whatif.scenarios import Change
from tracekit.whatif.threads import Threads
from tracekit.words import whole_number

FEWEST_WAITS = 20
"""Contended waits of a trace from which something can be learned."""
MOST_PREEMPTED = 0.1
"""A share of the held time in which holders had no CPU: with more, the trace tells of other programs too."""


@dataclass(frozen=True)
class Prepared:
    """A trace whose changes can be predicted; or none can: `replayable` is None then, and `gate` says why."""

    gate: Gate
    threads: Threads
    metadata: Mapping[str, str]
    replayable: tuple[Programs, Script] | None
    programs: Programs | None = None
    """What was learned, whether that can be replayed or not; None where nothing can be."""

    def predicted(self, change: Change) -> Prediction:
        if self.replayable is None:
            return refused(change, self.gate.reason or "")
        return predict(change, *self.replayable, self.threads, self.metadata, self.gate)


def prepare(trace: Trace, rates: Mapping[int, float]) -> Prepared:
    """rates: requests a second by the numbers of threads, where they come at a fixed rate."""
    threads = Threads.of(trace)
    reason = _unfit(trace)
    if reason:
        return Prepared(Gate(False, None, None, reason), threads, trace.metadata, None)
    programs = learned(trace)
    gate, script = checked(programs, threads, rates)
    return Prepared(gate, threads, trace.metadata, (programs, script) if gate.passed else None, programs)


def learned(trace: Trace) -> Programs:
    told = whole_number(trace.metadata.get("switch-interval-us", ""), 10**9)
    return learn(observe(events_of(trace)), None if told is None else 1000 * told)


def events_of(trace: Trace) -> Events:
    """The trace's rows, with what is told beside them and matters here."""
    events = trace.events
    columns = [events.column(name).combine_chunks() for name in ("thread", "event", "clock", "checks")]
    beside = events.select(["cpu", "lock", "unlocks"]).combine_chunks().to_batches(max_chunksize=len(events))[0]
    return Events(
        trace.threads.num_rows,
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
    preempted = _preempted(trace)
    if preempted > MOST_PREEMPTED:
        return (
            f"For {preempted:.0%} of the time that threads held the GIL they had no CPU, so what they waited depends on"
            " what else the machine did. Record on a quieter machine."
        )
    return None


def _preempted(trace: Trace) -> float:
    """The share in which a holder had no CPU, of the holds whose CPU time is known."""
    holds = trace.holds.select(["duration", "cpu"]).drop_null()
    durations, cpu = (int64_values(holds.column(name).combine_chunks()) for name in holds.column_names)
    return 1 - float(np.minimum(durations, cpu).sum()) / max(1, int(durations.sum())) if len(durations) else 0.0


def hogs(trace: Trace, least: float = 0.0) -> list[str]:
    """The threads for which others waited, the costliest first: those with this share of it at least."""
    cost: dict[str, int] = {}
    for row in trace.blame.to_pylist():
        if row["holder"] is not None and row["holder"] != row["waiter"]:
            cost[row["holder"]] = cost.get(row["holder"], 0) + row["duration"]
    enough = least * sum(cost.values())
    return sorted((thread for thread in cost if cost[thread] >= enough), key=lambda thread: -cost[thread])
