"""What a thread waits for outside the GIL: a clock, other threads, or an answer that takes its time.

A trace does not tell which, and a prediction depends on it. So statistics are asked; where they do not answer, or
another thread is the answer, nothing is predicted.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from enum import Enum

import numpy as np

from tracekit.whatif.programs import Integers, Programs, Script

LONG = 200_000
"""ns; shorter times outside are system calls that did not wait."""
ENOUGH = 20
"""Times outside from which something can be told."""
BEFORE, BEHIND = 30_000, 120_000
"""ns around another thread's blocking RELEASE: who comes back there was likely woken by that thread."""
SIGNIFICANT, EXCESS = 4.0, 0.5
"""Standard deviations, and the share of the times outside, beyond what chance would give."""
REGULAR = 0.2
"""A spread of at most so much of the median."""
SLEEPS = 0.05
"""The same of times outside that only a clock ends: threads that sleep alike come back in each other's steps."""
CLEARLY = 1.15
"""So many times as regular one is than the other."""
SAME_CALLS = 0.8
"""So many requests took the same number of blocking calls."""
OUTLIERS = 2
"""Per cent of the values, at each end, that are left out of a spread."""


SHORT, SHORT_SHARE = 3, 0.6
"""So many of a thread's blocking calls return within so many times the time that a sleeper needs to wake: a race."""


class Waits(Enum):
    ANSWER = "answer"
    """The time outside is the same whenever it begins: a sleep, or an answer to what the thread sent."""
    CLOCK = "clock"
    """Requests come at a fixed rate, whether or not the thread is ready."""
    UNKNOWN = "unknown"


def depends(programs: Programs, thread: int) -> bool:
    """Whether the thread mostly comes back when another one lets go: it waits for a lock, a queue or an event."""
    away = _long(programs.away[thread])
    if len(away) < ENOUGH:
        return False
    outside = away[:, 1] - away[:, 0]
    if _spread(outside) <= SLEEPS * np.median(outside):
        return False
    releases = np.sort(np.concatenate([other[:, 0] for code, other in enumerate(programs.away) if code != thread]))
    if not len(releases):
        return False
    starts, ends = _merged(releases - BEFORE, releases + BEHIND)
    covered = np.concatenate([[0], np.cumsum(ends - starts)])

    def before(time: int) -> int:
        place = bisect_right(starts, time)
        return int(covered[place - 1] + min(time, ends[place - 1]) - starts[place - 1]) if place else 0

    whole = chance = hits = 0
    for began, ended, _ in away.tolist():
        place = bisect_right(starts, ended)
        hits += bool(place and ended <= ends[place - 1])
        chance += before(ended) - before(began + LONG)
        whole += ended - began - LONG
    expected = min(max(chance / whole, 1e-4), 1 - 1e-4) if whole else 1e-4
    share = hits / len(away)
    deviation = np.sqrt(expected * (1 - expected) / len(away))
    return bool((share - expected) / deviation > SIGNIFICANT and (share - expected) / (1 - expected) > EXCESS)


def races(programs: Programs, thread: int) -> bool:
    """Whether a thread's blocking calls mostly return about as soon as a sleeper wakes: who is first is chance.

    Before there was a second thread, e.g. while modules were imported, there was nobody to race with.
    """
    away = programs.away[thread]
    away = away[away[:, 1] > np.sort(programs.traced.begins)[1]]
    wake = float(np.median(programs.behaviour.wakes[:, 1]))
    return len(away) >= ENOUGH and float((away[:, 1] - away[:, 0] < SHORT * wake).mean()) > SHORT_SHARE


def waits_for(programs: Programs, thread: int) -> Waits:
    """By what is more regular: its times outside, or the times from one return to the next."""
    away = _long(programs.away[thread])
    if len(away) < ENOUGH:
        return Waits.ANSWER
    outside, spacing = away[:, 1] - away[:, 0], np.diff(away[:, 1])
    of_outside, of_spacing = _spread(outside), _spread(spacing)
    if min(of_outside / np.median(outside), of_spacing / np.median(spacing)) > REGULAR:
        return Waits.ANSWER
    if of_outside > CLEARLY * of_spacing:
        return Waits.CLOCK
    return Waits.ANSWER if of_spacing > CLEARLY * of_outside else Waits.UNKNOWN


def keeps_up(programs: Programs, thread: int) -> bool:
    """Whether a thread whose requests come by a clock had to wait for nearly each of them: none was queued."""
    away = programs.away[thread]
    calls = np.diff(np.flatnonzero(away[:, 1] - away[:, 0] > LONG))
    return bool(len(calls)) and float((calls == np.median(calls)).mean()) >= SAME_CALLS


def with_clock(programs: Programs, script: Script, thread: int) -> Script:
    """The script with this thread's requests coming when they came in the trace."""
    arrives, outside = script.arrives.copy(), script.outside.copy()
    for began, ended, piece in programs.away[thread].tolist():
        if ended - began > LONG:
            arrives[piece], outside[piece] = ended, 0
    return replace(script, arrives=arrives, outside=outside)


def with_rate(programs: Programs, script: Script, thread: int, rate: float) -> Script:
    """The script with requests for this thread coming so often a second.

    How many blocking calls a request takes follows from how many there are in all.
    """
    arrives, outside = script.arrives.copy(), script.outside.copy()
    blocking = programs.away[thread][:, 2].tolist()
    seconds = float(programs.traced.durations[thread]) / 1e9
    calls = max(1, round(len(blocking) / max(1.0, rate * seconds)))
    offset = max(range(calls), key=lambda offset: int(outside[blocking[offset::calls]].sum()))
    began = int(programs.traced.begins[thread])
    for number, piece in enumerate(blocking[offset::calls]):
        arrives[piece] = began + round(number * 1e9 / rate)
        outside[piece] = 0
    return replace(script, arrives=arrives, outside=outside)


def _long(away: Integers) -> Integers:
    return away[away[:, 1] - away[:, 0] > LONG]


def _spread(values: Integers) -> float:
    """The mean distance from the median, without the outliers."""
    low, high = np.percentile(values, [OUTLIERS, 100 - OUTLIERS])
    inner = values[(values >= low) & (values <= high)]
    return float(np.abs(inner - np.median(inner)).mean()) + 1.0


def _merged(starts: Integers, ends: Integers) -> tuple[Integers, Integers]:
    """Intervals of one length, in ascending order, as those that do not overlap."""
    apart = np.flatnonzero(starts[1:] > ends[:-1])
    return starts[np.concatenate([[0], apart + 1])], ends[np.concatenate([apart, [len(ends) - 1]])]
