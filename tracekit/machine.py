"""What a state machine of docs/analyses.md takes and gives: the row layouts that its two implementations share.

`timeline.PlainMachine` is the one to read; `_native.timeline.NativeMachine` is the fast one, and its C structs have
these layouts. Clocks count from the trace's first known one; a seq, thread or rival of -1 is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FAULT_CODES = (
    "entry-while-holding",
    "entry-while-waiting",
    "missing-entry",
    "overlapping-hold",
    "release-without-acquire",
)
SEVERITIES = ("info", "error")
RELEASE_KINDS = ("unknown", "check", "blocking")
NO_SEQ = NOBODY = -1


def _layout(**columns: str) -> np.dtype[Any]:
    return np.dtype(list(columns.items()), align=True)


THREAD = _layout(
    entries="i8", acquires="i8", releases="i8", busies="i8", retries="i8",
    contended_waits="i8", failed_retries="i8", lost_rounds="i8", timeouts="i8", hand_overs="i8",
    check_releases="i8", blocking_releases="i8", held="i8", waited="i8", first_seq="i8",
)  # fmt: skip
BLAME = _layout(duration="i8", waiter="i4", holder="i4")
HOLD = _layout(
    start_seq="i8", end_seq="i8", start_clock="i8", end_clock="i8", waited="i8",
    thread="i4", release_kind="u1", open="u1", truncated="u1",
)  # fmt: skip
WAIT = _layout(
    entry_seq="i8", busy_seq="i8", end_seq="i8", entry_clock="i8", busy_clock="i8", end_clock="i8",
    failed_retries="i8", lost_rounds="i8", timeouts="i8", hand_overs="i8", passes="i8",
    thread="i4", rival="i4", contended="u1", open="u1", truncated="u1",
)  # fmt: skip
SWITCH = _layout(seq="i8", gap="i8", from_thread="i4", to_thread="i4")
FAULT = _layout(seq="i8", thread="i4", code="u1", error="u1")

LAYOUTS = {"threads": THREAD, "blame": BLAME, "holds": HOLD, "waits": WAIT, "switches": SWITCH, "faults": FAULT}
"""`holds`, `waits`, `switches` and `faults` only come from a machine that keeps rows."""

Rows = npt.NDArray[Any]


@dataclass(frozen=True)
class Faults:
    """How often one fault came with one severity, and where first."""

    code: str
    severity: str
    count: int
    first_seq: int


@dataclass(frozen=True)
class Totals:
    """Of a whole trace. `first_clock` is None while no clock is known, `checks` while no count of them is.

    `first_tick_clock` is that of a timed trace whose rows are kept: nothing else needs its second clock.
    """

    events: int
    timed: bool
    first_clock: int | None
    first_tick_clock: int | None
    duration: int
    switches: int
    checks: int | None
    faults: tuple[Faults, ...]


class Machine(Protocol):
    """The state machine. Splitting the events into batches anywhere changes nothing."""

    keep_rows: bool
    native_handle: int | None
    """The C object, for a parser that can feed it without batches."""

    def feed(self, batch: pa.RecordBatch) -> None:
        """The next events, of `stream.BATCH_SCHEMA`."""

    def finish(self) -> None:
        """Closes what is open. Call once, behind the last batch."""

    def totals(self) -> Totals: ...

    def rows(self, table: str) -> Rows:
        """The rows of one of `LAYOUTS`."""

    def clocks(self) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]]:
        """For each batch the rows' clock and, in a timed trace, tick clock. Only where rows are kept."""
