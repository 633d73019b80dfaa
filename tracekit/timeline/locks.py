"""Who waited for which lock until whom, in plain Python; `_native/locks.c` says the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracekit.model.attributes import Attributes
from tracekit.model.rows import NOBODY, Hold

LOCK_LIMIT = 1 << 16
"""Rows that name a lock, and locks of which is remembered who unlocked them last."""
OTHER = 0
"""The lock of rows beyond that limit."""


@dataclass
class _Row:
    duration: int = 0
    waits: int = 0
    releaser_waited: int = 0


@dataclass(frozen=True)
class _Unlocking:
    """A hold in which a lock was unlocked: its end, its thread, and the wait that led to it."""

    seq: int
    thread: int
    wait_start: int
    wait_end: int


@dataclass(frozen=True)
class _Wait:
    """For a lock: since a RELEASE, until `back`."""

    thread: int
    lock: int
    since: int
    seq: int
    back: int = 0


@dataclass
class LockWaits:
    """A lock was unlocked in the hold that lasts when the waiter comes back, if its end says so; else in the last hold
    that says so since the waiter gave up the GIL; else it is not known by whom."""

    _unlocked: dict[int, _Unlocking] = field(default_factory=dict)
    _pending: dict[int, _Wait] = field(default_factory=dict)
    _returned: list[_Wait] = field(default_factory=list)
    _rows: dict[tuple[int, int, int], _Row] = field(default_factory=dict)

    def release(self, told: Attributes, hold: Hold, seq: int, clock: int) -> None:
        """hold: the one that it ends."""
        thread = hold.thread
        by = _Unlocking(seq, thread, hold.wait.start if hold.wait else hold.start, hold.start)
        for lock in told.unlocks:
            if lock not in self._unlocked and len(self._unlocked) == LOCK_LIMIT:
                self._unlocked.clear()
            self._unlocked[lock] = by
        self._pending.pop(thread, None)
        if told.lock is not None:
            self._pending[thread] = _Wait(thread, told.lock, clock, seq)
        self._end_returned()

    def entry(self, thread: int, clock: int, held: bool) -> None:
        """held: another thread holds the GIL."""
        wait = self._pending.pop(thread, None)
        if wait is None:
            return
        wait = _Wait(thread, wait.lock, wait.since, wait.seq, clock)
        if held:
            self._returned.append(wait)
        else:
            self._end(wait)

    def finish(self, clock: int) -> None:
        """Who still waits has waited until now."""
        for thread in sorted(self._pending):
            wait = self._pending[thread]
            self._add(_Wait(thread, wait.lock, wait.since, wait.seq, clock), None)
        self._pending.clear()
        self._end_returned()

    def _end_returned(self) -> None:
        for wait in self._returned:
            self._end(wait)
        self._returned.clear()

    def _end(self, wait: _Wait) -> None:
        by = self._unlocked.get(wait.lock)
        self._add(wait, by if by and by.seq > wait.seq else None)

    def _add(self, wait: _Wait, by: _Unlocking | None) -> None:
        key = wait.lock, wait.thread, by.thread if by else NOBODY
        if key not in self._rows and len(self._rows) >= LOCK_LIMIT:
            key = OTHER, *key[1:]
        row = self._rows.setdefault(key, _Row())
        row.duration += wait.back - wait.since
        row.waits += 1
        if by:
            row.releaser_waited += max(0, min(by.wait_end, wait.back) - max(by.wait_start, wait.since))

    def rows(self) -> list[tuple[int, ...]]:
        """Those of `rows.LOCK_ROW`."""
        return [
            (lock, row.duration, row.waits, row.releaser_waited, waiter, releaser)
            for (lock, waiter, releaser), row in self._rows.items()
        ]
