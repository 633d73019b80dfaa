"""At which lines was waited, as the page takes it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tracekit.analysis import Analysis
from tracekit.words import printable

ROWS = 100  # of lines
STACKS = 2000  # pairs of stacks, the costliest; the others count as unknown


def content(analysis: Analysis) -> dict[str, Any] | None:
    """None where nothing is known of any stack.

    rows: holder and waiter, each function and `file:line` or None, cause, duration, waits. stacks: the calling stack's
    place or -1, places of function and file, line. blame: places of the holder's and the waiter's stack, or -1, and
    duration.
    """
    blame = _blame(analysis)
    if all(holder is None and waiter is None for holder, waiter in blame):
        return None
    known = {row["stack"]: row for row in analysis.tables["stacks"].to_pylist()}
    wanted: dict[int, None] = {}
    for stack in (each for pair in blame for each in pair if each is not None):
        path = []
        at: int | None = stack
        while at is not None and at not in wanted:
            path.append(at)
            at = known[at]["parent"]
        wanted |= dict.fromkeys(reversed(path))
    places = {stack: place for place, stack in enumerate(wanted)}
    functions, files = _Words(), _Words()
    stacks = []
    for stack in wanted:
        row = known[stack]
        parent = -1 if row["parent"] is None else places[row["parent"]]
        stacks.append([parent, functions.place(row["function"]), files.place(row["file"]), row["line"]])
    return {
        "rows": _rows(analysis),
        "known": analysis.lines_known,
        "whole": sum(blame.values()),
        "functions": functions.words,
        "files": files.words,
        "stacks": stacks,
        "blame": [[-1 if s is None else places[s] for s in pair] + [length] for pair, length in blame.items()],
    }


class _Words:
    """Words, each once, by its place."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, word: str) -> int:
        return self._places.setdefault(printable(word), len(self._places))

    @property
    def words(self) -> list[str]:
        return list(self._places)


def _blame(analysis: Analysis) -> dict[tuple[int | None, int | None], int]:
    """What was waited, by the holder's and the waiter's stack; beyond the costliest the stacks are not told."""
    sums: Counter[tuple[int | None, int | None]] = Counter()
    for row in analysis.tables["stack_blame"].to_pylist():
        sums[row["holder_stack"], row["waiter_stack"]] += row["duration"]
    shown = dict(sums.most_common(STACKS))
    rest = sum(sums.values()) - sum(shown.values())
    if rest:
        shown[None, None] = shown.get((None, None), 0) + rest
    return shown


def _rows(analysis: Analysis) -> list[list[Any]]:
    def place(row: dict[str, Any], side: str) -> list[str] | None:
        if row[f"{side}_function"] is None:
            return None
        return [printable(row[f"{side}_function"]), printable(f"{row[f'{side}_file']}:{row[f'{side}_line']}")]

    return [
        [place(row, "holder"), place(row, "waiter"), row["cause"].replace("_", " "), row["duration"], row["waits"]]
        for row in analysis.lines.slice(0, ROWS).to_pylist()
    ]
