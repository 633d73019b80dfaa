"""The state machine's rows as columns: which field of a row each column is, and how C or NumPy gathers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit import _native
from tracekit.model.arrays import NULL, categories, flags, integers, no_integers, strings, zero_integers
from tracekit.model.rows import NO_SEQ, NO_STACK, NOBODY, RELEASE_KINDS, RETRY_KINDS, Rows

INT64, INT32, BITS = range(3)
"""What a column's buffer holds, numbered as in core.h."""
_WIDTHS = {INT64: 64, INT32: 32, BITS: 1}
_BLOCK = (1 << 22) - 64
_ALIGNED = 64


@dataclass(frozen=True)
class Part:
    """A column, from the rows' field of this name.

    Attributes:
        minus: this field is taken off.
        clock: the clock's beginning is added.
        ticks: the column as which it comes in a trace whose clock counts ticks; otherwise the tick clock's beginning is
            added.
        null: where this field has this value.
        words: what the codes stand for; `threads`.
        mostly: null's value, or 0; where all rows have it, and in their own order, they take no memory.
    """

    field: str
    kind: int = INT64
    minus: str | None = None
    clock: bool = False
    ticks: str | None = None
    null: tuple[str, int] | None = None
    words: tuple[str, ...] | str | None = None
    mostly: int | None = None


def _thread(field: str) -> Part:
    return Part(field, INT32, null=(field, NOBODY), words="threads")


def _clocks(*names: str) -> dict[str, Part]:
    """Columns of both clocks at these moments; those that come with a seq are null where that is."""
    parts = {}
    for name in names:
        null = (f"{name}_seq", NO_SEQ) if name in ("entry", "busy") else None
        parts[f"{name}_clock"] = Part(f"{name}_clock", clock=True, null=null)
        parts[f"{name}_tick_clock"] = Part(f"{name}_tick_clock", ticks=f"{name}_clock", null=null)
    return parts


def _seq(name: str) -> Part:
    return Part(name, null=(name, NO_SEQ))


_HOLDS = {
    "thread": _thread("thread"),
    "start_seq": _seq("start_seq"),
    "end_seq": _seq("end_seq"),
    **_clocks("start", "end"),
    "duration": Part("end_clock", minus="start_clock"),
    "waited": Part("waited", null=("waited", NULL)),
    "cpu": Part("cpu", null=("cpu", NULL), mostly=NULL),
    "release_kind": Part("release_kind", INT32, words=RELEASE_KINDS),
    "open": Part("open", BITS),
    "truncated": Part("truncated", BITS),
}
_WAITS = {
    "thread": _thread("thread"),
    **{name: _seq(name) for name in ("entry_seq", "busy_seq", "end_seq")},
    **_clocks("entry", "busy", "end"),
    "duration": Part("end_clock", minus="entry_clock"),
    "contended": Part("contended", BITS),
    **{name: Part(name, mostly=0) for name in ("failed_retries", "lost_rounds", "timeouts", "hand_overs", "passes")},
    "rival": _thread("rival"),
    "stack": Part("stack", null=("stack", NO_STACK), mostly=NO_STACK),
    "open": Part("open", BITS),
    "truncated": Part("truncated", BITS),
}
_SWITCHES = {
    "seq": Part("seq"),
    "from": _thread("from_thread"),
    "to": _thread("to_thread"),
    "clock": Part("clock", clock=True),
    "tick_clock": Part("tick_clock", ticks="clock"),
    "gap": Part("gap", null=("gap", NULL)),
}
_FAILED_RETRIES = {
    "seq": Part("seq"),
    "thread": _thread("thread"),
    "holder": _thread("holder"),
    "kind": Part("kind", INT32, words=RETRY_KINDS),
    "clock": Part("clock", clock=True),
}
PARTS: Mapping[str, Mapping[str, Part]] = {
    "holds": _HOLDS, "waits": _WAITS, "switches": _SWITCHES, "failed_retries": _FAILED_RETRIES,
}  # fmt: skip
"""By table."""
KEPT_AS = {table: "retries" if table == "failed_retries" else table for table in PARTS}
"""What the state machine calls their rows."""


@dataclass(frozen=True)
class Beginnings:
    """What a trace's clocks count from; first_tick: None where it has no tick clock. timed: the two differ."""

    first: int
    first_tick: int | None
    timed: bool


