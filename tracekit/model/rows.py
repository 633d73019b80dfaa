"""What a state machine of docs/analyses.md takes and gives: the row layouts that its two implementations share.

`timeline.plain.PlainMachine` is the one to read; `timeline.native.NativeMachine` is the fast one, and its C structs
have these layouts. Clocks count from the trace's first known one, tick clocks from the first known tick clock; a seq,
thread or rival of -1 is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.errors import OptionError

FAULT_CODES = (
    "entry-while-holding",
    "entry-while-waiting",
    "missing-entry",
    "overlapping-hold",
    "release-without-acquire",
)
SEVERITIES = ("info", "error")
CAUSES = ("scheduling", "preemption", "battle", "long_hold", "convoy", "saturation", "queueing")
"""Why a thread waited, in the order in which they are tried."""
RELEASE_KINDS = ("unknown", "check", "blocking")
UNKNOWN, CHECK, BLOCKING = range(3)
NO_SEQ = NOBODY = -1
NO_STACK = NO_REGION = 0


def _layout(**columns: str) -> np.dtype[Any]:
    return np.dtype(list(columns.items()), align=True)


THREAD_ROW = _layout(
    entries="i8", acquires="i8", releases="i8", busies="i8", retries="i8",
    contended_waits="i8", failed_retries="i8", lost_rounds="i8", timeouts="i8", hand_overs="i8",
    check_releases="i8", blocking_releases="i8", held="i8", waited="i8", retried_waited="i8",
    not_running="i8", first_seq="i8",
)  # fmt: skip
BLAME_ROW = _layout(duration="i8", waiter="i4", holder="i4")
CAUSE_ROW = _layout(duration="i8", waits="i8", thread="i4", holder="i4", cause="i4", padding="i4")
STACK_BLAME_ROW = _layout(
    duration="i8", waits="i8", holder_stack="i8", waiter_stack="i8", waiter="i4", holder="i4", cause="i4", padding="i4"
)
"""Stacks by the ids that the trace gives them; `NO_STACK`: it tells none."""
SHARED_ROW = _layout(waits="i8", set="i4", row="i4")
"""So many waits have time in each of the rows of `STACK_BLAME_ROW` that are in the same set, all of one cause: where
such rows become one, these waits are not to be counted twice."""
HOLD_ROW = _layout(
    start_seq="i8", end_seq="i8", start_clock="i8", end_clock="i8", start_tick_clock="i8", end_tick_clock="i8",
    waited="i8", cpu="i8", thread="i4", release_kind="u1", open="u1", truncated="u1",
)  # fmt: skip
WAIT_ROW = _layout(
    entry_seq="i8", busy_seq="i8", end_seq="i8", entry_clock="i8", busy_clock="i8", end_clock="i8",
    entry_tick_clock="i8", busy_tick_clock="i8", end_tick_clock="i8",
    failed_retries="i8", lost_rounds="i8", timeouts="i8", hand_overs="i8", passes="i8", stack="i8",
    thread="i4", rival="i4", contended="u1", open="u1", truncated="u1",
)  # fmt: skip
SWITCH_ROW = _layout(seq="i8", gap="i8", clock="i8", tick_clock="i8", from_thread="i4", to_thread="i4")
FAULT_ROW = _layout(seq="i8", thread="i4", code="u1", error="u1")

RETRY_ROW = _layout(seq="i8", clock="i8", sample="i8", thread="i4", holder="i4", kind="i4", padding="i4")
DISTRIBUTION_ROW = _layout(count="i8", p50="i8", p90="i8", p99="i8", max="i8", thread="i4", kind="i4")
HANDOFF_ROW = _layout(count="i8", from_thread="i4", to_thread="i4")
WAITING_ROW = _layout(waiters="i8", duration="i8")
LOCK_ROW = _layout(lock="i8", duration="i8", waits="i8", releaser_waited="i8", waiter="i4", releaser="i4")
REGION_ROW = _layout(region="i8", start="i8", end="i8", held="i8", waited="i8", waits="i8", thread="i4", padding="i4")
REGION_BLAME_ROW = _layout(region="i8", duration="i8", stack="i8", holder="i4", padding="i4")

HISTOGRAM_ROW = _layout(low="i8", high="i8", count="i8", thread="i4", kind="i4")
"""Durations from `low` to below `high`."""

LAYOUTS = {
    "threads": THREAD_ROW, "blame": BLAME_ROW, "causes": CAUSE_ROW, "stack_blame": STACK_BLAME_ROW,
    "shared_waits": SHARED_ROW, "distributions": DISTRIBUTION_ROW,
    "handoffs": HANDOFF_ROW, "waiting": WAITING_ROW, "histograms": HISTOGRAM_ROW, "locks": LOCK_ROW,
    "regions": REGION_ROW, "region_blame": REGION_BLAME_ROW,
    "holds": HOLD_ROW, "waits": WAIT_ROW, "switches": SWITCH_ROW, "faults": FAULT_ROW, "retries": RETRY_ROW,
}  # fmt: skip
KEPT = ("holds", "waits", "switches", "faults", "retries", "clocks")
"""What only comes from a machine that is told to keep it: these of `LAYOUTS`, and the clocks of the events. Numbered
as the bits in core.h."""

RETRY_KINDS = ("alone", "lost_round", "timeout", "hand_over")
DISTRIBUTIONS = ("wait", "contended_wait", "hold", "switch_latency")

FINDING_ROW = _layout(
    cost="i8", start_seq="i8", end_seq="i8", start_clock="i8", end_clock="i8", more="4i8", thread="i4", other="i4"
)
"""A finding of one of `analyzers.COLLECTED`. `more` and `other` are what its analyzer says they are."""

GROUP_ROW = _layout(
    count="i8", cost="i8", span="i8", more="4i8", worst_cost="i8", start_seq="i8", end_seq="i8", thread="i4", other="i4"
)
"""All findings of one kind about the same `thread` and `other`: sums, and the costliest's cost and seqs."""


