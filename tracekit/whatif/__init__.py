"""What each thread would wait under another GIL, predicted by replaying a trace; or why that cannot be told.

docs/whatif.md has the model, its limits, and how often it was right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tracekit.errors import OptionError
from tracekit.trace import Trace, read
from tracekit.whatif.pool import best_pool
from tracekit.whatif.prediction import Prediction, WhatIf
from tracekit.whatif.preparing import hogs, prepare
from tracekit.whatif.scenarios import Change, Cores, Interval, Move, NoGil, Split
from tracekit.whatif.threads import Threads

__all__ = ["Prediction", "WhatIf", "what_if"]

STANDARD_INTERVALS = (100_000, 500_000, 20_000_000)
"""ns"""


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
    """Replays a trace of the new GIL with something changed, and predicts how long each thread would wait.

    interval: switch intervals in seconds, as `sys.setswitchinterval` takes them.
    move: threads, by id or name, each of which gets a process of its own.
    split: threads whose C calls that keep the GIL are made in ten parts.
    cores: another number of cores. no_gil: a free-threaded build; slowdown: how many times as long a thread alone takes
    there (1: an upper bound of what is gained). rate: requests a second, by thread, where they come at a fixed rate.
    Without any change: intervals of 0.1, 0.5 and 20 ms, the costliest hog moved, then split, one core, and no GIL; and
    which size of the pool of threads that served the trace's requests (regions) would serve them best.
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
    usual = not changes
    if usual:
        changes += map(Interval, STANDARD_INTERVALS)
        changes += [change(hog) for hog in hogs(trace)[:1] for change in (Move, Split)]
        changes += [Cores(1), NoGil()]

    prepared = prepare(trace, rates)
    pool = best_pool(trace, prepared) if usual else None
    return WhatIf(trace.path, prepared.gate, tuple(map(prepared.predicted, changes)), pool)


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