class Room:
    """Memory for columns, piece by piece.

    The pieces are too small for NumPy to ask for large pages: those come from memory that nobody has used lately, and
    on a virtual machine the host has to find it first.
    """

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)

    def take(self, size: int) -> npt.NDArray[np.uint8]:
        if len(self._block) < size:
            block = np.empty(max(size + _ALIGNED, _BLOCK), np.uint8)
            self._block = block[-block.ctypes.data % _ALIGNED :]
        taken = self._block[:size]
        self._block = self._block[-(-size // _ALIGNED) * _ALIGNED :]
        return taken


def columns(
    table: str,
    rows: Rows,
    threads: pa.Array,
    begin: Beginnings,
    order: npt.NDArray[np.int64] | None = None,
    room: Room | None = None,
) -> dict[str, pa.Array]:
    """The columns of one of `PARTS`. order: of the rows; otherwise as they stand."""
    made: dict[str, pa.Array] = {}
    wanted: dict[str, Part] = {}
    for name, part in PARTS[table].items():
        if part.ticks and begin.first_tick is None:
            made[name] = no_integers(len(rows))
        elif order is None and part.mostly is not None and _is_all(rows[part.field], part.mostly):
            made[name] = no_integers(len(rows)) if part.null else zero_integers(len(rows))
        elif not part.ticks or begin.timed:
            wanted[name] = part
    gather = _native_columns if _native.library else _plain_columns
    made |= gather(rows, wanted, threads, begin, order, room or Room())
    for name, part in PARTS[table].items():
        if part.ticks and name not in made:
            made[name] = made[part.ticks]
    return made


def _is_all(values: npt.NDArray[Any], value: int) -> bool:
    return bool((values[:64] == value).all()) and bool((values == value).all())


def _added(part: Part, begin: Beginnings) -> int:
    return begin.first if part.clock else (begin.first_tick or 0) if part.ticks else 0


def _words(part: Part, threads: pa.Array) -> pa.Array | None:
    return threads if part.words == "threads" else strings(part.words) if part.words else None


def _plain_columns(
    rows: Rows,
    parts: Mapping[str, Part],
    threads: pa.Array,
    begin: Beginnings,
    order: npt.NDArray[np.int64] | None,
    room: Room,
) -> dict[str, pa.Array]:
    rows = rows if order is None else rows[order]
    made = {}
    for name, part in parts.items():
        words = _words(part, threads)
        if part.kind == BITS:
            made[name] = flags(rows[part.field])
        elif words is not None:
            made[name] = categories(rows[part.field], words)
        else:
            values = rows[part.field] + _added(part, begin) - (rows[part.minus] if part.minus else 0)
            made[name] = integers(values, rows[part.null[0]] == part.null[1] if part.null else None)
    return made


def _native_columns(
    rows: Rows,
    parts: Mapping[str, Part],
    threads: pa.Array,
    begin: Beginnings,
    order: npt.NDArray[np.int64] | None,
    room: Room,
) -> dict[str, pa.Array]:
    assert _native.library
    count, fields = len(rows), _fields(rows.dtype)
    gathered = (_native.GatheredStruct * len(parts))()
    buffers = []
    for into, part in zip(gathered, parts.values(), strict=True):
        out = room.take((count * _WIDTHS[part.kind] + 7) // 8)
        valid = room.take((count + 7) // 8) if part.null else None
        into.offset, into.width = fields[part.field]
        into.minus = fields[part.minus][0] if part.minus else -1
        into.kind = part.kind
        into.add = _added(part, begin)
        into.out = out.ctypes.data
        if part.null and valid is not None:
            into.null_offset, into.null_width = fields[part.null[0]]
            into.null = part.null[1]
            into.valid = valid.ctypes.data
        buffers.append((valid, out))
    at = None if order is None else order.ctypes.data
    _native.library.tk_gather(rows.ctypes.data, rows.dtype.itemsize, count, at, gathered, len(parts))
    made = {}
    for (name, part), from_c, (valid, out) in zip(parts.items(), gathered, buffers, strict=True):
        nulls = from_c.null_count
        both = [pa.py_buffer(valid) if valid is not None and nulls else None, pa.py_buffer(out)]
        array = pa.Array.from_buffers(_TYPES[part.kind], count, both, nulls)
        words = _words(part, threads)
        made[name] = array if words is None else pa.DictionaryArray.from_arrays(array, words, safe=False)
    return made


_TYPES = {INT64: pa.int64(), INT32: pa.int32(), BITS: pa.bool_()}


def _fields(layout: np.dtype[Any]) -> dict[str, tuple[int, int]]:
    """Offset and width of each."""
    return {name: (at[1], at[0].itemsize) for name, at in (layout.fields or {}).items()}


def by_thread(rows: Rows) -> npt.NDArray[np.int64]:
    """The order of the rows by their threads, as they come."""
    codes = rows["thread"]
    narrow = codes.astype(np.uint16) if len(codes) and int(codes.max()) < 1 << 16 else codes  # sorted by radix then
    return np.argsort(narrow, kind="stable")
