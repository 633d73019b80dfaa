"""`compare`: two traces of the same program, before and after a change."""

from __future__ import annotations

from dataclasses import dataclass

from tracekit.analysis import Analysis
from tracekit.analyzers.finding import Finding

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
        """after - before."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class Change:
    """What became of a finding: gone, new, better, worse, same. Costs are shares; None: not found."""

    what: str
    kind: str
    threads: tuple[str, ...]
    cost_before: float | None
    cost_after: float | None
    title: str


@dataclass(frozen=True)
class Comparison:
    before: Analysis
    after: Analysis
    metrics: tuple[Metric, ...]
    findings: tuple[Change, ...]

    @property
    def regression(self) -> float:
        """By how much the worst finding, or the share of waiting of the worst thread, rose; 0 if none did."""
        rises = [(change.cost_after or 0.0) - (change.cost_before or 0.0) for change in self.findings]
        rises += [metric.change or 0.0 for metric in self.metrics if metric.name == "waited by the worst thread"]
        return max(0.0, *rises)


def compare(before: Analysis, after: Analysis) -> Comparison:
    """Compares two analyses. Threads are the same where their names or, without names, their ids are."""
    old, new = _metrics(before), _metrics(after)
    units = {"clock": before.unit if before.unit == after.unit else "clock"}
    metrics = tuple(Metric(name, units.get(unit, unit), old[name, unit], new[name, unit]) for name, unit in old)
    return Comparison(before, after, metrics, _changes(before, after))


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
        ("longest contended wait", "clock"): max((row["max"] for row in waits), default=0),
        ("switches", "count"): analysis.totals.switches,
        ("failed retries", "count"): analysis.counts["RETRY"],
        ("badness", "ratio"): analysis.badness,
        ("fairness", "ratio"): analysis.fairness.column("jain")[0].as_py(),
        **{(kind.replace("_", " "), "count"): found.count for kind, found in analysis.totals.found.items()},
    }


def _changes(before: Analysis, after: Analysis) -> tuple[Change, ...]:
    old, new = _by_subject(before), _by_subject(after)
    changes = []
    for subject in dict.fromkeys((*new, *old)):
        was, now = old.get(subject), new.get(subject)
        told = now or was
        assert told
        if was is None or now is None:
            what = "new" if now else "gone"
        elif abs(now.cost - was.cost) <= SAME:
            what = "same"
        else:
            what = "worse" if now.cost > was.cost else "better"
        costs = (was.cost if was else None, now.cost if now else None)
        changes.append(Change(what, told.kind, told.threads, *costs, told.title))
    order = ("new", "worse", "same", "better", "gone")
    return tuple(sorted(changes, key=lambda change: order.index(change.what)))


def _by_subject(analysis: Analysis) -> dict[tuple[str, str], Finding]:
    """Findings by kind and by the thread that causes or suffers most."""
    names = dict(zip(*(analysis.threads.column(name).to_pylist() for name in ("thread", "name")), strict=True))
    found: dict[tuple[str, str], Finding] = {}
    for finding in analysis.findings:
        thread = "" if finding.kind in ("battles", "failed_retries") or not finding.threads else finding.threads[-1]
        if finding.kind == "convoys":
            thread = finding.threads[1]  # the hog
        found.setdefault((finding.kind, names.get(thread) or thread), finding)
    return found
