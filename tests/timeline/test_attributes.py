"""What holds and waits tell of their rows' attributes, by both cores."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracekit
from tests.conftest import trace_file

ROWS = """\
t - 0 ENTRY 1 region=1
t - 0 ACQUIRE 2
w - 0 ENTRY 3
w - 0 BUSY 4 sample=8
w - 0 RETRY 5 stack=7
w - 0 RETRY 6 stack=6
w - 0 ENTRY 7
w - 0 BUSY 8 stack=5
t - 0 RELEASE 9 cpu=0 stack=4
w - 0 ACQUIRE 10
t - 0 RELEASE 11 cpu=3
t - 0 ACQUIRE 12
t - 0 BUSY 13
"""


def test_holds_and_waits(tmp_path: Path, core: str) -> None:
    """Not those of a dropped wait, of a RELEASE without a hold, nor of a hold that is cut off."""
    (tmp_path / "trace.log").write_text(ROWS)
    trace = tracekit.read(tmp_path / "trace.log")
    assert trace.holds.select(["start_seq", "cpu"]).to_pydict() == {"start_seq": [1, 9, 11], "cpu": [0, None, None]}
    waits = trace.waits.select(["entry_seq", "stack"]).to_pydict()
    assert waits == {"entry_seq": [0, 6, None], "stack": [None, 5, None]}


def test_as_it_stands_in_a_trace(core: str) -> None:
    trace = tracekit.read(trace_file("edges.log"))
    assert trace.holds.column("cpu").to_pylist() == [10**6, 499999, 499999, 5, 9999999, 42, None, None]
    assert trace.waits.column("stack").to_pylist() == [None, 98, 1, None, None, 2, None, 2, 1, None]


@pytest.mark.parametrize("ticks", [100, 101, 10**12])
def test_a_countdown_begins_at_the_check_interval_at_most(ticks: int, core: str, tmp_path: Path) -> None:
    """Whatever is written above it: else time would begin before the trace."""
    (tmp_path / "t.log").write_text(f"t1 {ticks} 0 ENTRY\nt1 100 0 ACQUIRE\nt1 40 0 RELEASE\n")
    trace = tracekit.read(tmp_path / "t.log")
    assert trace.events.column("clock").to_pylist() == [0, 0, 60]
    assert trace.duration == 60
