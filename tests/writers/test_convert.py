"""`tracekit convert` and back: the same bytes, events, analysis and tables; what is refused; how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import tracekit
from tests.conftest import GOLDEN, ROOT, SAMPLES, examples, trace_file
from tests.strategies import attributed, texts
from tracekit.cli import app
from tracekit.files import beside
from tracekit.model import schemas
from tracekit.reporters.json import as_dict
from tracekit.writers import WRITERS, FolderWriter, text, writer_for
from tracekit.writers.tablestream import TableStream

OUTS = ["t.log", "t.parquet", "t.events.parquet", "t.arrow", "t.csv", "t.jsonl"]
CANONICAL = [path.name for folder in (SAMPLES, GOLDEN) for path in sorted(folder.glob("py*.log"))]
EDGES = [path.name for folder in ("edge", "attributes") for path in sorted((GOLDEN / folder).glob("*.log"))]
TOLD = """\
# gil: new
# region: eu-west-1
# thread: t1 = one
# code: 7 = 0 C.f\\x20g /a b/c d.py
# code: 2 = 2147483647 <module> \\x20\\x0a\\x5cx20
# stack: 4 = 0 7 11
# stack: 4611686018427387904 = 4 2 0
# region: 3 = GET /a = b
t1 - 0 ENTRY 5 region=3
t1 - 0 ACQUIRE 6
t2 - 0 ENTRY 6
t2 - 0 BUSY 7 stack=4 sample=9
t2 - 0 RETRY 8 sample=4611686018427387904
t2 - 0 RETRY
t1 - 1 RELEASE 9 cpu=0 stack=4 region=9 lock=1 unlocks=8,3,4611686018427387904
t2 - 1 ACQUIRE 10
t2 - 1 RELEASE 4611686018427387904 cpu=4611686018427387904
"""


def converted(trace: Path | str, out: Path) -> Path:
    writer = writer_for(out)
    with TableStream(trace) as tables, beside(out, [], isinstance(writer, FolderWriter)) as path:
        if isinstance(writer, FolderWriter):
            writer.write(tables, path)
        else:
            with path.open("wb") as file:
                writer.write(tables, file)
    return out


def analysis_of(path: Path | str) -> dict[str, Any]:
    found = as_dict(tracekit.analyze(path, min_rounds=1, min_cycles=1))
    del found["trace"]["path"]
    return found


def test_few_rows_are_written_as_many_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "told.log").write_text(TOLD)
    few = converted(tmp_path / "told.log", tmp_path / "few.log").read_bytes()
    monkeypatch.setattr(text, "_FEW", 0)
    assert converted(tmp_path / "told.log", tmp_path / "many.log").read_bytes() == few
    assert few.decode() == TOLD


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("name", CANONICAL)
def test_canonical_bytes_come_back(name: str, out: str, tmp_path: Path) -> None:
    there = converted(trace_file(name), tmp_path / out)
    back = converted(there, tmp_path / "back.log")
    assert back.read_bytes() == trace_file(name).read_bytes()


@pytest.mark.parametrize("out", OUTS)
def test_attributes_and_definitions_come_back(out: str, tmp_path: Path, core: str) -> None:
    (tmp_path / "a").write_text(TOLD)
    there = converted(tmp_path / "a", tmp_path / out)
    assert converted(there, tmp_path / "back.log").read_text() == TOLD
    one, other = tracekit.read(tmp_path / "a"), tracekit.read(there)
    for table in schemas.TRACE_TABLES:
        assert getattr(other, table).equals(getattr(one, table)), table
    assert one.events.column("unlocks").to_pylist()[6] == [8, 3, 2**62]


@pytest.mark.parametrize("out", [out for out in OUTS if out != "t.log"])
@pytest.mark.parametrize("name", [*EDGES, "slide-battle.log", "py27-echo-convoy-timed.log", "py311-longhold.log"])
def test_the_analysis_is_the_same(name: str, out: str, tmp_path: Path, core: str) -> None:
    """With its metadata, names, bad lines and the lines where faults came first."""
    there = converted(trace_file(name), tmp_path / out)
    assert analysis_of(there) == analysis_of(trace_file(name))


def test_an_id_that_begins_as_a_file_may(tmp_path: Path) -> None:
    """U+FEFF before a file's first line is no part of it; in an id it is."""
    (tmp_path / "a").write_bytes(b"# code: 0\n\xef\xbb\xbft2 - - ENTRY\n")
    there = converted(tmp_path / "a", tmp_path / "t.log")
    (tmp_path / "b").write_bytes(b"\n\xef\xbb\xbft2 - - ENTRY\n")
    for path in (there, converted(tmp_path / "b", tmp_path / "u.log")):
        assert tracekit.read(path).threads["thread"].to_pylist() == ["\ufefft2"]


