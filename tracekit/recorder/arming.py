"""A program that can be recorded later, without a debugger."""

from __future__ import annotations

import ctypes
import sys

from tracekit.errors import RecordError
from tracekit.recorder import require_library


def arm() -> None:
    """Allows its own user and root to record this process and its forks later, with `tracekit record --pid`.

    Until then a thread that is none of Python's sleeps, and nothing else changes. Where the system forbids debuggers to
    attach, this is the way. `TRACEKIT_ARM=1` in the environment does the same when Python starts.
    Raises RecordError: it cannot be.
    """
    library = ctypes.PyDLL(require_library())
    if not library.tk_arm():
        raise RecordError("This process cannot be armed.", "It has no room for a socket or a thread.")


def arm_at_start() -> None:
    """What TRACEKIT_ARM=1 does: the program runs in any case."""
    try:
        arm()
    except (RecordError, OSError) as error:
        sys.stderr.write(f"tracekit: {error}\n")
