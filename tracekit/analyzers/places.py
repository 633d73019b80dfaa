"""At which lines was waited, in words: the user's own frame first, and what it was in."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.analyzers.culprits import Culprit, matching
from tracekit.model.arrays import int64_values
from tracekit.model.code import library
from tracekit.words import percent, printable

Ints = npt.NDArray[np.int64]
LISTED = 3
"""So many places a sentence lists,"""
LEAST = 0.05
"""each of at least this share,"""
READ = 200
"""of these stacks, the costliest."""
CULPRIT = 0.2
"""From this share on a known culprit's advice is given,"""
ADVISED = 2
"""of so many."""
_MODULE_FILES = ("__init__", "__main__")


@dataclass(frozen=True)
class Told:
    """What is said of the lines of some waits. advice: on functions that are known for it. mostly: these are most of
    it."""

    sentences: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    mostly: bool = False


NOTHING = Told()


class Pair(NamedTuple):
    """What was waited at one place while the GIL was held at another. share: of all that was waited so."""

    held: str
    waited: str
    duration: int
    share: float


class Frame(NamedTuple):
    function: str
    file: str
    line: int
    calls: str | None

    @property
    def module(self) -> str | None:
        """Of a library's file, as it is imported."""
        return _module(self.file)

    @property
    def where(self) -> str:
        return f"{posixpath.basename(self.file)}:{self.line}"


@lru_cache(1 << 12)
def _module(file: str) -> str | None:
    of = library(file)
    if of is None:
        return None
    if of[1].startswith("<frozen "):
        return of[1][len("<frozen ") :].rstrip(">")
    parts = posixpath.splitext(of[1])[0].split("/")[1:]
    return ".".join(parts[:-1] if parts[-1] in _MODULE_FILES and len(parts) > 1 else parts)


