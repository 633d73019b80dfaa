"""Counters: what each thread of this process held of the GIL, waited for it, and why; exact, and without a trace."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import warnings
from collections.abc import Iterable
from typing import Literal, TypedDict, get_args

import tracekit.recorder.bootstrap as inside
from tracekit.errors import RecordError
from tracekit.recorder import require_library
from tracekit.words import fold

_CAUSES, _POWERS = 5, 48
_MORE = 64  # threads that may have started since they were counted


class Counters(TypedDict):
    """What one thread has done since counting began.

    thread: its system id; None for several that ended, whose folded name `name` is.
    waits: how often it wanted the GIL. contended_waits: how often it found it in use.
    forced_releases: it was made to let go, by a thread that had waited for the switch interval.
    off_cpu_held_ns: it held the GIL and did not run, in the holds whose CPU time is known: what is known at least.
    wait_histogram: how many waits took ns of 0, 1, 2, 3, ... binary digits: element n those below 2**n.
    causes: what it waited for, in ns; they sum to `waited_ns` of the waits that have ended.
    """

    thread: str | None
    name: str
    alive: bool
    held_ns: int
    waited_ns: int
    waits: int
    contended_waits: int
    forced_releases: int
    blocking_releases: int
    off_cpu_held_ns: int
    wait_histogram: list[int]
    causes: dict[str, int]


_Summed = Literal[
    "held_ns", "waited_ns", "waits", "contended_waits", "forced_releases", "blocking_releases", "off_cpu_held_ns"
]
_SUMMED: tuple[_Summed, ...] = get_args(_Summed)


class Count(ctypes.Structure):
    """`tk_count` of recorder/native/counters.h."""

    _fields_ = (
        ("next", ctypes.c_void_p), ("of", ctypes.c_void_p),
        ("held", ctypes.c_uint64), ("waited", ctypes.c_uint64), ("waits", ctypes.c_uint64),
        ("contended", ctypes.c_uint64), ("forced", ctypes.c_uint64), ("blocking", ctypes.c_uint64),
        ("off_cpu", ctypes.c_uint64), ("causes", ctypes.c_uint64 * _CAUSES), ("powers", ctypes.c_uint64 * _POWERS),
        ("wanted", ctypes.c_uint64), ("acquired", ctypes.c_uint64), ("began", ctypes.c_uint64 * 3),
        ("hold", ctypes.c_uint64), ("hold_part", ctypes.c_uint64), ("looked", ctypes.c_uint64),
        ("timeouts", ctypes.c_uint32), ("tid", ctypes.c_uint32), ("busy", ctypes.c_uint8),
        ("last_was_check", ctypes.c_uint8), ("named", ctypes.c_uint8), ("length", ctypes.c_uint8),
        ("ended", ctypes.c_uint8), ("padding", ctypes.c_uint8 * 3), ("name", ctypes.c_char * 112),
    )  # fmt: skip


class _State:
    library: ctypes.PyDLL | None = None
    causes: tuple[str, ...] = ()
    refused = False
    starting = threading.Lock()
    """Two threads that learn which lock the GIL is confuse each other."""


def started() -> ctypes.PyDLL | None:
    """The recorder's library, which counts from now on; None where it cannot, which is warned of once."""
    if _State.library is None and not _State.refused:
        with _State.starting:
            _start()
    return _State.library


def _start() -> None:
    if _State.library is None and not _State.refused:
        try:
            recorder = inside.Recorder(require_library())
            recorder.count()
        except (inside.Refused, RecordError) as refused:
            _State.refused = True
            warn(f"tracekit counts nothing: {refused}", 5)
            return
        library = recorder.library
        library.tk_counts_read.restype = ctypes.c_int64
        library.tk_counts_rate.restype = ctypes.c_double
        library.tk_counts_causes.restype = ctypes.c_char_p
        if library.tk_counts_bytes() != ctypes.sizeof(Count):
            raise AssertionError("live.counting.Count is not what counters.h has")
        library.tk_tasks_follow.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        asyncio = getattr(sys.modules.get("_asyncio"), "__file__", None)
        loaded = ctypes.cast(ctypes.PyDLL(asyncio).PyInit__asyncio, ctypes.c_void_p) if asyncio else None
        library.tk_tasks_follow(loaded, id(sys.intern("throw")))
        _State.causes = tuple(library.tk_counts_causes().decode().split())
        _State.library = library


def _forked() -> None:
    _State.starting = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def warn(what: str, level: int) -> None:
    """A service goes on without tracekit. level: as `stacklevel` of `warnings.warn`."""
    warnings.warn(what, RuntimeWarning, stacklevel=level)


def count(path: str | os.PathLike[str] | None = None) -> None:
    """Starts counting what each thread does with the GIL, until the process ends; `counters` returns it.

    path: where a native thread, which needs no GIL, writes counters as text that Prometheus reads, again every second;
        a forked child's are at PATH.PID.

    In a forked child it goes on with counters of its own, from 0. Where the interpreter cannot be recorded it warns
    once (RuntimeWarning), and `counters` is empty.
    """
    library = started()
    if library is not None and path is not None:
        library.tk_watch_text(os.fsencode(os.path.abspath(path)))


def counters() -> list[Counters]:
    """What each thread of this process has done since `count` was called.

    Running threads come first; then those that ended, the last 1000 of them each by itself, the others summed by name,
    digits as `*`. Empty before `count`.
    """
    library = _State.library
    if library is None:
        return []
    number = library.tk_counts_read(None, 0)
    while True:
        room = number + _MORE
        read = (Count * room)()
        number = library.tk_counts_read(read, ctypes.c_int64(room))
        if number <= room:
            break
    ns = rate()
    return [told(one, ns) for one in read[:number]]


def rate() -> float:
    """ns in one step of the clock that is counted by."""
    return float(_State.library.tk_counts_rate()) if _State.library else 0.0


def causes() -> tuple[str, ...]:
    """Their names, in the order of `Count.causes`."""
    return _State.causes


def told(one: Count, rate: float) -> Counters:
    return {
        "thread": str(one.tid) if one.tid else None,
        "name": " ".join(one.name[: one.length].decode("utf-8", "replace").split()),
        "alive": not one.ended,
        "held_ns": round(one.held * rate),
        "waited_ns": round(one.waited * rate),
        "waits": one.waits,
        "contended_waits": one.contended,
        "forced_releases": one.forced,
        "blocking_releases": one.blocking,
        "off_cpu_held_ns": round(one.off_cpu * rate),
        "wait_histogram": list(one.powers),
        "causes": {cause: round(ticks * rate) for cause, ticks in zip(_State.causes, one.causes, strict=True)},
    }


def by_name(threads: Iterable[Counters]) -> dict[str, Counters]:
    """The sums of threads of one folded name, running and ended: they never go back, and are few."""
    sums: dict[str, Counters] = {}
    for one in threads:
        name = fold(one["name"])
        if name not in sums:
            sums[name] = {**one, "thread": None, "name": name}
            continue
        into = sums[name]
        into["alive"] = into["alive"] or one["alive"]
        for key in _SUMMED:
            into[key] += one[key]
        into["wait_histogram"] = [a + b for a, b in zip(into["wait_histogram"], one["wait_histogram"], strict=True)]
        into["causes"] = {cause: into["causes"][cause] + ns for cause, ns in one["causes"].items()}
    return sums
