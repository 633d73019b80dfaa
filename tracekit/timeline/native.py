"""The state machine by the native core: `timeline.PlainMachine`, hundreds of times as fast."""

from __future__ import annotations

import ctypes as c
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit import _native
from tracekit.analyzers import COLLECTED
from tracekit.model.arrays import NULL, int64_values, numbers
from tracekit.model.attributes import SPARSE, sparse
from tracekit.model.rows import (
    C_STRUCTS,
    FAULT_CODES,
    FINDING_ROW,
    GROUP_ROW,
    KEPT,
    LAYOUTS,
    PICTURE_LAYOUTS,
    SEVERITIES,
    Faults,
    Found,
    Options,
    PictureLimits,
    RawPicture,
    Rows,
    TooManyPairs,
    Totals,
)

if _native.library:
    for _structure, _layout in {**C_STRUCTS, "tk_attribute": SPARSE}.items():
        _places = {name: (at[1], at[0].itemsize) for name, at in (_layout.fields or {}).items()}
        _native.check_layout(_structure, _layout.itemsize, _places)


class NativeMachine:
    def __init__(self, interval: int, kept: Collection[str], options: Options) -> None:
        assert _native.library
        self._c = _native.library
        self.kept = kept
        self.native_handle: int | None = None
        bits = sum(1 << KEPT.index(what) for what in set(kept))
        self.native_handle = self._c.tk_timeline_new(interval, bits, _native.OptionsStruct(**vars(options)))
        if not self.native_handle:
            raise MemoryError
        self._timed: bool | None = None
        self._room = np.empty(0, np.int64)
        """For columns that come narrower: new memory for each batch would take longer than the batch."""
        self._clocks: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]] = []

    def __del__(self) -> None:
        if self.native_handle:
            self._c.tk_timeline_free(self.native_handle)

    def feed(self, batch: pa.RecordBatch) -> None:
        events = batch.num_rows
        thread, event = batch.column("thread"), batch.column("event")
        time = batch.column("time")
        if len(self._room) < 4 * events:
            self._room = np.empty(4 * events, np.int64)
        rooms = self._room.reshape(4, -1)
        codes = numbers(thread.indices)
        if codes.dtype != np.int32:
            np.copyto(rooms[3].view(np.int32)[:events], codes)
            codes = rooms[3].view(np.int32)[:events]
        columns: dict[str, npt.NDArray[Any]] = {
            "thread": codes,
            "ticks": int64_values(batch.column("ticks"), rooms[0]),
            "checks": int64_values(batch.column("checks"), rooms[1]),
            "event": numbers(event.indices),
        }
        if time.null_count < events:
            columns["time"] = int64_values(time, rooms[2])
        if self._timed is None and events:
            self._timed = "time" in columns and int(columns["time"][0]) != NULL
        if "clocks" in self.kept:
            clocks = np.empty(events, np.int64), np.empty(events, np.int64) if self._timed else None
            self._clocks.append(clocks)
            columns["clock"] = clocks[0]
            if clocks[1] is not None:
                columns["tick_clock"] = clocks[1]
        attributes = sparse(batch)
        if len(attributes):
            columns["attributes"] = attributes
        pointers = _native.ColumnsStruct(
            events=events,
            attribute_count=len(attributes),
            **{name: values.ctypes.data for name, values in columns.items()},
        )
        if not self._c.tk_timeline_feed(self.native_handle, pointers, len(thread.dictionary)):
            if self._c.tk_timeline_full(self.native_handle):
                raise TooManyPairs
            raise MemoryError

    def finish(self) -> None:
        if not self._c.tk_timeline_finish(self.native_handle):
            raise MemoryError

    def totals(self) -> Totals:
        struct = _native.TotalsStruct()
        self._c.tk_timeline_totals(self.native_handle, struct)
        return Totals(
            events=struct.events,
            timed=bool(struct.timed),
            first_clock=struct.first_clock if struct.clock_known else None,
            first_tick_clock=struct.first_tick_clock if struct.tick_clock_known else None,
            duration=struct.duration,
            switches=struct.switches,
            held=struct.held,
            free_wanted=struct.free_wanted,
            regions_dropped=struct.regions_dropped,
            exact=bool(struct.exact),
            has_ticks=bool(struct.has_ticks),
            found={kind: Found(one.count, one.kept) for kind, one in zip(COLLECTED, struct.findings, strict=True)},
            checks=None if struct.checks_least == NULL else struct.checks_most - struct.checks_least,
            faults=tuple(
                Faults(name, severity, struct.counts[code][error], struct.first_seq[code][error])
                for code, name in enumerate(FAULT_CODES)
                for error, severity in enumerate(SEVERITIES)
                if struct.counts[code][error]
            ),
        )

    def rows(self, table: str) -> Rows:
        return self._rows(table, LAYOUTS[table])

    def _rows(self, table: str, layout: np.dtype[Any]) -> Rows:
        count = c.c_int64()
        address = getattr(self._c, f"tk_timeline_{table}")(self.native_handle, count)
        return self._view(address, count.value, layout)

    def findings(self, kind: str) -> Rows:
        count = c.c_int64()
        address = self._c.tk_timeline_findings(self.native_handle, COLLECTED.index(kind), count)
        return self._view(address, count.value, FINDING_ROW)

    def groups(self, kind: str) -> Rows:
        count = c.c_int64()
        address = self._c.tk_timeline_groups(self.native_handle, COLLECTED.index(kind), count)
        return self._view(address, count.value, GROUP_ROW)

    def draw(self, limits: PictureLimits) -> None:
        if not self._c.tk_timeline_draw(self.native_handle, _native.PictureLimitsStruct(**vars(limits))):
            raise MemoryError

    def picture(self) -> RawPicture:
        shift, whole = (
            getattr(self._c, f"tk_timeline_picture_{what}")(self.native_handle) for what in ("shift", "whole")
        )
        rows = {name: self._rows(f"picture_{name}", layout) for name, layout in PICTURE_LAYOUTS.items()}
        return RawPicture(shift, bool(whole), rows)

    def forget(self) -> None:
        self._c.tk_timeline_forget(self.native_handle)
        self._clocks.clear()

    def _view(self, address: int, count: int, layout: np.dtype[Any]) -> Rows:
        if count < 0:
            raise MemoryError
        if not count:
            return np.empty(0, layout)
        raw: Any = (c.c_char * (count * layout.itemsize)).from_address(address)
        raw.machine = self  # the view keeps the rows alive
        view: Rows = np.frombuffer(raw, layout)
        # Columns of several rows are copied when they become Arrow's; those of one are contiguous as they stand here,
        # and would change with the next row that is kept in this place.
        return view.copy() if count == 1 else view

    def clocks(self) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]]:
        return self._clocks
