"""Waits that outlast the core's log of runs: what is settled when it is full, and what lay before the wait began."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracekit


def hold(thread: str, at: int) -> list[str]:
    return [f"{thread} - 0 ENTRY {at}", f"{thread} - 0 ACQUIRE {at}", f"{thread} - 0 RELEASE {at + 5}"]


@pytest.mark.parametrize("before", [0, 2])
def test_only_those_pass_a_waiter_that_come_while_it_waits(before: int, core: str, tmp_path: Path) -> None:
    """Though the run in which it begins had ACQUIREs already. Both cores, to one pass and one ns."""
    holds = 16500 if core == "native" else 420  # more than RING of timeline.c; the Python core has no ring
    rows, at = [], 0
    for thread in [*(["x", "y"] * before)[:before], "a"]:
        rows += hold(thread, at)
        at += 10
    start = at
    rows += [f"w - 0 ENTRY {at}", f"w - 0 BUSY {at}", *hold("a", at)]
    for number in range(holds):
        at += 10
        rows += hold("bc"[number % 2], at)
    rows += [f"w - 0 ACQUIRE {at + 10}", f"w - 0 RELEASE {at + 20}"]
    (tmp_path / "t.log").write_text("".join(f"{row}\n" for row in rows))
    trace = tracekit.read(tmp_path / "t.log")
    (wait,) = (row for row in trace.waits.to_pylist() if row["thread"] == "w")
    assert (wait["passes"], wait["rival"], wait["duration"]) == (holds + 1, "b", at + 10 - start)
    blamed = {row["holder"]: row["duration"] for row in trace.blame.to_pylist() if row["waiter"] == "w"}
    assert blamed == {"a": 5, "b": 5 * holds // 2, "c": 5 * holds // 2, None: 5 * (holds + 1)}


def test_who_wants_what_it_has_and_lets_go_of_it_still_waits(core: str, tmp_path: Path) -> None:
    """Three rows that are mostly one step, RELEASE, ENTRY and ACQUIRE, are not where a wait is open already."""
    events = ["ENTRY", "ACQUIRE", "ENTRY", "RELEASE", "ENTRY", "ACQUIRE", "RELEASE"]
    (tmp_path / "t.log").write_text("".join(f"t - 0 {event} {10 * at}\n" for at, event in enumerate(events)))
    trace = tracekit.read(tmp_path / "t.log")
    assert sorted(found.code for found in trace.summary) == ["entry-while-holding", "entry-while-waiting"]
    assert [(row["entry_seq"], row["end_seq"]) for row in trace.waits.to_pylist()] == [(0, 1), (4, 5)]


def test_who_lost_how_much_among_many_threads_that_take_turns(core: str, tmp_path: Path) -> None:
    """With waits so long that what the core adds up in half a word runs full every second time."""
    threads, rounds, step = 24, 40, 1 << 43
    rows = [f"t{n} - 0 {event} 0" for n in range(threads) for event in ("ENTRY", "BUSY")]
    for turn in range(threads * rounds):
        thread, end = f"t{turn % threads}", (turn + 1) * step
        rows += [f"{thread} - {turn} ACQUIRE {turn * step}", f"{thread} - {turn + 1} RELEASE {end}"]
        rows += [f"{thread} - {turn + 1} ENTRY {end}", f"{thread} - {turn + 1} BUSY {end}"]
    (tmp_path / "t.log").write_text("".join(f"{row}\n" for row in rows))
    causes = tracekit.analyze(tmp_path / "t.log", long_hold=1 << 60).causes.to_pylist()
    lost: dict[tuple[str, str], tuple[int, int]] = {}
    for row in causes:
        waits, time = lost.get((row["thread"], row["holder"]), (0, 0))
        lost[row["thread"], row["holder"]] = waits + row["waits"], time + row["duration"]
    names = [f"t{n}" for n in range(threads)]
    assert lost == {(a, b): (rounds, rounds * step) for a in names for b in names if a != b}
