"""The analysis as JSON, for programs: docs/json.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tracekit.analysis import Analysis
from tracekit.analyzers import KINDS

SCHEMA = "tracekit.analysis/1"
_THREAD_COLUMNS = (
    "thread", "name", "entries", "acquires", "releases", "contended_waits", "failed_retries", "lost_rounds",
    "check_releases", "blocking_releases", "held", "waited",
)  # fmt: skip
_TABLES = (
    "battles", "convoys", "frozen_signals", "long_holds", "distributions", "utilisation", "waiting", "handoffs",
    "fairness",
)  # fmt: skip


def as_dict(analysis: Analysis) -> dict[str, Any]:
    """One trace's object."""
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
        },
        "threads": analysis.threads.select(_THREAD_COLUMNS).to_pylist(),
        "blame": analysis.blame.to_pylist(),
        **{table: analysis.tables[table].to_pylist() for table in _TABLES},
        "found": {kind: dict(zip(("count", "cost"), analysis.found(kind), strict=True)) for kind in KINDS},
        "diagnostics": [
            {"code": d.code, "severity": d.severity, "count": d.count, "first_line": d.first_line}
            for d in analysis.diagnostics
        ],
        "findings": [vars(finding) for finding in analysis.findings],
    }


def render(analyses: Sequence[Analysis], as_list: bool) -> str:
    """JSON text: an object, or a list of them."""
    found = [as_dict(analysis) for analysis in analyses]
    return json.dumps(found if as_list else found[0], indent=2, allow_nan=False) + "\n"
