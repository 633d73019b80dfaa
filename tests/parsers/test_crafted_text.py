"""Text that means harm: what grows without end is dropped and counted, or refused, the same by both cores."""

from __future__ import annotations

import gzip
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

import tracekit
from tests.conftest import require_native
from tests.parsers.test_crafted_columns import refused
from tracekit import zstd
from tracekit.model.stream import ID_LIMIT, METADATA_LIMIT, NAME_LIMIT
from tracekit.parsers import raw

VALID = b"t1 100 1 ENTRY\nt1 100 1 ACQUIRE\nt1 40 1 RELEASE\n"
MOST = 300  # MB


def packed(path: Path, pieces: Iterable[bytes]) -> Path:
    with path.open("wb") as file, zstd.writer(file) as out:
        for piece in pieces:
            out.write(piece)
    return path


def limited(path: Path, core: str, *options: str) -> tuple[int, int, float]:
    """Exit code, MB at most, seconds of `analyze`."""
    script = """
import re, sys
from pathlib import Path
from tracekit.cli import main
sys.argv = ["tracekit", "analyze", *sys.argv[1:]]
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=300,
        env={**os.environ, "TRACEKIT_CORE": core},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, int(done.stderr.splitlines()[-1]) // 1024, time.monotonic() - begin


# ---- ids ----


def test_an_id_that_is_too_long(core: str, tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(VALID + b"t" * (ID_LIMIT + 1) + b" 1 1 ENTRY\n" + b"u" * ID_LIMIT + b" 1 1 ENTRY\n")
    analysis = tracekit.analyze(path)
    assert analysis.events == 4
    assert [(d.code, d.count, d.first_line) for d in analysis.diagnostics] == [("id-too-long", 1, 4)]
    path.write_bytes(VALID + b"\xff" * (ID_LIMIT + 1) + b" x x X\n" + b"t" * (ID_LIMIT + 1) + b" x 1 ENTRY\n")
    assert {d.code for d in tracekit.analyze(path).diagnostics} == {"bad-encoding", "id-too-long"}  # in this order


def test_ids_are_bounded_together(core: str, tmp_path: Path) -> None:
    path = packed(tmp_path / "t.zst", (b"%d%s 1 1 ENTRY\n" % (n, b"t" * 4000) for n in range(17_000)))
    assert "more than 1,048,576 threads, or more than 64 MiB of their ids" in refused(path)


@pytest.mark.soak
def test_threads_are_bounded(tmp_path: Path) -> None:
    path = packed(tmp_path / "t.zst", (b"t%d 1 1 ENTRY\n" % n for n in range((1 << 20) + 1)))
    assert "more than 1,048,576 threads" in refused(path)


# ---- many that wait ----


def crowd(waiters: int, holders: int, rounds: int) -> Iterator[bytes]:
    """So many threads that wait from the beginning, and others that hold, one after the other."""
    for n in range(waiters):
        yield b"w%d - 1 ENTRY %d\nw%d - 1 BUSY %d\n" % (n, n, n, n)
    for n in range(rounds):
        holder, clock = n % holders, waiters + 10 * n
        for event, later in ((b"ENTRY", 0), (b"ACQUIRE", 1), (b"RELEASE", 9)):
            yield b"h%d - %d %s %d\n" % (holder, n, event, clock + later)


def test_pairs_are_bounded(tmp_path: Path) -> None:
    require_native()
    path = packed(tmp_path / "t.zst", crowd(8000, 8000, 50_000))
    code, megabytes, _ = limited(path, "native", "--json")
    assert code == 2
    assert megabytes < 400
    assert "more than 4,194,304 pairs" in refused(path)
    assert tracekit.analyze(packed(tmp_path / "t.zst", crowd(3000, 10, 20_000))).events == 66_000


@pytest.mark.parametrize(
    "options", [pytest.param([], marks=pytest.mark.slow), pytest.param(["--json"], marks=pytest.mark.soak)]
)
def test_twenty_thousand_wait_at_once(options: list[str], tmp_path: Path) -> None:
    """A million pairs: they are in memory once, whether they are told in words or one by one."""
    require_native()
    code, megabytes, _ = limited(packed(tmp_path / "t.zst", crowd(20_000, 50, 50_000)), "native", *options)
    assert code == 0
    assert megabytes < MOST


@pytest.mark.soak
def test_time_is_linear(tmp_path: Path) -> None:
    """Thrice the rounds take about thrice as long."""
    require_native()
    times = [limited(packed(tmp_path / "t.zst", crowd(20_000, 50, rounds)), "native") for rounds in (100_000, 300_000)]
    assert [code for code, _, _ in times] == [0, 0]
    assert times[1][2] < 4.5 * times[0][2]


# ---- metadata ----


def test_metadata_is_bounded(core: str, tmp_path: Path) -> None:
    lines = [b"# key-%d: %s\n" % (n, b"v" * 1000) for n in range(2000)]
    path = packed(tmp_path / "t.zst", [*lines, b"# key-0: again\n", VALID])
    analysis = tracekit.analyze(path)
    assert sum(len(key) + len(value) for key, value in analysis.metadata.items()) <= METADATA_LIMIT
    assert analysis.metadata["key-0"] == "again"  # it takes less room than before
    (dropped,) = (d for d in analysis.diagnostics if d.code == "too-much-metadata")
    assert dropped.severity == "info"
    assert dropped.count == 2000 - sum(key.startswith("key-") for key in analysis.metadata) > 900
    assert dropped.first_line
    assert dropped.first_line > 1000


def test_a_name_is_cut(core: str, tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(VALID + b"# thread: t1 = " + b"n" * (NAME_LIMIT + 9) + b"\n")
    assert tracekit.analyze(path).threads.column("name").to_pylist() == ["n" * NAME_LIMIT]


# ---- what unpacks to much more ----


def bombs() -> dict[str, Iterator[bytes]]:
    return {
        "metadata": iter([*(b"# k%d: %s\n" % (n, b"v" * 5000) for n in range(40_000)), VALID]),
        "names": iter([VALID, *(b"# thread: a%d = %s\n" % (n, b"v" * 5000) for n in range(40_000))]),
        "blanks": iter([VALID, *([b"\n" * (1 << 24)] * 8)]),
        "bad lines": iter([VALID, *([b"x\n" * (1 << 20)] * 8)]),
        "a long line": iter([VALID, *([b"x" * (1 << 24)] * 16)]),
        "long ids": iter([*(b"%d%s 1 1 ENTRY\n" % (n, b"t" * 1_000_000) for n in range(200)), VALID]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", list(bombs()))
@pytest.mark.parametrize("core", [pytest.param("native"), pytest.param("python", marks=pytest.mark.soak)])
def test_bombs(name: str, core: str, tmp_path: Path) -> None:
    code, megabytes, seconds = limited(packed(tmp_path / "t.zst", bombs()[name]), core, "--json")
    assert code == 0
    assert megabytes < MOST
    assert seconds < 120


# ---- raw recordings ----


def raw_header(**fields: int) -> bytes:
    header = np.zeros((), raw._HEADER)
    values = {
        "version": 1, "header_bytes": 1 << 16, "chunk_bytes": 1 << 18, "chunks": 1, "pid": 1, "metadata_bytes": 0,
        **fields,
    }  # fmt: skip
    header["magic"] = raw.MAGIC
    header["anchors"] = ((1, 1), (1000, 1000))
    for name, value in values.items():
        header[name] = value
    return header.tobytes()


def test_a_raw_recording_of_holes(tmp_path: Path) -> None:
    """As many chunks as a header can name, and a file as large as that without anything in it."""
    path = tmp_path / "t.raw"
    path.write_bytes(raw_header(chunks=2**31, chunk_bytes=1 << 12))
    os.truncate(path, (1 << 12) * 2**31 + (1 << 16))
    begin = time.monotonic()
    refused(path)
    assert time.monotonic() - begin < 5


def test_a_packed_raw_recording_of_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracekit.model.source.UNPACKED_LIMIT", 1 << 26)
    path = packed(tmp_path / "t.raw.zst", [raw_header(chunks=200), *([bytes(1 << 20)] * 65)])
    assert "once it is unpacked" in refused(path)


@pytest.mark.parametrize("fields", [{"chunk_bytes": 65}, {"metadata_bytes": 2**31, "header_bytes": 2**32 - 1}])
def test_a_raw_head_that_makes_no_sense(fields: dict[str, int], tmp_path: Path) -> None:
    path = tmp_path / "t.raw"
    path.write_bytes(raw_header(**fields) + bytes(1000))
    assert "its head makes no sense" in refused(path)


# ---- SQLite ----

EVENTS_TABLE = "create table NVTX_EVENTS (start int, end int, globalTid int, text text, textId int)"
ENDLESS_VIEW = """
create view {name} as with recursive r(start, end, globalTid, text, textId, id, value) as
(select 1, 2, 3, 'Holding GIL', 1, 1, 'x' union all select start + 1, end + 1, 3, text, 1, 1, 'x' from r)
select * from r"""


def database(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path


@pytest.mark.parametrize(
    "statements",
    [
        (ENDLESS_VIEW.format(name="NVTX_EVENTS"),),
        (
            ENDLESS_VIEW.format(name="r0"),
            "create virtual table NVTX_EVENTS using fts5(start, end, globalTid, text, content=r0)",
        ),
        (
            "create view NVTX_EVENTS as "
            "select load_extension('x') as start, 1 as end, 1 as globalTid, 'x' as text from sqlite_master",
        ),
        (
            "create table NVTX_EVENTS (start as (abs(x)), end int, globalTid int, text text, x int)",
            "insert into NVTX_EVENTS (x) values (-1)",
        ),
    ],
    ids=["view", "virtual table", "function", "generated column"],
)  # fmt: skip
def test_sqlite_that_would_run_code(statements: tuple[str, ...], tmp_path: Path) -> None:
    begin = time.monotonic()
    refused(database(tmp_path / "t.sqlite", *statements))
    assert time.monotonic() - begin < 5


def test_sqlite_with_endless_views_beside_it(tmp_path: Path) -> None:
    path = database(
        tmp_path / "t.sqlite", EVENTS_TABLE, ENDLESS_VIEW.format(name="StringIds"),
        "insert into NVTX_EVENTS values (1, 5, 16777217, 'Holding GIL', null)",
    )  # fmt: skip
    assert tracekit.analyze(path).events == 3


def test_sqlite_of_ids_that_are_there_many_times(tmp_path: Path) -> None:
    """Joined, these would be 4 * 10^8 rows."""
    many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)"
    path = database(
        tmp_path / "t.sqlite", EVENTS_TABLE, "create table StringIds (id int, value text)",
        f"insert into NVTX_EVENTS {many} select i * 10, i * 10 + 5, 16777217, null, 1 from n",
        f"insert into StringIds {many} select 1, 'Holding GIL' from n",
    )  # fmt: skip
    begin = time.monotonic()
    assert tracekit.analyze(path).events == 60_000
    assert time.monotonic() - begin < 20


def test_sqlite_schema_that_is_no_utf_8(tmp_path: Path) -> None:
    path = database(
        tmp_path / "t.sqlite", EVENTS_TABLE.replace("textId", "xyzzy"), "create table StringIds (id, value)"
    )
    path.write_bytes(path.read_bytes().replace(b"xyzzy", b"xy\xffzy").replace(b"value)", b"val\xffe)"))
    refused(path)


def test_packed_sqlite_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracekit.model.source.UNPACKED_LIMIT", 1 << 20)
    path = database(tmp_path / "t.sqlite", EVENTS_TABLE, "create table x as select zeroblob(2000000)")
    (tmp_path / "t.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert "once it is unpacked" in refused(tmp_path / "t.gz")
