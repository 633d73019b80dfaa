"""What each thread of a trace does apart from the GIL: the scripts that a replay runs.

A script is a row of pieces. A piece computes for a while with the GIL held; behind it the thread goes on with its next
piece at once (it was only made to stop there), or is outside for a while, in a blocking call. How fast the machine
wakes threads, how fast a request to drop the GIL is answered, and what the interval is, are measured in the trace too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

NONE = -1
CONTINUES, GOES_ON = -1, -2
"""The `outside` of a piece behind which the thread goes on computing: it may be made to stop there, or it only does
something there that another thread waits for. All that is negative is one of them."""
LONGEST = 1 << 62
"""Stands for the time outside of a releaser that does not come back by itself: it was made to stop."""


@dataclass(frozen=True)
class Script:
    """All threads' pieces, thread by thread.

    Attributes:
        start: ns, when each thread wants the GIL first; counted from the end of piece `started_by` if that is not NONE.
        first: where each thread's pieces begin, and where the last one's end.
        work: ns of each piece with the GIL held.
        outside: ns behind it, or CONTINUES or GOES_ON; counted from the end of the piece that it `needs` if that is not
            NONE. Where that has ended before, the thread has nothing to wait for, and keeps the GIL.
        arrives: ns, before which the outside time behind a piece does not end: when its request comes; or NONE.
        atomic: of each thread whether it answers requests at the ends of its pieces only.
        free: of each thread whether it needs no GIL.
    """

    start: Integers
    first: Integers
    started_by: Integers
    work: Integers
    outside: Integers
    needs: Integers
    arrives: Integers
    atomic: npt.NDArray[np.bool_]
    free: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Behaviour:
    """How the interpreter and the machine behave; each array has samples in ns.

    Attributes:
        delay: ns until a waiter's time is up: the switch interval, and how late its timer is.
        wakes: from a RELEASE until a thread that slept for it runs, beside how long the releaser was outside: the two
            race for the GIL, and what slows one down slows the other down. Rows of both, in ascending order.
        answers: of each thread, from a request until it lets go.
        stalls: of each thread that was made to stop, from another's ACQUIRE until it wants the GIL again while that one
            holds it.
        returns: the same from that other's RELEASE, where it has let go before, beside how long that one was outside.
    """

    delay: int
    wakes: Integers
    answers: tuple[Integers, ...]
    stalls: tuple[Integers, ...]
    returns: tuple[Integers, ...]

    def with_interval(self, delay: int) -> Behaviour:
        return replace(self, delay=delay)

    def slower(self, factor: float) -> Behaviour:
        """The same with threads that wake in `factor` times the time."""

        def scaled(samples: Integers) -> Integers:
            faster: Integers = (samples * np.array([1, factor])).astype(np.int64)
            return faster

        return replace(self, wakes=scaled(self.wakes), returns=tuple(map(scaled, self.returns)))


@dataclass(frozen=True)
class Run:
    """What a replay gives, or a trace: of each thread when it began and ended and what it waited; of each contended
    wait its duration and its thread; in ns. And how often threads were made to stop."""

    begins: Integers
    ends: Integers
    waited: Integers
    waits: Integers
    waiters: npt.NDArray[np.int32]
    stops: int

    @property
    def durations(self) -> Integers:
        return self.ends - self.begins


@dataclass(frozen=True)
class Programs:
    """What was learned.

    Attributes:
        traced: what happened in the trace itself.
        held: ns of each thread.
        late: of each thread the share of requests that it answered late.
        stops: how often each thread was made to stop.
        away: of each thread when it was away: from RELEASE to ENTRY, of blocking releases, but for waits for a lock
            that a known thread unlocked. A row of both in ns, and the piece behind which it was.
        unknown_locks: of each thread how often it waited for a lock, and who unlocked it is not known.
        interval, overshoot: ns, as measured. timeouts: from how many samples.
    """

    script: Script
    behaviour: Behaviour
    traced: Run
    held: Integers
    late: npt.NDArray[np.float64]
    stops: Integers
    away: tuple[Integers, ...]
    unknown_locks: Integers
    interval: int
    overshoot: int
    timeouts: int
