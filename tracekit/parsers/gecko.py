"""The profile that Python 3.15's sampling profiler writes for the Firefox Profiler, by its GIL markers.

In the processed format's marker tables `Has GIL` spans from the first sample at which a thread had the GIL to the first
at which it had not, `Waiting for GIL` the same; times in milliseconds. What happens between two samples is not in it.
Seen in CPython's Lib/profiling/sampling/gecko_collector.py.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import Any

from tracekit.model.source import Source
from tracekit.model.stream import EventStream
from tracekit.parsers.jsonevents import Events, elements, events, members, skip
from tracekit.parsers.ranges import HOLDING, WAITING, RangeEvents
from tracekit.words import whole_number

_KINDS = {"Has GIL": HOLDING, "Waiting for GIL": WAITING}
_HINT = "Write one with `python -m profiling.sampling run --gecko -o profile.json`, in Python 3.15 or newer."


def sniff(head: bytes) -> float:
    """How sure it is. Its writer begins with `meta`; others' profiles may have GIL markers too."""
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return 0.0
    return 0.9 if b'"preprocessedProfileVersion"' in head else 0.2 if b'"meta"' in head else 0.0


def open_stream(source: Source, strict: bool, whole: bool) -> EventStream:
    return GeckoProfile(source)


@dataclass
class _Thread:
    """A thread's markers. Times that are none are NaN."""

    pid: int | None = None
    tid: int | None = None
    name: array[int] = field(default_factory=lambda: array("q"))
    startTime: array[float] = field(default_factory=lambda: array("d"))
    endTime: array[float] = field(default_factory=lambda: array("d"))
    label: str | None = None


class GeckoProfile(RangeEvents):
    missing = ("its markers are neither `Has GIL` nor `Waiting for GIL`", _HINT)

    def __init__(self, source: Source) -> None:
        super().__init__(source, "Gecko profile")

    def read(self) -> None:
        threads: list[_Thread] = []
        kinds: dict[int, int] = {}
        with self.json_may_end():
            parsed = events(self.chunks())
            if next(parsed)[0] == "start_map":
                self._profile(parsed, threads, kinds)
        for thread in threads:
            if thread.tid is not None and thread.label:
                self.names[str(thread.tid)] = thread.label
            for name, start, end in zip(thread.name, thread.startTime, thread.endTime, strict=False):
                if name in kinds:
                    self.add(kinds[name], thread.pid, thread.tid, 1e6 * start, 1e6 * end)

    def _profile(self, parsed: Events, threads: list[_Thread], kinds: dict[int, int]) -> None:
        for key, event, _ in members(parsed):
            if (key, event) == ("meta", "start_map"):
                self._meta(parsed)
            elif (key, event) == ("threads", "start_array"):
                for element, _ in elements(parsed):
                    if element == "start_map":
                        threads.append(_thread(parsed))
                    else:
                        skip(parsed, element)
            elif (key, event) == ("shared", "start_map"):
                for inner, inner_event, _ in members(parsed):
                    if (inner, inner_event) == ("stringArray", "start_array"):
                        kinds.update(_kinds(parsed))
                    else:
                        skip(parsed, inner_event)
            else:
                skip(parsed, event)

    def _meta(self, parsed: Events) -> None:
        for key, event, value in members(parsed):
            if key == "interval" and event == "number" and 0 < value < 1e9:
                self.metadata["sampled-every-us"] = f"{1000 * value:.0f}"
            elif key == "importedFrom" and event == "string" and value.isprintable():
                self.metadata["source"] = value[:80]
            skip(parsed, event)


def _kinds(parsed: Events) -> dict[int, int]:
    """Where in the table of strings the markers' names stand."""
    kinds = {}
    for place, (event, value) in enumerate(elements(parsed)):
        if event == "string" and value in _KINDS:
            kinds[place] = _KINDS[value]
        skip(parsed, event)
    return kinds


def _thread(parsed: Events) -> _Thread:
    thread = _Thread()
    for key, event, value in members(parsed):
        if key == "tid":
            thread.tid = _integer(value)
        elif key == "pid":
            thread.pid = _integer(value)
        elif key == "name" and event == "string":
            thread.label = value
        elif (key, event) == ("markers", "start_map"):
            _markers(parsed, thread)
            continue
        skip(parsed, event)
    return thread


def _markers(parsed: Events, thread: _Thread) -> None:
    for key, event, _ in members(parsed):
        if event == "start_array" and key in ("name", "startTime", "endTime"):
            column = getattr(thread, key)
            for element, value in elements(parsed):
                number = value if element == "number" and abs(value) < 2**62 else math.nan
                column.append(number if key != "name" else int(number) if number == number else -1)
                skip(parsed, element)
        else:
            skip(parsed, event)


def _integer(value: Any) -> int | None:
    """A pid or tid: the format allows strings."""
    if isinstance(value, str):
        return whole_number(value, 2**62 - 1)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62 else None
