"""The CPU time of holds, against what programs know of theirs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tracekit
from tests.recorder.lines import Hold, Recorded, recorded
from tests.recorder.recorded import PROGRAMS, every_interpreter, need_recorder
from tracekit.recorder import BOOTSTRAP, require_library

LONG = 1_000_000
STRANGER = "while True: pass"


def run(folder: Path, python: str, *before: str) -> tuple[Recorded, int]:
    """What was recorded, and the CPU time of the sort. `before`: a command that starts others."""
    need_recorder()
    bootstrap = [str(BOOTSTRAP), require_library(), str(folder / "out"), "2", "0", "1", "all", "1", "script"]
    command = [*before, python, *bootstrap, str(PROGRAMS / "computes.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return recorded(folder / "out.raw"), json.loads(done.stdout)


def long_holds(found: Recorded) -> list[Hold]:
    return [hold for hold in found.holds if hold.end - hold.start >= LONG]


@contextlib.contextmanager
def strangers(core: int, count: int = 3) -> Iterator[None]:
    taskset = shutil.which("taskset") or pytest.skip("needs taskset")
    running = [subprocess.Popen([taskset, "-c", str(core), sys.executable, "-c", STRANGER]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.mark.slow
@every_interpreter
def test_a_sort_computes(python: str, tmp_path: Path) -> None:
    found, used = run(tmp_path, python)
    nearest = min((hold.cpu for hold in long_holds(found) if hold.cpu), key=lambda cpu: abs(cpu - used))
    assert used * 0.99 <= nearest <= used * 1.1 + 1_000_000  # a hold begins before the sort, and ends behind it


@pytest.mark.slow
@every_interpreter
def test_two_that_count_beside_strangers_do_not_run(python: str, tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    with strangers(core):
        found, _ = run(tmp_path, python, "taskset", "-c", str(core))
    held = sum(hold.end - hold.start for hold in long_holds(found) if hold.cpu is not None)
    unknown = sum(hold.end - hold.start for hold in long_holds(found) if hold.cpu is None)
    assert unknown < held / 20
    assert sum(hold.cpu or 0 for hold in long_holds(found)) < held / 2
    causes = tracekit.analyze(tmp_path / "out.raw").causes.to_pylist()
    waited = sum(row["duration"] for row in causes if row["holder"] is not None)
    assert sum(row["duration"] for row in causes if row["cause"] == "preemption") > waited / 2


def test_short_holds_are_not_looked_at(tmp_path: Path) -> None:
    """It is a system call, and decides nothing there."""
    found, _ = run(tmp_path, sys.executable)
    assert any(hold.cpu is not None for hold in found.holds)
    assert all(hold.cpu is None for hold in found.holds if hold.end - hold.start < 90_000)


@contextlib.contextmanager
def quota(of_a_core: float) -> Iterator[Path]:
    """A control group of which all processes together get so much of a core; either version of cgroups."""
    root, period = Path("/sys/fs/cgroup"), 100_000
    old = (root / "cpu").is_dir()
    group = root / ("cpu" if old else "") / f"tracekit-test-{os.getpid()}"
    limit = str(int(period * of_a_core))
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"needs a control group: {error}")
    try:
        if old:
            (group / "cpu.cfs_period_us").write_text(str(period))
            (group / "cpu.cfs_quota_us").write_text(limit)
        else:
            (group / "cpu.max").write_text(f"{limit} {period}")
        yield group / ("tasks" if old else "cgroup.procs")
    except OSError as error:
        pytest.skip(f"needs a control group with a CPU quota: {error}")
    finally:
        group.rmdir()


def test_under_a_quota_threads_that_hold_do_not_run(tmp_path: Path) -> None:
    with quota(0.2) as members:
        found, _ = run(tmp_path, sys.executable, "sh", "-c", f'echo $$ > {members}; exec "$@"', "sh")
    long = long_holds(found)
    assert sum(hold.end - hold.start for hold in long if 2 * (hold.cpu or 0) < hold.end - hold.start) > 0.5 * sum(
        hold.end - hold.start for hold in long
    )
