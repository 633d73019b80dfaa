"""What is done for one trace, wherever that is: the ordinary analysis, and of it what a fleet keeps."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tracekit import _native, zstd
from tracekit.analysis import Analysis, analyze, analyze_file
from tracekit.analyzers import ANALYZERS, COLLECTED
from tracekit.analyzers.finding import Loss
from tracekit.errors import NoEventsError, TracekitError
from tracekit.fleet.places import Failure, Place, local_path, reason, stored
from tracekit.model import schemas
from tracekit.model.arrays import categories, integers, optional_integers, ratios, strings, words_as_categories
from tracekit.version import VERSION
from tracekit.words import fold, printable, whole_number

BLAME_KEPT = 10_000
"""Entries of a trace's blame; thousands of threads would make millions."""
LINES_KEPT = 100
"""Pairs of lines of a trace, the costliest."""
_HASHED = 1 << 20  # bytes at a time
_UNIT = "row"


class Job(NamedTuple):
    """A trace to look at. checksum: take it; known: that of results that are there already.

    threads: how many may read it. thresholds: those of `analyze` that are not the default's.
    """

    place: Place
    checksum: bool = False
    known: str | None = None
    threads: int = 1
    thresholds: tuple[tuple[str, float], ...] = ()


class Result(NamedTuple):
    """What became of a trace. `tables`: by name, as `packed`; None where there is nothing to keep.

    unchanged: its checksum is the one that is known.
    """

    place: Place
    checksum: str | None = None
    tables: Mapping[str, bytes] | None = None
    failure: Failure | None = None
    unchanged: bool = False


def examine(job: Job) -> Result:
    """Analyzes a trace, in memory that does not grow with it. What is wrong with a trace is in the result."""
    place = job.place
    thresholds: dict[str, Any] = dict(job.thresholds)
    limit = _native.at_most.set(job.threads)
    try:
        checksum = _checksum(place.trace) if job.checksum else None
        if checksum is not None and checksum == job.known:
            return Result(place, checksum, unchanged=True)
        path = local_path(place.trace)
        if path is None:
            with stored(place.trace) as file:
                analysis = analyze_file(place.trace, file, **thresholds)
        else:
            analysis = analyze(path, **thresholds)
    except TracekitError as error:
        code = "no-events" if isinstance(error, NoEventsError) else "unreadable"
        return Result(place, failure=Failure(code, printable(error.message), error.hint))
    except Exception as error:  # each store has exceptions of its own
        return Result(place, failure=unreadable(place.trace, error))
    finally:
        _native.at_most.reset(limit)
    results = tables(analysis, place, checksum)
    return Result(place, checksum, {name: packed(table) for name, table in results.items()}, _cut_short(analysis))


def version(_: object = None) -> str:
    """tracekit's, where this runs."""
    return VERSION


def unreadable(trace: str, error: BaseException) -> Failure:
    return Failure("unreadable", f"{printable(trace)}: cannot be read: {reason(error)}.", "Check the file or store.")


def _cut_short(analysis: Analysis) -> Failure | None:
    for diagnostic in analysis.diagnostics:
        if diagnostic.code == "truncated-input":
            message = f"{printable(analysis.path)}: {diagnostic.detail}; what came before is analyzed."
            return Failure(diagnostic.code, message, "Fetch or record it again.")
    return None


def _checksum(trace: str) -> str:
    digest = hashlib.sha256()
    path = local_path(trace)
    with stored(trace) if path is None else Path(path).open("rb") as file:
        for piece in iter(lambda: file.read(_HASHED), b""):
            digest.update(piece)
    return digest.hexdigest()


def packed(table: pa.Table) -> bytes:
    """A table as compressed Arrow IPC: small enough to be kept by the million."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return zstd.compress(sink.getvalue())


def unpacked(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(zstd.decompress(data)).read_all()


def moved(traces: pa.Table, place: Place) -> pa.Table:
    """A trace's row in `traces`, with another size and modification time."""
    columns = dict(zip(traces.column_names, traces.columns, strict=True))
    columns |= {"size": optional_integers([place.size]), "modified": optional_integers([place.modified])}
    return schemas.table("fleet_traces", _UNIT, columns)


