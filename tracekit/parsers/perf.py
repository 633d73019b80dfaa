"""`perf script` text of uprobes on CPython's take_gil and drop_gil.

A record is `COMM [PID/]TID [CPU] SECONDS.FRACTION: GROUP:EVENT: (IP)`, at a return `(IP <- CALLER)`; call-graph lines
and blank lines may follow it: `perf_sample__fprintf_start` and `process_event` in
Linux's tools/perf/builtin-script.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tracekit.model.source import Source, lines
from tracekit.model.stream import ACQUIRE, ENTRY, LINE_LIMIT, RELEASE, TIME_LIMIT, EventStream
from tracekit.parsers.imported import UNTOLD, ImportedEvents, Row, with_busy

_HEADER = (
    rb"(?P<comm>.{1,64}?)\s++(?:(?P<pid>\d{1,10})/)?(?P<tid>\d{1,10})\s++(?:\[\d+\]\s++)?"
    rb"(?P<seconds>\d{1,10})\.(?P<fraction>\d{9}|\d{6}):\s++"
)
_ANY = re.compile(_HEADER)
_GIL = re.compile(
    _HEADER + rb"(?:\d+\s++)?(?:[^\s:]{1,64}:)?\w{0,64}?(?P<what>take|drop)_gil(?P<more>\w{0,64}):(?:\s|$)"
)
_CALL = re.compile(rb"[0-9a-f]{1,16}\s")
_LOST = re.compile(_HEADER + rb"PERF_RECORD_LOST lost (?P<lost>\d{1,18})")
_RECORD_BYTES = 512  # so much of a line is looked at: comm, numbers and event are at its beginning
_HINT = (
    "Put uprobes on take_gil, its return, and drop_gil with `perf probe`, record with `perf record -e 'python:*'`, "
    "and give tracekit what `perf script --ns` prints (docs/viewers.md)."
)


def sniff(head: bytes) -> float:
    """How sure it is: a record of take_gil or drop_gil, any other record, or perf's header."""
    lines = [line[:_RECORD_BYTES].strip() for line in head.split(b"\n")[:1000]]
    if any(_GIL.match(line) for line in lines):
        return 1.0
    if any(_ANY.match(line) for line in lines) or any(line.startswith(b"# perf version :") for line in lines):
        return 0.5
    return 0.0


def open_stream(source: Source, strict: bool, whole: bool) -> EventStream:
    return PerfScript(source, strict, whole)


class PerfScript(ImportedEvents):
    """The records of a source, line by line."""

    missing = ("no record of it is a uprobe on take_gil or drop_gil", _HINT)

    def __init__(self, source: Source, strict: bool, whole: bool) -> None:
        super().__init__(source, "perf script", UNTOLD)
        self._strict = strict
        self._keep = whole
        self._pid: bytes | None = None

    def rows(self) -> Iterator[Row]:
        return with_busy(self._with_acquires(self._records()))

    def _records(self) -> Iterator[Row]:
        tids: dict[bytes, int] = {}
        for number, line in enumerate(lines(self.chunks(), LINE_LIMIT), start=1):
            start = line[:_RECORD_BYTES].strip()
            record = _GIL.match(start) if b"_gil" in start else None
            if record is None:
                self._other(number, line, start)
                continue
            comm, pid, tid, seconds, fraction, what, more = record.groups()
            time = int(seconds + fraction) * (1 if len(fraction) == 9 else 1000)
            if time > TIME_LIMIT:
                self._bad(number, line)
                continue
            if pid is not None and pid != self._pid:
                self._one_process(pid)
            thread = tids.get(tid)
            if thread is None:
                thread = tids[tid] = int(tid)
                self.names[str(thread)] = comm.decode("utf-8", "replace")
            if what == b"drop":
                if b"return" not in more:
                    yield time, thread, RELEASE
            else:
                yield time, thread, ACQUIRE if b"return" in more else ENTRY

    def _other(self, number: int, line: bytes, start: bytes) -> None:
        """A line that is no record of the GIL's: a blank one, a comment, of a call graph, of another event, or bad.

        What is printed below a record is indented; only where it names the GIL's functions it is looked at.
        """
        if lost := _LOST.match(start):
            self.metadata["lost"] = str(int(self.metadata.get("lost", "0")) + int(lost["lost"]))
            return
        told = start and line[0] not in b"#" and (line[0] not in b" \t" or b"_gil:" in start)
        if told and not _ANY.match(start) and not _CALL.match(start):
            self._bad(number, line)

    def _bad(self, number: int, line: bytes) -> None:
        self.bad_lines.take(number, "bad-record", line, self._keep)
        if self._strict:
            raise self.bad_lines.refuse(self.path)

    def _one_process(self, pid: bytes) -> None:
        if self._pid is None:
            self._pid = pid
            self.metadata["pid"] = pid.decode()
            return
        raise self.damaged(
            f"it has records of the processes {self._pid.decode()} and {pid.decode()}, and each has a GIL of its own",
            f"Print those of one with `perf script --pid={self._pid.decode()}`.",
        )

    def _with_acquires(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Adds the ACQUIRE of a thread that releases without one: where it wanted the GIL and that was free.

        A compiler may have inlined take_gil, whose return then has no probe; and records get lost.
        """
        wanted: dict[int, int] = {}
        since: list[Row] = []  # the last ACQUIRE or RELEASE: only ENTRYs, at most one a thread
        changed = 0
        for row in rows:
            time, thread, event = row
            if event == ENTRY:
                if thread in wanted:
                    yield from since
                    since.clear()
                wanted[thread] = time
                since.append(row)
                continue
            entered = wanted.pop(thread, None)
            if event == RELEASE and entered is not None:
                place = next((place + 1 for place, entry in enumerate(since) if entry[1] == thread), 0)
                since.insert(place, (max(entered, changed), thread, ACQUIRE))
                self.metadata["inferred-acquires"] = str(int(self.metadata.get("inferred-acquires", "0")) + 1)
            yield from since
            since.clear()
            yield row
            changed = time
        yield from since
