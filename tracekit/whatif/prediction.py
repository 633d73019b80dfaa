"""What a change would do to each thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tracekit.whatif.gate import Gate, Medians, judged, median_of, replays
from tracekit.whatif.learning import FEW
from tracekit.whatif.parallel import without_gil
from tracekit.whatif.programs import Programs, Script
from tracekit.whatif.replaying import replay
from tracekit.whatif.scenarios import Change, Cores, Interval, NoGil, Split, Together, changed
from tracekit.whatif.threads import Threads
from tracekit.words import whole_number

Confidence = Literal["good", "rough", "refused"]
SCHEDULER_SLICE = 4_000_000
"""ns; a shorter interval than the operating system's own slices is decided by these where cores are short."""
CPU_BOUND = 0.2
"""A thread that is outside for less of its duration computes all the time."""
STEADY, UNSTEADY = 0.10, 0.30
"""How far a prediction may move when threads wake faster or slower: of the duration, or points of the share waited."""
WAKING = (0.75, 1.25)
GOOD_REPLAY = 0.05


@dataclass(frozen=True)
class Outcome:
    """Of one thread, in ns: from its first row to its last, waited, and quantiles of its contended waits, if any."""

    duration: int
    waited: int
    wait_p50: int | None
    wait_p90: int | None


@dataclass(frozen=True)
class ThreadPrediction:
    thread: str
    name: str | None
    after: Outcome
    before: Outcome


@dataclass(frozen=True)
class Prediction:
    """One scenario. Without threads where the confidence is `refused`; `reason` says why, or why it is rough."""

    change: Change
    confidence: Confidence
    reason: str | None
    threads: tuple[ThreadPrediction, ...] = ()


@dataclass(frozen=True)
class Pool:
    """Of the threads of one folded name that served requests.

    Attributes:
        name: theirs.
        size: how many they were.
        requests: that they served.
        best: how many would have served them best; None: that cannot be told.
        sentence: that says it, or why not.
    """

    name: str
    size: int
    requests: int
    best: int | None
    sentence: str


@dataclass(frozen=True)
class WhatIf:
    """The result of `what_if`: how well the unchanged trace was replayed, and a prediction for each change.

    pool: which size of the pool of threads that served requests would be best; None: there is none, or not asked for.
    """

    path: str
    gate: Gate
    scenarios: tuple[Prediction, ...]
    pool: Pool | None = None


def refused(change: Change, reason: str) -> Prediction:
    return Prediction(change, "refused", reason)


def predict(
    change: Change,
    programs: Programs,
    script: Script,
    threads: Threads,
    metadata: Mapping[str, str],
    gate: Gate,
) -> Prediction:
    cores = whole_number(metadata.get("cores", ""), 10**6)
    reason = _too_few_cores(change, programs, cores)
    if reason:
        return refused(change, reason)
    after, behaviour = changed(change, programs, script, threads)
    matter = judged(programs, gate.left_out)
    reasons = []
    if isinstance(change, NoGil):
        predicted = median_of([without_gil(after, cores or len(threads.ids))])
        if cores is None:
            reasons.append("the trace does not tell how many cores there were, so each thread got one")
        reasons.append(
            "no thread is made slower, as it is on today's free-threaded builds (--slowdown)"
            if change.slowdown == 1
            else "what threads that share memory cost each other there, no trace tells"
        )
    else:
        runs = replays(after, behaviour)
        if programs.traced.stops < FEW <= min(run.stops for run in runs):
            return refused(change, _few_stops(programs.traced.stops))
        predicted = median_of(runs)
        moved = max(
            _distance(predicted, median_of([replay(after, behaviour.slower(factor), 1)]), matter) for factor in WAKING
        )
        if moved > UNSTEADY:
            return refused(
                change,
                "Who gets the GIL would depend on which thread wakes a few microseconds sooner: that is chance.",
            )
        if moved > STEADY:
            reasons.append("it depends on how fast threads wake")
    if isinstance(change, Split) and programs.script.atomic[threads.place(change.thread)]:
        reasons.append("ten parts may cost more or less together than the whole")
    if isinstance(change, Cores):
        reasons.append("threads that compute without the GIL share the cores, and the trace does not tell which do")
    if gate.duration_error is not None and gate.duration_error > GOOD_REPLAY:
        reasons.append(f"replayed unchanged, a thread is {gate.duration_error:.0%} off in time")
    if gate.left_out:
        left_out = ", ".join(threads.label(thread) for thread in gate.left_out)
        reasons.append(f"{left_out} waits for other threads and is left out")
    traced = median_of([programs.traced])
    rows = tuple(
        ThreadPrediction(name, threads.names[thread], _outcome(predicted, thread), _outcome(traced, thread))
        for thread, name in enumerate(threads.ids)
        if thread not in gate.left_out and script.first[thread] < script.first[thread + 1]
    )
    rough = any("left out" not in reason for reason in reasons)
    return Prediction(change, "rough" if rough else "good", _sentence(reasons), rows)


def _too_few_cores(change: Change, programs: Programs, cores: int | None) -> str | None:
    interval = change.interval if isinstance(change, Together) else change
    if not isinstance(interval, Interval) or interval.ns >= SCHEDULER_SLICE or programs.interval < SCHEDULER_SLICE:
        return None
    durations = np.maximum(1, programs.traced.durations)
    away = np.array([int((rows[:, 1] - rows[:, 0]).sum()) for rows in programs.away])
    computing = int(((programs.stops >= 10) & (away < CPU_BOUND * durations)).sum())
    if cores is None or computing <= cores:
        return None
    return (
        f"{computing} threads compute all the time on {cores} cores: at so short an interval the operating system's"
        " scheduler decides who runs. Record it at that interval."
    )


def _few_stops(known: int) -> str:
    times = "once" if known == 1 else f"{known} times" if known else "never"
    return (
        f"Threads would be made to stop often, and here they were {times}: how they come back then is not known."
        " Record it at that interval."
    )


def _distance(one: Medians, other: Medians, threads: list[int]) -> float:
    """How far two predictions are apart: of a duration, or in points of a share waited."""
    apart = [0.0]
    for thread in threads:
        durations = max(1.0, one.durations[thread]), max(1.0, other.durations[thread])
        apart.append(abs(durations[1] - durations[0]) / durations[0])
        apart.append(abs(one.waited[thread] / durations[0] - other.waited[thread] / durations[1]))
    return max(apart)


def _outcome(medians: Medians, thread: int) -> Outcome:
    return Outcome(
        int(medians.durations[thread]), int(medians.waited[thread]), medians.p50[thread], medians.p90[thread]
    )


def _sentence(reasons: list[str]) -> str | None:
    if not reasons:
        return None
    text = "; ".join(reasons)
    return f"{text[0].upper()}{text[1:]}."
