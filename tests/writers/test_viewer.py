"""What all trace viewers are given: slices that nest as viewers want them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracekit
from tests.conftest import GOLDEN, SAMPLES, examples
from tests.strategies import histories, stories
from tracekit.errors import TracekitError
from tracekit.writers import viewer
from tracekit.writers.tablestream import TableStream

TRACES = sorted([*GOLDEN.rglob("*.log"), *SAMPLES.glob("slide*.log")])


def check(path: Path) -> None:
    """Slices of a track neither overlap nor last less than nothing, and an arrow ends inside its wait."""
    with TableStream(path) as tables:
        slices = list(viewer.with_wake_ups(viewer.slices(tables)))
    ends: dict[str, int] = {}
    waits: dict[str, viewer.Slice] = {}
    for slice in slices:
        assert 0 <= slice.start <= slice.end, slice
        if slice.name == viewer.WAKES:
            wait = waits[slice.track]
            assert wait.start <= slice.start <= slice.end == wait.end, slice
            continue
        assert slice.start >= ends.get(slice.track, 0), slice
        ends[slice.track] = slice.end
        if slice.name == viewer.WAITS:
            waits[slice.track] = slice
    flows = Counter(slice.flow for slice in slices if slice.flow is not None)
    assert set(flows.values()) <= {2}, "an arrow has two ends"


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_slices_of_a_thread_do_not_overlap(path: Path) -> None:
    check(path)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=examples(150))
@given(st.one_of(histories(), stories()))
def test_nor_do_those_of_any_trace(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(text)
    try:
        tracekit.analyze(path)
    except TracekitError:
        return
    check(path)
