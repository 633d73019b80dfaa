"""`compare`: two traces of the same program, before and after a change."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack, cast

from tracekit.analysis import Analysis, analyze
from tracekit.analyzers import ANALYZERS, COLLECTED
from tracekit.analyzers.finding import NAMED, Finding
from tracekit.model.rows import CAUSES
from tracekit.trace import Trace

if TYPE_CHECKING:
    from tracekit.names import Kind, Thresholds

LINES = 20
"""Of those at which the GIL was held: the costliest in either trace."""
SAME = 0.01
"""Findings whose cost differs by no more than this share of the trace are neither better nor worse."""


@dataclass(frozen=True)
class Metric:
    """A number of both traces; None where one does not have it.

    unit: `share` of the trace's duration (which compares although the traces are not equally long), `count`, `ratio`,
    `ns` or `ticks` (`clock` where the traces differ in that).
    """

    name: str
    unit: str
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        """after - before; None if the two have different units."""
        if self.before is None or self.after is None or self.unit == "clock":
            return None
        return self.after - self.before


@dataclass(frozen=True)
class LineChange:
    """What was waited, by all threads, while the GIL was held at this line of the user's own code or in what it called:
    shares of the trace's duration. A line of a library where the stack has none of the user's."""

    function: str
    file: str
    line: int
    before: float
    after: float

    @property
    def where(self) -> str:
        """`handler.py:42 (handle)`"""
        return f"{posixpath.basename(self.file)}:{self.line} ({self.function})"


@dataclass(frozen=True)
class Change:
    """What became of a finding: gone, new, better, worse, same. Costs are shares of the trace's duration."""

    what: str
    kind: str
    threads: tuple[str, ...]
    cost_before: float
    cost_after: float
    title: str


@dataclass(frozen=True)
class Comparison:
    before: Analysis
    after: Analysis
    metrics: tuple[Metric, ...]
    findings: tuple[Change, ...]
    lines: tuple[LineChange, ...] = ()

    @property
    def meaningless(self) -> str | None:
        """Why the numbers of the two say nothing about each other, if they do not."""
        if self.before.unit == self.after.unit:
            return None
        ticks, timed = (self.before, self.after) if self.before.unit == "ticks" else (self.after, self.before)
        return (
            f"{ticks.path} counts ticks (bytecodes), {timed.path} nanoseconds: a share of the one is no share of the "
            "other. Compare traces that both have times, or neither."
        )

    @property
    def regression(self) -> float:
        """By how much the worst finding, or the share of waiting of the worst thread, rose; 0 if none did."""
        rises = [change.cost_after - change.cost_before for change in self.findings]
        rises += [metric.change or 0.0 for metric in self.metrics if metric.name == "waited by the worst thread"]
        return max(0.0, *rises)


Comparable = Analysis | Trace | str | os.PathLike[str]


def compare(before: Comparable, after: Comparable, **thresholds: Unpack[Thresholds]) -> Comparison:
    """Compares two analyses. Threads are the same where their names or, without names, their ids are.

    before, after: analyses, or what `analyze` takes; thresholds are for those. Raises what `analyze` raises.
    """
    before, after = (one if isinstance(one, Analysis) else analyze(one, **thresholds) for one in (before, after))
    old, new = _metrics(before), _metrics(after)
    units = {"clock": before.unit if before.unit == after.unit else "clock"}
    metrics = tuple(Metric(name, units.get(unit, unit), old[name, unit], new[name, unit]) for name, unit in old)
    return Comparison(before, after, metrics, _changes(before, after), _lines(before, after))


