"""A trace is known by what is in it, not by its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tracekit
from tests.conftest import SAMPLES
from tests.writers.test_convert import converted
from tracekit.parsers import PARSERS, open_trace, parser_of

SAMPLE = SAMPLES / "slide-battle.log"


@pytest.mark.parametrize("written", ["t.log", "t.events.parquet", "t.arrow", "t.csv", "t.jsonl"])
@pytest.mark.parametrize("name", ["t.py", "t.json", "t", "t.html"])
def test_whatever_it_is_called(written: str, name: str, tmp_path: Path) -> None:
    there = converted(SAMPLE, tmp_path / written).rename(tmp_path / name)
    assert tracekit.read(there).events.equals(tracekit.read(SAMPLE).events)


def test_a_program_is_told_to_be_recorded(tmp_path: Path) -> None:
    (tmp_path / "t.PY").write_text("import threading\nprint(1)\n")
    with pytest.raises(tracekit.SourceError, match="this is a program, not a trace"):
        tracekit.read(tmp_path / "t.PY")


def test_every_parser_is_asked_and_sure_of_nothing_that_is_empty() -> None:
    """Any text at all is the slides' format, if no other wants it."""
    for head in (b"", b"\n", b"hello\n", b"\xff\xfe"):
        assert parser_of(head).__name__ == f"tracekit.parsers.{PARSERS[0]}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("written", ["t.log", "t.events.parquet", "t.arrow", "t.csv", "t.jsonl"])
def test_no_file_stays_open(written: str, core: str, tmp_path: Path) -> None:
    """Neither of a trace that is closed nor of one that is refused: a fleet opens thousands."""
    good = converted(SAMPLE, tmp_path / written)
    bad = tmp_path / "bad"
    bad.write_bytes(good.read_bytes()[: 100 if written == "t.jsonl" else 40])
    open_trace(good).close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with open_trace(good) as stream:
            list(stream)
        try:
            with open_trace(bad) as stream:
                list(stream)
        except tracekit.TracekitError:
            continue
    (tmp_path / "t.py").write_text("import this\n")
    with pytest.raises(tracekit.SourceError):
        open_trace(tmp_path / "t.py")
    assert len(os.listdir("/proc/self/fd")) == before