@settings(max_examples=examples(60))
@given(text=st.one_of(texts(), attributed(texts())))
def test_any_trace_keeps_its_events(text: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a").write_bytes(text)
    try:
        trace = tracekit.read(folder / "a")
    except tracekit.NoEventsError:
        return
    for out in OUTS:
        there = tracekit.read(converted(folder / "a", folder / out))
        for table in ("events", "stacks", "regions"):
            assert getattr(there, table).equals(getattr(trace, table)), (out, table)
        assert there.threads.select(["thread", "held", "name"]).equals(trace.threads.select(["thread", "held", "name"]))
        told = dict(trace.metadata) | (
            {"bad-lines": str(trace.bad_lines)} if trace.bad_lines and out == "t.log" else {}
        )
        assert there.metadata == told
        assert out == "t.log" or there.bad_lines == trace.bad_lines


def sorted_rows(table: pa.Table) -> list[str]:
    return sorted(map(str, table.to_pylist()))


@pytest.mark.parametrize("name", [*EDGES, "slide-battle.log", "py27-echo-convoy-timed.log", "py311-longhold.log"])
def test_the_folder_holds_every_table(name: str, tmp_path: Path, core: str) -> None:
    trace = tracekit.read(trace_file(name))
    analysis = tracekit.analyze(trace, worst=10**9)
    folder = converted(trace_file(name), tmp_path / "t.parquet")
    assert {path.stem for path in folder.iterdir()} == set(schemas.TABLES)
    for table in schemas.TABLES:
        stored = pq.read_table(folder / f"{table}.parquet")
        derived = getattr(trace, table) if table in schemas.TRACE_TABLES else analysis.tables[table]
        assert sorted_rows(stored) == sorted_rows(derived), table
        assert stored.schema.metadata[b"tracekit.schema"] == f"{table}/1".encode()
        assert stored.schema.equals(derived.schema)


def test_pieces_of_many_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, core: str) -> None:
    """Waits and holds that begin in one batch and end in another, of both clocks."""
    from tracekit.parsers import native_text as text
    from tracekit.parsers import text as plain

    monkeypatch.setattr(text, "BATCH_BYTES", 1000)
    monkeypatch.setattr(plain.PlainText.__init__, "__defaults__", (False, False, 50))
    path = tmp_path / "t.log"
    with trace_file("py27-echo-convoy-timed.log").open("rb") as whole:
        path.write_bytes(b"".join(islice(whole, 4000)))
    trace = tracekit.read(path)
    analysis = tracekit.analyze(trace, worst=10**9)
    pieces: dict[str, list[pa.Table]] = {table: [] for table in schemas.TABLES}
    with TableStream(path) as stream:
        for table, piece in stream.pieces(*schemas.TABLES):
            pieces[table].append(piece)
    assert len(pieces["waits"]) > 20
    for table, found in pieces.items():
        derived = getattr(trace, table) if table in schemas.TRACE_TABLES else analysis.tables[table]
        if table in analysis.tables and table not in schemas.TRACE_TABLES:
            assert sorted_rows(pa.concat_tables(found)) == sorted_rows(derived), table
        else:
            assert pa.concat_tables(found).combine_chunks().equals(derived.combine_chunks()), table


def test_rows_are_sorted_so_that_groups_can_be_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracekit.writers import parquet

    monkeypatch.setattr(parquet, "SORTED_ROWS", 4000)
    monkeypatch.setattr(parquet, "GROUP_ROWS", 500)
    folder = converted(SAMPLES / "py27-cpu2.log", tmp_path / "t.parquet")
    told = pq.ParquetFile(folder / "waits.parquet").metadata
    threads = [told.row_group(place).column(0).statistics for place in range(told.num_row_groups)]
    alone = [found.min for found in threads if found.min == found.max]
    assert told.num_row_groups > 20
    assert len(alone) > 0.6 * told.num_row_groups
    assert set(alone) == {"t2", "t3"}


def run(*arguments: str, stdin: bytes | None = None) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "tracekit", *arguments], capture_output=True, input=stdin)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def test_command_line(tmp_path: Path) -> None:
    sample = SAMPLES / "py311-cpu2.log"
    code, said = run("convert", str(sample), "-o", str(tmp_path / "t.parquet"))
    assert (code, said) == (
        0,
        f"{tmp_path / 't.parquet'}: 1,042 events, a folder with a Parquet file for each table.\n",
    )
    assert run("convert", str(tmp_path / "t.parquet"), "-o", str(tmp_path / "t.parquet"))[0] == 2
    code, text = run("convert", str(tmp_path / "t.parquet"), "-o", "-", "--to", "text")
    assert (code, text) == (0, sample.read_text())
    code, _ = run("convert", "-", "-o", str(tmp_path / "x.csv"), stdin=sample.read_bytes())
    assert code == 0
    assert tracekit.read(tmp_path / "x.csv").events.equals(tracekit.read(sample).events)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.parquet", "x.csv"]
    for name, piped in (("csv", True), ("jsonl", True), ("arrow", False)):
        code, _ = run("convert", str(sample), "-o", str(tmp_path / f"p.{name}"))
        code, said = run("analyze", "-", stdin=(tmp_path / f"p.{name}").read_bytes())
        assert code == (0 if piped else 2), said
        assert piped or "cannot be read from a pipe. Name a file." in said


