"""The Firefox Profiler's processed profile: markers of threads, findings as a thread of their own, a counter.

The types are those of its src/types/profile.ts and markers.ts, of the version that stands in `_VERSION`: the profiler
upgrades what is older than itself. Times are milliseconds since the trace's start.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

from tracekit.writers.tablestream import TableStream
from tracekit.writers.viewer import FINDINGS, HOLDS, WAITERS, WAITS, findings, process, slices, start_of, waiters

_VERSION = 63
_OTHER, _HOLDS, _WAITS, _FOUND = range(4)  # categories
_CATEGORIES = (("Other", "grey"), ("GIL held", "green"), ("GIL waited for", "orange"), ("Findings", "red"))
_INTERVAL = 1  # the phase of a marker with a start and an end
_PIECE = 4096
_EVERYWHERE = ["marker-chart", "marker-table", "timeline-overview"]
_SCHEMA = [
    {
        "name": "gil-hold",
        "chartLabel": HOLDS,
        "tableLabel": "{marker.data.release}",
        "display": _EVERYWHERE,
        "fields": [
            {"key": "release", "label": "Release", "format": "unique-string"},
            {"key": "flow", "label": "Blame", "format": "flow-id", "hidden": True},
        ],
    },
    {
        "name": "gil-wait",
        "chartLabel": f"{WAITS} behind {{marker.data.behind}}",
        "tableLabel": "behind {marker.data.behind}",
        "display": _EVERYWHERE,
        "fields": [
            {"key": "behind", "label": "Behind", "format": "unique-string"},
            {"key": "retries", "label": "Failed retries", "format": "integer"},
            {"key": "flow", "label": "Blame", "format": "terminating-flow-id", "hidden": True},
        ],
    },
    {
        "name": "gil-finding",
        "tableLabel": "{marker.data.finding}",
        "display": _EVERYWHERE,
        "fields": [
            {"key": key, "label": key.capitalize(), "format": "string"} for key in ("finding", "why", "advice", "more")
        ],
    },
]


class _Markers:
    """Of one thread, in 38 bytes each: the format wants them column by column."""

    def __init__(self) -> None:
        self.starts, self.ends = array("q"), array("q")
        self.waits = array("b")
        self.strings = array("i")  # of a hold its release, of a wait the thread that it is behind; 0 is none
        self.retries = array("q")
        self.flows = array("q")

    def data(self, flows_at: int) -> Iterator[dict[str, Any]]:
        for wait, string, retries, flow in zip(self.waits, self.strings, self.retries, self.flows, strict=True):
            data: dict[str, Any] = {"type": "gil-wait" if wait else "gil-hold"}
            if string:
                data["behind" if wait else "release"] = string
            if retries >= 0:
                data["retries"] = retries
            if flow >= 0:
                data["flow"] = flows_at + flow
            yield data


def write(trace: TableStream, out: BinaryIO) -> None:
    """Keeps all slices in memory first, column by column."""
    strings = {"": 0, HOLDS: 1, WAITS: 2}
    markers, flows = _collect(trace, strings)
    slices = list(findings(trace.analysis))
    for finding in slices:
        strings.setdefault(finding.name, len(strings))
    writer = _Json(out)
    zero = start_of(trace.analysis)
    pid, name = process(trace.analysis)

    def column(clocks: Iterable[int]) -> Iterator[float]:
        return ((clock - zero) / 1e6 for clock in clocks)

    last = max((columns.ends[-1] for columns in markers.values() if columns.ends), default=zero)
    writer.text('{"meta":', _meta(trace, (last - zero) / 1e6), ',"libs":[],"pages":[],"threads":[')
    for place, thread in enumerate(trace.threads):
        of = markers[thread]
        length = len(of.starts)
        about = _thread(trace.analysis.names[thread], thread, pid, name, place == 0, (last - zero) / 1e6)
        writer.text("," if place else "", about[:-1], ',"markers":{')
        writer.column("data", of.data(len(strings)))
        writer.column("name", (2 if wait else 1 for wait in of.waits))
        writer.column("startTime", column(of.starts))
        writer.column("endTime", column(of.ends))
        writer.column("phase", (_INTERVAL for _ in range(length)))
        writer.column("category", (_WAITS if wait else _HOLDS for wait in of.waits))
        writer.text(f'"length":{length}}}}}')
    about = _thread(FINDINGS, FINDINGS, pid, name, False, (last - zero) / 1e6)
    writer.text(",", about[:-1], ',"markers":{')
    writer.column("data", (_words(finding.facts, finding.track) for finding in slices))
    writer.column("name", (strings[finding.name] for finding in slices))
    writer.column("startTime", column(finding.start for finding in slices))
    writer.column("endTime", column(finding.end for finding in slices))
    writer.column("phase", (_INTERVAL for _ in slices))
    writer.column("category", (_FOUND for _ in slices))
    writer.text(f'"length":{len(slices)}}}}}],"counters":[', json.dumps(_counter(pid))[:-1], ',"samples":{')
    clocks, counts = array("q"), array("q")
    for clock, count in waiters(trace):
        clocks.append(clock)
        counts.append(count)
    writer.column("time", column(clocks))
    writer.column("count", (now - before for before, now in zip([0, *counts], counts, strict=False)))
    writer.text(f'"length":{len(clocks)}}}}}],"shared":', json.dumps(_shared())[:-1], ",")
    writer.column("stringArray", (*strings, *(f"0x{flow:x}" for flow in range(flows))), end="}}\n")


def _collect(trace: TableStream, strings: dict[str, int]) -> tuple[dict[str, _Markers], int]:
    """The markers of each thread, and how many flows there are, numbered anew."""
    markers = {thread: _Markers() for thread in trace.threads}
    flows = 0
    for slice in slices(trace):
        of, wait = markers[slice.track], slice.name == WAITS
        of.starts.append(slice.start)
        of.ends.append(slice.end)
        of.waits.append(wait)
        shown = str(slice.facts.get("behind" if wait else "release", ""))
        of.strings.append(strings.setdefault(shown, len(strings)))
        of.retries.append(int(slice.facts.get("failed retries", -1)))
        of.flows.append(-1 if slice.flow is None else flows)
        flows += wait and slice.flow is not None  # the hold came before
    return markers, flows


class _Json:
    """Writes JSON in pieces."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def text(self, *parts: str) -> None:
        self._out.write("".join(parts).encode())

    def column(self, key: str, values: Iterable[Any], end: str = ",") -> None:
        self.text(json.dumps(key), ":[")
        rest, separator = iter(values), ""
        while piece := list(islice(rest, _PIECE)):
            self.text(separator, json.dumps(piece, separators=(",", ":"))[1:-1])
            separator = ","
        self.text("]", end)


