"""What is wrong with a trace, counted by code and severity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tracekit.errors import NoEventsError
from tracekit.model import schemas
from tracekit.model.arrays import optional_integers, strings, words_as_categories
from tracekit.model.rows import FAULT_CODES, SEVERITIES, Faults, Rows, Totals
from tracekit.model.stream import IGNORED_CODES, SENTENCES, BadLine, BadLines, EventStream, Ignored

MEANINGS = {
    **SENTENCES,
    "entry-while-holding": "a thread that holds the GIL asks for it",
    "entry-while-waiting": "a thread that waits asks again; its first wait is dropped",
    "missing-entry": "a thread waits for or gets the GIL without having asked for it",
    "overlapping-hold": "a thread gets the GIL while another one still holds it",
    "release-without-acquire": "a thread releases the GIL without holding it",
    "truncated-input": "the input ends too early; what came before is analysed",
    "bad-attribute": "a value is not of the form that its key has, and is ignored",
    "bad-definition": "a definition cannot be read, is a second one, or uses what is not defined above; it is ignored",
    "too-many-definitions": "there are more definitions than are kept; what uses the others is unknown",
    "too-much-metadata": "there is more metadata than is kept; the rest is dropped",
    "no-clock": "no row tells a time, or ticks and checks; all durations are 0",
}
"""A sentence for each code, without its capital letter and full stop."""
_AT_THE_START = "expected: the trace starts in mid-execution"


@dataclass(frozen=True)
class Diagnostic:
    """`first_line` is None where no line is meant. `detail` says more, where there is more to say."""

    code: str
    severity: str
    count: int
    first_line: int | None
    detail: str | None = None

    @property
    def meaning(self) -> str:
        """A sentence without its capital letter and full stop."""
        meaning = MEANINGS[self.code]
        if self.severity == "info" and self.code in FAULT_CODES:
            meaning = f"{meaning}: {_AT_THE_START}"
        return f"{meaning} ({self.detail})" if self.detail else meaning


def summarise(
    bad: BadLines, ignored: Ignored, truncated: str | None, totals: Totals, line_of: Callable[[Faults], int | None]
) -> tuple[Diagnostic, ...]:
    """Errors first, then in the order of their first lines. `line_of`: where a fault came first."""
    diagnostics = [Diagnostic(code, "error", bad.counts[code], bad.first[code]) for code in bad.counts]
    diagnostics += [Diagnostic(faults.code, faults.severity, faults.count, line_of(faults)) for faults in totals.faults]
    diagnostics += [Diagnostic(code, "info", count, ignored.first.get(code)) for code, count in ignored.counts.items()]
    if truncated:
        diagnostics.append(Diagnostic("truncated-input", "error", 1, None, truncated))
    if totals.first_clock is None:
        diagnostics.append(Diagnostic("no-clock", "info", 1, None))
    return tuple(sorted(diagnostics, key=lambda d: (d.severity != "error", d.first_line or 2**62)))


def diagnostics_table(
    bad: Sequence[BadLine],
    faults: Rows,
    line_of: Callable[[int], int | None],
    threads: Sequence[str],
    summary: Sequence[Diagnostic],
    unit: str,
) -> pa.Table:
    """The table `diagnostics`: bad lines and faulty events in the order of their lines, then what concerns all, or is
    ignored: of that the first line of each code.

    faults: rows of `rows.FAULT_ROW`. line_of: from a seq to its line. summary: of the trace; may hold more.
    """
    seqs = faults["seq"].tolist()
    fault_lines = [line_of(seq) for seq in seqs]
    whole = [d for d in summary if d.code in ("no-clock", "truncated-input", *IGNORED_CODES)]
    places = [bad_line.line for bad_line in bad] + [line or seq for line, seq in zip(fault_lines, seqs, strict=True)]
    order = np.argsort(places, kind="stable")

    def column(of_bad: list[Any], of_fault: list[Any], of_whole: list[Any]) -> list[Any]:
        both = of_bad + of_fault
        return [both[place] for place in order] + of_whole

    none_bad, none_fault, none_whole = [None] * len(bad), [None] * len(faults), [None] * len(whole)
    counted = [f"{d.count:,} in all" if d.count > 1 else None for d in whole]
    fault_codes = [FAULT_CODES[code] for code in faults["code"]]
    fault_severities = [SEVERITIES[error] for error in faults["error"]]
    names = [threads[thread] for thread in faults["thread"]]
    severities = column(["error"] * len(bad), fault_severities, [d.severity for d in whole])
    return schemas.table(
        "diagnostics",
        unit,
        {
            "code": words_as_categories(column([b.code for b in bad], fault_codes, [d.code for d in whole])),
            "severity": words_as_categories(severities),
            "line": optional_integers(column([b.line for b in bad], fault_lines, [d.first_line for d in whole])),
            "seq": optional_integers(column(none_bad, seqs, none_whole)),
            "thread": words_as_categories(column(none_bad, names, none_whole)),
            "text": strings(column([b.text for b in bad], none_fault, counted)),
        },
    )


def require_events(stream: EventStream, events: int) -> None:
    """Raises NoEventsError if the whole trace has no event, naming what it has instead."""
    if events:
        return
    bad = stream.bad_lines
    if bad.total:
        first = min(bad.lines, key=lambda line: line.line)
        what = f"none of its {bad.total:,} lines is an event; line {first.line}: {SENTENCES[first.code]}"
        if stream.truncated:
            what += f"; {stream.truncated}"
    elif stream.truncated:
        what = f"{stream.truncated}, and nothing in it could be read"
    else:
        what = "it has only blank lines and comments"
    raise NoEventsError(
        f"{stream.path}: {what}.",
        "A trace has lines like `t2 100 5392 ENTRY`; docs/format.md describes them.",
    )
