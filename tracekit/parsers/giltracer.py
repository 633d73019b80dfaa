"""giltracer's Chrome trace JSON, alone or combined with VizTracer's.

For each hold it writes slices of the category `GIL state`: `GIL` from when the thread called take_gil until drop_gil
returned, and in it `LOCK` from when take_gil returned until drop_gil was called; times in microseconds. It leaves out
holds shorter than 1 µs. Seen in `gil2trace` of per4m/perf2trace.py (github.com/maartenbreddels/per4m).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracekit.model.source import Source
from tracekit.model.stream import EventStream
from tracekit.parsers.jsonevents import Events, elements, events, members, skip
from tracekit.parsers.ranges import HOLDING, WAITING, RangeEvents
from tracekit.words import whole_number

_Thread = tuple[int | None, int | None]  # pid, tid
_HINT = "Record with `giltracer`, and give tracekit the giltracer.json that it writes (docs/viewers.md)."


def sniff(head: bytes) -> float:
    """How sure it is: Chrome's trace JSON is an object with traceEvents, or just their array."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith((b"{", b"[")):
        return 0.0
    if b'"GIL state"' in head or b'"traceEvents"' in head[:64]:
        return 1.0
    return 0.6 if b'"traceEvents"' in head or (b'"ph"' in head and b'"ts"' in head) else 0.15


def open_stream(source: Source, strict: bool, whole: bool) -> EventStream:
    return GilTracer(source)


class GilTracer(RangeEvents):
    missing = ("it has no `LOCK` slice of the category `GIL state`, which giltracer writes for each hold", _HINT)

    def __init__(self, source: Source) -> None:
        self._wanted: dict[_Thread, float] = {}
        self._held: dict[_Thread, float] = {}
        super().__init__(source, "giltracer")

    def read(self) -> None:
        with self.json_may_end():
            for record in _records(events(self.chunks())):
                if record.get("cat") == "GIL state" and record.get("name") in ("GIL", "LOCK"):
                    self._take(record, record["name"] == "LOCK")

    def _take(self, record: dict[str, Any], lock: bool) -> None:
        phase, time = record.get("ph"), record.get("ts")
        thread = _number(record.get("pid")), _number(record.get("tid"))
        if not isinstance(time, (int, float)):
            time = -1.0  # is left out
        if phase in ("b", "B"):
            (self._held if lock else self._wanted)[thread] = time
        elif phase in ("e", "E") and lock and thread in self._held:
            start = self._held.pop(thread)
            self.add(HOLDING, *thread, 1000 * start, 1000 * time)
            if thread in self._wanted:
                self.add(WAITING, *thread, 1000 * self._wanted.pop(thread), 1000 * start)


def _records(parsed: Events) -> Iterator[dict[str, Any]]:
    """The scalars of each object in the file's array of events."""
    event, _ = next(parsed)
    if event == "start_array":
        yield from _objects(parsed)
    elif event == "start_map":
        for key, value_event, _ in members(parsed):
            if key == "traceEvents" and value_event == "start_array":
                yield from _objects(parsed)
            else:
                skip(parsed, value_event)


def _objects(parsed: Events) -> Iterator[dict[str, Any]]:
    for event, _ in elements(parsed):
        if event != "start_map":
            skip(parsed, event)
            continue
        record = {}
        for key, value_event, value in members(parsed):
            record[key] = value
            skip(parsed, value_event)
        yield record


def _number(value: Any) -> int | None:
    """A pid or tid: giltracer writes some as strings, and `PID-GIL` for slices that are not asynchronous."""
    if isinstance(value, str):
        return whole_number(value.removesuffix("-GIL"), 2**32 - 1)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32 else None
