"""Whether a trace can be replayed: unchanged, the replay must give what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracekit.whatif import arrivals
from tracekit.whatif.arrivals import Waits
from tracekit.whatif.programs import Behaviour, Programs, Run, Script
from tracekit.whatif.replaying import replay
from tracekit.whatif.threads import Threads

DRAWS, MANY_PIECES = (3, 9), 200_000
"""So many replays of one script: of a long one, in which chance evens out, and of a shorter one."""
MOST_DURATION_ERROR = 0.10
MOST_WAITED_ERROR = 0.15
LEAST_WAITED_POINTS = 0.03
"""Of the duration; a smaller miss is none."""
ENOUGH_WAITS = 30
LEAST_HELD = 0.01
"""A thread with so many contended waits, or so large a share of the held time, must be replayed right."""
MINOR = 0.05
"""A thread that holds less of the held time may be left out of a prediction."""


@dataclass(frozen=True)
class Gate:
    """How well the unchanged trace was replayed: the largest errors, as shares of what was traced; why not, if not."""

    passed: bool
    duration_error: float | None
    waited_error: float | None
    reason: str | None
    left_out: tuple[int, ...] = ()
    """Threads of which nothing is predicted, since they wait for others."""


@dataclass(frozen=True)
class Medians:
    """Of several replays: of each thread its duration, what it waited, and the quantiles of its contended waits."""

    durations: npt.NDArray[np.float64]
    waited: npt.NDArray[np.float64]
    p50: list[int | None]
    p90: list[int | None]


def replays(script: Script, behaviour: Behaviour) -> list[Run]:
    """With different draws of the measured times."""
    return [replay(script, behaviour, seed + 1) for seed in range(DRAWS[len(script.work) < MANY_PIECES])]


def median_of(runs: list[Run]) -> Medians:
    threads = len(runs[0].begins)
    quantiles = [[_quantiles(run, thread) for run in runs] for thread in range(threads)]

    def middle(thread: int, which: int) -> int | None:
        values = [pair[which] for pair in quantiles[thread] if pair is not None]
        return int(np.median(values)) if values else None

    return Medians(
        np.median([run.durations for run in runs], axis=0),
        np.median([run.waited for run in runs], axis=0),
        [middle(thread, 0) for thread in range(threads)],
        [middle(thread, 1) for thread in range(threads)],
    )


def _quantiles(run: Run, thread: int) -> tuple[int, int] | None:
    """The median and the 90th percentile, by nearest rank."""
    waits = np.sort(run.waits[run.waiters == thread])
    if not len(waits):
        return None
    return int(waits[-(-len(waits) * 50 // 100) - 1]), int(waits[-(-len(waits) * 90 // 100) - 1])


def checked(programs: Programs, threads: Threads, rates: Mapping[int, float]) -> tuple[Gate, Script]:
    """The verdict, and the scripts with what is known of when requests come."""
    script = programs.script
    held = max(1, int(programs.held.sum()))
    contended = _contended(programs)
    left_out = []
    for thread in range(len(threads.ids)):
        name = threads.label(thread)
        if thread in rates:
            script = arrivals.with_rate(programs, script, thread, rates[thread])
        elif arrivals.depends(programs, thread):
            if programs.held[thread] >= MINOR * held:
                return _no(
                    f"{name} waits for other threads, e.g. at a lock or a queue, and the trace does not tell for which:"
                    " how it would go on under another GIL is not known."
                ), script
            left_out.append(thread)
        elif contended[thread] >= arrivals.ENOUGH and arrivals.races(programs, thread):
            return _no(
                f"The blocking calls of {name} return about as fast as a thread wakes, so chance decides who gets the"
                " GIL next. Make it do more work a call, and record again."
            ), script
        elif contended[thread] >= ENOUGH_WAITS:
            kind = arrivals.waits_for(programs, thread)
            if kind is Waits.CLOCK:
                if not arrivals.keeps_up(programs, thread):
                    return _no(
                        f"Requests for {name} come at a fixed rate and queue up, and the trace does not tell how many"
                        f" do. Say how many come a second: --rate {name}=N/s."
                    ), script
                script = arrivals.with_clock(programs, script, thread)
            elif kind is Waits.UNKNOWN:
                return _no(
                    f"Whether requests for {name} come at a fixed rate or as answers return cannot be told from the"
                    f" trace. Say how many come a second: --rate {name}=N/s; or record it at another switch interval."
                ), script
    runs = replays(script, programs.behaviour)
    return compared(programs, runs, threads, tuple(left_out)), script


def judged(programs: Programs, left_out: tuple[int, ...]) -> list[int]:
    """The threads that a replay must get right."""
    held = max(1, int(programs.held.sum()))
    matters = (_contended(programs) >= ENOUGH_WAITS) | (programs.held >= LEAST_HELD * held)
    return [int(thread) for thread in np.flatnonzero(matters) if thread not in left_out]


def _contended(programs: Programs) -> npt.NDArray[np.int64]:
    return np.bincount(programs.traced.waiters, minlength=len(programs.held))


def compared(programs: Programs, runs: list[Run], threads: Threads, left_out: tuple[int, ...]) -> Gate:
    """A trace is one draw of chance, as each replay is: what lies among the replays is not missed by them."""
    traced = programs.traced
    durations, waits = np.array([run.durations for run in runs]), np.array([run.waited for run in runs])
    durations_off = np.clip(traced.durations, durations.min(axis=0), durations.max(axis=0)) - traced.durations
    waits_off = np.clip(traced.waited, waits.min(axis=0), waits.max(axis=0)) - traced.waited
    worst = (0.0, 0.0)
    reason = None
    for thread in judged(programs, left_out):
        duration, waited = max(1, int(traced.durations[thread])), int(traced.waited[thread])
        of_duration = abs(float(durations_off[thread])) / duration
        missed = abs(float(waits_off[thread]))
        of_waited = missed / max(1, waited)
        if reason is None and of_duration > MOST_DURATION_ERROR:
            reason = f"Replayed unchanged, {threads.label(thread)} takes {of_duration:.0%} more or less time."
        elif reason is None and of_waited > MOST_WAITED_ERROR and missed > LEAST_WAITED_POINTS * duration:
            reason = f"Replayed unchanged, {threads.label(thread)} waits {of_waited:.0%} more or less."
        worst = (max(worst[0], of_duration), max(worst[1], of_waited))
    if reason:
        reason += " So something matters here that the replay does not know. Record longer, on a quiet machine."
    return Gate(reason is None, worst[0], worst[1], reason, left_out)


def _no(reason: str) -> Gate:
    return Gate(False, None, None, reason)
