"""The flight recorder: each test in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import good, names, need_recorder
from tests.recorder.test_record_here import run

HOLD = """
import ctypes, os, sys, threading, time, tracekit
usleep = ctypes.PyDLL(None).usleep  # keeps the GIL
def nap():
    for _ in range(20): time.sleep(0.001)
"""


def test_a_call_that_holds_is_in_a_snapshot_before_it_ends(tmp_path: Path) -> None:
    """The program itself cannot look while it holds: another process does."""
    need_recorder()
    (tmp_path / "program.py").write_text(
        HOLD
        + """
tracekit.flight("slow-{n}.log", hold_over="100ms")
napping = threading.Thread(target=lambda: [nap() for _ in range(50)], daemon=True); napping.start()
def guilty():
    usleep(60000000)
print("now", flush=True)
guilty()
"""
    )
    program = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "now\n"
        snapshot = tmp_path / "slow-1.log"
        end = time.monotonic() + 50
        while not snapshot.exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert program.poll() is None, "it was written while the call held the GIL"
        trace = good(snapshot, cut=True)
        assert trace.metadata["snapshot"].startswith("hold_over: thread ")
        assert trace.metadata[f"stack-of-{program.pid}"].startswith("guilty (program.py:")
        main = names(trace)["MainThread"]
        held = [row for row in trace.holds.to_pylist() if row["open"]]
        assert [row["thread"] for row in held] == [main]
        lines = tracekit.analyze(snapshot).lines.to_pylist()
        assert max(lines, key=lambda row: row["duration"])["holder_function"] == "guilty"
        done = subprocess.run(
            [sys.executable, "-m", "tracekit", "snapshot", str(program.pid)], capture_output=True, text=True, timeout=60
        )
        assert done.stdout == f"{tmp_path / 'slow-2.log'}\n", done.stderr
        assert good(tmp_path / "slow-2.log", cut=True).metadata["snapshot"] == "asked for by another process"
    finally:
        program.kill()
        program.communicate()
    assert sorted(path.name for path in tmp_path.iterdir() if "ring" not in path.name) == [
        "program.py", "slow-1.log", "slow-2.log",
    ]  # fmt: skip


def test_limits_signals_and_how_many_stay(tmp_path: Path) -> None:
    run(
        tmp_path,
        HOLD
        + """
import glob, signal
(open("s-7.log", "w")).close()
flight = tracekit.flight("s-{n}.log", wait_over="60ms", region_over="80ms", signal=signal.SIGUSR2, per_minute=2, keep=4)
def there(number):
    end = time.monotonic() + 30
    while not os.path.exists(f"s-{number}.log"):
        assert time.monotonic() < end, (number, glob.glob("*"))
        time.sleep(0.005)
    return tracekit.read(f"s-{number}.log").metadata["snapshot"]
napping = threading.Thread(target=nap); napping.start()
time.sleep(0.002)
usleep(200000)
napping.join()
assert there(8).startswith("wait_over: "), there(8)
with tracekit.region("GET /slow"): time.sleep(0.3)
assert there(9).startswith("region_over: GET /slow has lasted for "), there(9)
with tracekit.region("GET /slow"): time.sleep(0.3)
os.kill(os.getpid(), signal.SIGUSR2)
assert there(10) == "asked for"
assert flight.snapshot("because\\nof this").name == "s-11.log"
assert there(11) == "because of this"
flight.snapshot()
assert sorted(glob.glob("s-*.log")) == ["s-10.log", "s-11.log", "s-12.log", "s-9.log"]
try: tracekit.flight("t-{n}.log")
except tracekit.RecordError as error: assert "already running" in str(error)
else: raise AssertionError
flight.stop()
with tracekit.flight("t-{n}.log"): pass
assert not glob.glob(".*ring*"), glob.glob(".*")
""",
    )


def test_beside_a_recording_and_in_forked_children(tmp_path: Path) -> None:
    run(
        tmp_path,
        HOLD
        + """
flight = tracekit.flight("f-{n}.log", max_size="1M")
tracekit.count()
before = threading.Thread(target=nap, name="before"); before.start(); before.join()
flight.snapshot()
with tracekit.record("out.log"):
    inside = threading.Thread(target=nap, name="inside"); inside.start(); inside.join()
    flight.snapshot()
after = threading.Thread(target=nap, name="after"); after.start(); after.join()
flight.snapshot()
pid = os.fork()
if pid == 0:
    nap()
    path = flight.snapshot()
    flight.stop()
    os._exit(0 if path.name == f"f-{os.getpid()}-4.log" else 1)