def test_a_folder_is_replaced_only_by_another(tmp_path: Path) -> None:
    folder = tmp_path / "t.parquet"
    for name in ("py311-cpu2.log", "slide-battle.log"):
        converted(SAMPLES / name, folder)
    assert tracekit.read(folder).events.num_rows == 22
    (folder / "letter.txt").write_text("dear")
    code, said = run("convert", str(SAMPLES / "slide-battle.log"), "-o", str(folder))
    assert (code, "is not a folder of tables" in said) == (2, True)
    assert (folder / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "out.foo"], "cannot infer the format"),
        (["-o", "out.csv", "--to", "xml"], "there is no format 'xml'"),
        (["-o", "no/such/out.csv"], "cannot be written: No such file or directory"),
        (["-o", "-", "--to", "parquet"], "Name a folder with -o"),
    ],
)
def test_what_cannot_be_written(arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["convert", str(SAMPLES / "slide-battle.log"), *arguments])
    assert done.exit_code == 2
    assert sentence in done.output
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    bad = trace_file("bad-lines.log")
    code, said = run("convert", str(bad), "-o", str(tmp_path / "t.parquet"), "--strict")
    assert (code, f"{bad}:6: " in said) == (1, True)
    assert list(tmp_path.iterdir()) == []
    code, said = run("convert", str(bad), "-o", str(tmp_path / "t.log"))
    assert (code, f"{bad}:7: 3 bad-ticks" in said) == (0, True)
    assert "# bad-lines: 9\n" in (tmp_path / "t.log").read_text()


@pytest.mark.parametrize("out", [out for out in OUTS if out != "t.log"])
def test_strict_knows_the_bad_lines_of_the_text(out: str, tmp_path: Path) -> None:
    path = converted(trace_file("bad-lines.log"), tmp_path / out)
    with pytest.raises(tracekit.BadLineError, match=":6: the line has fewer than the four columns"):
        tracekit.analyze(path, strict=True)


