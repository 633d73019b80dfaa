"""Every interpreter that is here: the trace is flawless, and tells what the program did."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import PROGRAMS, every_interpreter, good, names, need_recorder, record
from tracekit.recorder import launch
from tracekit.recorder.recording import raw_path, write_recordings


@every_interpreter
def test_a_trace_tells_what_the_program_did(python: str, tmp_path: Path) -> None:
    check_mixed(python, tmp_path)


@pytest.mark.slow
@every_interpreter
def test_twenty_times_in_a_row(python: str, tmp_path: Path) -> None:
    for _ in range(20):
        check_mixed(python, tmp_path)


def check_mixed(python: str, folder: Path) -> None:
    done = record(folder, str(PROGRAMS / "mixed.py"), options=["--python", python])
    assert done.returncode == 5, done.stderr
    did = json.loads(done.stdout)
    trace = good(folder / "out.log")
    threads = names(trace)
    assert trace.metadata["pid"] == str(did["pid"])
    assert trace.metadata["command"].endswith("mixed.py")
    assert set(threads) >= {"the main one", "server", "client", "spin", "long calls", "other", "short-0", "short-49"}
    assert threads["the main one"] == str(did["pid"])
    rows = {row["thread"]: row for row in trace.threads.to_pylist()}
    assert rows[threads["server"]]["blocking_releases"] >= 200
    assert rows[threads["client"]]["blocking_releases"] >= 200
    holds = trace.to_pandas("holds")
    of_long_calls = sorted(holds[holds.thread == threads["long calls"]].duration, reverse=True)
    lengths = list(zip(of_long_calls, sorted(did["long"], reverse=True), strict=False))
    # Each call lies within a hold, where nobody took the GIL between the call and the clock.
    assert sum(held >= called * 1e9 * 0.95 for held, called in lengths) >= len(lengths) - 2, lengths
    old = trace.metadata["gil"] == "old"
    assert old == trace.metadata["python"].startswith("2")
    assert (trace.events["ticks"].null_count == 0) == old
    forced = sum(row["check_releases"] for row in rows.values())
    assert forced == trace.events["checks"][-1].as_py()
    assert rows[threads["spin"]]["check_releases"] > 0


@every_interpreter
@pytest.mark.slow
def test_64_threads(python: str, tmp_path: Path) -> None:
    for _ in range(3):
        done = record(tmp_path, str(PROGRAMS / "crowd.py"), options=["--python", python])
        assert done.returncode == 0, done.stderr
        trace = good(tmp_path / "out.log")
        rows = [row for row in trace.threads.to_pylist() if (row["name"] or "").startswith("crowd-")]
        assert len(rows) == 64
        assert all(row["blocking_releases"] + row["check_releases"] >= 400 for row in rows)


def test_raw_and_text_are_the_same_trace(tmp_path: Path) -> None:
    """The raw recording and the text that was made of it are the same trace."""
    need_recorder()
    trace = tmp_path / "out.log"
    program = launch.Program(sys.executable, str(PROGRAMS / "crowd.py"))
    assert launch.run(program, str(trace), max_bytes=0, version="1") == 0
    kept = tmp_path / "kept.raw"
    shutil.copy(raw_path(trace), kept)
    write_recordings(trace)
    raw, text = tracekit.read(kept), tracekit.read(trace)
    assert raw.metadata == text.metadata
    assert raw.events.equals(text.events)
    assert raw.threads.equals(text.threads)
