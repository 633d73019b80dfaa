"""What a recording tells, against what the program itself knows: its blocking calls, and its threads' CPU time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recorder.recorded import every_interpreter, good, record, script

PROGRAM = """
import ctypes, os, threading, time
class Timespec(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]
def used():
    now = Timespec()
    ctypes.PyDLL(None).clock_gettime(3, ctypes.byref(now))  # CLOCK_THREAD_CPUTIME_ID
    return now.s * 10**9 + now.ns
read, write = os.pipe()
def calls(count):
    for _ in range(count):
        os.write(write, b"x")
        os.read(read, 1)
        time.sleep(0)
def compute():
    begin = used()
    while used() - begin < 3 * 10**8: sum(range(1000))
    print(used() - begin)
for name, work, words in ("few", calls, (100,)), ("many", calls, (1100,)), ("computes", compute, ()):
    thread = threading.Thread(target=work, args=words, name=name); thread.start(); thread.join()
"""


@pytest.mark.slow
@every_interpreter
def test_blocking_calls_and_cpu_time(python: str, tmp_path: Path) -> None:
    done = record(tmp_path, script(tmp_path, PROGRAM), options=["--python", python])
    assert done.returncode == 0, done.stderr
    trace = good(tmp_path / "out.log")
    rows = {row["name"]: row for row in trace.threads.to_pylist()}
    assert rows["many"]["blocking_releases"] - rows["few"]["blocking_releases"] == 3 * 1000
    used = int(done.stdout)
    holds = [row for row in trace.holds.to_pylist() if row["thread"] == rows["computes"]["thread"]]
    assert rows["computes"]["held"] > 0.95 * used
    if trace.metadata["gil"] == "new":  # the old one is given up every 100 ticks, in holds too short to be looked at
        assert 0.95 * used < sum(hold["cpu"] or 0 for hold in holds) < 1.05 * used + 5_000_000
