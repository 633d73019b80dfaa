"""The native core and its one binding: `library` is the loaded C, or None where it could not be built.

Set TRACEKIT_CORE=python to do without it.
"""

from __future__ import annotations

import ctypes as c
import os
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path

LINE_CODES = 9
TOO_MANY_THREADS = -1
TOO_MANY_PAIRS = -2
ROW_CODES = 5
COLLECTED = 4


class OptionsStruct(c.Structure):
    """tk_options"""

    _fields_ = (
        *(
            (name, c.c_int64)
            for name in ("min_rounds", "min_cycles", "max_gap", "min_frozen", "min_timeouts", "long_hold")
        ),
        ("ratio", c.c_double),
        ("worst", c.c_int64),
        ("distinct_values", c.c_int64),
    )


class PictureLimitsStruct(c.Structure):
    """tk_picture_limits"""

    _fields_ = tuple(
        (name, c.c_int64)
        for name in (
            *("bins", "cells", "rows", "edge_rows"),
            *("window_rows", "windows", "window_waiters", "rival_switches"),
        )
    )


class FindingTotalsStruct(c.Structure):
    """tk_finding_totals"""

    _fields_ = (("count", c.c_int64), ("kept", c.c_int64))


class TotalsStruct(c.Structure):
    """tk_totals"""

    _fields_ = (
        *((name, c.c_int64) for name in ("events", "duration", "first_clock", "first_tick_clock", "switches")),
        ("checks_least", c.c_int64),
        ("checks_most", c.c_int64),
        ("counts", c.c_int64 * 2 * ROW_CODES),
        ("first_seq", c.c_int64 * 2 * ROW_CODES),
        ("held", c.c_int64),
        ("free_wanted", c.c_int64),
        ("regions_dropped", c.c_int64),
        ("findings", FindingTotalsStruct * COLLECTED),
        *((name, c.c_int32) for name in ("timed", "clock_known", "tick_clock_known", "threads", "exact", "has_ticks")),
    )


class ColumnsStruct(c.Structure):
    """tk_columns"""

    _fields_ = (
        ("events", c.c_int64),
        *(
            (name, c.c_void_p)
            for name in ("thread", "ticks", "checks", "time", "event", "codes", "clock", "tick_clock", "attributes")
        ),
        ("attribute_count", c.c_int64),
    )


class ProgressStruct(c.Structure):
    """tk_progress"""

    _fields_ = (
        *((name, c.c_int64) for name in ("bytes", "lines", "events", "blocks")),
        ("bad_counts", c.c_int64 * LINE_CODES),
        ("bad_first", c.c_int64 * LINE_CODES),
        ("fault_lines", c.c_int64 * 2 * ROW_CODES),
        ("bad_attributes", c.c_int64),
        ("bad_attribute_line", c.c_int64),
        ("attribute_keys", c.c_int64),
        *((name, c.c_int32) for name in ("threads", "done", "error", "strict_stop")),
    )


class BatchStruct(c.Structure):
    """tk_batch"""

    _fields_ = (
        ("block", c.c_void_p),
        ("events", c.c_int64),
        ("first_line", c.c_int64),
        ("lines", c.c_int64),
        *((name, c.c_void_p) for name in ("thread", "ticks", "checks", "time", "event")),
        *((name, c.c_int64) for name in ("null_ticks", "null_checks", "null_time")),
        *((name, c.c_void_p) for name in ("valid_ticks", "valid_checks", "valid_time", "gaps")),
        ("gap_count", c.c_int64),
        ("attributes", c.c_void_p),
        ("attribute_count", c.c_int64),
        *(
            (name, c.c_int32)
            for name in ("threads", "ticks_width", "checks_width", "time_width", "thread_width", "padding")
        ),
    )


class BadLineStruct(c.Structure):
    """tk_bad_line"""

    _fields_ = (("line", c.c_int64), ("code", c.c_int32), ("length", c.c_uint32), ("offset", c.c_uint64))


class GatheredStruct(c.Structure):
    """tk_gathered"""

    _fields_ = (
        *((name, c.c_int32) for name in ("offset", "minus", "width", "kind", "null_offset", "null_width")),
        *((name, c.c_int64) for name in ("add", "null", "null_count")),
        ("out", c.c_void_p),
        ("valid", c.c_void_p),
    )


