"""What tests of recording running programs share."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tracekit
from tests.recorder.recorded import good, names


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A program that has said that it runs. At the end it must still do so, if nobody waited for it."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout
            assert program.stdout.readline() == "runs\n"
            yield program
        finally:
            program.kill()


def ends_well(program: subprocess.Popen[str]) -> None:
    assert program.poll() is None
    told, _ = program.communicate(timeout=60)
    assert json.loads(told) == {"as it was": True, "threads": ["MainThread"], "states": 1}
    assert program.returncode == 7


def tracekit_record(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tracekit", "record", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def record_pid(program: subprocess.Popen[str], trace: Path, duration: str = "0.3s") -> tracekit.Trace:
    done = tracekit_record("--pid", str(program.pid), "--duration", duration, "-o", str(trace), folder=trace.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 2, done.stderr
    return good(trace, cut=True)


def check_running(trace: tracekit.Trace, pid: int) -> None:
    assert trace.metadata["pid"] == str(pid)
    assert set(names(trace)) <= {"MainThread", "spin-1", "spin-2", "doze"}
    assert set(names(trace)) >= {"spin-1", "spin-2", "doze"}
    events = trace.events["event"].to_pylist()
    assert next(event for event in events if event != "ENTRY") == "ACQUIRE"
    held = {row["name"]: row["held"] for row in trace.threads.to_pylist()}
    assert held["spin-1"] > 0
    assert held["spin-2"] > 0
    assert trace.metadata["stacks"].startswith("on")
    functions = set(trace["stacks"]["function"].to_pylist())
    assert {"spin", "doze"} <= functions
    assert not functions & {"begin", "join", "take_stacks"}
