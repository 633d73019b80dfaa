"""Observation and replay, by the core in use."""

from __future__ import annotations

from tracekit import _native
from tracekit.whatif import native, observing, plain
from tracekit.whatif.observing import Events, Observed
from tracekit.whatif.programs import Behaviour, Run, Script


def replay(script: Script, behaviour: Behaviour, seed: int) -> Run:
    """One run of the scripts under this behaviour; the same seed gives the same run. Raises MemoryError."""
    return native.replay(script, behaviour, seed) if _native.library else plain.replay(script, behaviour, seed)


def observe(events: Events) -> Observed:
    """What happened in a trace. Raises MemoryError."""
    return native.observe(events) if _native.library else observing.observe(events)
