"""What may be changed, and how a change changes the scripts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from tracekit.whatif.programs import CONTINUES, NONE, Behaviour, Programs, Script
from tracekit.whatif.threads import Threads

PARTS = 10
"""Pieces of a long hold that is split."""


@dataclass(frozen=True)
class Interval:
    """Another switch interval, in ns."""

    ns: int

    @property
    def name(self) -> str:
        return f"interval {milliseconds(self.ns)} ms"

    @property
    def change(self) -> dict[str, Any]:
        return {"interval_ns": self.ns}


@dataclass(frozen=True)
class Move:
    """A thread in a process of its own."""

    thread: str

    @property
    def name(self) -> str:
        return f"move {self.thread}"

    @property
    def change(self) -> dict[str, Any]:
        return {"move": self.thread}


@dataclass(frozen=True)
class Split:
    """A thread whose C calls that keep the GIL are made in `PARTS` parts."""

    thread: str

    @property
    def name(self) -> str:
        return f"split {self.thread}"

    @property
    def change(self) -> dict[str, Any]:
        return {"split": self.thread}


@dataclass(frozen=True)
class Cores:
    """Another number of cores."""

    cores: int

    @property
    def name(self) -> str:
        return f"cores {self.cores}"

    @property
    def change(self) -> dict[str, Any]:
        return {"cores": self.cores}


@dataclass(frozen=True)
class NoGil:
    """A free-threaded build, on which a thread alone takes `slowdown` times as long."""

    slowdown: float = 1.0

    @property
    def name(self) -> str:
        return "no gil"

    @property
    def change(self) -> dict[str, Any]:
        return {"no_gil": True, "slowdown": self.slowdown}


@dataclass(frozen=True)
class Together:
    """Another interval, and a thread in a process of its own."""

    interval: Interval
    move: Move

    @property
    def name(self) -> str:
        return f"{self.interval.name}, {self.move.name}"

    @property
    def change(self) -> dict[str, Any]:
        return self.interval.change | self.move.change


Change = Interval | Move | Split | Cores | NoGil | Together


def milliseconds(ns: int) -> str:
    """The shortest decimal."""
    return format((Decimal(ns) / 10**6).normalize(), "f")


def changed(change: Change, programs: Programs, script: Script, threads: Threads) -> tuple[Script, Behaviour]:
    """The scripts and the behaviour after a change of the GIL or of one thread."""
    behaviour = programs.behaviour
    if isinstance(change, Interval):
        return script, behaviour.with_interval(change.ns + programs.overshoot)
    if isinstance(change, Move):
        free = script.free.copy()
        free[threads.place(change.thread)] = True
        return replace(script, free=free), behaviour
    if isinstance(change, Together):
        moved, _ = changed(change.move, programs, script, threads)
        return changed(change.interval, programs, moved, threads)
    if isinstance(change, Split):
        return _split(script, threads.place(change.thread)), behaviour
    if isinstance(change, NoGil):
        return replace(
            script, free=np.ones_like(script.free), work=(script.work * change.slowdown).astype(np.int64)
        ), behaviour
    return script, behaviour


def _split(script: Script, thread: int) -> Script:
    """Each piece of an atomic thread in parts, between which it answers requests."""
    if not script.atomic[thread]:
        return script
    parts = np.ones(len(script.work), np.int64)
    parts[script.first[thread] : script.first[thread + 1]] = PARTS
    ends = np.cumsum(parts)
    place = np.repeat(np.arange(len(parts)), parts)
    last = np.zeros(len(place), bool)
    last[ends - 1] = True
    work = script.work[place] // parts[place]
    work[last] += script.work - script.work // parts * parts
    before = np.concatenate([[0], ends])

    def moved(pieces: Any) -> Any:
        return np.where(pieces == NONE, NONE, ends[pieces] - 1)

    return replace(
        script,
        first=before[script.first],
        started_by=moved(script.started_by),
        work=work,
        outside=np.where(last, script.outside[place], CONTINUES),
        needs=np.where(last, moved(script.needs)[place], NONE),
        arrives=np.where(last, script.arrives[place], NONE),
    )