def _words(facts: Any, track: str) -> dict[str, Any]:
    told = {key: facts[key] for key in ("finding", "why", "advice") if key in facts}
    more = ", ".join(f"{key} {value}" for key, value in facts.items() if key not in told)
    return {"type": "gil-finding", "finding": track, **told, "more": more}


def _meta(trace: TableStream, end: float) -> str:
    told = [{"label": key, "format": "string", "value": value} for key, value in trace.analysis.metadata.items()]
    return json.dumps(
        {
            "interval": 1,
            "startTime": 0,
            "profilingStartTime": 0,
            "profilingEndTime": end,
            "processType": 0,
            "product": "CPython's GIL",
            "importedFrom": "tracekit",
            "stackwalk": 0,
            "version": 32,
            "preprocessedProfileVersion": _VERSION,
            "symbolicated": True,
            "symbolicationNotSupported": True,
            "keepProfileThreadOrder": True,
            "categories": [{"name": n, "color": color, "subcategories": ["Other"]} for n, color in _CATEGORIES],
            "markerSchema": _SCHEMA,
            "extra": [{"label": "Trace", "entries": told}],
        }
    )


def _thread(name: str, tid: str, pid: int, process_name: str, main: bool, end: float) -> str:
    return json.dumps(
        {
            "name": name,
            "tid": tid,
            "pid": str(pid),
            "isMainThread": main,
            "processType": "default",
            "processName": process_name,
            "processStartupTime": 0,
            "processShutdownTime": None,
            "registerTime": 0,
            "unregisterTime": None,
            "pausedRanges": [],
            "showMarkersInTimeline": True,
            # Two samples without a stack: the profiler takes a thread's length from them.
            "samples": {"stack": [None, None], "time": [0, end], "weight": None, "weightType": "samples", "length": 2},
        }
    )


def _counter(pid: int) -> dict[str, Any]:
    rows = [{"type": "value", "source": "accumulated", "format": {"unit": "number"}, "label": WAITERS}]
    return {
        "name": WAITERS,
        "category": "GIL",
        "description": "Threads that found the GIL taken and sleep",
        "pid": str(pid),
        "mainThreadIndex": 0,
        "display": {
            "graphType": "line-accumulated",
            "unit": "",
            "color": "orange",
            "markerSchemaLocation": None,
            "sortWeight": 0,
            "label": WAITERS,
            "tooltipRows": rows,
        },
    }


def _shared() -> dict[str, Any]:
    """No samples have stacks, so all tables of these are empty."""
    columns = {
        "stackTable": ("frame", "prefix"),
        "frameTable": (
            "address", "inlineDepth", "category", "subcategory", "func", "nativeSymbol", "innerWindowID", "line",
            "column",
        ),
        "funcTable": ("name", "isJS", "relevantForJS", "resource", "source", "lineNumber", "columnNumber"),
        "resourceTable": ("lib", "name", "host", "type"),
        "nativeSymbols": ("libIndex", "address", "name", "functionSize"),
        "sources": ("id", "filename", "startLine", "startColumn", "sourceMapURL"),
    }  # fmt: skip
    return {table: {**{column: [] for column in names}, "length": 0} for table, names in columns.items()}
