"""Waits and holds in any order, to events."""

from __future__ import annotations

import pytest

from tracekit.model.stream import ACQUIRE, BUSY, ENTRY, RELEASE
from tracekit.parsers.imported import Row
from tracekit.parsers.ranges import HOLDING, WAITING, Ranges


def rows(*ranges: tuple[int, int, float, float]) -> list[Row]:
    made = Ranges()
    for one in ranges:
        assert made.add(*one)
    assert len(made) == len(ranges)
    return list(made.rows())


def test_a_wait_inside_the_threads_own_hold_does_not_cut_it() -> None:
    """Tracers that sample or round write such waits. The thread never let go, so its hold stays one."""
    events = rows((HOLDING, 1, 0, 100), (WAITING, 1, 40, 60), (HOLDING, 2, 150, 200))
    assert [event for _, thread, event in events if thread == 1 and event != ENTRY] == [ACQUIRE, RELEASE]
    assert [time for time, thread, event in events if (thread, event) == (1, RELEASE)] == [100]


def test_a_wait_that_no_hold_follows_had_one_too_short_to_see() -> None:
    """Whoever held the GIL at its end let go of it, and has it again."""
    assert rows((HOLDING, 1, 0, 100), (WAITING, 2, 10, 50)) == [
        (0, 1, ENTRY), (0, 1, ACQUIRE), (10, 2, ENTRY), (50, 1, RELEASE), (50, 2, ACQUIRE), (50, 2, RELEASE),
        (50, 1, ENTRY), (50, 1, ACQUIRE), (100, 1, RELEASE),
    ]  # fmt: skip


def test_a_wait_that_lasts_to_the_end_stays_open() -> None:
    assert rows((HOLDING, 1, 0, 100), (WAITING, 2, 10, 100)) == [
        (0, 1, ENTRY), (0, 1, ACQUIRE), (10, 2, ENTRY), (100, 1, RELEASE),
    ]  # fmt: skip


def test_a_hold_without_a_wait_gets_an_entry_where_it_begins() -> None:
    assert rows((HOLDING, 1, 5, 7)) == [(5, 1, ENTRY), (5, 1, ACQUIRE), (7, 1, RELEASE)]
    assert rows((WAITING, 1, 2, 5), (HOLDING, 1, 5, 7)) == [(2, 1, ENTRY), (5, 1, ACQUIRE), (7, 1, RELEASE)]


def test_a_hold_that_lasts_no_time_is_one() -> None:
    assert rows((HOLDING, 1, 0, 9), (HOLDING, 1, 9, 9), (HOLDING, 2, 20, 21))[3:6] == [
        (9, 1, ENTRY), (9, 1, ACQUIRE), (9, 1, RELEASE),
    ]  # fmt: skip


def test_one_thread_lets_go_before_another_has_it_at_the_same_time() -> None:
    events = rows((HOLDING, 2, 10, 20), (HOLDING, 1, 0, 10))
    assert [(thread, event) for _, thread, event in events if event != ENTRY] == [
        (1, ACQUIRE), (1, RELEASE), (2, ACQUIRE), (2, RELEASE),
    ]  # fmt: skip
    assert BUSY not in {event for _, _, event in events}


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 4), (0, float("nan")), (0, float("inf")), (0, 2.0**63)])
def test_what_is_no_time_is_refused(start: float, end: float) -> None:
    made = Ranges()
    assert not made.add(HOLDING, 1, start, end)
    assert len(made) == 0