def _metrics(analysis: Analysis) -> dict[tuple[str, str], float | None]:
    whole = analysis.duration
    threads = analysis.threads.to_pylist()
    used = {row["state"]: row["duration"] for row in analysis.utilisation.to_pylist()}
    waits = [row for row in analysis.distributions.to_pylist() if row["kind"] == "contended_wait"]

    def share(part: int) -> float | None:
        return part / whole if whole else None

    return {
        ("duration", "clock"): whole,
        ("GIL held", "share"): share(used["held"]),
        ("GIL free while wanted", "share"): share(used["free_wanted"]),
        ("waited by the worst thread", "share"): share(max((row["waited"] for row in threads), default=0)),
        ("threads waiting on average", "ratio"): share(sum(row["waited"] for row in threads)),
        **{
            (f"waited: {cause.replace('_', ' ')}", "share"): share(lost)
            for cause, lost in _lost_by_cause(analysis).items()
        },
        ("longest contended wait", "clock"): max((row["max"] for row in waits), default=0),
        ("switches", "count"): analysis.totals.switches,
        ("failed retries", "count"): analysis.counts["RETRY"],
        ("badness", "ratio"): analysis.badness,
        ("fairness", "ratio"): analysis.fairness.column("jain")[0].as_py(),
        **{
            (ANALYZERS[kind].words, "count"): analysis.found(cast("Kind", kind))[0] if analysis.observed(kind) else None
            for kind in COLLECTED
        },
    }


def _lost_by_cause(analysis: Analysis) -> dict[str, int]:
    """By all threads together."""
    lost = dict.fromkeys(CAUSES, 0)
    for cause, duration in zip(
        *(analysis.causes.column(name).to_pylist() for name in ("cause", "duration")), strict=True
    ):
        lost[cause] += duration
    return lost


def _lines(before: Analysis, after: Analysis) -> tuple[LineChange, ...]:
    """The costliest first; none where one of the two tells no lines."""
    old, new = _lost_by_line(before), _lost_by_line(after)
    if not old or not new:
        return ()
    changes = [LineChange(*line, old.get(line, 0.0), new.get(line, 0.0)) for line in dict.fromkeys((*old, *new))]
    changes = [change for change in changes if max(change.before, change.after) >= NAMED]
    return tuple(sorted(changes, key=lambda change: -max(change.before, change.after))[:LINES])


def _lost_by_line(analysis: Analysis) -> dict[tuple[str, str, int], float]:
    lost = analysis.places.by_own_line() if analysis.duration else {}
    return {(at.function, at.file, at.line): spent / analysis.duration for at, spent in lost.items()}


def _changes(before: Analysis, after: Analysis) -> tuple[Change, ...]:
    old, new = _costs(before), _costs(after)
    old_titles, new_titles = _titles(before), _titles(after)
    changes = []
    for subject in dict.fromkeys((*new, *old)):
        was, now = old.get(subject, 0.0), new.get(subject, 0.0)
        title = new_titles.get(subject) or old_titles.get(subject)
        if title is None:
            continue  # named in neither
        if not was or not now:
            what = "new" if now else "gone"
        elif abs(now - was) <= SAME:
            what = "same"
        else:
            what = "worse" if now > was else "better"
        changes.append(Change(what, subject[0], title.threads, was, now, title.title))
    order = ("new", "worse", "same", "better", "gone")
    return tuple(sorted(changes, key=lambda change: order.index(change.what)))


def _costs(analysis: Analysis) -> dict[tuple[str, str], float]:
    """What each kind and subject costs the thread that it costs most, worth naming or not: a share of the duration."""
    whole = analysis.duration
    if not whole:
        return {}
    costs: dict[tuple[str, str], float] = {}
    for kind in ANALYZERS:
        spent: dict[str, Counter[str | None]] = {}
        for loss in analysis.losses(kind):
            spent.setdefault(loss.subject, Counter())[loss.thread] += loss.lost
        costs |= {(kind, subject): min(1.0, max(lost.values()) / whole) for subject, lost in spent.items()}
    return costs


def _titles(analysis: Analysis) -> dict[tuple[str, str], Finding]:
    """The findings by kind and subject."""
    titles: dict[tuple[str, str], Finding] = {}
    for finding in analysis.findings:
        titles.setdefault((finding.kind, finding.subject), finding)
    return titles