class Places:
    """Of the tables `stack_blame` and `stacks`."""

    def __init__(self, stack_blame: pa.Table, stacks: pa.Table) -> None:
        self._blame = stack_blame
        self._stacks = stacks
        self._told: dict[int, str | None] = {}

    def __bool__(self) -> bool:
        return bool(self._stacks.num_rows)

    @cached_property
    def _columns(self) -> dict[str, Ints]:
        columns = {name: self._blame.column(name).combine_chunks() for name in self._blame.column_names}
        return {name: int64_values(getattr(column, "indices", column)) for name, column in columns.items()}

    def _chosen(self, column: str, words: Iterable[str]) -> npt.NDArray[np.bool_]:
        there = self._blame.column(column).combine_chunks().dictionary.to_pylist()
        chosen: npt.NDArray[np.bool_] = np.isin(
            self._columns[column], [there.index(word) for word in words if word in there]
        )
        return chosen

    def of(self, cause: str = "", *, waiters: Sequence[str] = (), holders: Sequence[str] = ()) -> Told:
        """What these threads waited for this cause or for any, or others while these held the GIL."""
        if not self:
            return NOTHING
        rows = self._chosen("waiter", waiters) if waiters else self._chosen("holder", holders)
        if cause:
            rows &= self._chosen("cause", [cause])
        whole = int(self._columns["duration"][rows].sum())
        if not whole:
            return NOTHING
        sums = {side: self._sums(f"{side}_stack", rows) for side in ("holder", "waiter")}
        sentences = [
            f"{words}: {', '.join(listed)}."
            for side, words in (("holder", "The GIL was held at"), ("waiter", "It was waited at"))
            if (listed := self._listed(sums[side], whole))
        ]
        shares: Counter[Culprit] = Counter()
        for stack, spent in sums["holder"]:
            for culprit in self._culprits(stack, cause):
                shares[culprit] += spent
        known = [(culprit, spent) for culprit, spent in shares.most_common(ADVISED) if spent >= CULPRIT * whole]
        advice = [f"{one.name} {one.keeps}. {one.advice} ({one.source})" for one, _ in known]
        return Told(tuple(sentences), tuple(advice), mostly=bool(known) and 2 * known[0][1] >= whole)

    def pairs(self, most: int) -> list[Pair]:
        """The costliest, whatever the cause."""
        whole = int(self._columns["duration"].sum())
        keys = np.stack([self._columns["holder_stack"], self._columns["waiter_stack"]], axis=1)
        different, of = np.unique(keys, axis=0, return_inverse=True)
        sums = np.zeros(len(different), np.int64)
        np.add.at(sums, of.reshape(-1), self._columns["duration"])
        spent: Counter[tuple[str, str]] = Counter()
        for place in np.argsort(-sums, kind="stable")[:READ].tolist():
            held, waited = (self.words(int(stack)) or "an unknown line" for stack in different[place])
            spent[held, waited] += int(sums[place])
        return [Pair(*pair, lost, lost / whole) for pair, lost in spent.most_common(most) if lost]

    def _sums(self, column: str, rows: npt.NDArray[np.bool_], most: int = READ) -> list[tuple[int, int]]:
        stacks, of = np.unique(self._columns[column][rows], return_inverse=True)
        sums = np.zeros(len(stacks), np.int64)
        np.add.at(sums, of.reshape(-1), self._columns["duration"][rows])
        return [(int(stacks[place]), int(sums[place])) for place in np.argsort(-sums, kind="stable")[:most]]

    def _listed(self, sums: list[tuple[int, int]], whole: int) -> list[str]:
        places: Counter[str] = Counter()
        for stack, spent in sums:
            if words := self.words(stack):
                places[words] += spent
        shown = [(words, spent / whole) for words, spent in places.most_common(LISTED) if spent >= LEAST * whole]
        return [f"{words} {percent(share)}" for words, share in shown]

    def _culprits(self, stack: int, cause: str) -> Iterable[Culprit]:
        frames = self.frames(stack)
        if not frames:
            return ()
        leaf = frames[0]
        name = f"{leaf.module}.{leaf.function}" if leaf.module else None
        return matching(name, leaf.calls.split(", ") if leaf.calls else (), cause in (_IN_C, _ASLEEP), cause != _ASLEEP)

    def by_own_line(self) -> dict[Frame, int]:
        """What was waited by the innermost frame of the user's own code that held the GIL, else by the innermost."""
        sums: Counter[Frame] = Counter()
        for stack, spent in self._sums("holder_stack", np.full(self._blame.num_rows, True), self._blame.num_rows):
            if frames := self.frames(stack):
                sums[(frames[_own(frames) or 0])._replace(calls=None)] += spent
        return dict(sums)

    def words(self, stack: int) -> str | None:
        """`handle (app.py:42) in json.loads -> raw_decode (decoder.py:353)`; None where it is not known."""
        if stack not in self._told:
            self._told[stack] = _words(self.frames(stack))
        return self._told[stack]

    def frames(self, stack: int) -> list[Frame]:
        """The innermost first; none of an unknown stack."""
        frames = []
        at: int | None = stack
        while at is not None and at in self._known:
            at, frame = self._known[at]
            frames.append(frame)
        return frames

    @cached_property
    def _known(self) -> dict[int, tuple[int | None, Frame]]:
        """Of each stack its parent and its innermost frame."""
        names = ("stack", "parent", "function", "file", "line", "calls")
        columns = (self._stacks.column(name).to_pylist() for name in names)
        return {stack: (parent, Frame(*frame)) for stack, parent, *frame in zip(*columns, strict=True)}


_IN_C = "long_hold"
_ASLEEP = "preemption"
"""Of this cause the holder is to blame only if it slept."""


def _own(frames: Sequence[Frame]) -> int | None:
    """The place of the innermost frame of the user's own code."""
    return next((place for place, frame in enumerate(frames) if frame.module is None), None)


def _words(frames: Sequence[Frame]) -> str | None:
    if not frames:
        return None
    leaf = frames[0]
    calls = f", calls {leaf.calls}" if leaf.calls else ""
    own = _own(frames)
    if own == 0 or own is None:
        return printable(f"{leaf.function} ({leaf.where}{calls})")
    user, called = frames[own], frames[own - 1]
    into = f"{called.module}.{called.function}" + (f" -> {leaf.function}" if own > 1 else "")
    return printable(f"{user.function} ({user.where}) in {into} ({leaf.where}{calls})")
