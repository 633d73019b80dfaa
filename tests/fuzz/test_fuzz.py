"""Inputs that mean harm, of every format, by both cores: those that were at fault once, and others for a minute."""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import require_native
from tests.fuzz import inputs, parquet
from tests.fuzz.run import faults, fuzz

CORPUS = Path(__file__).parent / "corpus"
SEED = 2009

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_was_found(path: Path, tmp_path: Path) -> None:
    require_native()
    assert list(faults([(0, path.read_bytes()), (1, path.read_bytes())], tmp_path)) == []


def test_some_of_every_format() -> None:
    require_native()
    tried, found = fuzz(SEED, 200, 60, None)
    assert found == []
    assert set(tried) == set(inputs.FORMATS)


@pytest.mark.soak
def test_a_minute() -> None:
    require_native()
    tried, found = fuzz(SEED + 200, 10**9, 60, None)
    assert found == []
    assert tried.total() > 1000


@pytest.mark.parametrize("name", inputs.FORMATS)
def test_a_number_is_an_input(name: str) -> None:
    """Changed, and the same again."""
    numbers = [number for number in range(200) if inputs.make(number)[0] == name]
    made = [inputs.make(number)[1] for number in numbers]
    assert [inputs.make(number)[1] for number in numbers] == made
    assert len(set(made)) > len(made) // 2 > 1


def harm(work: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, str]]:
    def outcome(path: Path, whole: bool) -> object:
        from tracekit import _native

        return eval(work, {"core": _native.library and "native", "path": path})

    monkeypatch.setattr("tests.fuzz.run.outcome", outcome)
    monkeypatch.setattr("tests.fuzz.run.SECONDS", 0.1 if "sleep" in work else 60)
    monkeypatch.setattr("tests.fuzz.run.MOST_MEGABYTES", 20)
    return list(faults([(number, b"x") for number in range(5)], tmp_path))


@pytest.mark.parametrize(
    ("work", "fault"),
    [
        ("__import__('os').abort()", "signal 6"),
        ("[0][1]", "IndexError: list index out of range"),
        ("[core]", "the cores disagree"),
        ("len(bytearray(50 << 20))", " MB"),
        ("__import__('time').sleep(60)", "signal 14"),
    ],
)
def test_a_fault_is_seen(work: str, fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require_native()
    found = harm(work, monkeypatch, tmp_path)
    assert [number for number, _ in found] == list(range(5))
    assert all(fault in told for _, told in found)


def test_no_fault_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert harm("1", monkeypatch, tmp_path) == []


def test_parquet_is_changed_where_it_tells_of_itself() -> None:
    """Footers are written as they were read; what Arrow says of the changed files is about every part of them."""
    for number in range(40):
        content = parquet.whole(number)
        if content.endswith(b"PAR1"):
            footer = content[-8 - int.from_bytes(content[-8:-4], "little") : -8]
            reader = parquet.Reader(footer)
            assert parquet.written(reader.struct()) == footer[: reader.at]
    said = set()
    for number in range(600):
        try:
            pq.ParquetFile(io.BytesIO(parquet.parquet(random.Random(number)))).read()
        except (OSError, ValueError, pa.ArrowException) as error:
            said.add(str(error).lower())
    for part in ("page header", "dictionary", "encrypted", "levels", "schema", "metadata", "histogram"):
        assert any(part in sentence for sentence in said), part
