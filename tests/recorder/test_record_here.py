"""`tracekit.record`: this very process. Each test runs in a process of its own, for a recording touches all of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import good, names, need_recorder, script


def run(folder: Path, text: str, *words: str) -> str:
    need_recorder()
    done = subprocess.run(
        [sys.executable, script(folder, text), *words], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_context_manager(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
import threading, time, tracekit
def nap():
    for _ in range(50): time.sleep(0.0005)
ended = False
def nap_on():
    while not ended: time.sleep(0.0005)
before = threading.Thread(target=nap_on, name="before"); before.start()
with tracekit.record("out.log") as recording:
    inside = threading.Thread(target=nap, name="inside"); inside.start(); inside.join()
assert recording.path.name == "out.log"
(written,) = recording.written
assert written.events == tracekit.read("out.log").events.num_rows
ended = True
before.join()
""",
    )
    trace = good(tmp_path / "out.log", cut=True)
    threads = names(trace)
    assert set(threads) >= {"MainThread", "before", "inside"}
    rows = {row["name"]: row for row in trace.threads.to_pylist()}
    assert rows["inside"]["blocking_releases"] >= 50
    assert [path.name for path in tmp_path.glob("out*")] == ["out.log"]


@pytest.mark.slow
def test_start_and_stop_again_and_again(tmp_path: Path) -> None:
    """Slots, page protections and what was patched in `threading` are put back each time, with threads running."""
    run(
        tmp_path,
        '''
import threading, time, numpy, tracekit
from pathlib import Path
def spans(name):
    for line in Path("/proc/self/maps").read_text().splitlines():
        if name in line:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            yield start, end, line.split()[1]
def protections():
    found = [*spans("/libpython"), *spans("/bin/python")]
    return {page: mode for start, end, mode in found for page in range(start, end, 4096)}
def hooked():
    """How many words of the interpreter's data point into the recorder."""
    (start, *_), *_, (_, end, _) = spans("_recorder.so")
    count = 0
    with open("/proc/self/mem", "rb") as memory:
        for first, last, mode in [*spans("/libpython"), *spans("/bin/python")]:
            if mode.startswith("r") and "x" not in mode:
                memory.seek(first)
                words = numpy.frombuffer(memory.read(last - first), numpy.uint64)
                count += int(((words >= start) & (words < end)).sum())
    return count
stop = False
turns = [0] * 8
def churn(number):
    while not stop:
        time.sleep(0.0001)
        turns[number] += 1
def each_has_turns():
    seen = [turn + 2 for turn in turns]
    while any(turn < least for turn, least in zip(turns, seen)): time.sleep(0.001)
others = [threading.Thread(target=churn, args=[n], name=f"churn-{n}") for n in range(8)]
for thread in others: thread.start()
with tracekit.record("0.log"): assert hooked() >= 4
before, attributes = protections(), (threading.Thread._set_ident, threading.Thread.name)
assert hooked() == 0
recording = tracekit.record("again.log")
for number in range(1, 30):
    with tracekit.record(f"{number}.log"):
        each_has_turns()
    assert hooked() == 0
    recording.start(); time.sleep(0.001); recording.stop(); recording.stop()
assert protections() == before
assert (threading.Thread._set_ident, threading.Thread.name) == attributes
stop = True
for thread in others: thread.join()
''',
    )
    for number in range(1, 30):
        trace = good(tmp_path / f"{number}.log", cut=True)
        assert set(names(trace)) >= {"MainThread", "churn-0", "churn-7"}
    good(tmp_path / "again.log", cut=True)


def test_one_at_a_time_and_errors(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
import tracekit
with tracekit.record("out.log"):
    try: tracekit.record("other.log").start()
    except tracekit.RecordError as error: assert "already running" in str(error), error
    else: raise AssertionError
try: tracekit.record("no/such/folder.log").start()
except tracekit.RecordError as error: assert "No such file" in str(error), error
else: raise AssertionError
with tracekit.record("out.log.gz", max_size=1): pass
try:
    with tracekit.record("raised.log"): raise KeyError
except KeyError: pass
""",
    )
    assert {path.name for path in tmp_path.iterdir()} == {"program.py", "out.log", "out.log.gz", "raised.log"}
    for wrong in ({"path": "a.pftrace"}, {"path": "a.log", "max_size": 0}):
        with pytest.raises(tracekit.OptionError):
            tracekit.record(**wrong)  # type: ignore[arg-type]


def test_forked_child_inside(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
import os, sys, time, tracekit
with tracekit.record("out.log") as recording:
    pid = os.fork()
    if pid == 0:
        for _ in range(30): time.sleep(0.0005)
    else:
        left = os.fork()
        if left == 0:
            time.sleep(0.01); os._exit(0)
        os.waitpid(left, 0)
if pid == 0: os._exit(0)
os.waitpid(pid, 0)
print(pid, left)
""",
    )
    inside, left = out.split()
    good(tmp_path / "out.log", cut=True)
    assert good(tmp_path / f"out.log.{inside}").threads["blocking_releases"][0].as_py() >= 30
    good(tmp_path / f"out.log.{left}")


def test_a_process_that_ends_while_it_is_recorded(tmp_path: Path) -> None:
    run(tmp_path, "import tracekit, time\ntracekit.record('out.log').start()\ntime.sleep(0.001)")
    good(tmp_path / "out.log.raw", cut=True)
