"""The analysis as JSON, for programs: docs/json.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from tracekit.analyzers import COLLECTED, KINDS
from tracekit.reporters import requests

if TYPE_CHECKING:
    from tracekit.analysis import Analysis
    from tracekit.comparison import Comparison
    from tracekit.names import Kind

SCHEMA = "tracekit.analysis/1"
LINES = 100
"""Of the table, the costliest."""
COMPARISON_SCHEMA = "tracekit.comparison/1"
_THREAD_COLUMNS = (
    "thread", "name", "entries", "acquires", "releases", "contended_waits", "failed_retries", "lost_rounds",
    "check_releases", "blocking_releases", "held", "waited",
)  # fmt: skip
_TABLES = ("distributions", "utilisation", "waiting", "handoffs", "fairness")


def as_dict(analysis: Analysis, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    """One trace's object; rows and findings of these kinds only."""
    totals = analysis.totals
    return {
        "schema": SCHEMA,
        "trace": {
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
        "threads": analysis.threads.select(_THREAD_COLUMNS).to_pylist(),
        "blame": analysis.blame.to_pylist(),
        "causes": analysis.causes.to_pylist(),
        "lines": analysis.lines.slice(0, LINES).to_pylist(),
        "lines_known": analysis.lines_known,
        "locks": analysis.locks.slice(0, LINES).to_pylist(),
        "regions": [named.as_dict() for named in requests.by_name(analysis)[:LINES]],
        "requests": [request.as_dict() for request in requests.slowest(analysis)],
        "requests_left_out": analysis.totals.regions_dropped,
        **{kind: analysis.tables[kind].to_pylist() if kind in kinds else [] for kind in COLLECTED},
        **{table: analysis.tables[table].to_pylist() for table in _TABLES},
        "found": {kind: _found(analysis, kind) for kind in KINDS},
        "diagnostics": [
            {"code": d.code, "severity": d.severity, "count": d.count, "first_line": d.first_line}
            for d in analysis.diagnostics
        ],
        "findings": [vars(finding) for finding in analysis.findings if finding.kind in kinds],
    }


def _found(analysis: Analysis, kind: str) -> dict[str, float | None]:
    number, cost = analysis.found(cast("Kind", kind)) if analysis.observed(kind) else (None, None)
    return {"count": number, "cost": cost}


def render(analyses: Sequence[Analysis], kinds: Sequence[str] = KINDS, as_list: bool = False) -> str:
    """JSON text: an object, or a list of them. kinds: only findings of these."""
    dicts = [as_dict(analysis, kinds) for analysis in analyses]
    return _text(dicts if as_list else dicts[0])


def render_comparison(comparison: Comparison) -> str:
    """JSON text: docs/json.md."""
    return _text(
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
        }
    )


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"
