"""A what-if as text, in words first, and as JSON (docs/json.md)."""

from __future__ import annotations

import json
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tracekit.reporters.predictions import THREADS_SHOWN, condition, share_waited, size, told_of
from tracekit.whatif import WhatIf
from tracekit.whatif.prediction import Prediction
from tracekit.words import count, duration, printable

SCHEMA = "tracekit.whatif/1"
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
    text = Text(f"{condition(scenario.change)}: ", style="bold")
    if scenario.confidence != "refused":
        text.append(f"{printable(told_of(scenario))} Confidence: ", style="none")
    text.append(scenario.confidence, style=_STYLES[scenario.confidence])
    text.append("." if scenario.reason is None else f": {printable(scenario.reason)}", style="none")
    return text


def _table(scenario: Prediction) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("thread")
    for column in ("takes", "now", "waits", "now", "median wait", "now", "90th percentile", "now"):
        table.add_column(column, justify="right")
    shown = sorted(scenario.threads, key=size, reverse=True)[:THREADS_SHOWN]
    for row in shown:
        label = row.thread if row.name in (None, row.thread) else f"{row.name} ({row.thread})"
        cells = [
            text
            for told in (
                lambda outcome: duration(outcome.duration, "ns"),
                share_waited,
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
