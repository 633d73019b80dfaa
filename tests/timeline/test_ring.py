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


def test_who_wants_what_it_has_and_lets_go_of_it_still_waits(core: str, tmp_path: Path) -> None:
    """Three rows that are mostly one step, RELEASE, ENTRY and ACQUIRE, are not where a wait is open already."""
    events = ["ENTRY", "ACQUIRE", "ENTRY", "RELEASE", "ENTRY", "ACQUIRE", "RELEASE"]
    (tmp_path / "t.log").write_text("".join(f"t - 0 {event} {10 * at}\n" for at, event in enumerate(events)))
    trace = tracekit.read(tmp_path / "t.log")
    assert sorted(found.code for found in trace.summary) == ["entry-while-holding", "entry-while-waiting"]
    assert [(row["entry_seq"], row["end_seq"]) for row in trace.waits.to_pylist()] == [(0, 1), (4, 5)]
