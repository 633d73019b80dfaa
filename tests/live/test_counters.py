"""`tracekit.count`: each test in a process of its own, for counting never ends."""

from __future__ import annotations

import ctypes
import json
import subprocess
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import every_interpreter, names, need_recorder, script
from tests.recorder.test_record_here import run
from tracekit.live.counting import Count
from tracekit.recorder import BOOTSTRAP, LIBRARY

WORK = """
import json, os, threading, time, tracekit
def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end: pass
def nap():
    for _ in range(50): time.sleep(0.001)
def work():
    threads = [threading.Thread(target=spin, args=(0.2,), name="spin")]
    threads += [threading.Thread(target=nap, name=f"nap-{n}") for n in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


def test_they_agree_with_a_recording_of_the_same_run(tmp_path: Path) -> None:
    """To the ns: each hold and wait of the trace is rounded by itself."""
    out = run(
        tmp_path,
        WORK
        + """
tracekit.count()
with tracekit.record("out.log"): work()
with tracekit.record("again.log"): work()
print(json.dumps(tracekit.counters()))
""",
    )
    counted = [one for one in json.loads(out) if one["name"] in ("spin", "nap-0", "nap-1")]
    assert len(counted) == 6
    for name in ("out.log", "again.log"):
        analysis = tracekit.analyze(tmp_path / name)
        ids = names(tracekit.read(tmp_path / name))
        rows = {row["thread"]: row for row in analysis.threads.to_pylist()}
        for thread in ("spin", "nap-0", "nap-1"):
            row = rows[ids[thread]]
            (one,) = [one for one in counted if one["name"] == thread and one["thread"] == ids[thread]]
            assert not one["alive"]
            assert abs(one["held_ns"] - row["held"]) <= row["acquires"] + 10**-6 * row["held"]
            assert abs(one["waited_ns"] - row["waited"]) <= row["entries"] + 10**-6 * row["waited"]
            assert one["waits"] == sum(one["wait_histogram"]) == row["entries"]
            assert one["contended_waits"] == row["contended_waits"]
            assert one["forced_releases"] == row["check_releases"]
            assert one["blocking_releases"] == row["blocking_releases"]
            causes = {r["cause"]: 0 for r in analysis.causes.to_pylist()}
            for cause in analysis.causes.to_pylist():
                causes[cause["cause"]] += cause["duration"] * (cause["thread"] == ids[thread])
            for cause in ("scheduling", "preemption", "long_hold", "saturation"):
                apart = abs(one["causes"][cause] - causes.get(cause, 0))
                assert apart <= row["entries"] * 4 + 10**-6 * row["waited"], cause
            assert abs(sum(one["causes"].values()) - one["waited_ns"]) <= 5


@every_interpreter
def test_every_interpreter(tmp_path: Path, python: str) -> None:
    """The C counts in programs whose Python has no tracekit, too."""
    need_recorder()
    program = script(
        tmp_path,
        f"""
import ctypes, sys, threading, time
sys.path.insert(0, {str(BOOTSTRAP.parent)!r})
import bootstrap
recorder = bootstrap.Recorder({str(LIBRARY)!r})
recorder.count()
recorder.count()
def nap():
    for _ in range(30): time.sleep(0.001)
napping = threading.Thread(target=nap, name="nap"); napping.start(); napping.join()
def spin():
    end = time.time() + 0.1
    while time.time() < end: pass
spinning = [threading.Thread(target=spin, name="spin-%d" % n) for n in range(2)]
for thread in spinning: thread.start()
for thread in spinning: thread.join()
read = ctypes.create_string_buffer(4 * {ctypes.sizeof(Count)})
number = recorder.library.tk_counts_read(read, ctypes.c_int64(4))
with open("counts", "wb") as file: file.write(read.raw)
assert number == 4, number
""",
    )
    subprocess.run([python, program], cwd=tmp_path, check=True, timeout=120)
    counts = {one.name[: one.length]: one for one in (Count * 4).from_buffer_copy((tmp_path / "counts").read_bytes())}
    assert set(counts) == {b"MainThread", b"nap", b"spin-0", b"spin-1"}
    nap = counts[b"nap"]
    assert nap.blocking >= 30
    assert nap.waits == sum(nap.powers) >= 31
    assert sum(counts[spin].forced for spin in (b"spin-0", b"spin-1")) > 1
    assert any(counts[spin].waited > 0 for spin in (b"spin-0", b"spin-1"))
    for one in counts.values():
        assert one.held > 0
        if one.ended:
            assert sum(one.causes) == one.waited


def test_threads_that_ended_are_kept_then_summed(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
import json, threading, time, tracekit
tracekit.count()
def start(name):
    thread = threading.Thread(target=int, name=name); thread.start(); thread.join()
for number in range(600): start(f"worker-{number}")
for number in range(600): start(f"other {number} of 600")
while sum(one["alive"] for one in tracekit.counters()) > 1: time.sleep(0.001)  # it is joined before it has ended
print(json.dumps(tracekit.counters()))
""",
    )
    threads = json.loads(out)
    ended = [one for one in threads if not one["alive"]]
    summed = [one for one in ended if one["thread"] is None]
    assert [one["name"] for one in threads if one["alive"]] == ["MainThread"]
    assert len(ended) - len(summed) == 1000
    (old,) = summed
    assert old["name"] == "worker-*"
    assert old["waits"] >= 200
    assert old["held_ns"] > max(one["held_ns"] for one in ended if one["name"].startswith("worker-5"))


