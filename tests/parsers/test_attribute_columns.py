"""Attributes that come as columns: what counts of them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tracekit
from tracekit.errors import SourceError, TracekitError

EVENTS = ["ENTRY", "ACQUIRE", "BUSY", "RELEASE", "RELEASE"]
TIMES = [1, 2, 3, 4, None]


def read(folder: Path, **attributes: Any) -> tracekit.Trace:
    path = folder / "events.parquet"
    pq.write_table(pa.table({"thread": ["t"] * 5, "event": EVENTS, "time": TIMES, **attributes}), path)
    return tracekit.read(path)


def test_old_files_have_none(tmp_path: Path) -> None:
    events = read(tmp_path).events
    for name in ("cpu", "stack", "sample", "region", "lock", "unlocks"):
        assert events.column(name).to_pylist() == [None] * 5


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("cpu", [None, None, None, 7, None]),
        ("stack", [None, None, 7, 7, None]),
        ("sample", [None, None, 7, None, None]),
        ("region", [7, None, None, 7, None]),
        ("lock", [None, None, None, 7, None]),
    ],
)
def test_only_where_it_belongs_and_behind_a_time(name: str, kept: list[int | None], tmp_path: Path) -> None:
    assert read(tmp_path, **{name: [7] * 5}).events.column(name).to_pylist() == kept
    assert read(tmp_path, **{name: pa.array([7] * 5, pa.uint8())}).events.column(name).to_pylist() == kept


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[3, 9]] * 5),
        pa.array([[3, 9]] * 5, pa.large_list(pa.uint16())),
        pa.array(["3,9"] * 5),
        pa.array(["3,9"] * 5).dictionary_encode(),
        pa.array([[5], None, [], [3, 9], [1]]),
    ],
)
def test_lists(column: pa.Array, tmp_path: Path) -> None:
    assert read(tmp_path, unlocks=column).events.column("unlocks").to_pylist() == [None, None, None, [3, 9], None]


def test_empty_lists_and_words_are_none(tmp_path: Path) -> None:
    assert read(tmp_path, unlocks=pa.array([[]] * 5, pa.list_(pa.int64()))).events.column("unlocks").null_count == 5
    assert read(tmp_path, unlocks=pa.array([""] * 5)).events.column("unlocks").null_count == 5


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"cpu": [None, None, None, -1, None]}, "row 4: cpu is -1, which is out of range (0 to 4611686018427387904)."),
        ({"stack": [None, 0, None, None, None]}, "row 2: stack is 0, which is out of range"),
        ({"sample": [2**62 + 1] * 5}, "row 1: sample is 4611686018427387905"),
        ({"region": ["eu"] * 5}, "the column region holds no integers"),
        ({"lock": [[1]] * 5}, "the column lock has lists, records, runs or the like instead of values."),
        ({"unlocks": [None, [1, 0], None, None, None]}, "row 2: unlocks has an id that is none"),
        ({"unlocks": [None, None, None, [1, None], None]}, "row 4: unlocks has an id that is none"),
        ({"unlocks": [None, None, list(range(1, 10)), None, None]}, "row 3: unlocks has an id that is none"),
        ({"unlocks": ["1,x"] * 5}, "the column unlocks holds no ids"),
        ({"unlocks": [[[1]]] * 5}, "the column unlocks has lists, records, runs or the like instead of values."),
    ],
)
def test_refused(attributes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(TracekitError) as raised:
        read(tmp_path, **attributes)
    assert sentence in raised.value.message


def test_frames(tmp_path: Path) -> None:
    """As people write them, and as SQL and CSV give them."""
    frame = pd.DataFrame({"thread": "t", "event": EVENTS, "time": TIMES, "cpu": [None, None, None, 5, None]})
    frame["unlocks"] = [None, None, None, [1, 2], None]
    trace = tracekit.from_pandas(frame)
    assert trace.events.column("cpu").to_pylist() == [None, None, None, 5, None]
    assert trace.events.column("unlocks").to_pylist() == [None, None, None, [1, 2], None]
    assert frame.gil.holds()["duration"].tolist() == [2]


def test_definitions_of_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "trace.log"
    path.write_text("# code: 1 = 2 f x.py\n# stack: 1 = 0 1 3\n# region: 4 = r\nt - 0 ENTRY 1 region=4\n")
    frame = tracekit.read(path).to_pandas("events")
    assert frame.gil.trace.stacks.to_pylist() == [
        {
            "stack": 1,
            "parent": None,
            "depth": 1,
            "function": "f",
            "file": "x.py",
            "first_line": 2,
            "line": 3,
            "calls": None,
        }
    ]
    assert frame.gil.trace.regions.to_pylist() == [{"region": 4, "name": "r"}]
    frame.attrs["tracekit"]["definitions"] = "stack: 1 = 0 1 3"
    with pytest.raises(TracekitError, match="is no definition"):
        tracekit.from_pandas(frame)


def test_a_damaged_header(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    told = '{"tracekit.trace": {"version": 1, "unit": "ns", "metadata": {}, "names": {}, "bad_lines": {"counts": {}, '
    told += '"first": {}, "lines": []}, "fault_lines": [], "truncated": null, "definitions": ["stack: 1 = 0 1 1"]}}\n'
    path.write_text(told + '{"thread": "t", "event": "ENTRY"}\n')
    with pytest.raises(TracekitError, match="'stack: 1 = 0 1 1' is no definition"):
        tracekit.read(path)


def test_csv_tells_the_row(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text('thread,event,time,unlocks\nt,ENTRY,1,\nt,RELEASE,2,"3,9"\nt,RELEASE,3,0\n')
    with pytest.raises(SourceError, match="row 3: unlocks has an id that is none"):
        tracekit.read(path)
    path.write_text('thread,event,time,unlocks\nt,ENTRY,1,\nt,RELEASE,2,"3,9"\nt,RELEASE,3,07\n')
    assert tracekit.read(path).events.column("unlocks").to_pylist() == [None, [3, 9], [7]]
