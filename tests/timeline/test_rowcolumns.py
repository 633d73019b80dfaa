"""Rows to columns: C and NumPy gather the same, and where a trace is cut into batches changes no table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import tracekit
from tests.conftest import SAMPLES, require_native
from tracekit import timeline
from tracekit.model.arrays import NULL, strings
from tracekit.model.rows import LAYOUTS, Rows
from tracekit.timeline.rowcolumns import (
    KEPT_AS,
    PARTS,
    Beginnings,
    Room,
    _native_columns,
    _plain_columns,
    by_thread,
    columns,
)

THREADS = strings(["main", "t1", "t2"])


def random_rows(table: str, count: int) -> Rows:
    chance = np.random.default_rng(count)
    rows = np.zeros(count, LAYOUTS[KEPT_AS[table]])
    for name in rows.dtype.names or ():
        whole = rows.dtype[name] == np.int64
        rows[name] = chance.choice([-1, 0, 5, 2**40, NULL], count) if whole else chance.integers(0, 3, count)
    for name in ("rival", "holder", "from_thread"):
        if name in (rows.dtype.names or ()):
            rows[name] -= 1
    return rows


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
@pytest.mark.parametrize("table", PARTS)
def test_c_and_numpy_gather_the_same(table: str, count: int) -> None:
    require_native()
    rows = random_rows(table, count)
    for begin in (Beginnings(1000, 7, True), Beginnings(1000, None, True)):
        for order in (None, np.random.default_rng(1).permutation(count)):
            parts = PARTS[table]
            native = _native_columns(rows, parts, THREADS, begin, order, Room())
            plain = _plain_columns(rows, parts, THREADS, begin, order, Room())
            for name in parts:
                native[name].validate(full=True)
                assert native[name].equals(plain[name]), name


def test_what_all_rows_lack_takes_no_memory() -> None:
    rows = random_rows("waits", 300)
    rows["stack"] = rows["timeouts"] = 0
    made = columns("waits", rows, THREADS, Beginnings(0, None, True))
    assert made["stack"].null_count == made["entry_tick_clock"].null_count == 300
    assert made["timeouts"].to_pylist() == [0] * 300
    rows["timeouts"][299] = 1
    assert columns("waits", rows, THREADS, Beginnings(0, None, True))["timeouts"].to_pylist()[-2:] == [0, 1]


UNKNOWN_AT_FIRST = """\
t1 - - ENTRY
t1 - - ACQUIRE
t2 - - ENTRY
t2 - - BUSY
t1 {at} - RELEASE
t2 50 3 ACQUIRE
t2 20 3 RELEASE
t1 100 3 ENTRY
t1 90 4 ACQUIRE
"""
TIMED_WITH_TICKS_LATE = """\
t1 - - ENTRY 100
t1 - - ACQUIRE 110
t1 - - RELEASE 150
t1 70 2 ENTRY 160
t1 60 2 ACQUIRE 170
t1 10 2 RELEASE 200
"""


@pytest.mark.parametrize(
    "text",
    [UNKNOWN_AT_FIRST.format(at="-"), UNKNOWN_AT_FIRST.format(at="80"), TIMED_WITH_TICKS_LATE, "t1 - - ENTRY\n" * 3],
)
@pytest.mark.parametrize("table", timeline.ROWS)
def test_cut_anywhere(text: str, table: str, tmp_path: Path, core: str) -> None:
    path = tmp_path / "trace.log"
    path.write_text(text)
    whole = tracekit.read(path)
    batch = pa.Table.from_batches(whole._batches).combine_chunks().to_batches()[0]
    for size in (1, 2, 5):
        pieces = [batch.slice(start, size) for start in range(0, batch.num_rows, size)]
        found = timeline.rows_of(table, pieces, whole._threads, whole._interval)
        assert found.to_pylist() == whole[table].to_pylist()  # type: ignore[index]
    first = whole.events.column("clock").to_pylist()[0]
    assert all(clock >= first for clock in whole.events.column("clock").to_pylist())


def test_a_slices_own_nulls_count() -> None:
    """The samples, cut within their kept columns' bitmaps."""
    whole = tracekit.read(SAMPLES / "py311-io4.log")
    batch = whole._batches[0]
    pieces = [batch.slice(0, 13), batch.slice(13, 500), batch.slice(513)]
    found = timeline.rows_of("waits", [*pieces, *whole._batches[1:]], whole._threads, whole._interval)
    assert found.combine_chunks().equals(whole.waits.combine_chunks())


def test_by_thread_keeps_the_order_of_each() -> None:
    rows = random_rows("waits", 500)
    order = by_thread(rows)
    pairs = [(int(rows["thread"][row]), int(row)) for row in order]
    assert pairs == sorted(pairs)
    rows["thread"] += 1 << 17  # more threads than sort by two bytes
    assert by_thread(rows).tolist() == order.tolist()
