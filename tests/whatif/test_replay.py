"""The replay in C is the one in Python, and keeps the laws of CPython's protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tracekit import _native
from tracekit.whatif import native, plain
from tracekit.whatif.parallel import without_gil
from tracekit.whatif.programs import CONTINUES, GOES_ON, NONE, Behaviour, Run, Script

durations = st.one_of(st.integers(0, 50), st.integers(0, 20_000))


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    lengths = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    first = np.cumsum([0, *lengths])
    pieces = int(first[-1])
    owner = np.repeat(np.arange(len(lengths)), lengths)
    started_by = np.full(len(lengths), NONE)
    needs = np.full(pieces, NONE)
    for thread in range(1, len(lengths)):  # on earlier threads only: no circle
        if first[thread] and draw(st.booleans()):
            started_by[thread] = draw(st.integers(0, int(first[thread]) - 1))
    for piece in range(pieces):
        if first[owner[piece]] and draw(st.integers(0, 3)) == 0:
            needs[piece] = draw(st.integers(0, int(first[owner[piece]]) - 1))

    def integers(values: st.SearchStrategy[int], size: int) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=size, max_size=size)), np.int64)

    outside = integers(st.one_of(st.just(CONTINUES), st.just(GOES_ON), durations), pieces)
    outside[needs != NONE] = np.maximum(outside[needs != NONE], 0)
    flags = st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths))
    return Script(
        integers(durations, len(lengths)), first, started_by, integers(durations, pieces), outside, needs,
        integers(st.one_of(st.just(NONE), durations), pieces), np.array(draw(flags), bool), np.array(draw(flags), bool),
    )  # fmt: skip


@st.composite
def behaviours(draw: st.DrawFn, threads: int) -> Behaviour:
    samples = st.lists(durations, min_size=1, max_size=20).map(lambda values: np.array(sorted(values), np.int64))
    rows = st.lists(st.tuples(durations, durations), min_size=1, max_size=20).map(
        lambda values: np.array(sorted(values), np.int64)
    )
    each = [tuple(draw(kind) for _ in range(threads)) for kind in (samples, samples, rows)]
    return Behaviour(draw(st.integers(1, 5000)), draw(rows), *each)


def same(one: Run, other: Run) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Run.__dataclass_fields__)


@pytest.mark.skipif(not _native.library, reason="there is no native core here")
@given(st.data())
@settings(max_examples=examples(300))
def test_native_replay_is_the_plain_one(data: st.DataObject) -> None:
    script = data.draw(scripts())
    behaviour = data.draw(behaviours(len(script.start)))
    seed = data.draw(st.integers(0, 2**64 - 1))
    assert same(plain.replay(script, behaviour, seed), native.replay(script, behaviour, seed))


@given(st.data())
@settings(max_examples=examples(150))
def test_every_piece_is_run_and_the_gil_has_one_holder(data: st.DataObject) -> None:
    script = data.draw(scripts())
    script = replace(script, free=np.zeros(len(script.start), bool))
    behaviour = data.draw(behaviours(len(script.start)))
    run = plain.replay(script, behaviour, 1)
    for thread in range(len(script.start)):
        pieces = slice(script.first[thread], script.first[thread + 1])
        work = int(script.work[pieces].sum())
        if pieces.stop > pieces.start:
            assert run.ends[thread] - run.begins[thread] >= work + run.waited[thread]
    some = np.diff(script.first) > 0
    if some.any():  # the holds do not overlap
        assert run.ends[some].max() - run.begins[some].min() >= script.work.sum() - script.work.max()
        assert run.ends[some].max() >= script.work.sum()


@given(scripts(), st.integers(1, 3))
@settings(max_examples=examples(150))
def test_without_gil_more_cores_are_never_worse(script: Script, cores: int) -> None:
    alone = without_gil(script, len(script.start))
    run = without_gil(script, cores)
    if (np.diff(script.first) > 0).any():
        assert run.ends.max() >= alone.ends.max() or cores >= len(script.start)
        assert (alone.ends - np.maximum(alone.begins, 0) >= 0).all()


def one_hog_and_a_server(atomic: bool) -> Script:
    """A thread that computes for 100 ms in pieces of 20, and one that comes back after 1 ms ten times."""
    ms = 1_000_000
    hog, server = [20 * ms] * 5, [10_000] * 10
    return Script(
        np.array([0, ms]), np.array([0, 5, 15]), np.array([NONE, NONE]), np.array(hog + server),
        np.array([CONTINUES] * 4 + [0] + [ms] * 10), np.full(15, NONE), np.full(15, NONE), np.array([atomic, False]),
        np.array([False, False]),
    )  # fmt: skip


def behaviour(delay: int) -> Behaviour:
    def samples(value: int) -> np.ndarray:
        return np.array([value])

    rows = np.array([[0, 20_000]])
    each = (samples(5_000),) * 2
    return Behaviour(delay, rows, each, (samples(30_000),) * 2, (rows,) * 2)


@pytest.mark.parametrize("delay", [500_000, 5_000_000])
def test_a_waiter_waits_for_its_interval(delay: int) -> None:
    run = plain.replay(one_hog_and_a_server(False), behaviour(delay), 1)
    waits = run.waits[run.waiters == 1]
    assert (waits[:9] == delay + 5_000 + 20_000).all()  # the interval, the answer, the waking


def waits_for_progress(rest: int, waits_at: int) -> Script:
    """One thread works for 3 ms, the other one needs its first 2 ms, behind `waits_at` of its own."""
    ms = 1_000_000
    return Script(
        np.array([0, 0]), np.array([0, 2, 4]), np.array([NONE, NONE]), np.array([2 * ms, rest, waits_at, ms]),
        np.array([GOES_ON, 0, 50_000, 0]), np.array([NONE, NONE, 0, NONE]), np.full(4, NONE),
        np.array([True, False]), np.array([False, False]),
    )  # fmt: skip


def test_it_is_woken_by_the_others_progress() -> None:
    run = plain.replay(
        replace(waits_for_progress(1_000_000, 10_000), start=np.array([20_000, 0])), behaviour(500_000), 1
    )
    assert run.begins.tolist() == [20_000, 0]
    wait = run.waits[run.waiters == 1]  # it wants the GIL 50 us behind the 2 ms; until the other one ends
    assert wait.tolist() == [1_000_000 - 50_000 + 20_000]


def test_what_is_there_already_is_not_waited_for() -> None:
    run = plain.replay(waits_for_progress(1_000_000, 10_000), behaviour(500_000), 1)
    assert run.ends[1] - run.begins[1] == 3_000_000 + 20_000 + 1_010_000
    assert len(run.waits) == 1


def test_c_code_answers_at_its_end_only() -> None:
    run = plain.replay(one_hog_and_a_server(True), behaviour(500_000), 1)
    assert run.waits[run.waiters == 1][0] == 20_000_000 - 1_000_000 + 20_000