@dataclass(frozen=True)
class Options:
    """The thresholds of docs/analyses.md, and how much is kept.

    Attributes:
        min_rounds: lost rounds that make a wait a battle.
        ratio: how many times as long as its hold the wait of a delayed short hold is at least.
        min_cycles: delayed short holds that make a convoy.
        max_gap: undelayed short holds in a row that do not end a convoy.
        min_frozen: check releases at 0 ticks in a row that make signals frozen.
        min_timeouts: timeouts of one waiter that make a hold long.
        long_hold: ns; a hold of this length is long if somebody waits at its end.
        worst: findings kept of each kind, the costliest; all are counted.
        distinct_values: so many different durations are kept apart, in all distributions together, before the rest
            is rounded down to 8 significant bits.

    Raises OptionError.
    """

    min_rounds: int = 2
    ratio: float = 5.0
    min_cycles: int = 3
    max_gap: int = 2
    min_frozen: int = 10
    min_timeouts: int = 2
    long_hold: int = 10_000_000
    worst: int = 1000
    distinct_values: int = 1 << 20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name == "max_gap" else 1
            if name == "ratio":
                if not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                    raise OptionError(f"ratio is {value!r}, but must be a number above 0.", _OPTIONS_HINT)
            elif not isinstance(value, int) or not least <= value < 2**62:
                limits = f"an integer, at least {least} and below 2^62"
                raise OptionError(f"{name} is {value!r}, but must be {limits}.", _OPTIONS_HINT)


_OPTIONS_HINT = "docs/analyses.md tells what each threshold means."


class FoundRow(NamedTuple):
    """A row of `FINDING_ROW`."""

    cost: int
    start_seq: int
    end_seq: int
    start_clock: int
    end_clock: int
    more: tuple[int, int, int, int]
    thread: int = NOBODY
    other: int = NOBODY


class Part(NamedTuple):
    """Whose hold a part of a wait lies in; the thread's stack then; what kind of hold it was."""

    holder: int = NOBODY
    stack: int = NO_STACK
    preempted: bool = False
    long: bool = False


