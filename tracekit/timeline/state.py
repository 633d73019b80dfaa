"""What the plain machine knows of a clock, and of each thread."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tracekit.model.rows import DISTRIBUTIONS, NO_SEQ, UNKNOWN


@dataclass
class Clock:
    """Monotonic, and counted from its first reading."""

    first: int | None = None
    now: int = 0

    def read(self, value: int) -> None:
        if self.first is None:
            self.first = value
        self.now = max(self.now, value - self.first)


@dataclass
class ThreadState:
    first_seq: int = NO_SEQ
    counts: list[int] = field(default_factory=lambda: [0] * 5)
    contended_waits: int = 0
    lost_rounds: int = 0
    timeouts: int = 0
    hand_overs: int = 0
    releases: list[int] = field(default_factory=lambda: [0] * 3)
    held: int = 0
    waited: int = 0
    retried_waited: int = 0
    not_running: int = 0
    forced_at: int | None = None  # when the GIL was taken from it at a check, if no ENTRY has followed
    let_go_at: int | None = None  # when it let go of the GIL, if no ENTRY has followed
    last_release: int = UNKNOWN
    blame: Counter[int] = field(default_factory=Counter)
    durations: list[Counter[int]] = field(default_factory=lambda: [Counter() for _ in DISTRIBUTIONS])
