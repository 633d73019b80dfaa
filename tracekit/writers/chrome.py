"""Chrome's trace JSON, the Trace Event Format: for chrome://tracing, Perfetto, Speedscope and many more.

Complete events (X) on a row for each thread, flow events (s, f) from a hold to the wait that it ended, a counter (C).
Times are microseconds. "Trace Event Format", the catapult project.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from tracekit.model.definitions import Definitions
from tracekit.writers.tablestream import TableStream
from tracekit.writers.viewer import (
    FINDINGS,
    HOLDS,
    WAITERS,
    WAITS,
    WAKES,
    Slice,
    findings,
    frame,
    process,
    slices,
    waiters,
    with_wake_ups,
)

_FINDINGS_PID = 2**31 - 1  # a process of their own: a group of rows
_EVENTS = 4096


def write(trace: TableStream, out: BinaryIO) -> None:
    """Writes event by event; no memory is kept."""
    about = json.dumps({"source": trace.path, **trace.analysis.metadata}, ensure_ascii=False)
    out.write(f'{{"displayTimeUnit":"ns","otherData":{about},'.encode())
    _write_frames(trace.header.definitions, out)
    out.write(b'"traceEvents":[\n')
    lines: list[str] = []
    separator = ""
    for event, times in _events(trace):
        shown = "".join(f',"{key}":{ns // 1000}.{ns % 1000:03}' for key, ns in times.items())
        lines.append(json.dumps(event, ensure_ascii=False, separators=(",", ":"))[:-1] + shown + "}")
        if len(lines) == _EVENTS:
            out.write((separator + ",\n".join(lines)).encode())
            lines.clear()
            separator = ",\n"
    out.write((separator + ",\n".join(lines) + "\n]}\n").encode())


def _write_frames(definitions: Definitions, out: BinaryIO) -> None:
    """`stackFrames`: each of a stack's frames by the id of the stack that ends with it."""
    before = '"stackFrames":{'
    for number in definitions.stack_ids():
        stack = definitions.stack(number)
        assert stack
        code = definitions.codes[stack.code]
        told = {"category": code.file, "name": frame(code, stack.line)}
        told |= {"parent": str(stack.parent)} if stack.parent else {}
        out.write(f'{before}"{number}":{json.dumps(told, ensure_ascii=False)}'.encode())
        before = ",\n"
    if definitions.stacks:
        out.write(b"},")


_Event = tuple[dict[str, Any], dict[str, int]]
"""An event and its times in ns, which as floats would not be exact."""


def _events(trace: TableStream) -> Iterator[_Event]:
    pid, name = process(trace.analysis)
    rows = {thread: row for row, thread in enumerate(trace.threads, start=1)}
    yield _about("process_name", pid, 0, name=name)
    for thread, row in rows.items():
        yield _about("thread_name", pid, row, name=trace.analysis.names[thread])
        yield _about("thread_sort_index", pid, row, sort_index=row)
    for slice in _with_arrows(with_wake_ups(slices(trace))):
        yield from _shown(slice, pid, rows[slice.track])
    for clock, count in waiters(trace):
        yield {"ph": "C", "name": WAITERS, "pid": pid, "tid": 0, "args": {"threads": count}}, {"ts": clock}
    yield _about("process_name", _FINDINGS_PID, 0, name=FINDINGS)
    tracks: dict[str, int] = {}
    for finding in findings(trace.analysis):
        if finding.track not in tracks:
            tracks[finding.track] = len(tracks) + 1
            yield _about("thread_name", _FINDINGS_PID, tracks[finding.track], name=finding.track)
        yield from _shown(finding, _FINDINGS_PID, tracks[finding.track])


def _about(what: str, pid: int, tid: int, **args: Any) -> _Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": args}, {}


def _with_arrows(rows: Iterable[Slice]) -> Iterator[Slice]:
    """Without the flows that are bound to nothing: an arrow's ends lie inside of slices, and some have no inside."""
    hold: Slice | None = None
    for slice in rows:
        if slice.name == HOLDS and slice.flow is not None:
            hold = slice
        elif hold and slice.name == WAITS:
            wait = slice
        elif hold and slice.flow == hold.flow:
            bound = hold.start < hold.end and slice.start < slice.end
            for shown in (hold, wait, slice):
                yield shown if bound else shown._replace(flow=None)
            hold = None
        else:
            yield slice


def _shown(slice: Slice, pid: int, tid: int) -> Iterator[_Event]:
    where = {"cat": "gil", "pid": pid, "tid": tid}
    times = {"ts": slice.start, "dur": slice.end - slice.start}
    stack = {} if slice.stack is None else {"sf": str(slice.stack)}
    yield {"ph": "X", "name": slice.name, **where, **stack, "args": slice.facts}, times
    if slice.flow is not None:
        # It is bound to the slice around its time, `bp: e`; the very end of a slice is not in it.
        end = {"ph": "f", "bp": "e"} if slice.name == WAKES else {"ph": "s"}
        time = slice.start if slice.name == WAKES else max(slice.start, slice.end - 1)
        yield {**end, "name": "blame", "id": slice.flow, **where}, {"ts": time}
