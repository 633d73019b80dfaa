"""A what-if as text, in words first, and as JSON (docs/json.md)."""

from __future__ import annotations

import json
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tracekit.whatif import WhatIf
from tracekit.whatif.prediction import Outcome, Prediction, ThreadPrediction
from tracekit.whatif.scenarios import Change, Cores, Interval, Move, Split, Together, milliseconds
from tracekit.words import count, duration, printable

SCHEMA = "tracekit.whatif/1"
THREADS_TOLD = 3
"""In words; the table has more."""
THREADS_SHOWN = 20
SAME = 0.02
"""A change of a duration, or of a share waited, that is not worth a word."""
_STYLES = {"good": "bold green", "rough": "bold yellow", "refused": "bold red"}


def render(predicted: WhatIf) -> RenderableType:
    """What rich prints: for each scenario its sentences, then a table of its threads."""
    parts: list[RenderableType] = [Text(printable(predicted.path), style="bold"), Text(_replayed(predicted))]
    for scenario in predicted.scenarios if predicted.gate.passed else ():
        parts += [Text(), _sentences(scenario)]
        if scenario.threads:
            parts.append(Padding(_table(scenario), (0, 0, 0, 2)))
    if predicted.pool is not None:
        parts += [Text(), Text(predicted.pool.sentence)]
    return Group(*parts)


def as_json(predicted: WhatIf) -> str:
    gate = predicted.gate
    told: dict[str, Any] = {
        "schema": SCHEMA,
        "trace": predicted.path,
        "replay": {
            "passed": gate.passed,
            "duration_error": gate.duration_error,
            "waited_error": gate.waited_error,
            "reason": gate.reason,
        },
        "scenarios": [
            {
                "name": scenario.change.name,
                "change": scenario.change.change,
                "confidence": scenario.confidence,
                "reason": scenario.reason,
                "threads": [
                    {"thread": t.thread, "name": t.name, **vars(t.after), "before": vars(t.before)}
                    for t in scenario.threads
                ],
            }
            for scenario in predicted.scenarios
        ],
        "pool": None if predicted.pool is None else vars(predicted.pool),
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _replayed(predicted: WhatIf) -> str:
    gate = predicted.gate
    if not gate.passed:
        return f"Nothing is predicted. {gate.reason}"
    return (
        f"Replayed unchanged, each thread that matters takes the time it took within {gate.duration_error:.1%}; so what"
        " follows can be told."
    )


def _sentences(scenario: Prediction) -> Text:
    text = Text(f"{_condition(scenario.change)}: ", style="bold")
    if scenario.confidence != "refused":
        text.append(printable(_told(scenario)), style="none")
    text.append(scenario.confidence, style=_STYLES[scenario.confidence])
    text.append("." if scenario.reason is None else f": {printable(scenario.reason)}", style="none")
    return text


def _condition(change: Change) -> str:
    if isinstance(change, Interval):
        return f"With a switch interval of {milliseconds(change.ns)} ms"
    if isinstance(change, Move):
        return f"With {printable(change.thread)} in a process of its own"
    if isinstance(change, Together):
        return f"{_condition(change.interval)} and {printable(change.move.thread)} in a process of its own"
    if isinstance(change, Split):
        return f"With the C calls of {printable(change.thread)} in ten parts"
    if isinstance(change, Cores):
        return f"On {count(change.cores, 'core')}"
    slower = f", each thread {change.slowdown:g} times as slow" if change.slowdown != 1 else ""
    return f"Without the GIL{slower}"


def _told(scenario: Prediction) -> str:
    changed = [thread for thread in scenario.threads if _size(thread) > SAME]
    changed.sort(key=_size, reverse=True)
    clauses = [_clause(thread) for thread in changed[:THREADS_TOLD]]
    rest = len(scenario.threads) - len(clauses)
    if not clauses:
        return "every thread would wait and finish as before. Confidence: "
    if rest:
        less = "the others less changed" if len(changed) > THREADS_TOLD else "the others as before"
        clauses.append(less if rest > 1 else less.replace("others", "other"))
    return f"{'; '.join(clauses)}. Confidence: "


def _clause(thread: ThreadPrediction) -> str:
    after, before = thread.after, thread.before
    name = thread.name or thread.thread
    waits = f"{name} would wait {_share(after)} of its time instead of {_share(before)}"
    change = after.duration / max(1, before.duration) - 1
    if abs(change) <= SAME:
        return f"{waits}, and be done as before"
    return f"{waits}, and be done in {duration(after.duration, 'ns')} instead of {duration(before.duration, 'ns')}"


def _size(thread: ThreadPrediction) -> float:
    """How much a thread's life changes."""
    shares = [outcome.waited / max(1, outcome.duration) for outcome in (thread.after, thread.before)]
    durations = max(1, thread.after.duration) / max(1, thread.before.duration)
    return max(abs(shares[0] - shares[1]), abs(durations - 1), abs(1 / durations - 1))


def _share(outcome: Outcome) -> str:
    return f"{100 * outcome.waited / max(1, outcome.duration):.1f} %"


def _table(scenario: Prediction) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("thread")
    for column in ("takes", "now", "waits", "now", "median wait", "now", "90th percentile", "now"):
        table.add_column(column, justify="right")
    shown = sorted(scenario.threads, key=_size, reverse=True)[:THREADS_SHOWN]
    for row in shown:
        label = row.thread if row.name in (None, row.thread) else f"{row.thread} ({row.name})"
        cells = [
            text
            for told in (
                lambda outcome: duration(outcome.duration, "ns"),
                _share,
                lambda outcome: _optional(outcome.wait_p50),
                lambda outcome: _optional(outcome.wait_p90),
            )
            for text in (told(row.after), told(row.before))
        ]
        table.add_row(printable(label), *cells)
    more = len(scenario.threads) - len(shown)
    return Group(table, Text(f"and {count(more, 'thread')} more")) if more > 0 else table


def _optional(ns: int | None) -> str:
    return "-" if ns is None else duration(ns, "ns")