@dataclass
class Wait:
    """A wait as the plain machine follows it."""

    thread: int
    entry_seq: int
    start: int
    start_ticks: int
    busy_seq: int = NO_SEQ
    busy: int = 0
    busy_ticks: int = 0
    busy_switches: int = 0  # of the trace, at its first BUSY or RETRY
    failed_retries: int = 0
    lost_rounds: int = 0
    timeouts: int = 0
    hand_overs: int = 0
    retry: int = -1  # clock of its first failed retry
    after_check: bool = False  # the thread's last RELEASE before it was a check release
    battle: bool = False  # known when it ends
    stack: int = NO_STACK  # the first that its rows tell
    region: int = NO_REGION  # of its ENTRY
    sample: int = NO_STACK  # the holder's, that its first BUSY or RETRY tells
    parts: Counter[Part] = field(default_factory=Counter)  # how long, by who held the GIL; known when it ends
    passes: int = 0  # since its first BUSY or RETRY; and who passed it most
    rival: int = NOBODY
    # Where it begins in the journal, and what it took out of that:
    first_step: int = 0
    skipped: int = 0
    first_acquirer: int = 0
    acquires_at_busy: int = 0
    acquires_at_mark: int = 0  # its last BUSY or RETRY
    reacquires_at_mark: int = 0
    taken: Counter[Part] = field(default_factory=Counter)
    taken_passes: Counter[int] = field(default_factory=Counter)

    @property
    def contended(self) -> bool:
        return self.busy_seq != NO_SEQ

    @property
    def start_seq(self) -> int:
        return self.busy_seq if self.entry_seq == NO_SEQ else self.entry_seq

    @property
    def blame(self) -> Counter[int]:
        """How long, by who held the GIL meanwhile."""
        blame: Counter[int] = Counter()
        for part, duration in self.parts.items():
            blame[part.holder] += duration
        return blame


@dataclass(eq=False)
class Hold:
    """A hold as the plain machine follows it, with the wait that led to it and the timeouts of its waiters."""

    thread: int
    seq: int
    start: int
    start_ticks: int
    checks: int
    wait: Wait | None
    waited: int
    timeouts: Counter[int] = field(default_factory=Counter)
    asked: int = 0  # when the first of these was
    first_sample: int = NO_STACK
    sample: int = NO_STACK  # the latest
    stack: int = NO_STACK  # of its RELEASE
    # Known when it ends:
    cpu: int | None = None
    preempted: bool = False
    long: bool = False

    def stack_at(self, sample: int) -> int:
        """Its thread's stack while this was the latest sample. Known when it has ended."""
        return sample or self.first_sample or self.stack or NO_STACK


Rows = npt.NDArray[Any]


@dataclass(frozen=True)
class PictureLimits:
    """How much a picture keeps, whatever the trace's length.

    Attributes:
        bins: maximum number along the clock.
        cells: at most so many bins of all threads together, but for traces of so many threads that the bins would
            become fewer than 64.
        rows: a trace of no more holds, contended waits and failed retries, each, is kept whole;
        edge_rows: otherwise so many of each where it begins and where it ends,
        window_rows: and so many around one finding,
        windows: and so many findings of each kind, the costliest,
        window_waiters: unless more threads than this wait at a window's end;
        rival_switches: and a wait over more switches, that is no battle, then has no rival.
    """

    bins: int = 8192
    cells: int = 1 << 18
    rows: int = 1 << 17
    edge_rows: int = 4096
    window_rows: int = 256
    windows: int = 100
    window_waiters: int = 4096
    rival_switches: int = 64


CELL_ROW = _layout(
    held="i8", entering="i8", busy="i8", retried="i8", longest_hold="i8", longest_wait="i8",
    bin="i4", thread="i4", retries="i4", checks="i4", blocking="i4", padding="i4",
)  # fmt: skip
PICTURE_HOLD_ROW = _layout(
    start_seq="i8", end_seq="i8", start="i8", end="i8", waited="i8", cpu="i8", stack="i8",
    thread="i4", kind="u1", open="u1", truncated="u1", long="u1", after_check="u1",
)  # fmt: skip
PICTURE_WAIT_ROW = _layout(
    entry_seq="i8", busy_seq="i8", end_seq="i8", entry="i8", busy="i8", end="i8",
    failed_retries="i8", lost_rounds="i8", timeouts="i8", hand_overs="i8", passes="i8",
    thread="i4", rival="i4", contended="u1", open="u1", truncated="u1", after_check="u1", retry="i8",
    stack="i8", sample="i8",
)  # fmt: skip
WINDOW_ROW = _layout(start="i8", end="i8")
KNOT_ROW = _layout(clock="i8", ticks="i8")

PICTURE_LAYOUTS = {
    "cells": CELL_ROW, "holds": PICTURE_HOLD_ROW, "waits": PICTURE_WAIT_ROW, "retries": RETRY_ROW,
    "windows": WINDOW_ROW, "knots": KNOT_ROW,
}  # fmt: skip
"""What a machine gives for a picture; `picture.Picture` says what they mean."""


