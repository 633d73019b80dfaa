"""The replay and the observation in C (`_native/replay.c`, `observe.c`): the same as in `plain` and `observing`."""

from __future__ import annotations

import ctypes as c

import numpy as np
import numpy.typing as npt

from tracekit import _native
from tracekit.whatif.observing import COLUMNS, OF_THREADS, Events, Observed
from tracekit.whatif.programs import Behaviour, Integers, Run, Script


def replay(script: Script, behaviour: Behaviour, seed: int) -> Run:
    """Raises MemoryError."""
    assert _native.library
    threads = len(script.start)
    given: dict[str, npt.NDArray[np.generic]] = {
        name: np.ascontiguousarray(getattr(script, name), np.int64)
        for name in ("start", "first", "started_by", "work", "outside", "needs", "arrives")
    }
    given |= {name: np.ascontiguousarray(getattr(script, name), np.uint8) for name in ("atomic", "free")}
    given["wakes"] = np.ascontiguousarray(behaviour.wakes, np.int64)
    for name in ("answers", "stalls", "returns"):
        given[name], given[f"{name}_from"] = _joined(getattr(behaviour, name))
    given |= {name: np.zeros(threads, np.int64) for name in ("begins", "ends", "waited")}
    struct = _native.ReplayStruct(
        threads=threads, pieces=len(script.work), delay=behaviour.delay, wake_count=len(behaviour.wakes), seed=seed,
        **{name: array.ctypes.data for name, array in given.items()},
    )  # fmt: skip
    try:
        if _native.library.tk_replay_run(c.byref(struct)):
            raise MemoryError
        waits = _copied(struct.waits, struct.wait_count, np.int64).astype(np.int64)
        waiters = _copied(struct.waiters, struct.wait_count, np.int32).astype(np.int32)
    finally:
        _native.library.tk_replay_free(c.byref(struct))
    begins, ends, waited = (given[name].astype(np.int64) for name in ("begins", "ends", "waited"))
    return Run(begins, ends, waited, waits, waiters, struct.stops)


def observe(events: Events) -> Observed:
    """Raises MemoryError."""
    assert _native.library
    about = np.zeros((events.threads, OF_THREADS), np.int64)
    columns = {name: np.ascontiguousarray(getattr(events, name)) for name in ("thread", "event", "time", "checks")}
    columns |= {"attributes": np.ascontiguousarray(events.attributes), "about": about}
    struct = _native.ObservationStruct(
        rows=len(events.thread), threads=events.threads, attribute_count=len(events.attributes),
        **{name: array.ctypes.data for name, array in columns.items()},
    )  # fmt: skip
    try:
        if _native.library.tk_observe(c.byref(struct)):
            raise MemoryError
        tables = {
            name: _copied(seen.items, seen.count * width, np.int64).astype(np.int64).reshape(-1, width)
            for (name, width), seen in zip(COLUMNS.items(), struct.seen, strict=True)
        }
    finally:
        _native.library.tk_observe_free(c.byref(struct))
    return Observed(about, **tables)


def _joined(samples: tuple[Integers, ...]) -> tuple[Integers, Integers]:
    ends = np.cumsum([0, *map(len, samples)], dtype=np.int64)
    joined = np.concatenate(samples) if samples else np.zeros(0)
    return np.ascontiguousarray(joined, np.int64), ends


def _copied(address: int | None, count: int, dtype: type[np.generic]) -> npt.NDArray[np.generic]:
    size = count * np.dtype(dtype).itemsize
    return np.frombuffer(c.string_at(address, size) if address and size else b"", dtype)
