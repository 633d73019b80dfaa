"""The Firefox Profiler's processed profile: markers of threads, findings as a thread of their own, a counter.

The types are those of its src/types/profile.ts and markers.ts, of the version that stands in `_VERSION`: the profiler
upgrades what is older than itself. Times are milliseconds since the trace's start.
"""

from __future__ import annotations

import itertools
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO

from tracekit.model.definitions import Definitions
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
    """Of one thread, in 42 bytes each: the format wants them column by column."""

    def __init__(self) -> None:
        self.starts, self.ends = array("q"), array("q")
        self.waits = array("b")
        self.strings = array("i")  # of a hold its release, of a wait the thread that it is behind; 0 is none
        self.retries = array("q")
        self.flows = array("q")
        self.stacks = array("i")  # the place of a wait's in the table of stacks; -1 is none

    def data(self, flows_at: int, zero: int) -> Iterator[dict[str, Any]]:
        columns = (self.waits, self.strings, self.retries, self.flows, self.stacks, self.starts)
        for wait, string, retries, flow, stack, start in zip(*columns, strict=True):
            data: dict[str, Any] = {"type": "gil-wait" if wait else "gil-hold"}
            if string:
                data["behind" if wait else "release"] = string
            if retries >= 0:
                data["retries"] = retries
            if flow >= 0:
                data["flow"] = flows_at + flow
            if stack >= 0:
                data["cause"] = {"time": (start - zero) / 1e6, "stack": stack}
            yield data


def write(trace: TableStream, out: BinaryIO) -> None:
    """Keeps all slices in memory first, column by column."""
    strings = {"": 0, HOLDS: 1, WAITS: 2}
    markers, flows = _collect(trace, strings)
    slices = list(findings(trace.analysis))
    for finding in slices:
        strings.setdefault(finding.name, len(strings))
    codes = [(code.function, code.file) for code in trace.header.definitions.codes.values()]
    for word in dict.fromkeys(word for code in codes for word in code):
        strings.setdefault(word, len(strings))
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
        writer.column("data", of.data(len(strings), zero))
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
    writer.text(f'"length":{len(clocks)}}}}}],"shared":{{')
    _write_tables(writer, trace.header.definitions, strings)
    writer.column("stringArray", (*strings, *(f"0x{flow:x}" for flow in range(flows))), end="}}\n")


def _collect(trace: TableStream, strings: dict[str, int]) -> tuple[dict[str, _Markers], int]:
    """The markers of each thread, and how many flows there are, numbered anew."""
    markers = {thread: _Markers() for thread in trace.threads}
    flows = 0
    places = {stack: place for place, stack in enumerate(trace.header.definitions.stack_ids())}
    for slice in slices(trace):
        of, wait = markers[slice.track], slice.name == WAITS
        of.starts.append(slice.start)
        of.ends.append(slice.end)
        of.waits.append(wait)
        shown = str(slice.facts.get("behind" if wait else "release", ""))
        of.strings.append(strings.setdefault(shown, len(strings)))
        of.retries.append(int(slice.facts.get("failed retries", -1)))
        of.flows.append(-1 if slice.flow is None else flows)
        of.stacks.append(-1 if slice.stack is None else places[slice.stack])
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

    def table(self, key: str, length: int, columns: Mapping[str, Iterable[Any]]) -> None:
        """With a comma behind it. Columns may be longer than that."""
        self.text(json.dumps(key), ":{")
        for name, values in columns.items():
            self.column(name, islice(values, length))
        self.text(f'"length":{length}}},')


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


def _write_tables(writer: _Json, definitions: Definitions, strings: dict[str, int]) -> None:
    """The stacks: each has a frame of its own. Functions and files are those of the code."""
    _, parents, codes, lines, _ = definitions.stack_columns()
    code_places = {code: place for place, code in enumerate(definitions.codes)}
    of_codes = list(definitions.codes.values())
    files = list(dict.fromkeys(code.file for code in of_codes))
    file_places = {file: place for place, file in enumerate(files)}
    stacks, functions = len(lines), len(of_codes)
    none, zero = itertools.repeat(None), itertools.repeat(0)
    frames: dict[str, Iterable[Any]] = {
        "address": itertools.repeat(-1), "inlineDepth": zero, "category": itertools.repeat(_WAITS), "subcategory": zero,
        "func": (code_places[code] for code in codes.tolist()), "nativeSymbol": none, "innerWindowID": zero,
        "line": lines.tolist(), "column": none,
    }  # fmt: skip
    funcs: dict[str, Iterable[Any]] = {
        "name": (strings[code.function] for code in of_codes), "isJS": itertools.repeat(False),
        "relevantForJS": itertools.repeat(False), "resource": itertools.repeat(-1),
        "source": (file_places[code.file] for code in of_codes), "lineNumber": (code.first_line for code in of_codes),
        "columnNumber": none,
    }  # fmt: skip
    sources: dict[str, Iterable[Any]] = {
        "id": none, "filename": (strings[file] for file in files), "startLine": itertools.repeat(1),
        "startColumn": itertools.repeat(1), "sourceMapURL": none,
    }  # fmt: skip
    prefixes = (None if parent < 0 else parent for parent in parents.tolist())
    writer.table("stackTable", stacks, {"frame": range(stacks), "prefix": prefixes})
    writer.table("frameTable", stacks, frames)
    writer.table("funcTable", functions, funcs)
    writer.table("resourceTable", 0, dict.fromkeys(("lib", "name", "host", "type"), ()))
    writer.table("nativeSymbols", 0, dict.fromkeys(("libIndex", "address", "name", "functionSize"), ()))
    writer.table("sources", len(files), sources)