assert os.waitpid(pid, 0)[1] == 0
""",
    )
    for name, threads in (("f-1.log", "before"), ("out.log", "inside"), ("f-2.log", "inside"), ("f-3.log", "after")):
        assert threads in names(good(tmp_path / name, cut=True)), name
    assert "before" not in names(good(tmp_path / "f-3.log", cut=True))
    (child,) = tmp_path.glob("f-*-4.log")
    assert good(child, cut=True).threads["blocking_releases"][0].as_py() >= 20
    assert {path.name for path in tmp_path.iterdir()} == {
        "program.py", "out.log", "f-1.log", "f-2.log", "f-3.log", child.name,
    }  # fmt: skip


def test_what_cannot_be(tmp_path: Path) -> None:
    for wrong in (
        {"path": "a.log"},
        {"path": "{n}-{n}.log"},
        {"path": "{n}.log", "hold_over": "soon"},
        {"path": "{n}.log", "hold_over": "0ms"},
        {"path": "{n}.log", "max_size": "0"},
        {"path": "{n}.log", "per_minute": 0},
    ):
        with pytest.raises(tracekit.OptionError):
            tracekit.flight(**wrong)  # type: ignore[arg-type]
    run(
        tmp_path,
        HOLD
        + """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    flight = tracekit.flight("no/such/folder/{n}.log")
assert len(caught) == 1 and "cannot be written" in str(caught[0].message), caught
for _ in range(2):
    try: flight.snapshot()
    except tracekit.RecordError: pass
    else: raise AssertionError
flight.stop()
flight = tracekit.flight("{n}.log")
os.mkdir("1.log.part")  # as a disk that is full: the file cannot be written
try: flight.snapshot()
except tracekit.RecordError: pass
else: raise AssertionError
os.rmdir("1.log.part")
assert flight.snapshot().name == "1.log"
""",
    )
    done = subprocess.run(
        [sys.executable, "-m", "tracekit", "snapshot", str(os.getpid())], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"Process {os.getpid()} does not answer.")


def test_counters_as_text(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        HOLD
        + """
tracekit.count("gil.prom")
for number in range(3):
    thread = threading.Thread(target=nap, name=f'na"p-{number}'); thread.start(); thread.join()
while 'na\\\\"p-*' not in (open("gil.prom").read() if os.path.exists("gil.prom") else ""): time.sleep(0.01)
time.sleep(1.2)
print(open("gil.prom").read())
print([one["blocking_releases"] for one in tracekit.counters() if "p-" in one["name"]])
""",
    )
    lines = out.splitlines()
    total = sum(map(int, lines[-1].strip("[]").split(",")))
    assert f'python_gil_blocking_releases_total{{threads="na\\"p-*"}} {total}' in lines
    assert "# TYPE python_gil_held_seconds_total counter" in lines


@pytest.mark.slow
def test_a_ring_stays_as_long_as_it_was_and_knows_whose_its_events_are(tmp_path: Path) -> None:
    """As threads come and go, and as requests do: the numbers of what it has no event of any more are used again."""
    out = run(
        tmp_path,
        """
import glob, os, threading, time, tracekit
flight = tracekit.flight("f-{n}.log", max_size="512K")
def start(number):
    with tracekit.region(f"job {number // 1000}"): time.sleep(0)
def threads(first, end):
    for number in range(first, end):
        thread = threading.Thread(target=start, args=(number,), name=f"worker-{number}"); thread.start(); thread.join()
ring, = glob.glob(".*ring*")
threads(0, 12000)
size = os.path.getsize(ring)
threads(12000, 18000)
print(os.path.getsize(ring) - size)
for number in range(70000):
    with tracekit.region("GET /"): pass
with tracekit.region("a last one"): time.sleep(0.001)
threads(18000, 18100)
with tracekit.region("open yet"):
    time.sleep(0.001)
    flight.snapshot()
""",
    )
    assert out == "0\n"
    trace = good(tmp_path / "f-1.log", cut=True)
    workers = {row["thread"]: row["name"] for row in trace.threads.to_pylist() if row["name"].startswith("worker-")}
    assert {f"worker-{number}" for number in range(18000, 18100)} <= set(workers.values())
    assert len(workers) == len(set(workers.values()))
    called = {row["region"]: row["name"] for row in trace.regions.to_pylist()}
    assert {"a last one", "open yet", "job 18"} <= set(called.values())
    for row in trace.events.to_pylist():
        if row["thread"] in workers and row["region"] is not None:
            assert called[row["region"]] == f"job {int(workers[row['thread']].removeprefix('worker-')) // 1000}"
