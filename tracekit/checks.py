"""`check`: a trace as a test's assertion."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from tracekit.analysis import Analysis, analyze
from tracekit.analyzers import ANALYZERS
from tracekit.trace import Trace
from tracekit.words import percent

if TYPE_CHECKING:
    from tracekit.names import Kind, Thresholds


class CheckFailed(AssertionError):
    """A trace exceeds the limits of a test; the message says what was found."""


def check(
    trace: Analysis | Trace | str | os.PathLike[str],
    *,
    max_wait_share: float | None = None,
    no: Sequence[Kind] = (),
    **thresholds: Unpack[Thresholds],
) -> None:
    """Passes if the trace stays within these limits, else raises CheckFailed.

    max_wait_share: no thread waits for more than this share (0 to 1) of the trace's duration. no: kinds of findings
    that must not occur. thresholds: those of `analyze`, for a trace that has not been analyzed yet.
    Raises CheckFailed, with the findings' sentences; what `analyze` raises.
    """
    __tracebackhide__ = True  # pytest then shows the test's own line
    analysis = trace if isinstance(trace, Analysis) else analyze(trace, **thresholds)
    wrong = []
    for kind in no:
        number, cost = analysis.found(kind)
        if number:
            titles = [
                sentence
                for finding in analysis.findings
                if finding.kind == kind
                for sentence in (finding.title, *finding.lines)
            ]
            told = f"{number:,} {ANALYZERS[kind].words}, {percent(cost)} of the trace. {' '.join(titles)}"
            wrong.append(told.strip())
    if max_wait_share is not None:
        for row in analysis.threads.to_pylist():
            if row["waited"] > max_wait_share * analysis.duration:
                share = percent(row["waited"] / analysis.duration)
                limit = percent(max_wait_share)
                wrong.append(f"{analysis.names[row['thread']]} waited {share} of the trace, more than {limit}.")
                wrong += analysis.places.of(waiters=[row["thread"]]).sentences
    if wrong:
        raise CheckFailed("\n".join([f"{analysis.path}: the GIL trace is not as it should be.", *wrong]))
