"""Recording a GIL: the C library that does it (native/), and how it comes into a process.

`bootstrap.py` runs in the program's own interpreter, whichever that is; `launch.py` starts that interpreter. What they
leave is a raw recording (native/raw.h), which `tracekit.parsers.raw` reads.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tracekit.errors import RecordError

LIBRARY = Path(__file__).with_name("_recorder.so")
BOOTSTRAP = Path(__file__).with_name("bootstrap.py")


def require_library() -> str:
    """The library's path. Raises RecordError where nothing can be recorded."""
    if sys.platform != "linux":
        raise RecordError(
            "Recording needs Linux.", "Record the program there, and read the trace here: all else works here too."
        )
    if not LIBRARY.exists():
        raise RecordError(
            "The recorder was not built on this machine; it needs a C compiler, and an x86-64 or arm64 processor.",
            "Install a C compiler and tracekit again.",
        )
    return str(LIBRARY)