class SeenStruct(c.Structure):
    """tk_seen"""

    _fields_ = (("items", c.c_void_p), ("count", c.c_int64), ("room", c.c_int64))


SEEN_TABLES = 10


class ObservationStruct(c.Structure):
    """tk_observation"""

    _fields_ = (
        *((name, c.c_int64) for name in ("rows", "threads", "attribute_count")),
        *((name, c.c_void_p) for name in ("thread", "event", "time", "checks", "attributes", "about")),
        ("seen", SeenStruct * SEEN_TABLES),
    )


class ReplayStruct(c.Structure):
    """tk_replay"""

    _fields_ = (
        *((name, c.c_int64) for name in ("threads", "pieces", "delay", "wake_count")),
        ("seed", c.c_uint64),
        *(
            (name, c.c_void_p)
            for name in (
                *("start", "first", "started_by", "work", "outside", "needs", "arrives", "atomic", "free", "wakes"),
                *("answers", "answers_from", "stalls", "stalls_from", "returns", "returns_from"),
                *("begins", "ends", "waited", "waits", "waiters"),
            )
        ),
        ("wait_count", c.c_int64),
        ("stops", c.c_int64),
    )


STRUCTS: dict[str, type[c.Structure]] = {
    "tk_options": OptionsStruct, "tk_picture_limits": PictureLimitsStruct, "tk_finding_totals": FindingTotalsStruct,
    "tk_totals": TotalsStruct, "tk_columns": ColumnsStruct, "tk_progress": ProgressStruct, "tk_batch": BatchStruct,
    "tk_bad_line": BadLineStruct, "tk_replay": ReplayStruct, "tk_seen": SeenStruct,
    "tk_observation": ObservationStruct,
    "tk_gathered": GatheredStruct,
}  # fmt: skip
"""By their names in C. The rows' layouts are numpy's: `tracekit.model.rows`."""


class _Field(c.Structure):
    """tk_field"""

    _fields_ = (("structure", c.c_char_p), ("field", c.c_char_p), ("offset", c.c_int64), ("size", c.c_int64))


