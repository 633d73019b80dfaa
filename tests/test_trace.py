"""`Trace` in memory: its tables against hand-made ones, pandas, notebooks, compressed and piped input."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import tracekit
from tests.conftest import SAMPLES, trace_file
from tracekit import zstd
from tracekit.model import schemas

STORY = b"""\
# switch-interval-us: 5000
# thread: t2 = wor<b>ker
t1 - 7 ENTRY 1000
t1 - 7 ACQUIRE 1000
t2 - 7 ENTRY 1500
t2 - 7 BUSY 1600
t2 - 7 RETRY 6600
t1 - 8 RELEASE 7000
t2 - 8 ACQUIRE 7050
oops
t2 - 8 RELEASE 8000
t3 - 8 ENTRY 8100
"""


@pytest.fixture
def story(tmp_path: Path, core: str) -> tracekit.Trace:
    path = tmp_path / "story.log"
    path.write_bytes(STORY)
    return tracekit.read(path)


def test_tables(story: tracekit.Trace) -> None:
    assert (story.unit, story.duration, story.bad_lines) == ("ns", 7100, 1)
    assert story.metadata == {"switch-interval-us": "5000"}
    assert [(e["seq"], e["thread"], e["event"], e["clock"], e["tick_clock"]) for e in story.events.to_pylist()[:2]] == [
        (0, "t1", "ENTRY", 1000, None),
        (1, "t1", "ACQUIRE", 1000, None),
    ]
    none = {"start_tick_clock": None, "end_tick_clock": None, "cpu": None, "open": False, "truncated": False}
    assert story.holds.to_pylist() == [
        {"thread": "t1", "start_seq": 1, "end_seq": 5, "start_clock": 1000, "end_clock": 7000, "duration": 6000,
         "waited": 0, "release_kind": "check", **none},
        {"thread": "t2", "start_seq": 6, "end_seq": 7, "start_clock": 7050, "end_clock": 8000, "duration": 950,
         "waited": 5550, "release_kind": "blocking", **none},
    ]  # fmt: skip
    wait = story.waits.to_pylist()[1]
    told = {
        "thread": "t2", "entry_seq": 2, "busy_seq": 3, "end_seq": 6, "entry_clock": 1500, "busy_clock": 1600,
        "end_clock": 7050, "entry_tick_clock": None, "busy_tick_clock": None, "end_tick_clock": None,
        "duration": 5550, "contended": True, "failed_retries": 1, "lost_rounds": 0, "timeouts": 1, "hand_overs": 0,
        "passes": 0, "rival": None, "open": False, "truncated": False,
    }  # fmt: skip
    assert {name: value for name, value in wait.items() if value is not None or name in told} == told
    last = story.waits.to_pylist()[2]
    assert (last["thread"], last["open"], last["end_seq"], last["duration"]) == ("t3", True, None, 0)
    assert story.switches.to_pylist() == [
        {"seq": 6, "from": "t1", "to": "t2", "clock": 7050, "tick_clock": None, "gap": 50}
    ]
    assert story.blame.to_pylist() == [
        {"waiter": "t2", "holder": "t1", "duration": 5500},
        {"waiter": "t2", "holder": None, "duration": 50},
    ]
    assert story.threads.column("name").to_pylist() == [None, "wor<b>ker", None]
    assert story.diagnostics.to_pylist() == [
        {"code": "too-few-columns", "severity": "error", "line": 10, "seq": None, "thread": None, "text": "oops"}
    ]


def test_pandas(story: tracekit.Trace) -> None:
    for table in schemas.TRACE_TABLES:
        frame = story.to_pandas(table)
        assert len(frame) == getattr(story, table).num_rows
        assert list(frame.columns) == getattr(story, table).column_names
    waits = story.to_pandas("waits")
    assert isinstance(waits["thread"].dtype, pd.CategoricalDtype)
    assert isinstance(story.to_pandas("events")["event"].dtype, pd.CategoricalDtype)
    assert waits["entry_seq"].dtype == pd.Int64Dtype()
    assert waits["duration"].dtype == "int64"
    assert waits["open"].dtype == bool
    assert waits.groupby("thread", observed=True)["duration"].sum().to_dict() == {"t1": 0, "t2": 5550, "t3": 0}
    with pytest.raises(ValueError, match="no table 'wait'; there are events"):
        story.to_pandas("wait")


def test_failed_retries(story: tracekit.Trace) -> None:
    assert story.failed_retries.to_pylist() == [
        {"seq": 4, "thread": "t2", "holder": "t1", "kind": "timeout", "clock": 6600}
    ]


def test_notebook(story: tracekit.Trace) -> None:
    assert repr(story).endswith("story.log: 9 events, 3 threads, 7,100 ns, 1 bad lines>")
    html = story._repr_html_()
    assert "<table" in html
    assert "<b>ker" not in html


def test_the_slides_battle(core: str) -> None:
    """The slide: t2 sleeps on the GIL, and t1 releases and takes it again before t2 can get to it."""
    trace = tracekit.read(SAMPLES / "slide-battle.log")
    wait = trace.waits.to_pylist()[-1]
    assert (wait["thread"], wait["rival"], wait["open"]) == ("t2", "t1", True)
    assert (wait["failed_retries"], wait["lost_rounds"], wait["passes"]) == (4, 4, 4)


def test_both_clocks(core: str) -> None:
    trace = tracekit.read(trace_file("py27-echo-convoy-timed.log"))
    ticks = trace.events.column("tick_clock")
    assert ticks.null_count == 0
    assert ticks.to_pylist() == sorted(ticks.to_pylist())
    for hold in trace.holds.slice(0, 50).to_pylist():
        assert hold["start_tick_clock"] == ticks[hold["start_seq"]].as_py()
        assert hold["end_tick_clock"] == ticks[hold["end_seq"]].as_py()


@pytest.mark.slow
def test_tables_of_both_cores_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.conftest import require_native
    from tracekit import _native

    require_native()
    path = trace_file("py27-echo-convoy-timed.log")
    native = {table: getattr(tracekit.read(path), table) for table in schemas.TRACE_TABLES}
    monkeypatch.setattr(_native, "library", None)
    plain = tracekit.read(path)
    for table, found in native.items():
        assert found.combine_chunks().equals(getattr(plain, table).combine_chunks()), table


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("members", [1, 3])
def test_compressed(compress: object, members: int, tmp_path: Path, core: str) -> None:
    assert callable(compress)
    text = trace_file("py311-longhold.log").read_bytes()
    size = -(-len(text) // members)
    path = tmp_path / "no-telling-name"
    path.write_bytes(b"".join(compress(text[at : at + size]) for at in range(0, len(text), size)))
    plain = tracekit.read(trace_file("py311-longhold.log"))
    assert tracekit.read(path).events.equals(plain.events)
    assert tracekit.analyze(path).blame.equals(plain.blame)


def test_import_is_light() -> None:
    """No pandas, plotly or compute functions for a summary: they take longer than all else."""
    code = (
        "import sys, tracekit; from tracekit.reporters import console, json;"
        f"a = tracekit.analyze({str(SAMPLES / 'slide-sample.log')!r}); console.render(a); json.render([a]);"
        f"t = tracekit.read({str(SAMPLES / 'slide-sample.log')!r}); t.waits, t.diagnostics, repr(t);"
        "print([m for m in ('pandas', 'plotly', 'duckdb', 'pyarrow.compute') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
