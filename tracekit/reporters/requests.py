"""Requests and tasks (regions): how their time was spent, the slowest ones, who kept them waiting and at which line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tracekit.model.arrays import NULL, int64_values
from tracekit.words import count, duration, fold, printable, share

if TYPE_CHECKING:
    from tracekit.analysis import Analysis

SLOWEST = 100
"""Requests that are told one by one."""
BEHIND = 5
"""For one name or request so many of those that kept it waiting."""
UNNAMED = "(no name)"
AT_AN_UNKNOWN_LINE = "an unknown line"
NOBODY = "nobody"


class Behind(NamedTuple):
    """Whom a request, or all of a name, waited for: the folded name of who held the GIL (None: nobody, the waiter was
    not yet running), and where that was (None: unknown)."""

    holder: str | None
    at: str | None
    duration: int

    def words(self, unit: str) -> str:
        if self.holder is None:
            return f"{duration(self.duration, unit)} while the GIL was free and it was not yet running"
        return f"{duration(self.duration, unit)} behind {printable(self.holder)} at {self.at or AT_AN_UNKNOWN_LINE}"


class Request(NamedTuple):
    """A row of the table `requests`, or of `request_split`."""

    row: dict[str, Any]
    behind: list[Behind]

    @property
    def name(self) -> str:
        return printable(self.row["name"] or UNNAMED)

    def shares(self) -> tuple[str, str, str]:
        """It ran, waited for the GIL, was blocked."""
        held, waited, blocked = (share(self.row[what], self.row["duration"]) for what in ("held", "waited", "blocked"))
        return held, waited, blocked

    def as_dict(self) -> dict[str, Any]:
        return self.row | {"kept_waiting": [behind._asdict() for behind in self.behind]}


def by_name(analysis: Analysis) -> list[Request]:
    """All requests of each name together, those first that took longest in all."""
    rows = analysis.request_split.to_pylist()
    names = analysis.requests.column("name").to_pylist()
    places = {row["name"]: place for place, row in enumerate(rows)}
    behind = _behind(analysis, np.array([places[name] for name in names], np.int64), len(rows))
    return [Request(row, of) for row, of in zip(rows, behind, strict=True)]


def slowest(analysis: Analysis, most: int = SLOWEST) -> list[Request]:
    """The requests that took longest, one by one."""
    rows = analysis.requests.slice(0, most).to_pylist()
    behind = _behind(analysis, np.arange(analysis.requests.num_rows), len(rows))
    return [Request(row, of) for row, of in zip(rows, behind, strict=True)]


def _behind(analysis: Analysis, groups: np.ndarray[Any, np.dtype[np.int64]], most: int) -> list[list[Behind]]:
    """The costliest of each of the first groups. groups: of each row of `requests` its number."""
    sums: list[Counter[tuple[str | None, str | None]]] = [Counter() for _ in range(most)]
    regions = int64_values(analysis.requests.column("region").combine_chunks())
    blame = {name: analysis.request_blame.column(name).combine_chunks() for name in analysis.request_blame.column_names}
    if not len(regions) or not len(blame["region"]):
        return [[] for _ in sums]
    order = np.argsort(regions)
    of = groups[order[np.searchsorted(regions, int64_values(blame["region"]), sorter=order)]]
    holders, stacks = int64_values(blame["holder"].indices), int64_values(blame["holder_stack"])
    chosen = of < most
    keys = np.stack([of, holders, stacks], axis=1)[chosen]
    different, places = np.unique(keys, axis=0, return_inverse=True)
    spent = np.zeros(len(different), np.int64)
    np.add.at(spent, places.reshape(-1), int64_values(blame["duration"])[chosen])
    called = [fold(analysis.called[thread]) for thread in blame["holder"].dictionary.to_pylist()]
    for (group, holder, stack), lost in zip(different.tolist(), spent.tolist(), strict=True):
        at = analysis.places.words(stack) if stack != NULL else None
        sums[group][called[holder] if holder >= 0 else None, at] += lost
    return [[Behind(*place, lost) for place, lost in group.most_common(BEHIND)] for group in sums]


def left_out(analysis: Analysis) -> str:
    """Which requests are in no figure; empty where all are."""
    dropped = analysis.totals.regions_dropped
    return f"{count(dropped, 'earlier request')} not told: these are the newest." if dropped else ""


def told_slowest(analysis: Analysis, request: Request) -> str:
    """A request in a sentence, and who kept it waiting in another."""
    unit, row = analysis.unit, request.row
    told = (
        f"{request.name} took {duration(row['duration'], unit)} in {analysis.names[row['thread']]}: it ran for "
        f"{duration(row['held'], unit)}, waited {duration(row['waited'], unit)} for the GIL, and was blocked for "
        f"{duration(row['blocked'], unit)}."
    )
    if request.behind and row["waited"]:
        told += f" It waited {', '.join(behind.words(unit) for behind in request.behind[:3])}."
    return told
