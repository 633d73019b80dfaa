"""A replay, by the core in use."""

from __future__ import annotations

from tracekit import _native
from tracekit.whatif import native, plain
from tracekit.whatif.programs import Behaviour, Run, Script


def replay(script: Script, behaviour: Behaviour, seed: int) -> Run:
    """One run of the scripts under this behaviour; the same seed gives the same run. Raises MemoryError."""
    return native.replay(script, behaviour, seed) if _native.library else plain.replay(script, behaviour, seed)
