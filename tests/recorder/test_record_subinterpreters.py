"""Interpreters with a GIL of their own: a trace for each, of what its own threads did with its own GIL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.recorder.recorded import INTERPRETERS, every_interpreter, good, record, script
from tracekit.recorder import BOOTSTRAP, require_library

pytestmark = pytest.mark.slow

PROGRAM = """
import sys, threading, time
if sys.version_info >= (3, 13):
    import _interpreters
    make, run = lambda: _interpreters.create("isolated"), _interpreters.exec
else:
    import _xxsubinterpreters as _interpreters
    make, run = lambda: _interpreters.create(isolated=True), _interpreters.run_string
NAPS = "import time\\nfor _ in range(%d): time.sleep(0)"
SPIN = '''
import threading
turns = [0]
def spin(number):
    while len(turns) < 20:
        if turns[-1] != number: turns.append(number)
threads = [threading.Thread(target=spin, args=(number,)) for number in (1, 2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
'''
one, two = make(), make()
def both(): run(one, NAPS % 2000); run(two, NAPS % 1000)
thread = threading.Thread(target=both, name="in both"); thread.start(); thread.join()
if sys.version_info >= (3, 13):
    run(two, SPIN)
_interpreters.destroy(one)
three = make(); run(three, NAPS % 300); _interpreters.destroy(three)
time.sleep(0)
"""


@every_interpreter
def test_each_has_a_trace_of_its_own(python: str, tmp_path: Path) -> None:
    numbers = "import sys; print('%d %d' % sys.version_info[:2])"
    major, minor = map(int, subprocess.check_output([python, "-c", numbers], text=True).split())
    if (major, minor) < (3, 12):
        pytest.skip("all interpreters share the GIL there")
    done = record(tmp_path, script(tmp_path, PROGRAM), options=["--python", python])
    assert done.returncode == 0, done.stderr
    assert "tracekit: out.log.interp-N: 3 other interpreters of the program" in done.stderr
    main = good(tmp_path / "out.log")
    assert main.metadata["interpreters"] == "3"
    assert "processes" not in main.metadata
    others = [good(tmp_path / f"out.log.interp-{number}") for number in (1, 2, 3)]
    assert [trace.metadata["interpreter"] for trace in others] == ["1", "2", "3"]
    ids = [{row["name"]: row for row in trace.threads.to_pylist()} for trace in (main, *others)]
    here = [rows["in both"] for rows in ids[:3]]
    assert len({row["thread"] for row in here}) == 1
    assert here[1]["blocking_releases"] >= 2000
    assert 1000 <= here[2]["blocking_releases"] < 1900
    assert here[0]["blocking_releases"] < 900
    assert ids[3]["MainThread"]["blocking_releases"] >= 300
    if (major, minor) >= (3, 13):
        assert sum(others[1].threads["check_releases"].to_pylist()) >= 17  # two threads that take turns
    shown = subprocess.run(
        [sys.executable, "-m", "tracekit", "analyze", str(tmp_path)],
        capture_output=True, text=True, env={"PATH": "", "COLUMNS": "150"}, timeout=60,
    )  # fmt: skip
    assert f"{main.metadata['pid']}, interpreter 2" in shown.stdout, shown.stderr


BEFORE = """
import sys, threading, time
import _interpreters
SPIN = '''
import threading, time
def spin():
    end = time.monotonic() + 1
    while time.monotonic() < end: pass
threads = [threading.Thread(target=spin) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
'''
library, file = sys.argv[1:]
inside = {"__name__": "inside", "__file__": file}
exec(compile(open(file).read(), file, "exec"), inside)
one = _interpreters.create("isolated")
thread = threading.Thread(target=_interpreters.exec, args=(one, SPIN)); thread.start()
time.sleep(0.2)
recorder = inside["Recorder"](library)
recorder.start("out.log", 0, False, inside["describe"](["x"], "1"))
thread.join()
recorder.stop()
"""


def test_one_that_was_there_before_is_told_from_a_release_on(tmp_path: Path) -> None:
    python = next((str(path) for path in INTERPRETERS if "3.13" in str(path)), "")
    if not python:
        pytest.skip("needs Python 3.13")
    command = [python, script(tmp_path, BEFORE), require_library(), str(BOOTSTRAP)]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    trace = good(tmp_path / "out.log.interp-1.raw", cut=True)
    assert sum(trace.threads["check_releases"].to_pylist()) > 5
