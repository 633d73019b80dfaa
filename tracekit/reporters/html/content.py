"""What a page says of a trace: plain values for JSON, in the words of the other reporters."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracekit.analyzers import ANALYZERS, COLLECTED
from tracekit.figures.content import CAUSES, CONTENTS, THREADS_SHOWN, Drawing, causes
from tracekit.model import schemas
from tracekit.model.rows import CAUSES as tried_causes
from tracekit.model.rows import Options
from tracekit.reporters.html import lines, payload, requests
from tracekit.reporters.matter import SHOWN, began, told, verdict
from tracekit.reporters.sentences import facts, healthy, locks_behind_the_gil, not_observed, not_running
from tracekit.timeline.causes import FROM_TABLE
from tracekit.words import count, duration, printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis
    from tracekit.comparison import Comparison

_SEQS = ("start_seq", "end_seq")
_CLOCKS = ("start_clock", "end_clock")
_THREADS = ("waiter", "thread", "rival", "hog")
"""The columns of a table of findings that name threads, those first who suffer."""
_FIRST = (*_THREADS, "name", "held", "waited", "duration")
"""The columns that stand first in a table."""


def content(analysis: Analysis) -> dict[str, Any]:
    """Everything that the page shows of this trace."""
    spans = {kind: _spans(analysis, kind) for kind in COLLECTED}
    places = lines.Places(analysis)
    return {
        "path": printable(analysis.path),
        "name": printable(Path(analysis.path).name),
        "shellPath": printable(shlex.quote(analysis.path)),
        "workload": printable(analysis.metadata.get("workload", "")),
        "facts": [printable(fact) for fact in facts(analysis)],
        "unit": analysis.unit,
        "duration": analysis.duration,
        "events": analysis.events,
        "firstClock": analysis.totals.first_clock or 0,
        "threads": _threads(analysis),
        "mostWaiting": max(
            (row["waiters"] for row in analysis.tables["waiting"].to_pylist() if row["duration"]), default=0
        ),
        "causes": _causes(analysis),
        "lines": lines.content(analysis, places),
        "requests": requests.content(analysis),
        "findings": _findings(analysis, spans),
        "healthy": None if analysis.findings else healthy(analysis),
        "kinds": {kind: {"label": analyzer.words, "colour": analyzer.colour} for kind, analyzer in ANALYZERS.items()},
        "found": {kind: total.count for kind, total in analysis.totals.found.items()},
        "bands": sorted((span for kind in spans for span in spans[kind]), key=lambda span: span["begin"]),
        "complete": _completeness(analysis),
        "thresholds": [[name, str(value)] for name, value in _thresholds(analysis.options)],
        "tables": _tables(analysis, spans),
        "figures": [
            {
                "name": name,
                "title": drawing.title,
                "about": _about(analysis, name),
                "text": drawing.tell(analysis),
                "content": _drawn(analysis, drawing),
            }
            for name, drawing in CONTENTS.items()
        ],
        "picture": payload.picture(analysis, places),
    }


def _causes(analysis: Analysis) -> dict[str, Any]:
    """Why the threads waited, each cause with its words; durations by thread and cause, and by cause and holder. tried:
    the causes in the order in which they are; cut: what is to be said of those of a part of the trace."""
    rows = causes(analysis)
    words = [{"name": cause, "label": label, "about": about} for cause, (label, about) in CAUSES.items()]
    tried = [list(CAUSES).index(cause) for cause in tried_causes]
    found = analysis.totals.found[FROM_TABLE]
    cut = None
    if found.kept < found.count:
        cut = (
            f"Of {found.count:,} {ANALYZERS[FROM_TABLE].words} the page has the {found.kept:,} costliest: waits in the "
            "others have the cause here that they would have without."
        )
    return {"words": words, "tried": tried, "threads": rows.threads, "holders": rows.holders, "cut": cut}


def _about(analysis: Analysis, name: str) -> str:
    threads, shown = analysis.threads.num_rows, THREADS_SHOWN
    cut = f" The {shown} busiest of {threads:,} threads." if threads > shown and name != "waiting" else ""
    return CONTENTS[name].about + cut


def _drawn(analysis: Analysis, drawing: Drawing) -> dict[str, Any] | None:
    """What the figure shows, or None where that is nothing."""
    shown = vars(drawing.content(analysis))
    return shown if all(shown.values()) else None


def _threads(analysis: Analysis) -> list[dict[str, Any]]:
    columns = {
        "id": "thread", "name": "name", "held": "held", "waited": "waited", "failedRetries": "failed_retries",
    }  # fmt: skip
    rows = [analysis.threads.column(name).to_pylist() for name in columns.values()]
    threads = [dict(zip(columns, row, strict=True)) for row in zip(*rows, strict=True)]
    return [
        thread
        | {
            "id": printable(thread["id"]),
            "name": thread["name"] and printable(thread["name"]),
            "label": analysis.names[thread["id"]],
        }
        for thread in threads
    ]


def _codes(analysis: Analysis) -> dict[str, int]:
    return {thread: code for code, thread in enumerate(analysis.threads.column("thread").to_pylist())}


def _spans(analysis: Analysis, kind: str) -> list[dict[str, Any]]:
    """Where the findings of a kind are, on both axes, in the order of their table."""
    table, codes = analysis.tables[kind], _codes(analysis)
    named = [name for name in _THREADS if name in table.column_names]
    rows = table.select([*_SEQS, *_CLOCKS, *named]).to_pylist()
    first = analysis.totals.first_clock or 0
    return [
        {
            "kind": kind,
            "begin": row["start_clock"] - first,
            "end": row["end_clock"] - first,
            "startSeq": row["start_seq"],
            "endSeq": row["end_seq"],
            "threads": [codes[row[name]] for name in named if row[name] is not None],
        }
        for row in rows
    ]


def _findings(analysis: Analysis, spans: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    codes = _codes(analysis)
    return [
        {
            "kind": finding.kind,
            "severity": finding.severity,
            "cost": finding.cost,
            "title": finding.title,
            "explanation": finding.explanation,
            "advice": finding.advice,
            "lines": list(finding.lines),
            "threads": [codes[thread] for thread in finding.threads],
            "span": next((span for span in spans.get(finding.kind, ()) if span["startSeq"] == finding.start_seq), None),
        }
        for finding in analysis.findings
    ]


def _completeness(analysis: Analysis) -> list[dict[str, str]]:
    """What is missing from the trace or from the page, and what is wrong with it, the worst first."""
    told = [
        {"severity": "info", "text": text}
        for text in map(printable, (not_observed(analysis), not_running(analysis), locks_behind_the_gil(analysis)))
        if text
    ]
    lost = analysis.metadata.get("lost", "0")
    if lost != "0":
        told.append({"severity": "error", "text": f"The recorder had to drop {printable(lost)} events."})
    for diagnostic in analysis.diagnostics:
        where = f", first at line {diagnostic.first_line:,}" if diagnostic.first_line else ""
        text = f"{diagnostic.count:,} × {diagnostic.code}{where}: {diagnostic.meaning}."
        told.append({"severity": diagnostic.severity, "text": printable(text)})
    picture = analysis.picture
    if not picture.whole:
        bins = f"a share for every {duration(picture.width, analysis.unit)}"
        around = f"single holds and waits in {count(len(picture.windows), 'stretch', 'stretches')} around the findings"
        told.append(
            {"severity": "info", "text": f"The trace is too large to carry whole: the page has {bins}, and {around}."}
        )
    for kind, all_found in analysis.totals.found.items():
        if all_found.kept < all_found.count:
            which = f"{all_found.kept:,} costliest of {all_found.count:,} {ANALYZERS[kind].words}"
            text = f"The {which} are listed; the sentences count all."
            told.append({"severity": "info", "text": text})
    if not analysis.totals.exact:
        told.append({"severity": "info", "text": "Quantiles are rounded down to 8 significant bits."})
    return told


def _thresholds(options: Options) -> list[tuple[str, Any]]:
    values = {name: value for name, value in vars(options).items() if name not in ("worst", "distinct_values")}
    return [(name, duration(value, "ns") if name == "long_hold" else f"{value:g}") for name, value in values.items()]


def _tables(analysis: Analysis, spans: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    tables = []
    for kind in COLLECTED:
        if spans[kind]:
            hidden = (*_CLOCKS, *_SEQS)
            table = _table(analysis, kind, ANALYZERS[kind].label, hidden, "start_seq")
            places = [[span["begin"], span["startSeq"], span["endSeq"]] for span in spans[kind]]
            table["columns"] += [
                {"name": "start", "unit": "moment"},
                {"name": "first event", "unit": "seq"},
                {"name": "last event", "unit": "seq"},
            ]
            table["rows"] = [row + place for row, place in zip(table["rows"], places, strict=True)]
            table["spans"] = spans[kind]
            tables.append(table)
    tables.append(_table(analysis, "threads", "Threads", ("first_seq",), "thread"))
    tables.append(_diagnostics(analysis))
    return tables


def _table(analysis: Analysis, name: str, title: str, hidden: tuple[str, ...], key: str) -> dict[str, Any]:
    """A table of the analysis without its hidden columns. `keys` tell its rows apart in a query."""
    table, schema = analysis.tables[name], schemas.load(name)
    empty = {column for column in table.column_names if table.num_rows and table[column].null_count == table.num_rows}
    shown = [column for column in schema.columns if column.name not in hidden and column.name not in empty]
    shown.sort(key=lambda column: column.name not in _FIRST)
    codes = _codes(analysis)
    values = []
    for column in shown:
        cells = table.column(column.name).to_pylist()
        if column.name in _THREADS and column.type == "category":
            cells = [None if cell is None else codes[cell] for cell in cells]
        values.append([printable(cell) if isinstance(cell, str) else cell for cell in cells])
    return {
        "name": name,
        "title": title,
        "about": schema.description,
        "columns": [
            {
                "name": column.name,
                "unit": "thread"
                if column.name in _THREADS and column.type == "category"
                else column.unit or column.type,
                "about": column.description,
            }
            for column in shown
        ],
        "rows": [list(row) for row in zip(*values, strict=True)],
        "key": key,
        "keys": [printable(cell) if isinstance(cell, str) else cell for cell in table.column(key).to_pylist()],
        "pandas": printable(f'tracekit.analyze({analysis.path!r}).to_pandas("{name}")'),
    }


def _diagnostics(analysis: Analysis) -> dict[str, Any]:
    columns = (
        ("severity", "string"),
        ("code", "string"),
        ("count", "count"),
        ("first line", "count"),
        ("meaning", "string"),
    )
    return {
        "name": "diagnostics",
        "title": "Diagnostics",
        "about": "What is wrong with the trace, counted by code and severity.",
        "columns": [{"name": name, "unit": unit} for name, unit in columns],
        "rows": [[d.severity, d.code, d.count, d.first_line, printable(d.meaning)] for d in analysis.diagnostics],
        "key": "code",
        "keys": [d.code for d in analysis.diagnostics],
        "pandas": printable(f'tracekit.read({analysis.path!r}).to_pandas("diagnostics")'),
    }


def comparison_content(comparison: Comparison) -> dict[str, Any]:
    now = {finding.title for finding in comparison.after.findings}
    return {
        "metrics": [
            {"name": m.name, "unit": m.unit, "before": m.before, "after": m.after, "change": m.change}
            for m in comparison.metrics
        ],
        "findings": [
            {
                "what": change.what,
                "kind": change.kind,
                "before": change.cost_before,
                "after": change.cost_after,
                "title": change.title,
                "quoted": None if change.what in ("new", "gone") or change.title in now else "in A",
            }
            for change in comparison.findings
        ],
        "lines": [[printable(line.where), line.before, line.after] for line in comparison.lines],
    }


def processes_content(ranked: Sequence[Analysis]) -> dict[str, Any]:
    """rows: of each process pid, the one it is of, duration, threads, cost, command, finding.

    offsets: when the clock of each was 0, counted from the first; None where a trace does not tell.
    """
    begins = [began(analysis) for analysis in ranked[:SHOWN]]
    known = [begin for begin in begins if begin is not None]
    told_of = [told(analysis) for analysis in ranked[:SHOWN]]
    return {
        "verdict": verdict(ranked),
        "rows": [
            [each.pid, each.of, analysis.duration, analysis.threads.num_rows, each.cost, each.command, each.finding]
            for each, analysis in zip(told_of, ranked, strict=False)
        ],
        "hidden": len(ranked) - len(told_of),
        "offsets": [begin - min(known) for begin in known] if len(known) == len(begins) else None,
    }
