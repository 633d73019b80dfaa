"""Inputs that mean harm, of every format, by both cores: those that were at fault once, and others for a minute."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import require_native
from tests.fuzz import formats
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
    assert set(tried) == set(formats.FORMATS)


@pytest.mark.soak
def test_a_minute() -> None:
    require_native()
    tried, found = fuzz(SEED + 200, 10**9, 60, None)
    assert found == []
    assert tried.total() > 1000


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_number_is_an_input(name: str) -> None:
    """Changed, and the same again."""
    numbers = [number for number in range(200) if formats.make(number)[0] == name]
    made = [formats.make(number)[1] for number in numbers]
    assert [formats.make(number)[1] for number in numbers] == made
    assert len(set(made)) > len(made) // 2 > 1


def harm(work: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, str]]:
    def outcome(path: Path, whole: bool) -> object:
        from tracekit import _native

        return eval(work, {"core": _native.library and "native", "path": path})

    monkeypatch.setattr("tests.fuzz.run.outcome", outcome)
    monkeypatch.setattr("tests.fuzz.run.SECONDS", 1 if "sleep" in work else 60)
    return list(faults([(number, b"x") for number in range(5)], tmp_path))


@pytest.mark.parametrize(
    ("work", "fault"),
    [
        ("__import__('os').abort()", "signal 6"),
        ("[0][1]", "IndexError: list index out of range"),
        ("[core]", "the cores disagree"),
        ("len(bytearray(400 << 20))", " MB"),
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
