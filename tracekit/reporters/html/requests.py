"""Requests and tasks (regions), as the page takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracekit.reporters import requests
from tracekit.words import count, printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis

NAMES, SLOWEST = 50, 20
_SHOWN = ("duration", "held", "waited", "blocked")
_QUANTILES = ("requests", "p50", "p90", "p99", "max", "waited_p90")


def content(analysis: Analysis) -> dict[str, Any] | None:
    """None where the trace tells no region.

    names, slowest: rows of the tables with their name and, as sentences, who kept them waiting. begin: from the trace's
    first clock.
    """
    if not analysis.requests.num_rows:
        return None
    first = analysis.totals.first_clock or 0
    codes = {thread: code for code, thread in enumerate(analysis.threads.column("thread").to_pylist())}
    named = requests.by_name(analysis)
    others = count(len(named) - NAMES, "other name")
    return {
        "names": [_row(analysis, one, (*_SHOWN, *_QUANTILES)) for one in named[:NAMES]],
        "slowest": [
            _row(analysis, one, _SHOWN) | {"begin": one.row["start_clock"] - first, "thread": codes[one.row["thread"]]}
            for one in requests.slowest(analysis, SLOWEST)
        ],
        "more": f"{others} in `tracekit analyze --json`." if len(named) > NAMES else "",
        "leftOut": requests.left_out(analysis),
    }


def _row(analysis: Analysis, one: requests.Request, columns: tuple[str, ...]) -> dict[str, Any]:
    behind = [printable(behind.words(analysis.unit)) for behind in one.behind] if one.row["waited"] else []
    return {"name": one.name, "behind": behind, **{name: one.row[name] for name in columns}}
