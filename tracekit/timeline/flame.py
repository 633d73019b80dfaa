"""What was waited while somebody held the GIL, as a tree of frames: what every flame graph is drawn from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.errors import OptionError
from tracekit.model.arrays import int64_values

By = Literal["holder", "waiter"]
SIDES: tuple[By, ...] = get_args(By)
DEEPEST = 512
"""Frames of a stack; what lies deeper counts for the last of these."""


class Frame(NamedTuple):
    """A node of the tree. Frames of the same function, file and line, called by the same, are one.

    function, file, line: None all three where the stack is unknown. parent: its place among the frames, -1 if it is
    outermost. total: what was waited while it was on the stack; own: while it was the innermost; in the clock's unit.
    """

    function: str | None
    file: str | None
    line: int | None
    parent: int
    depth: int
    total: int
    own: int


@dataclass(frozen=True)
class Flame:
    """The tree of `Analysis.flame`.

    Attributes:
        by: whose stacks: those of the threads that held the GIL, or of those that waited.
        unit: of all durations, `ns` or `ticks`.
        whole: what was waited while somebody held, all of it.
        frames: each behind its caller, and its callees right behind it, the costliest first.
        hidden: so many frames, the cheapest, are not among them.
    """

    by: By
    unit: str
    whole: int
    frames: tuple[Frame, ...]
    hidden: int = 0

    @property
    def unknown(self) -> int:
        """What was waited of which no stack is known."""
        return sum(frame.own for frame in self.frames if frame.function is None)

    def costliest(self, most: int, least: int = 0) -> Flame:
        """With so many frames, and none below `least`. Their totals stay; what is not shown is in no `own`."""
        order = sorted(range(len(self.frames)), key=lambda place: (-self.frames[place].total, place))
        kept = sorted(place for place in order[:most] if self.frames[place].total >= least)
        places = {place: new for new, place in enumerate(kept)}
        shown = [self.frames[place] for place in kept]
        frames = tuple(frame._replace(parent=places.get(frame.parent, -1)) for frame in shown)
        return replace(self, frames=frames, hidden=self.hidden + len(self.frames) - len(kept))

    def stack(self, place: int) -> list[Frame]:
        """The frame at this place and its callers, the outermost first."""
        frames = []
        while place >= 0:
            frames.append(self.frames[place])
            place = self.frames[place].parent
        return frames[::-1]


def flame(stack_blame: pa.Table, stacks: pa.Table, by: str, unit: str) -> Flame:
    """Of tables of these names. Raises OptionError where `by` is none of `SIDES`."""
    side = next((side for side in SIDES if side == by), None)
    if side is None:
        raise OptionError(f"There are no stacks by {by!r}.", f"There are {' and '.join(SIDES)}.")
    blamed, duration = _column(stack_blame, f"{side}_stack"), _column(stack_blame, "duration")
    known, of = np.unique(blamed, return_inverse=True)
    sums = np.zeros(len(known), np.int64)
    np.add.at(sums, of.reshape(-1), duration)
    tree = _Tree(stacks)
    for stack, spent in zip(known.tolist(), sums.tolist(), strict=True):
        if spent:
            tree.add(stack, spent)
    return Flame(side, unit, int(sums.sum()), tuple(tree.frames()))


def _column(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """Below 0 where it is null."""
    return int64_values(table.column(name).combine_chunks())


class _Tree:
    def __init__(self, stacks: pa.Table) -> None:
        ids = _column(stacks, "stack")
        self._order = np.argsort(ids)
        self._ids = ids[self._order]
        self._callers, self._lines = (_column(stacks, name) for name in ("parent", "line"))
        words = [stacks.column(name).combine_chunks() for name in ("function", "file")]
        self._codes = [int64_values(column.indices) for column in words]
        self._words = [column.dictionary.to_pylist() for column in words]
        self._places: dict[tuple[int, int, int, int], int] = {}  # by parent, function, file and line
        self._depths: list[int] = []
        self._own: list[int] = []
        self._known: dict[int, int] = {}  # stack -> place of its node

    def add(self, stack: int, spent: int) -> None:
        path = []
        while stack >= 0 and stack not in self._known:
            row = int(self._order[np.searchsorted(self._ids, stack)])
            path.append((stack, row))
            stack = int(self._callers[row])
        at = self._known.get(stack, -1)
        for each, row in reversed(path):
            if at < 0 or self._depths[at] < DEEPEST:
                function, file = (int(codes[row]) for codes in self._codes)
                at = self._node(at, function, file, int(self._lines[row]))
            self._known[each] = at
        if at < 0:
            at = self._node(-1, -1, -1, -1)
        self._own[at] += spent

    def _node(self, parent: int, function: int, file: int, line: int) -> int:
        place = self._places.setdefault((parent, function, file, line), len(self._own))
        if place == len(self._own):
            self._own.append(0)
            self._depths.append(1 if parent < 0 else self._depths[parent] + 1)
        return place

    def frames(self) -> list[Frame]:
        keys, total = list(self._places), list(self._own)
        called: dict[int, list[int]] = {}
        for place in range(len(keys) - 1, -1, -1):
            called.setdefault(keys[place][0], []).append(place)
            if keys[place][0] >= 0:
                total[keys[place][0]] += total[place]
        for places in called.values():
            places.sort(key=lambda place: total[place])
        functions, files = self._words
        frames: list[Frame] = []
        waiting = [(place, -1) for place in called.get(-1, ())]
        while waiting:
            place, parent = waiting.pop()
            _, function, file, line = keys[place]
            waiting += [(callee, len(frames)) for callee in called.get(place, ())]
            known = function >= 0
            frames.append(
                Frame(
                    functions[function] if known else None, files[file] if known else None, line if known else None,
                    parent, self._depths[place], total[place], self._own[place],
                )
            )  # fmt: skip
        return frames
