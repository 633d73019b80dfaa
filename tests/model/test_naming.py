"""Threads that are renamed: each name from its moment on, in every format."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracekit
from tests.cli.test_cli import run
from tests.writers.test_convert import converted
from tracekit.parsers import open_trace

TEXT = """\
# thread: t1 = replaced
# thread: t1 = Main
t1 - - ENTRY 1000
# thread: t2 = worker
t1 - - ACQUIRE 1000
# thread: t1 = request 1
t1 - - RELEASE 3000
# a comment
t2 - - ENTRY 4000
# thread: t1 = request 2
# thread: t1 = request 2
# thread: t2 = idle
t2 - - ACQUIRE 5000
# thread: t1 = done
"""
RENAMES = [(2, "t1", "request 1"), (4, "t1", "request 2"), (4, "t2", "idle"), (5, "t1", "done")]


def written(folder: Path) -> Path:
    path = folder / "trace.log"
    path.write_text(TEXT)
    return path


def test_names_and_earlier_names(tmp_path: Path, core: str) -> None:
    trace = tracekit.read(written(tmp_path))
    told = trace.threads.select(["thread", "name", "earlier_names"]).to_pylist()
    assert [tuple(row.values()) for row in told] == [
        ("t1", "done", "Main -> request 1 -> request 2"),
        ("t2", "idle", "worker"),
    ]
    assert tracekit.analyze(trace).threads["earlier_names"].to_pylist() == [row["earlier_names"] for row in told]


@pytest.mark.parametrize("ending", [".log", ".log.gz", ".parquet", ".arrow,.jsonl"])
def test_renames_are_kept_where_names_are(ending: str, tmp_path: Path, core: str) -> None:
    between, again = tmp_path / f"between{ending}", tmp_path / "again.log"
    converted(converted(written(tmp_path), between), again)
    with open_trace(again) as stream:
        list(stream)
    assert stream.names.renames == RENAMES
    assert stream.names.at_first() == {"t1": "Main", "t2": "worker"}
    assert again.read_text().splitlines()[-1] == "# thread: t1 = done"


def test_in_a_window_the_name_of_its_beginning_is_the_first(tmp_path: Path) -> None:
    trace = tracekit.read(written(tmp_path), start="2.5us")
    assert trace.threads["earlier_names"].to_pylist() == ["request 1 -> request 2", "worker"]
    assert run("convert", written(tmp_path), "-o", tmp_path / "cut.log", "--from", "2.5us").returncode == 0
    assert "# thread: t2 = worker\nt2 - - ENTRY 4000\n# thread: t1 = request 2\n" in (tmp_path / "cut.log").read_text()
