"""Columns that mean harm: each file is refused in a sentence, and nothing is read from where it says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tracekit
from tracekit.errors import TracekitError
from tracekit.parsers.columnar import COLUMN_LIMIT

ROWS = 60
WORDS = [f"t{row % 3}" for row in range(ROWS)]
EVENTS = ["ENTRY", "ACQUIRE", "RELEASE"] * (ROWS // 3)


def columns(**changed: Any) -> dict[str, Any]:
    whole = {"thread": pa.array(WORDS), "event": pa.array(EVENTS), "time": pa.array(range(ROWS)), **changed}
    return {name: column for name, column in whole.items() if column is not None}


def as_file(path: Path, table: dict[str, Any]) -> Path:
    batch = pa.record_batch(table)
    with pa.ipc.new_file(path, batch.schema) as out:
        out.write_batch(batch)
    return path


def as_stream(path: Path, table: dict[str, Any]) -> Path:
    batch = pa.record_batch(table)
    with pa.ipc.new_stream(path, batch.schema) as out:
        out.write_batch(batch)
    return path


def as_parquet(path: Path, table: dict[str, Any]) -> Path:
    pq.write_table(pa.table(table), path)
    return path


Writer = Callable[[Path, dict[str, Any]], Path]
arrow = pytest.mark.parametrize("write", [as_file, as_stream])


def refused(path: Path) -> str:
    with pytest.raises(TracekitError) as raised:
        tracekit.analyze(path)
    assert raised.value.exit_code == 2
    assert raised.value.message.startswith(f"{path}: ")
    assert len(raised.value.message) < 500 + len(str(path))
    return raised.value.message


def patched(path: Path, old: bytes, new: bytes) -> Path:
    whole = path.read_bytes()
    assert old in whole
    path.write_bytes(whole.replace(old, new))
    return path


# ---- buffers ----


@arrow
@pytest.mark.parametrize("offset", [-5, 1, 50, 1 << 20, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("row", [0, 20, ROWS])
def test_offsets_of_strings(write: Writer, offset: int, row: int, tmp_path: Path) -> None:
    table = columns()
    offsets = table["thread"].buffers()[1].to_pybytes()[: 4 * (ROWS + 1)]
    changed = offsets[: 4 * row] + struct.pack("<i", offset) + offsets[4 * row + 4 :]
    path = write(tmp_path / "t.arrow", table)
    if row == 0 and offset == 1:  # valid: the first id is shorter
        return
    patched(path, offsets, changed)
    assert "cannot be read: " in refused(path)


@arrow
@pytest.mark.parametrize("name", ["thread", "event", "time"])
@pytest.mark.parametrize("index", [-1, 3, 100, 2**31 - 1, -(2**31)])
def test_index_outside_of_its_dictionary(write: Writer, name: str, index: int, tmp_path: Path) -> None:
    codes = np.array([row % 3 for row in range(ROWS)], np.int32)
    codes[7] = index
    words = {"thread": pa.array(["t0", "t1", "t2"]), "event": pa.array(EVENTS[:3]), "time": pa.array([5, 6, 7])}
    column = pa.DictionaryArray.from_arrays(pa.array(codes), words[name], safe=False)
    said = refused(write(tmp_path / "t.arrow", columns(**{name: column})))
    assert f"row 8: {name} is word {index} of a dictionary of 3" in said


def test_index_in_a_later_batch(tmp_path: Path) -> None:
    good = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2] * 20, pa.int8()), pa.array(["t0", "t1", "t2"]))
    bad = pa.DictionaryArray.from_arrays(pa.array([0] * 59 + [3], pa.int8()), pa.array(["t0", "t1", "t2"]), safe=False)
    first, second = (pa.record_batch(columns(thread=column)) for column in (good, bad))
    with pa.ipc.new_file(tmp_path / "t.arrow", first.schema) as out:
        out.write_batch(first)
        out.write_batch(second)
    assert "row 120: thread is word 3 of a dictionary of 3" in refused(tmp_path / "t.arrow")


@arrow
def test_null_in_a_dictionary(write: Writer, tmp_path: Path) -> None:
    for name in ("thread", "event"):
        column = pa.DictionaryArray.from_arrays(pa.array([0] * ROWS), pa.array([None, "t1"], pa.string()))
        assert "row 1: " in refused(write(tmp_path / "t.arrow", columns(**{name: column})))


@arrow
def test_invalid_utf_8(write: Writer, tmp_path: Path) -> None:
    assert "Invalid UTF8" in refused(patched(write(tmp_path / "t.arrow", columns()), b"t0t1t2", b"t\xfft1t2"))


@arrow
def test_invalid_utf_8_in_a_dictionary(write: Writer, tmp_path: Path) -> None:
    path = write(tmp_path / "t.arrow", columns(thread=pa.array(WORDS).dictionary_encode()))
    assert "Invalid UTF8" in refused(patched(path, b"t0t1t2", b"t\xfft1t2"))


def test_a_hold_unlocks_eight_at_most(tmp_path: Path) -> None:
    for count in (8, 9):
        unlocks = [list(range(1, count + 1)) if event == "RELEASE" else None for event in EVENTS]
        path = as_parquet(tmp_path / "t.parquet", columns(unlocks=pa.array(unlocks)))
        if count == 8:
            assert tracekit.read(path).events.column("unlocks").to_pylist() == unlocks
        else:
            assert "row 3: unlocks has an id that is none" in refused(path)


# ---- schemas ----


@arrow
def test_column_name_that_is_no_utf_8(write: Writer, tmp_path: Path) -> None:
    path = patched(write(tmp_path / "t.arrow", columns(xyz=pa.array(WORDS))), b"xyz", b"x\xffz")
    assert "the name of a column is no UTF-8" in refused(path)


def test_csv_column_name_that_is_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"thread,event,x\xff\nt1,ENTRY,3\n")
    assert "the name of a column is no UTF-8" in refused(path)


@pytest.mark.parametrize("name", ["thread", "event", "time"])
@pytest.mark.parametrize(
    "column",
    [
        pa.array([["t1"]] * ROWS),
        pa.array([{"a": "t1"}] * ROWS),
        pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64())),
        pa.UnionArray.from_sparse(pa.array([0] * ROWS, pa.int8()), [pa.array(WORDS)]),
        pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), pa.array(["t1"])),
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0123456789abcdef"] * ROWS, pa.binary(16))),
    ],
    ids=["list", "struct", "map", "union", "runs", "extension"],
)
def test_columns_of_other_things(name: str, column: pa.Array, tmp_path: Path) -> None:
    assert f"the column {name} has " in refused(as_file(tmp_path / "t.arrow", columns(**{name: column})))


@pytest.mark.parametrize("name", ["thread", "event"])
def test_columns_of_nothing(name: str, tmp_path: Path) -> None:
    for write in (as_file, as_stream, as_parquet):
        said = refused(write(tmp_path / "t", columns(**{name: pa.nulls(ROWS)})))
        assert f"row 1: there is no {name}" in said


def test_many_columns(tmp_path: Path) -> None:
    many = {f"c{n}": pa.array([n]) for n in range(COLUMN_LIMIT)}
    path = as_file(tmp_path / "t.arrow", {"thread": pa.array(["t1"]), "event": pa.array(["ENTRY"]), **many})
    assert f"no more than {COLUMN_LIMIT:,} are read" in refused(path)
    path = tmp_path / "t.csv"
    names = ["thread", "event", *many]
    path.write_text(f"{','.join(names)}\nt1,ENTRY{',1' * COLUMN_LIMIT}\n")
    assert f"no more than {COLUMN_LIMIT:,} are read" in refused(path)


# ---- nesting, long lines, long ids ----

DEEP = "[" * 200_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", f"# tracekit.trace: {DEEP}\nthread,event\nt1,ENTRY\n"),
        ("t.jsonl", f'{{"tracekit.trace": {DEEP}\n'),
        ("t.jsonl", f'{{"thread": {DEEP}, "event": "ENTRY"}}\n'),
        ("t.jsonl", f'{{"thread": "t1", "event": "ENTRY", "time": {DEEP}}}\n'),
        ("t.json", f'{{"traceEvents": {DEEP}\n'),
        ("t.json", f'{{"meta": {{"a": {DEEP}\n'),
        ("t.csv", f"thread,event\nt1,ENTRY{',' * (1 << 20)}"),
        ("t.csv", f"thread,event,{'x' * (1 << 20)}\n"),
        ("t.jsonl", '{"thread": "t1", "event": "ENTRY"}\n{"a": "' + "x" * (6 << 20)),
        ("t.csv", f"thread,event\n{'t' * 4097},ENTRY\n"),
        ("t.jsonl", f'{{"thread": "{"t" * 4097}", "event": "ENTRY"}}\n'),
    ],
)
def test_deep_and_long_text(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    refused(path)


def test_deep_json_beside_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"thread": "t1", "event": "ENTRY", "x": {DEEP}{"]" * len(DEEP)}}}\n')
    assert tracekit.analyze(path).events == 1


def test_a_long_id_is_named(tmp_path: Path) -> None:
    table = columns(thread=pa.array([*WORDS[:-1], "t" * 4097]))
    for write in (as_file, as_stream, as_parquet):
        assert "row 60: the id of its thread is longer than 4,096 bytes" in refused(write(tmp_path / "t", table))
    assert tracekit.analyze(as_file(tmp_path / "t", columns(thread=pa.array([*WORDS[:-1], "t" * 4096])))).events == ROWS


def test_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracekit.model.stream.THREAD_LIMIT", 50)
    table = columns(thread=pa.array([f"t{n}" for n in range(ROWS)]))
    assert "more than 50 threads" in refused(as_file(tmp_path / "t.arrow", table))
    monkeypatch.setattr("tracekit.model.stream.THREAD_LIMIT", 60)
    assert tracekit.analyze(tmp_path / "t.arrow").events == ROWS
    monkeypatch.setattr("tracekit.model.stream.IDS_LIMIT", 100)
    refused(tmp_path / "t.arrow")


def test_the_header_is_no_header(tmp_path: Path) -> None:
    for told in ([], 1, "x", None, {"version": "1"}, {"version": 1, "bad_lines": []}):
        path = tmp_path / "t.jsonl"
        path.write_text(json.dumps({"tracekit.trace": told}) + '\n{"thread": "t1", "event": "ENTRY"}\n')
        assert "header is damaged" in refused(path)


@pytest.mark.parametrize(
    "odd", ["null", "5", '"x"', "[]", '{"thread": "t1", "event": "ENTRY"} null', "{} {}", "true", "}"]
)
def test_json_lines_that_are_no_objects(odd: str, tmp_path: Path) -> None:
    """A null ended the process."""
    path = tmp_path / "t.jsonl"
    path.write_text('{"thread": "t1", "event": "ENTRY"}\n' + odd + '\n{"thread": "t1", "event": "ACQUIRE"}\n')
    assert "line 2 is not one JSON object" in refused(path)


def test_braces_within_words(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"thread": "}null", "event": "ENTRY", "x": {"a": "} 5"}}\n  \n')
    assert tracekit.analyze(path).threads.column("thread").to_pylist() == ["}null"]


# ---- many small batches ----


def test_a_dictionary_is_looked_up_once(tmp_path: Path) -> None:
    """Were it for each batch, this would take minutes."""
    column = pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([f"t{n}" for n in range(100_000)]))
    batch = pa.record_batch({"thread": column, "event": pa.array(["ENTRY"])})
    with pa.ipc.new_file(tmp_path / "t.arrow", batch.schema) as out:
        for _ in range(3000):
            out.write_batch(batch)
    assert tracekit.analyze(tmp_path / "t.arrow").events == 3000


def test_rows_are_taken_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = columns(time=pa.array([None if row % 7 == 0 else row for row in range(ROWS)]))
    path = as_file(tmp_path / "t.arrow", table)
    whole = tracekit.analyze(path)
    monkeypatch.setattr("tracekit.parsers.columnar._PIECE_ROWS", 7)
    pieces = tracekit.analyze(path)
    assert pieces.tables["threads"].equals(whole.tables["threads"])
    assert tracekit.read(path).events.equals(tracekit.read(path).events)