def tables(analysis: Analysis, place: Place, checksum: str | None) -> dict[str, pa.Table]:
    """The rows of this trace in each of the fleet's tables but `errors`."""
    groups = _groups(analysis)
    origin = _origin(analysis, place)

    def whole(name: str, columns: Mapping[str, Any]) -> pa.Table:
        rows = len(next(iter(columns.values())))
        return schemas.table(name, _UNIT, {**{key: value(rows) for key, value in origin.items()}, **columns})

    def extended(table: pa.Table, **more: Sequence[str | None]) -> dict[str, Any]:
        columns = dict(zip(table.column_names, table.columns, strict=True))
        return columns | {name: words_as_categories(words) for name, words in more.items()}

    def of(column: pa.ChunkedArray) -> list[str | None]:
        return [groups.get(thread) for thread in column.to_pylist()]

    def grouped(table: pa.Table) -> dict[str, Any]:
        return extended(table, group=of(table["thread"]))

    blame = _costliest(analysis.blame)
    return {
        "fleet_traces": whole("fleet_traces", _trace(analysis, place, checksum)),
        "fleet_causes": whole("fleet_causes", _causes(analysis, groups)),
        "fleet_findings": whole("fleet_findings", _findings(analysis)),
        "fleet_threads": whole("fleet_threads", grouped(analysis.threads)),
        "fleet_blame": whole(
            "fleet_blame",
            extended(blame, waiter_group=of(blame["waiter"]), holder_group=of(blame["holder"])),
        ),
        "fleet_waited": whole("fleet_waited", _waited(analysis, groups)),
        "fleet_lines": whole("fleet_lines", _lines(analysis)),
        "fleet_distributions": whole("fleet_distributions", grouped(analysis.distributions)),
        "fleet_histograms": whole("fleet_histograms", grouped(analysis.histograms)),
        "fleet_diagnostics": whole("fleet_diagnostics", _diagnostics(analysis)),
    }


def errors(trace: str, failure: Failure) -> pa.Table:
    """The row of this trace in the table `errors`."""
    return schemas.table(
        "fleet_errors",
        _UNIT,
        {
            "trace": words_as_categories([trace]),
            "code": words_as_categories([failure.code]),
            "message": strings([failure.message]),
            "hint": strings([failure.hint]),
        },
    )


def _groups(analysis: Analysis) -> dict[str | None, str]:
    return {thread: fold(called) for thread, called in analysis.called.items() if thread is not None}


def _origin(analysis: Analysis, place: Place) -> dict[str, Any]:
    """What makes the first columns, as functions of their length."""
    about = analysis.metadata
    number = whole_number(about.get("pid", ""), 2**62)

    def word(value: str | None) -> Any:
        code, words = -1 if value is None else 0, strings([value or ""])
        return lambda rows: categories(np.full(rows, code, np.int32), words)

    return {
        "trace": word(place.trace),
        "host": word(about.get("host")),
        "pid": lambda rows: integers(np.full(rows, number or 0), None if number else np.full(rows, True)),
        "python": word(about.get("python")),
        "command": word(about.get("command")),
        "unit": word(analysis.unit),
    }


def _trace(analysis: Analysis, place: Place, checksum: str | None) -> dict[str, Any]:
    totals, whole = analysis.totals, analysis.duration
    waited = analysis.threads["waited"].to_pylist()
    longest = max(waited, default=0)
    worst = analysis.findings[0] if analysis.findings else None
    truncated = next(
        (diagnostic.detail for diagnostic in analysis.diagnostics if diagnostic.code == "truncated-input"), None
    )
    counts: dict[str, int | None] = {
        "size": place.size,
        "modified": place.modified,
        "events": totals.events,
        "threads": analysis.threads.num_rows,
        "duration": whole,
        "switches": totals.switches,
        "checks": totals.checks,
        "held": totals.held,
        "free_wanted": totals.free_wanted,
        "waited": sum(waited),
        "worst_waited": longest,
        "findings": len(analysis.findings),
        "bad_lines": analysis.bad_lines,
    }
    return {name: optional_integers([value]) for name, value in counts.items()} | {
        "checksum": strings([checksum]),
        "gil": words_as_categories(["new" if analysis.new_gil else "old"]),
        "workload": strings([analysis.metadata.get("workload")]),
        "lost": ratios([max(longest / whole, worst.cost if worst else 0.0) if whole else None]),
        "worst_finding": strings([worst.title if worst else None]),
        "truncated": strings([truncated]),
    }