C_STRUCTS = {
    "tk_thread_totals": THREAD_ROW, "tk_blame": BLAME_ROW, "tk_cause": CAUSE_ROW,
    "tk_stack_blame": STACK_BLAME_ROW, "tk_shared_waits": SHARED_ROW, "tk_hold": HOLD_ROW,
    "tk_wait": WAIT_ROW, "tk_switch": SWITCH_ROW, "tk_fault": FAULT_ROW, "tk_retry": RETRY_ROW,
    "tk_distribution": DISTRIBUTION_ROW, "tk_handoff": HANDOFF_ROW, "tk_waiting": WAITING_ROW, "tk_lock_wait": LOCK_ROW,
    "tk_region": REGION_ROW, "tk_region_blame": REGION_BLAME_ROW,
    "tk_bucket": HISTOGRAM_ROW, "tk_finding": FINDING_ROW, "tk_finding_group": GROUP_ROW, "tk_cell": CELL_ROW,
    "tk_picture_hold": PICTURE_HOLD_ROW, "tk_picture_wait": PICTURE_WAIT_ROW, "tk_window": WINDOW_ROW,
    "tk_knot": KNOT_ROW,
}  # fmt: skip
"""What the layouts are called in C."""


@dataclass(frozen=True)
class Faults:
    """How often one fault came with one severity, and where first."""

    code: str
    severity: str
    count: int
    first_seq: int


@dataclass(frozen=True)
class Found:
    """Of one kind of finding: how many there are, and how many of them are kept."""

    count: int
    kept: int


@dataclass(frozen=True)
class Totals:
    """Of a whole trace. `first_clock` is None while no clock is known, `checks` while no count of them is.

    `free_wanted` is how long nobody held the GIL while somebody waited. `exact`: no duration was rounded.
    `regions_dropped`: of more regions than are kept those are left out that had no row for the longest time.
    `has_ticks`: some row told a tick clock. `first_tick_clock` is that of a timed trace; None while it is not known.
    """

    events: int
    timed: bool
    first_clock: int | None
    first_tick_clock: int | None
    duration: int
    switches: int
    checks: int | None
    held: int
    free_wanted: int
    regions_dropped: int
    exact: bool
    has_ticks: bool
    found: Mapping[str, Found]
    faults: tuple[Faults, ...]


class RawPicture(NamedTuple):
    """The bins are `1 << shift` wide; whole: all rows are here; rows: of each of `PICTURE_LAYOUTS`."""

    shift: int
    whole: bool
    rows: Mapping[str, Rows]


class TooManyPairs(MemoryError):
    """Of threads that wait and threads that hold: more than a state machine follows."""


class Machine(Protocol):
    """The state machine. Splitting the events into batches anywhere changes nothing."""

    kept: Collection[str]
    """Of `KEPT`, at least."""
    native_handle: int | None
    """The C object, for a parser that can feed it without batches."""

    def draw(self, limits: PictureLimits) -> None:
        """Collect a picture too. Call before the first `feed`."""

    def picture(self) -> RawPicture: ...

    def feed(self, batch: pa.RecordBatch) -> None:
        """The next events, of `stream.BATCH_SCHEMA`."""

    def finish(self) -> None:
        """Closes what is open. Call once, behind the last batch."""

    def totals(self) -> Totals: ...

    def rows(self, table: str) -> Rows:
        """The rows of one of `LAYOUTS`.

        These, and those of `findings`, `groups` and `picture`, may be the native core's own memory, which the next
        `feed` or `forget` overwrites: copy what is to live longer. Those of `KEPT` stay as they are from one `forget`
        to the next, so that another thread can read them meanwhile.
        """

    def findings(self, kind: str) -> Rows:
        """The rows kept of one of `analyzers.COLLECTED`, of layout `FINDING_ROW`."""

    def groups(self, kind: str) -> Rows:
        """All findings of one of `analyzers.COLLECTED`, kept or not, by their threads: of layout `GROUP_ROW`."""

    def clocks(self) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]]:
        """For each batch the rows' clock and, in a timed trace, tick clock. Only where they are kept."""

    def forget(self) -> None:
        """Drops what `clocks`, `findings` and `rows` have given so far of what is kept.

        For a trace whose rows do not all fit in memory: call it after each batch.
        """
