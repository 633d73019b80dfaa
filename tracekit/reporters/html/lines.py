"""At which lines was waited, as the page takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tracekit.model.arrays import int64_values
from tracekit.model.rows import NO_STACK
from tracekit.timeline.flame import SIDES, Flame
from tracekit.words import printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis

ROWS = 100  # of lines
FRAMES = 4000  # of a flame graph, the costliest
STACKS = 20_000  # of single holds and waits, with those that called them; the others are unknown there


def content(analysis: Analysis, places: Places) -> dict[str, Any] | None:
    """None where nothing is known of any stack.

    rows: holder and waiter, each function and `file:line` or None, cause, duration, waits. stacks: those that `places`
    numbers, as the place of the caller or -1, places of function and file, line. The rest as in `flames`.
    """
    functions, files = _Words(), _Words()
    told = flames(analysis, functions, files)
    stacks = [[caller, functions.place(f), files.place(file), line] for caller, f, file, line in places.rows]
    if not functions.words:
        return None
    words = {"functions": functions.words, "files": files.words}
    return told | {"rows": _rows(analysis), "known": analysis.lines_known, "stacks": stacks} | words


class Places:
    """The stacks of the picture's holds and waits, each by its place among those that the page has."""

    def __init__(self, analysis: Analysis) -> None:
        drawn, table = analysis.picture, analysis.stacks
        told = [drawn.holds["stack"], drawn.waits["stack"], drawn.waits["sample"], drawn.retries["sample"]]
        used, counts = np.unique(np.concatenate(told), return_counts=True)
        ids = int64_values(table["stack"].combine_chunks())
        self._order = np.argsort(ids)
        self._ids = ids[self._order]
        parents = int64_values(table["parent"].combine_chunks())
        self.rows: list[tuple[int, str, str, int]] = []
        self._places: dict[int, int] = {}  # by the row in the table
        columns = [table[name] for name in ("function", "file", "line")]
        for stack in used[np.argsort(-counts, kind="stable")].tolist():
            path = []
            row = self._row(stack)
            while row >= 0 and row not in self._places:
                path.append(row)
                row = self._row(int(parents[row]))
            if len(self.rows) + len(path) > STACKS:
                continue
            for each in reversed(path):
                above = self._places.get(self._row(int(parents[each])), -1)
                function, file, line = (column[each].as_py() for column in columns)
                self._places[each] = len(self.rows)
                self.rows.append((above, function, file, line))

    def _row(self, stack: int) -> int:
        """In the table; -1: it is not there."""
        at = int(np.searchsorted(self._ids, stack))
        return int(self._order[at]) if at < len(self._ids) and self._ids[at] == stack else -1

    def of(self, stacks: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """One more than the place of each; 0 where none was told, -1 where it is unknown."""
        told, of = np.unique(stacks, return_inverse=True)
        places = [0 if stack == NO_STACK else self._places.get(self._row(stack), -2) + 1 for stack in told.tolist()]
        return np.array(places, np.int64)[of.reshape(-1)] if len(stacks) else np.zeros(0, np.int64)


def flames(analysis: Analysis, functions: _Words | None = None, files: _Words | None = None) -> dict[str, Any]:
    """whole: what was waited. flames: by the side, frames as the place of the caller or -1, places of function and file
    or -1 where the stack is unknown, line, total and own time; a frame stands behind its caller. hidden: how many more
    frames there are."""
    functions, files = functions or _Words(), files or _Words()
    of = {side: analysis.flame(side).costliest(FRAMES) for side in SIDES}
    return {
        "whole": of[SIDES[0]].whole,
        "flames": {side: _frames(flame, functions, files) for side, flame in of.items()},
        "hidden": {side: flame.hidden for side, flame in of.items()},
        "functions": functions.words,
        "files": files.words,
    }


def _frames(flame: Flame, functions: _Words, files: _Words) -> list[list[int]]:
    return [
        [
            frame.parent,
            functions.place(frame.function),
            files.place(frame.file),
            frame.line or 0,
            frame.total,
            frame.own,
        ]
        for frame in flame.frames
    ]


class _Words:
    """Words, each once, by its place; -1 for none."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, word: str | None) -> int:
        return -1 if word is None else self._places.setdefault(printable(word), len(self._places))

    @property
    def words(self) -> list[str]:
        return list(self._places)


def _rows(analysis: Analysis) -> list[list[Any]]:
    def place(row: dict[str, Any], side: str) -> list[str] | None:
        if row[f"{side}_function"] is None:
            return None
        return [printable(row[f"{side}_function"]), printable(f"{row[f'{side}_file']}:{row[f'{side}_line']}")]

    return [
        [place(row, "holder"), place(row, "waiter"), row["cause"].replace("_", " "), row["duration"], row["waits"]]
        for row in analysis.lines.slice(0, ROWS).to_pylist()
    ]
