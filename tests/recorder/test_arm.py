"""A program that has been armed can be recorded later, without a debugger, and its forked children too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import tracekit
from tests.conftest import ROOT
from tests.recorder.attached import check_running, ends_well, record_pid, running, tracekit_record
from tests.recorder.recorded import PROGRAMS, need_recorder

ARMS = "import runpy, tracekit; tracekit.arm(); tracekit.arm(); runpy.run_path({!r}, run_name='__main__')"


@pytest.fixture(autouse=True)
def no_debugger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_recorder()
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.slow
def test_an_armed_program_is_recorded_without_a_debugger(tmp_path: Path) -> None:
    with running(sys.executable, "-c", ARMS.format(str(PROGRAMS / "running.py"))) as program:
        for turn in range(2):
            trace = record_pid(program, tmp_path / f"{turn}.log")
            check_running(trace, program.pid)
            assert trace.metadata["attached"] == "its being armed"
        ends_well(program)


@pytest.mark.slow
def test_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that an installation puts beside the package."""
    (tmp_path / "tracekit_arm.pth").write_text((ROOT / "tracekit_arm.pth").read_text())
    code = f"import runpy, site; site.addsitedir({str(tmp_path)!r}); runpy.run_path({str(PROGRAMS / 'running.py')!r})"
    monkeypatch.setenv("TRACEKIT_ARM", "1")
    with running(sys.executable, "-c", code) as program:
        check_running(record_pid(program, tmp_path / "out.log"), program.pid)
        ends_well(program)
    monkeypatch.setenv("TRACEKIT_ARM", "")
    with running(sys.executable, "-c", code) as program:
        assert "tracekit" not in (Path("/proc") / str(program.pid) / "maps").read_text()
        ends_well(program)


FORKS = """
import os, sys, time, tracekit
tracekit.arm()
print("runs", flush=True)
child = os.fork()
if not child:
    while os.getppid() != 1 and not os.path.exists(sys.argv[1]):
        sum(range(100))
    os._exit(0)
print(child, flush=True)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_is_armed_too(tmp_path: Path) -> None:
    over = tmp_path / "over"
    with running(sys.executable, "-c", FORKS, str(over)) as program:
        assert program.stdout
        child = int(program.stdout.readline())
        done = tracekit_record("--pid", str(child), "--duration", "0.2s", "-o", "out.log", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert tracekit.read(tmp_path / "out.log").metadata["pid"] == str(child)
        over.touch()
        assert program.wait(60) == 0
