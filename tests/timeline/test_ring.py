"""Waits that outlast the core's log of runs: what is settled when it is full, and what lay before the wait began."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracekit


def hold(thread: str, at: int) -> list[str]:
    return [f"{thread} - 0 ENTRY {at}", f"{thread} - 0 ACQUIRE {at}", f"{thread} - 0 RELEASE {at + 5}"]


@pytest.mark.parametrize("before", [0, 1, 2])
def test_only_those_pass_a_waiter_that_come_while_it_waits(before: int, core: str, tmp_path: Path) -> None:
    """Though the run in which it begins had ACQUIREs already. Both cores, to one pass and one ns."""
    rows, at = [], 0
    for thread in [*(["x", "y"] * before)[:before], "a"]:
        rows += hold(thread, at)
        at += 10
    start = at
    rows += [f"w - 0 ENTRY {at}", f"w - 0 BUSY {at}", *hold("a", at)]
    for number in range(4200):
        at += 10
        rows += hold("bc"[number % 2], at)
    rows += [f"w - 0 ACQUIRE {at + 10}", f"w - 0 RELEASE {at + 20}"]
    (tmp_path / "t.log").write_text("".join(f"{row}\n" for row in rows))
    trace = tracekit.read(tmp_path / "t.log")
    (wait,) = (row for row in trace.waits.to_pylist() if row["thread"] == "w")
    assert (wait["passes"], wait["rival"], wait["duration"]) == (4201, "b", at + 10 - start)
    blamed = {row["holder"]: row["duration"] for row in trace.blame.to_pylist() if row["waiter"] == "w"}
    assert blamed == {"a": 5, "b": 5 * 2100, "c": 5 * 2100, None: 5 * 4201}