def _causes(analysis: Analysis, groups: Mapping[str | None, str]) -> dict[str, Any]:
    summed: dict[tuple[str, str | None, str | None], list[Loss]] = {}
    for kind in ANALYZERS:
        for loss in _losses(analysis, kind):
            summed.setdefault((kind, groups.get(loss.thread), groups.get(loss.hog)), []).append(loss)
    costs, threads = [], []
    for losses in summed.values():
        lost: Counter[str | None] = Counter()
        for loss in losses:
            lost[loss.thread or loss.hog] += loss.lost
        costs.append(min(1.0, max(lost.values()) / analysis.duration) if analysis.duration else 0.0)
        threads.append(len(lost.keys() - {None}))
    return {
        "kind": words_as_categories([kind for kind, _, _ in summed]),
        "thread": words_as_categories([thread for _, thread, _ in summed]),
        "hog": words_as_categories([hog for _, _, hog in summed]),
        "threads": integers(np.array(threads, np.int64)),
        "count": integers(np.array([sum(loss.count for loss in losses) for losses in summed.values()], np.int64)),
        "lost": integers(np.array([sum(loss.lost for loss in losses) for losses in summed.values()], np.int64)),
        "cost": ratios(costs),
    }


def _waited(analysis: Analysis, groups: Mapping[str | None, str]) -> dict[str, Any]:
    duration: Counter[tuple[str | None, str, str | None]] = Counter()
    waits: Counter[tuple[str | None, str, str | None]] = Counter()
    for row in analysis.causes.to_pylist():
        key = groups.get(row["thread"]), row["cause"], groups.get(row["holder"])
        duration[key] += row["duration"]
        waits[key] += row["waits"]
    return {
        "group": words_as_categories([group for group, _, _ in duration]),
        "cause": words_as_categories([cause for _, cause, _ in duration]),
        "holder_group": words_as_categories([holder for _, _, holder in duration]),
        "duration": integers(np.array([*duration.values()], np.int64)),
        "share": ratios([lost / analysis.duration for lost in duration.values()]),
        "waits": integers(np.array([waits[key] for key in duration], np.int64)),
    }


def _lines(analysis: Analysis) -> dict[str, Any]:
    lines = analysis.lines.slice(0, LINES_KEPT)
    columns = dict(zip(lines.column_names, lines.columns, strict=True))
    return columns | {"share": ratios([lost / analysis.duration for lost in lines["duration"].to_pylist()])}


def _losses(analysis: Analysis, kind: str) -> Iterable[Loss]:
    """All of a kind that has a table; of another, whose losses other kinds may explain, those of the threads named."""
    if kind in COLLECTED:
        return analysis.losses(kind)
    named = {thread for finding in analysis.findings if finding.kind == kind for thread in finding.threads}
    return [loss for loss in analysis.losses(kind) if loss.thread in named] if named else []


def _findings(analysis: Analysis) -> dict[str, Any]:
    findings = analysis.findings
    return {
        "kind": words_as_categories([finding.kind for finding in findings]),
        "severity": words_as_categories([finding.severity for finding in findings]),
        "cost": ratios([finding.cost for finding in findings]),
        "title": strings([finding.title for finding in findings]),
        "explanation": words_as_categories([finding.explanation for finding in findings]),
        "advice": words_as_categories([finding.advice for finding in findings]),
        "start_seq": optional_integers([finding.start_seq for finding in findings]),
        "end_seq": optional_integers([finding.end_seq for finding in findings]),
    }


def _costliest(blame: pa.Table) -> pa.Table:
    """In the same order, but no more than `BLAME_KEPT` rows."""
    if blame.num_rows <= BLAME_KEPT:
        return blame
    durations = np.array(blame["duration"].to_pylist(), np.int64)
    kept = np.sort(np.argsort(-durations, kind="stable")[:BLAME_KEPT])
    return blame.take(integers(kept))


def _diagnostics(analysis: Analysis) -> dict[str, Any]:
    diagnostics = analysis.diagnostics
    return {
        "code": words_as_categories([one.code for one in diagnostics]),
        "severity": words_as_categories([one.severity for one in diagnostics]),
        "count": integers(np.array([one.count for one in diagnostics], np.int64)),
        "first_line": optional_integers([one.first_line for one in diagnostics]),
    }