def test_a_forked_child_has_its_own(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        WORK
        + """
tracekit.count()
work()
pid = os.fork()
if pid == 0:
    before = tracekit.counters()
    work()
    print(json.dumps([before, tracekit.counters()]), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(json.dumps(tracekit.counters()))
""",
    )
    (before, child), parent = (json.loads(line) for line in out.splitlines())
    assert len(before) <= 1
    assert sorted(one["name"] for one in child) == ["MainThread", "nap-0", "nap-1", "spin"]
    assert sorted(one["name"] for one in parent) == ["MainThread", "nap-0", "nap-1", "spin"]
    assert child[0]["held_ns"] < parent[0]["held_ns"] + 10**8


def test_where_nothing_can_be_recorded_there_is_one_warning(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
import warnings, pathlib, tracekit, tracekit.recorder, tracekit.prometheus, tracekit.opentelemetry
tracekit.recorder.LIBRARY = pathlib.Path("not/there.so")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    tracekit.count(); tracekit.count()
    assert all(not metric.samples for metric in tracekit.prometheus.Collector().collect())
    tracekit.opentelemetry.instrument()
assert [one.category for one in caught] == [RuntimeWarning], caught
assert "counts nothing" in str(caught[0].message)
assert tracekit.counters() == []
""",
    )


def test_prometheus(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        WORK
        + """
from prometheus_client import CollectorRegistry, generate_latest
registry = CollectorRegistry()
registry.register(tracekit.prometheus.Collector())
work()
print(generate_latest(registry).decode())
naps = sum(one["blocking_releases"] for one in tracekit.counters() if one["name"].startswith("nap"))
print(f'python_gil_blocking_releases_total{{threads="nap-*"}} {naps:.1f}')
""",
    )
    lines = out.splitlines()
    assert lines.count(lines[-1]) == 2
    values = dict(line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    waits = [
        value for key, value in values.items() if key.startswith('python_gil_wait_seconds_bucket{le="') and "nap" in key
    ]
    assert waits == sorted(waits, key=float)
    assert waits[-1] == values['python_gil_wait_seconds_count{threads="nap-*"}']
    by_cause = sum(
        float(value) for key, value in values.items() if key.startswith("python_gil_waited") and "nap" in key
    )
    assert by_cause == pytest.approx(float(values['python_gil_wait_seconds_sum{threads="nap-*"}']))
    assert float(values['python_gil_held_seconds_total{threads="spin"}']) > 0.1


def test_opentelemetry(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        WORK
        + """
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
tracekit.opentelemetry.instrument(MeterProvider([reader]).get_meter("test"))
work()
for scope in reader.get_metrics_data().resource_metrics[0].scope_metrics:
    for metric in scope.metrics:
        for point in metric.data.data_points:
            print(json.dumps([metric.name, dict(point.attributes), point.value]))
""",
    )
    points = [json.loads(line) for line in out.splitlines()]
    assert {name for name, _, _ in points} == {
        f"python.gil.{name}"
        for name in (
            "held_time", "wait_time", "off_cpu_held_time", "contended_waits", "forced_releases", "blocking_releases",
        )
    }  # fmt: skip
    (held,) = [value for name, of, value in points if name == "python.gil.held_time" and of == {"threads": "spin"}]
    assert held > 0.1
    causes = [of["cause"] for name, of, _ in points if name == "python.gil.wait_time" and of["threads"] == "nap-*"]
    assert causes == ["scheduling", "preemption", "long_hold", "saturation", "queueing"]


def test_threads_that_begin_at_once_count_all(tmp_path: Path) -> None:
    """The first to count learns which lock the GIL is, and others want to know it just then."""
    run(
        tmp_path,
        """
import threading, time, tracekit, warnings
warnings.simplefilter("error")
def first():
    barrier.wait()
    with tracekit.region("first") as region: time.sleep(0.001)
    known.append(region.held_ns)
barrier, known = threading.Barrier(16), []
threads = [threading.Thread(target=first) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(known) == 16 and None not in known, known
""",
    )
