"""At which lines was waited, as the page takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracekit.timeline.flame import SIDES, Flame
from tracekit.words import printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis

ROWS = 100  # of lines
FRAMES = 4000  # of a flame graph, the costliest


def content(analysis: Analysis) -> dict[str, Any] | None:
    """None where nothing is known of any stack.

    rows: holder and waiter, each function and `file:line` or None, cause, duration, waits. The rest as in `flames`.
    """
    told = flames(analysis)
    if not told["functions"]:
        return None
    return told | {"rows": _rows(analysis), "known": analysis.lines_known}


def flames(analysis: Analysis) -> dict[str, Any]:
    """whole: what was waited. flames: by the side, frames as the place of the caller or -1, places of function and file
    or -1 where the stack is unknown, line, total and own time; a frame stands behind its caller. hidden: how many more
    frames there are."""
    functions, files = _Words(), _Words()
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
