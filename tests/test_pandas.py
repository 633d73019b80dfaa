"""DataFrames of events: from them, to them, and `df.gil`."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pandas as pd
import pytest

import tracekit
from tests.conftest import GOLDEN, SAMPLES, trace_file
from tracekit.model import schemas

NAMES = ["py27-cpu2.log", "py27-echo-convoy-timed.log", "py311-longhold.log", "slide-battle.log"]
EDGES = [path.name for folder in ("edge", "attributes") for path in sorted((GOLDEN / folder).glob("*.log"))]


@pytest.mark.parametrize("name", NAMES + EDGES)
def test_there_and_back(name: str, core: str) -> None:
    """With the metadata that the clock depends on, and the names."""
    trace = tracekit.read(trace_file(name))
    back = tracekit.from_pandas(trace.to_pandas("events"))
    assert back.metadata == trace.metadata
    for table in schemas.TRACE_TABLES:
        if table != "diagnostics":
            assert getattr(back, table).equals(getattr(trace, table)), table
    assert tracekit.analyze(back).battles.equals(tracekit.analyze(trace).battles)


def test_metadata() -> None:
    events = tracekit.read(trace_file("interval-zero.log")).to_pandas("events")
    assert tracekit.from_pandas(events, metadata={"check-interval": "7"}).metadata == {"check-interval": "7"}
    assert tracekit.from_pandas(events, metadata={}).metadata == {}


def test_other_types() -> None:
    """As CSV files, other libraries and people give them."""
    events = pd.DataFrame(
        {
            "time": [10, 20, 30.0],
            "event": ["entry", "Acquire", "RELEASE"],
            "thread": [6752, 6752, 6752],
            "checks": pd.array([1, None, 2], dtype="UInt8"),
            "more": ["a", "b", "c"],
        },
        index=["x", "y", "z"],
    )
    trace = tracekit.from_pandas(events)
    assert trace.events.select(["thread", "event", "ticks", "checks", "time"]).to_pylist() == [
        {"thread": "6752", "event": "ENTRY", "ticks": None, "checks": 1, "time": 10},
        {"thread": "6752", "event": "ACQUIRE", "ticks": None, "checks": None, "time": 20},
        {"thread": "6752", "event": "RELEASE", "ticks": None, "checks": 2, "time": 30},
    ]
    assert (trace.unit, trace.duration) == ("ns", 20)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"event": "JUMP"}, "row 1: the event 'JUMP' is none of ENTRY"),
        ({"thread": "a b"}, "row 1: 'a b' cannot be a thread's id"),
        ({"thread": ""}, "row 1: '' cannot be a thread's id"),
        ({"thread": "#1"}, "row 1: '#1' cannot be a thread's id"),
        ({"thread": None}, "row 1: there is no thread"),
        ({"ticks": 10**13}, "row 1: ticks is 10000000000000, which is out of range"),
        ({"time": -1}, "row 1: time is -1, which is out of range"),
        ({"checks": 1.5}, "the column checks holds no integers"),
        ({"checks": "x"}, "the column checks holds no integers"),
        ({"ticks": -(2**63)}, "out of range"),
    ],
)
def test_what_is_refused(change: dict[str, Any], sentence: str) -> None:
    events = tracekit.read(SAMPLES / "py311-cpu2.log").to_pandas("events").assign(**change)
    with pytest.raises(tracekit.SourceError) as raised:
        tracekit.from_pandas(events)
    assert sentence in str(raised.value)


def test_frames_that_are_no_events() -> None:
    trace = tracekit.read(SAMPLES / "py311-cpu2.log")
    with pytest.raises(tracekit.SchemaError, match="no column event"):
        tracekit.from_pandas(trace.to_pandas("waits"))
    with pytest.raises(AttributeError, match=r"df\.gil is for a frame of events"):
        _ = trace.to_pandas("waits").gil
    with pytest.raises(tracekit.NoEventsError):
        tracekit.from_pandas(trace.to_pandas("events").head(0))


def test_accessor() -> None:
    trace = tracekit.read(SAMPLES / "py27-cpu2.log")
    events = trace.to_pandas("events")
    for table in ("holds", "waits", "switches", "threads", "blame"):
        pd.testing.assert_frame_equal(getattr(events.gil, table)(), trace.to_pandas(table))
    analysis = tracekit.analyze(trace, min_rounds=4)
    pd.testing.assert_frame_equal(events.gil.battles(min_rounds=4), analysis.to_pandas("battles"))
    for kind in ("convoys", "frozen_signals", "long_holds"):
        assert len(getattr(events.gil, kind)()) == tracekit.analyze(trace).found(kind)[0]
    part = events[events.seq >= 20_000]
    assert len(part.gil.waits()) < len(trace.waits)
    assert part.gil.trace.metadata == trace.metadata


@pytest.mark.parametrize("first", ["import tracekit.pandas", "tracekit.from_pandas(df)", "trace.to_pandas('waits')"])
def test_when_the_accessor_is_there(first: str) -> None:
    """Not on `import tracekit`, which does not import pandas."""
    sample = str(SAMPLES / "py311-cpu2.log")
    code = (
        f"import sys, tracekit; trace = tracekit.read({sample!r}); assert 'pandas' not in sys.modules;"
        "import pandas as pd; assert not hasattr(pd.DataFrame, 'gil');"
        "df = pd.DataFrame(trace.events.select(['thread', 'event', 'time']).to_pylist());"
        f"{first}; print(len(df.gil.waits()), len(trace.waits))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    waits = done.stdout.split()
    assert done.returncode == 0, done.stderr
    assert waits[0] == waits[1] != "0"