_FUNCTIONS: dict[str, tuple[object, tuple[object, ...]]] = {
    "tk_layouts": (c.POINTER(_Field), (c.POINTER(c.c_int64),)),
    "tk_timeline_new": (c.c_void_p, (c.c_int64, c.c_int32, c.POINTER(OptionsStruct))),
    "tk_timeline_free": (None, (c.c_void_p,)),
    "tk_timeline_draw": (c.c_int32, (c.c_void_p, c.POINTER(PictureLimitsStruct))),
    "tk_timeline_picture_shift": (c.c_int32, (c.c_void_p,)),
    "tk_timeline_picture_whole": (c.c_int32, (c.c_void_p,)),
    "tk_timeline_feed": (c.c_int32, (c.c_void_p, c.POINTER(ColumnsStruct), c.c_int32)),
    "tk_timeline_finish": (c.c_int32, (c.c_void_p,)),
    "tk_timeline_full": (c.c_int32, (c.c_void_p,)),
    "tk_timeline_totals": (None, (c.c_void_p, c.POINTER(TotalsStruct))),
    **{
        f"tk_timeline_{table}": (c.c_void_p, (c.c_void_p, c.POINTER(c.c_int64)))
        for table in (
            *("threads", "blame", "causes", "stack_blame", "shared_waits"),
            *("distributions", "histograms", "handoffs", "waiting", "locks"),
            *("regions", "region_blame"),
            *("holds", "waits", "switches", "faults", "retries"),
            *(f"picture_{table}" for table in ("cells", "holds", "waits", "retries", "windows", "knots")),
        )
    },
    "tk_timeline_forget": (None, (c.c_void_p,)),
    "tk_timeline_findings": (c.c_void_p, (c.c_void_p, c.c_int32, c.POINTER(c.c_int64))),
    "tk_timeline_groups": (c.c_void_p, (c.c_void_p, c.c_int32, c.POINTER(c.c_int64))),
    "tk_gather": (
        None,
        (c.c_void_p, c.c_int64, c.c_int64, c.c_void_p, c.POINTER(GatheredStruct), c.c_int32),
    ),
    "tk_observe": (c.c_int32, (c.POINTER(ObservationStruct),)),
    "tk_observe_free": (None, (c.POINTER(ObservationStruct),)),
    "tk_replay_run": (c.c_int32, (c.POINTER(ReplayStruct),)),
    "tk_replay_free": (None, (c.POINTER(ReplayStruct),)),
    "tk_pipeline_new": (
        c.c_void_p,
        (c.c_int32, c.c_char_p, c.c_size_t, c.c_int32, c.c_size_t, c.c_int32, c.c_int32),
    ),
    "tk_pipeline_stop": (None, (c.c_void_p,)),
    "tk_pipeline_free": (None, (c.c_void_p,)),
    "tk_pipeline_prologue": (c.c_int32, (c.c_void_p,)),
    "tk_pipeline_start": (c.c_int32, (c.c_void_p, c.c_void_p)),
    "tk_pipeline_wait": (c.c_int32, (c.c_void_p, c.c_int32)),
    "tk_pipeline_next": (c.c_int32, (c.c_void_p, c.POINTER(BatchStruct), c.c_int32)),
    "tk_pipeline_give_back": (None, (c.c_void_p, c.c_void_p)),
    "tk_pipeline_forget_attributes": (None, (c.c_void_p,)),
    "tk_pipeline_progress": (None, (c.c_void_p, c.POINTER(ProgressStruct))),
    "tk_pipeline_comments": (c.c_int64, (c.c_void_p, c.c_void_p, c.c_int64)),
    "tk_pipeline_bad_lines": (c.c_int64, (c.c_void_p, c.c_void_p)),
    "tk_pipeline_bad_texts": (c.c_int64, (c.c_void_p, c.c_void_p)),
    "tk_pipeline_names": (c.c_int64, (c.c_void_p, c.c_int32, c.c_int32, c.c_void_p, c.c_void_p)),
}


def load(path: Path) -> c.CDLL | None:
    """The core in this file; None where there is none that can be used here."""
    if os.environ.get("TRACEKIT_CORE") == "python" or not path.exists():
        return None
    try:
        loaded = c.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):  # built for another machine, or by another version
        return None
    return loaded


def check_layout(structure: str, size: int, fields: Mapping[str, tuple[int, int]]) -> None:
    """Whether the C has its struct of this name laid out so: each field's offset and size. Raises ImportError.

    Only a checkout can be at fault: its core was built before the sources changed, or one side was changed alone.
    """
    here, there = {"": (0, size), **fields}, _layouts.get(structure, {})
    if there != here:
        odd = ", ".join(sorted(name or "size" for name in {*there, *here} if there.get(name) != here.get(name)))
        raise ImportError(
            f"The native core has another layout of {structure} ({odd}). Build it again: pip install -e . "
            "A field that is new must be listed in tracekit/_native/layouts.c too."
        )


def _layouts_in(core: c.CDLL) -> dict[str, dict[str, tuple[int, int]]]:
    layouts: dict[str, dict[str, tuple[int, int]]] = {}
    rows = core.tk_layouts(count := c.c_int64())
    for row in rows[: count.value]:
        layouts.setdefault(row.structure.decode(), {})[row.field.decode()] = row.offset, row.size
    return layouts


library = load(Path(__file__).with_name("_core.so"))
if library:
    _layouts = _layouts_in(library)
    for _name, _struct in STRUCTS.items():
        _places = {field: getattr(_struct, field) for field, *_ in _struct._fields_}
        check_layout(_name, c.sizeof(_struct), {field: (at.offset, at.size) for field, at in _places.items()})


def core_name() -> str:
    """Which core is in use: `native` or `python`."""
    return "native" if library else "python"


at_most: ContextVar[int | None] = ContextVar("at_most", default=None)
"""Threads to read with at most, where many traces are read at once."""


def workers() -> int:
    """How many threads to read with: the cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, at_most.get() or cores)
