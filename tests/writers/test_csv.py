"""CSV that other programs read as it is meant."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import tracekit
from tests.writers.test_convert import converted
from tracekit.writers.csv import lines, names_line

ODD = ["", "a,b", 'say "hi"', "line\nfeed", "carriage\rreturn", "both\r\n", "plain", " spaced ", "'quoted'"]


@pytest.mark.parametrize("word", ODD)
def test_any_word_comes_back_from_pythons_reader(word: str) -> None:
    """A CR alone ends a row too, for Python's reader, Excel and pandas, unless it is quoted."""
    batch = pa.record_batch({"a": [word], "b": [1], "c": pa.array([None], pa.string())})
    text = lines(batch).decode()
    assert next(csv.reader(io.StringIO(text, newline=""))) == [word, "1", ""]


def test_an_empty_word_is_not_null() -> None:
    assert lines(pa.record_batch({"a": ["", None, "x"]})) == b'""\n\nx\n'


def test_only_what_must_be_quoted_is() -> None:
    assert lines(pa.record_batch({"a": ["plain", " spaced ", "it's"]})) == b"plain\n spaced \nit's\n"


def test_numbers() -> None:
    batch = pa.record_batch({"i": [1, None], "f": [0.5, float("nan")], "b": [True, False]})
    assert lines(batch) == b"1,0.5,true\n,,false\n"


def test_names() -> None:
    assert names_line(pa.schema([("a,b", pa.int64()), ("c", pa.int64())])) == b'"a,b",c\n'


@pytest.mark.parametrize("name", ["a,b", chr(34), "it's", "ünï", "a;b"])
def test_a_threads_odd_name_makes_the_round_trip(name: str, tmp_path: Path) -> None:
    events = pd.DataFrame({"thread": [name, "t2"], "ticks": [1, 2], "checks": [1, 2], "event": ["ENTRY", "ENTRY"]})
    trace = tracekit.from_pandas(events)
    trace.to_pandas("events").to_parquet(tmp_path / "t.events.parquet")
    back = tracekit.read(converted(tmp_path / "t.events.parquet", tmp_path / "t.csv"))
    assert back.events.column("thread").to_pylist() == [name, "t2"]