def test_a_trace_that_grows_between_the_readings(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_text("t1 - 0 ENTRY\n")
    with TableStream(path) as tables:
        path.write_text("t1 - 0 ENTRY\nt1 - 0 ACQUIRE\n")
        with pytest.raises(tracekit.SourceError, match="changed while it was read: 1 events, then 2"):
            list(tables.pieces("waits"))


def with_metadata(path: Path, **changes: bytes) -> None:
    table = pq.read_table(path)
    told = {**(table.schema.metadata or {}), **{f"tracekit.{key}".encode(): value for key, value in changes.items()}}
    pq.write_table(table.replace_schema_metadata(told), path)


def test_later_versions_are_refused(tmp_path: Path) -> None:
    path = converted(SAMPLES / "slide-battle.log", tmp_path / "t.events.parquet")
    with_metadata(path, schema=b"events/2")
    with pytest.raises(tracekit.SchemaError, match=r"its schema is events/2; this tracekit reads events/1. Update"):
        tracekit.read(path)
    with_metadata(path, schema=b"events/1", trace=json.dumps({"version": 2}).encode())
    with pytest.raises(tracekit.SchemaError, match=r"its header has version 2; this tracekit reads 1. Update"):
        tracekit.analyze(path)
    with_metadata(path, trace=b"{}")
    with pytest.raises(tracekit.SchemaError, match="header is damaged"):
        tracekit.read(path)
    folder = converted(SAMPLES / "slide-battle.log", tmp_path / "t.parquet")
    with_metadata(folder / "waits.parquet", schema=b"waits/2")
    with pytest.raises(tracekit.SchemaError, match="waits/2"):
        tracekit.query(folder, "select 1 from waits")
    with pytest.raises(tracekit.SchemaError, match="this is the table holds, not events"):
        tracekit.read(folder / "holds.parquet")


@pytest.mark.parametrize("name", ["t.events.parquet", "t.arrow", "t.csv", "t.jsonl"])
@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_damaged(name: str, damage: str, tmp_path: Path) -> None:
    """One sentence; a CSV that is cut at a line's end is only shorter."""
    path = converted(SAMPLES / "py311-cpu2.log", tmp_path / name)
    whole = path.read_bytes()
    half = len(whole) // 2
    start = 4 if name.endswith("parquet") else half  # there may be columns in the middle that nobody reads
    noise = b"\xff\0,}{\n" * (half // 6)
    path.write_bytes(whole[:half] if damage == "cut" else whole[:start] + noise + whole[start + len(noise) :])
    code, said = run("analyze", str(path))
    assert code == 2
    assert said.startswith(f"{path}: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("thread,event\nt1,ENTRY\nt1,JUMP\n", "row 2: the event 'JUMP' is none of ENTRY"),
        ("thread,event,ticks\nt1,ENTRY,1\nt1,BUSY,x\n", "line 3: CSV conversion error to int64: invalid value 'x'"),
        ("thread,event\nt1,ENTRY\nt1\n", "line 3: Expected 2 columns, got 1"),
        ("thread,event\n", "has no rows"),
        ("thread,event\n,ENTRY\n", "row 1: '' cannot be a thread's id"),
        ("thread,event,time\nt1,ENTRY,-5\n", "row 1: time is -5, which is out of range"),
        ('{"thread": "t1", "event": "ENTRY"}\n{"thread": "t1", "event"', "JSON parse error"),
        ('{"thread": "t1", "event": "ENTRY"}\n{"thread": "t1"}\n', "row 2: there is no event"),
        ('{"thread": "a b", "event": "ENTRY"}\n', "row 1: 'a b' cannot be a thread's id"),
    ],
)
def test_rows_that_are_no_events(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text(text)
    with pytest.raises(tracekit.TracekitError) as raised:
        tracekit.read(path)
    assert sentence in str(raised.value)
    assert str(raised.value).startswith(f"{path}: ")


@pytest.mark.parametrize("write", ["to_parquet", "to_csv", "to_json", "to_feather"])
def test_what_pandas_writes_is_read(write: str, tmp_path: Path) -> None:
    trace = tracekit.read(SAMPLES / "py311-cpu2.log")
    options = {"to_csv": {"index": False}, "to_json": {"orient": "records", "lines": True}}.get(write, {})
    getattr(trace.to_pandas("events"), write)(tmp_path / "t", **options)
    assert tracekit.read(tmp_path / "t").events.equals(trace.events)


def test_pandas_reads_what_is_written(tmp_path: Path) -> None:
    """As docs/formats.md says."""
    sample = SAMPLES / "py311-cpu2.log"
    events = tracekit.read(sample).to_pandas("events")
    frames = [
        pd.read_parquet(converted(sample, tmp_path / "t.parquet") / "events.parquet"),
        pd.read_feather(converted(sample, tmp_path / "t.arrow")),
        pd.read_csv(converted(sample, tmp_path / "t.csv"), skiprows=1),
        pd.read_json(converted(sample, tmp_path / "t.jsonl"), lines=True).iloc[1:],
    ]
    for frame in frames:
        assert frame.thread.tolist() == events.thread.tolist()
        assert frame.time.tolist() == events.time.tolist()


def test_every_writer_is_registered_once() -> None:
    endings = [ending for writer in WRITERS for ending in writer.endings]
    assert len(set(endings)) == len(endings)
    assert writer_for(Path("a.events.parquet")).name == "parquet-events"
    assert writer_for(Path("A.PARQUET")).name == "parquet"
    assert writer_for(Path("a.parquet"), "csv").name == "csv"


@pytest.mark.slow
@pytest.mark.parametrize("out", OUTS)
def test_memory_does_not_grow_with_the_trace(out: str, tmp_path: Path) -> None:
    """There and back. Peaks vary; all tables in memory would be 1 GB more for the larger trace."""
    make = [sys.executable, str(ROOT / "benchmarks" / "make_trace.py"), str(SAMPLES / "py27-echo-convoy-timed.log")]

    def peak(source: Path, target: Path) -> int:
        code = (
            "import resource, sys; from tracekit.cli import app; app(standalone_mode=False);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        arguments = ["convert", str(source), "-o", str(target)]
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        return int(done.stderr.split()[-1]) // 1024

    peaks = []
    for events in (2_000_000, 8_000_000):
        source = tmp_path / f"{events}.log"
        subprocess.run(
            [*make, str(source), "--events", str(events), "--shape", "timed"], check=True, capture_output=True
        )
        there, back = tmp_path / f"{events}.{out}", tmp_path / "back.log"
        peaks.append((peak(source, there), peak(there, back)))
        assert back.read_bytes() == source.read_bytes()
        os.unlink(back)
    (small, small_back), (large, large_back) = peaks
    assert large < small + 250, peaks
    assert large_back < small_back + 250, peaks
