"""A flight recorder: the newest events in a ring, and a native thread that writes them when something is too slow."""

from __future__ import annotations

import atexit
import ctypes
import glob
import os
import re
import sys
from pathlib import Path
from typing import Any

import tracekit.recorder.bootstrap as inside
from tracekit.errors import OptionError, RecordError
from tracekit.live import counting
from tracekit.recorder import require_library
from tracekit.version import VERSION
from tracekit.words import duration_in_ns, size_in_bytes

_RUNNING: list[Flight] = []


class Flight:
    """A running flight recorder, as `flight` starts one.

    Attributes:
        path: what snapshots are called, with `{n}` for their number.
    """

    def __init__(self, path: Path, ring: Path, recorder: inside.Recorder | None) -> None:
        self.path = path
        self._ring = ring
        self._recorder = recorder
        self._pid = os.getpid()
        if recorder is not None:
            _RUNNING.append(self)
            atexit.register(self.stop)

    def snapshot(self, reason: str = "asked for") -> Path:
        """Writes the newest events and each thread's present stack to a trace. Returns its path.

        The program goes on meanwhile. Raises RecordError: nothing is recorded, or the file cannot be written.
        """
        path = None
        if self._recorder is not None:
            library = ctypes.CDLL(require_library())  # the same one, but called without the GIL
            library.tk_watch_snapshot.restype = ctypes.c_char_p
            path = library.tk_watch_snapshot(" ".join(reason.split()).encode()[:200])
        if path is None:
            raise RecordError(f"{self.path}: no snapshot could be written.", "Is there room, and does the flight run?")
        return Path(os.fsdecode(path))

    def stop(self) -> None:
        """Stops recording and removes the ring; snapshots stay."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        _RUNNING.remove(self)
        atexit.unregister(self.stop)
        recorder.library.tk_watch_stop_flight()
        recorder.library.tk_ring_stop()
        child = "" if os.getpid() == self._pid else f".{os.getpid()}"
        Path(f"{self._ring}{child}.raw").unlink(missing_ok=True)

    def __enter__(self) -> Flight:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def flight(
    path: str | os.PathLike[str],
    *,
    max_size: int | str = "64M",
    hold_over: str | None = None,
    wait_over: str | None = None,
    region_over: str | None = None,
    signal: int = 0,
    per_minute: int = 6,
    keep: int = 20,
) -> Flight:
    """Keeps the newest events in a ring, and writes a snapshot when something takes too long.

        tracekit.flight("slow-{n}.log", hold_over="100ms", wait_over="200ms", region_over="1s")

    A snapshot is a trace, with the stack of each thread in its metadata. A native thread that needs no GIL watches and
    writes, so a snapshot of a call that keeps the GIL is there before the call ends. Recordings may run besides: a
    snapshot is then of what they recorded.

    path: of the snapshots; `{n}` is their number. The ring lies beside it.
    max_size: of the ring, and of a snapshot, e.g. "64M": 16 bytes an event.
    hold_over, wait_over, region_over: how long a thread may hold the GIL, wait for it, or a region last, e.g. "100ms".
    signal: e.g. `signal.SIGUSR2`, which then asks for a snapshot.
    per_minute: at most so many snapshots for the limits, up to 60; those that are asked for do not count.
    keep: how many snapshots to keep; older ones are removed.
    Where the interpreter cannot be recorded, or the ring not be written, there is one RuntimeWarning, and nothing else.
    Raises OptionError; RecordError: one runs already.
    """
    pattern = Path(path).absolute()
    size = size_in_bytes(max_size) if isinstance(max_size, str) else max_size
    if pattern.name.count("{n}") != 1:
        raise OptionError(f"{path}: the name has no {{n}} in it, the number of a snapshot.", 'E.g. "slow-{n}.log".')
    if size is None or size < 1:
        raise OptionError(f"max_size is {max_size!r}, but must be at least 1.", "It is in bytes, or e.g. 64M.")
    if not 1 <= per_minute <= 60 or keep < 1:
        raise OptionError("per_minute is from 1 to 60, and keep at least 1.", "Leave them out for 6 and 20.")
    named = (("hold_over", hold_over), ("wait_over", wait_over), ("region_over", region_over))
    limits = []
    for name, limit in named:
        ns = 0 if limit is None else duration_in_ns(limit)
        if ns is None or (limit is not None and ns < 1):
            raise OptionError(f"{name}: {limit!r} is not a duration above 0.", "Write e.g. 100ms, or 1s.")
        limits.append(ns)
    if _RUNNING:
        raise RecordError("a flight recorder is already running in this process.", "Stop that one first.")
    ring = pattern.with_name(f".{pattern.name.replace('{n}', f'ring-{os.getpid()}')}")
    if counting.started() is None:
        return Flight(pattern, ring, None)
    try:
        recorder = inside.Recorder(require_library())
        recorder.ring(str(ring), size, inside.describe([sys.executable, *sys.argv], VERSION))
    except inside.Refused as refused:
        counting.warn(f"tracekit has no flight recorder: {refused}", 3)
        return Flight(pattern, ring, None)
    before, _, after = str(pattern).partition("{n}")
    watch: Any = recorder.library.tk_watch_flight
    watch.argtypes = [ctypes.c_char_p, ctypes.c_char_p, *[ctypes.c_uint64] * 3, *[ctypes.c_uint32] * 3, ctypes.c_int32]
    watch(os.fsencode(before), os.fsencode(after), *limits, _next_number(pattern), per_minute, keep, signal)
    return Flight(pattern, ring, recorder)


def _next_number(pattern: Path) -> int:
    """Those of an earlier run stay."""
    name = re.compile(re.escape(pattern.name).replace(r"\{n\}", r"(\d+)"))
    there = (name.fullmatch(os.path.basename(one)) for one in glob.glob(f"{glob.escape(str(pattern.parent))}/*"))
    return 1 + max((int(one[1]) for one in there if one), default=0)
