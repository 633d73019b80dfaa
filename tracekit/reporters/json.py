"""The analysis as JSON, for programs: docs/json.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from tracekit.analyzers import COLLECTED, KINDS
from tracekit.reporters import requests

if TYPE_CHECKING:
    from tracekit.analysis import Analysis
    from tracekit.comparison import Comparison
    from tracekit.names import Kind

SCHEMA = "tracekit.analysis/1"
LINES = 100
"""Of the table, the costliest."""
ROWS_AT_ONCE = 4096
COMPARISON_SCHEMA = "tracekit.comparison/1"
_THREAD_COLUMNS = (
    "thread", "name", "entries", "acquires", "releases", "contended_waits", "failed_retries", "lost_rounds",
    "check_releases", "blocking_releases", "held", "waited",
)  # fmt: skip
_TABLES = ("distributions", "utilisation", "waiting", "handoffs", "fairness")


def as_dict(analysis: Analysis, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    """One trace's object; rows and findings of these kinds only."""
    return {
        key: value.to_pylist() if isinstance(value, pa.Table) else value for key, value in _entries(analysis, kinds)
    }


def _entries(analysis: Analysis, kinds: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Keys and values; a list of rows is still a table."""
    totals = analysis.totals
    yield "schema", SCHEMA
    yield (
        "trace",
        {
            "path": analysis.path,
            "events": analysis.events,
            "counts": analysis.counts,
            "unit": analysis.unit,
            "duration": analysis.duration,
            "switches": totals.switches,
            "checks": totals.checks,
            "badness": analysis.badness,
            "bad_lines": analysis.bad_lines,
            "metadata": analysis.metadata,
            "unobserved": sorted(analysis.unobserved),
        },
    )
    yield "threads", analysis.threads.select(_THREAD_COLUMNS)
    yield "blame", analysis.blame
    yield "causes", analysis.causes
    yield "lines", analysis.lines.slice(0, LINES)
    yield "lines_known", None if analysis.lines_known is None else round(analysis.lines_known, 9)
    yield "locks", analysis.locks.slice(0, LINES)
    yield "regions", [named.as_dict() for named in requests.by_name(analysis)[:LINES]]
    yield "requests", [request.as_dict() for request in requests.slowest(analysis)]
    yield "requests_left_out", analysis.totals.regions_dropped
    for kind in COLLECTED:
        yield kind, analysis.tables[kind] if kind in kinds else []
    for table in _TABLES:
        yield table, analysis.tables[table]
    yield "found", {kind: _found(analysis, kind) for kind in KINDS}
    yield (
        "diagnostics",
        [
            {"code": d.code, "severity": d.severity, "count": d.count, "first_line": d.first_line}
            for d in analysis.diagnostics
        ],
    )
    yield "findings", [vars(finding) for finding in analysis.findings if finding.kind in kinds]


def _found(analysis: Analysis, kind: str) -> dict[str, float | None]:
    number, cost = analysis.found(cast("Kind", kind)) if analysis.observed(kind) else (None, None)
    return {"count": number, "cost": cost}


def render(analyses: Sequence[Analysis], kinds: Sequence[str] = KINDS, as_list: bool = False) -> str:
    """JSON text: an object, or a list of them. kinds: only findings of these."""
    return "".join(pieces(analyses, kinds, as_list))


def pieces(analyses: Sequence[Analysis], kinds: Sequence[str] = KINDS, as_list: bool = False) -> Iterator[str]:
    """The same piece by piece: with many threads it is much larger than the tables that it is made of."""
    if not as_list:
        yield from _object(analyses[0], kinds, "")
    for place, analysis in enumerate(analyses if as_list else ()):
        yield ",\n  " if place else "[\n  "
        yield from _object(analysis, kinds, "  ")
    yield "\n]\n" if as_list else "\n"


def _object(analysis: Analysis, kinds: Sequence[str], margin: str) -> Iterator[str]:
    separator = "{"
    for key, value in _entries(analysis, kinds):
        yield f"{separator}\n{margin}  {json.dumps(key)}: "
        yield from _rows(value, f"{margin}  ") if isinstance(value, pa.Table) else [_value(value, f"{margin}  ")]
        separator = ","
    yield f"\n{margin}}}"


def _rows(table: pa.Table, margin: str) -> Iterator[str]:
    separator = "["
    for first in range(0, table.num_rows, ROWS_AT_ONCE):
        rows = table.slice(first, ROWS_AT_ONCE).to_pylist()
        yield separator + _value(rows, margin).removeprefix("[").removesuffix(f"\n{margin}]")
        separator = ","
    yield f"\n{margin}]" if table.num_rows else "[]"


def _value(value: Any, margin: str) -> str:
    return json.dumps(value, indent=2, allow_nan=False).replace("\n", f"\n{margin}")  # text has its own as \\n


def render_comparison(comparison: Comparison) -> str:
    """JSON text: docs/json.md."""
    return (
        _value(
            {
                "schema": COMPARISON_SCHEMA,
                "before": comparison.before.path,
                "after": comparison.after.path,
                "metrics": [vars(metric) | {"change": metric.change} for metric in comparison.metrics],
                "findings": [
                    {
                        "change": change.what,
                        "kind": change.kind,
                        "threads": change.threads,
                        "cost_before": change.cost_before,
                        "cost_after": change.cost_after,
                        "title": change.title,
                    }
                    for change in comparison.findings
                ],
                "lines": [vars(line) for line in comparison.lines],
                "regression": comparison.regression,
                "meaningless": comparison.meaningless,
            },
            "",
        )
        + "\n"
    )
