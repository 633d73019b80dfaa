"""The table `locks`: who waited for which lock until whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tracekit
from tracekit import _native
from tracekit.reporters.sentences import locks_behind_the_gil
from tracekit.timeline import locks


@pytest.fixture(params=["native", "python"])
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(_native, "library", None)
    elif not _native.library:
        pytest.skip("there is no native core here")
    return str(request.param)


def rows_of(folder: Path, text: str) -> list[tuple[Any, ...]]:
    """Lock, waiter, releaser, duration, waits, releaser_waited. text: thread, event, time, attributes."""
    path = folder / "trace.log"
    told = [line.split(maxsplit=3) for line in text.strip().splitlines()]
    path.write_text("".join(f"{t} - 0 {event} {time} {' '.join(rest)}\n" for t, event, time, *rest in told))
    return [tuple(row.values()) for row in tracekit.analyze(path).locks.to_pylist()]


def test_unlocked_in_the_hold_that_lasts(core: str, tmp_path: Path) -> None:
    """b wants the GIL from 5 on and has it from 40 on, a waits from 10 to 60 for what b unlocks before 100."""
    text = """
        a ENTRY 0
        a ACQUIRE 0
        b ENTRY 5
        b BUSY 6
        a RELEASE 10 lock=7
        c ENTRY 12
        c ACQUIRE 13
        c RELEASE 30 unlocks=8
        b ACQUIRE 40
        a ENTRY 60
        a BUSY 61
        b RELEASE 100 unlocks=3,7
        a ACQUIRE 101
        a RELEASE 102"""
    assert rows_of(tmp_path, text) == [(7, "a", "b", 50, 1, 30)]


def test_unlocked_before_it_came_back(core: str, tmp_path: Path) -> None:
    """Of two that did, the last; and not by what b did before a gave up the GIL."""
    text = """
        b ENTRY 0
        b ACQUIRE 1
        b RELEASE 5 unlocks=7
        a ENTRY 6
        a ACQUIRE 7
        a RELEASE 10 lock=7
        b ENTRY 11
        b ACQUIRE 12
        b RELEASE 20 unlocks=7
        c ENTRY 21
        c ACQUIRE 22
        c RELEASE 30 unlocks=7
        b ENTRY 31
        b ACQUIRE 32
        a ENTRY 35
        a BUSY 36
        b RELEASE 40
        a ACQUIRE 41
        a RELEASE 50 lock=7
        a ENTRY 60
        a ACQUIRE 61
        a RELEASE 62"""
    assert rows_of(tmp_path, text) == [(7, "a", "c", 25, 1, 1), (7, "a", None, 10, 1, 0)]


def test_who_never_comes_back_waits_until_the_end(core: str, tmp_path: Path) -> None:
    text = """
        a ENTRY 0
        a ACQUIRE 0
        a RELEASE 10 lock=7
        b ENTRY 10
        b ACQUIRE 10
        b RELEASE 20 lock=8
        c ENTRY 20
        c ACQUIRE 20
        c RELEASE 90"""
    assert rows_of(tmp_path, text) == [(7, "a", None, 80, 1, 0), (8, "b", None, 70, 1, 0)]


def test_rows_beyond_the_limit_are_one_for_each_pair(
    core: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = locks.LOCK_LIMIT if core == "native" else 50
    monkeypatch.setattr(locks, "LOCK_LIMIT", limit)
    path, many = tmp_path / "trace.log", limit + 10
    with path.open("w") as file:
        for number in range(1, many + 1):
            now = 10 * number
            file.write(f"a - 0 ENTRY {now}\na - 0 ACQUIRE {now}\na - 0 RELEASE {now + 1} lock={number}\n")
            file.write(f"b - 0 ENTRY {now + 2}\nb - 0 ACQUIRE {now + 2}\nb - 0 RELEASE {now + 3} unlocks={number}\n")
        file.write(f"a - 0 ENTRY {10 * many + 10}\n")
    table = tracekit.analyze(path).locks
    assert table.num_rows == limit + 1
    assert sum(table["waits"].to_pylist()) == many
    assert table.filter(table["lock"].is_null()).select(["waits", "duration"]).to_pylist() == [
        {"waits": 10, "duration": 90}
    ]


def test_a_lock_behind_the_gil_is_told(tmp_path: Path) -> None:
    text = """
        hog ENTRY 0
        hog ACQUIRE 0
        hog RELEASE 10
        a ENTRY 10
        a ACQUIRE 10
        a RELEASE 20 lock=7
        hog ENTRY 20
        hog ACQUIRE 20
        b ENTRY 25
        b BUSY 25
        hog RELEASE 85
        b ACQUIRE 85
        b RELEASE 90 unlocks=7
        a ENTRY 91
        a ACQUIRE 91
        a RELEASE 100"""
    rows_of(tmp_path, text)
    told = locks_behind_the_gil(tracekit.analyze(tmp_path / "trace.log"))
    assert told.startswith("a waited for 71.0 % of the trace for locks, until b unlocked them; for 60.0 % b itself")
    rows_of(tmp_path, text.replace("b ENTRY 25\n        b BUSY 25\n", "").replace("b ACQUIRE", "b ENTRY 85\nb ACQUIRE"))
    assert locks_behind_the_gil(tracekit.analyze(tmp_path / "trace.log")) == ""
