"""How far a trace is read: what progress bars show, of every format."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

import tracekit
from tests.conftest import SAMPLES
from tests.parsers.test_imports import FILES, IMPORTS, nsight
from tests.writers.test_convert import converted
from tracekit.parsers import open_trace

SAMPLE = SAMPLES / "py311-cpu2.log"


def positions(path: Path) -> list[tuple[int, int | None]]:
    with open_trace(path) as stream:
        return [stream.position() for _ in stream] + [stream.position()]


def check(path: Path) -> None:
    """It never goes back, nor beyond the end, where it arrives."""
    told = positions(path)
    size = path.stat().st_size
    read = [position for position, _ in told]
    assert read == sorted(read)
    assert read[0] >= 0
    assert {total for _, total in told} == {size}
    assert 0.9 * size <= read[-1] <= size


@pytest.mark.parametrize("name", ["t.log", "t.log.gz", "t.events.parquet", "t.arrow", "t.csv", "t.jsonl"])
def test_of_what_is_written(name: str, tmp_path: Path, core: str) -> None:
    if name.endswith("gz"):
        (tmp_path / name).write_bytes(gzip.compress(SAMPLE.read_bytes()))
        check(tmp_path / name)
    else:
        check(converted(SAMPLE, tmp_path / name))


def test_of_an_arrow_stream(tmp_path: Path) -> None:
    events = tracekit.read(SAMPLE).events
    with pa.ipc.new_stream(tmp_path / "t", events.schema) as out:
        out.write_table(events, max_chunksize=100)
    check(tmp_path / "t")


@pytest.mark.parametrize("name", [name for name in FILES if name != "nsight"])
def test_of_other_tracers(name: str) -> None:
    check(IMPORTS / name)


def test_of_what_is_not_read_in_order(tmp_path: Path) -> None:
    assert positions(nsight(tmp_path))[-1][1] in (None, (tmp_path / "report.sqlite").stat().st_size)
