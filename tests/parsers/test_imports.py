"""Other tracers' files: what becomes of their records, and what is said of what they do not tell."""

from __future__ import annotations

import gzip
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import tracekit
from tests.conftest import ROOT
from tracekit.model.stream import ACQUIRE, ENTRY, EVENTS, RELEASE
from tracekit.parsers.imported import Row
from tracekit.parsers.ranges import HOLDING, WAITING, Ranges
from tracekit.reporters.json import as_dict

IMPORTS = ROOT / "tests" / "data" / "imports"
Events = list[tuple[str, str, int]]


def nsight(folder: Path, statements: str = (IMPORTS / "nsight.sql").read_text()) -> Path:
    path = folder / "report.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript(statements)
    database.close()
    return path


FILES = ("perf-py313.txt", "perf-py38-callgraph.txt", "perf-hand.txt", "giltracer.json", "gecko.json", "nsight")


@pytest.fixture(params=FILES)
def imported(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One file of each kind."""
    return nsight(tmp_path) if request.param == "nsight" else IMPORTS / request.param


def events(path: str | Path) -> Events:
    rows = tracekit.read(path).events.to_pylist()
    return [(row["thread"], row["event"], row["clock"]) for row in rows]


def command(*arguments: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "tracekit", *map(str, arguments)]
    done = subprocess.run(run, input=stdin, capture_output=True, timeout=120)
    assert b"Traceback" not in done.stderr, done.stderr
    return subprocess.CompletedProcess(run, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_perf_by_hand(core: str) -> None:
    trace = tracekit.read(IMPORTS / "perf-hand.txt")
    assert events(IMPORTS / "perf-hand.txt") == [
        ("71", "ENTRY", 12_000_001_000),
        ("71", "ACQUIRE", 12_000_002_000),
        ("72", "ENTRY", 12_000_004_000),
        ("72", "BUSY", 12_000_004_000),
        ("71", "RELEASE", 12_000_010_000),
        ("72", "ACQUIRE", 12_000_010_000),
        ("72", "RELEASE", 12_000_030_000),
    ]
    assert trace.metadata == {
        "source": "perf script", "busy": "inferred", "retries": "unknown", "ticks": "unknown", "checks": "unknown",
        "pid": "70", "lost": "3", "inferred-acquires": "1",
    }  # fmt: skip
    assert trace.threads.column("name").to_pylist() == ["Thread 1 (io)", "worker"]
    assert (trace.bad_lines, trace.diagnostics.num_rows) == (0, 0)


def test_perf_as_recorded(core: str) -> None:
    """A CPU-bound thread, and one that sleeps six times and then waits a switch interval for the GIL."""
    analysis = tracekit.analyze(IMPORTS / "perf-py313.txt")
    io = next(row for row in analysis.threads.to_pylist() if row["thread"] == "12524")
    assert (io["acquires"], io["contended_waits"], io["name"]) == (7, 7, "my app")
    assert [d.severity for d in analysis.diagnostics] == ["info"]
    waits = tracekit.read(IMPORTS / "perf-py313.txt").to_pandas("waits").query("thread == '12524'")
    assert waits.duration.between(5_000_000, 5_500_000).sum() == 7
    assert (waits.rival == "12523").sum() == 0  # it is waited for, and does not pass


def test_perf_without_returns(core: str) -> None:
    """Where one copy of take_gil has no return probe: the same waits, and no hold overlaps another."""
    analysis = tracekit.analyze(IMPORTS / "perf-py38-callgraph.txt")
    io = next(row for row in analysis.threads.to_pylist() if row["thread"] == "12537")
    assert (io["acquires"], io["contended_waits"]) == (7, 7)
    assert [d.severity for d in analysis.diagnostics] == ["info"] * len(analysis.diagnostics)
    assert int(analysis.metadata["inferred-acquires"]) > 7


def test_giltracer(core: str) -> None:
    assert events(IMPORTS / "giltracer.json") == [
        ("41", "ENTRY", 1_000_000),
        ("41", "ACQUIRE", 1_002_000),
        ("42", "ENTRY", 1_010_500),
        ("42", "BUSY", 1_010_500),
        ("41", "RELEASE", 1_050_000),
        ("42", "ACQUIRE", 1_052_250),
        ("42", "RELEASE", 1_070_000),
    ]
    metadata = tracekit.read(IMPORTS / "giltracer.json").metadata
    assert (metadata["source"], metadata["pid"], metadata["processes-left-out"]) == ("giltracer", "40", "1")


def test_nsight(tmp_path: Path, core: str) -> None:
    path = nsight(tmp_path)
    assert events(path) == [
        ("500", "ENTRY", 1000),
        ("500", "ACQUIRE", 1000),
        ("501", "ENTRY", 1100),
        ("501", "BUSY", 1100),
        ("500", "RELEASE", 1300),
        ("501", "ACQUIRE", 1310),
        ("501", "RELEASE", 1400),
        ("500", "ENTRY", 1500),
        ("500", "ACQUIRE", 1500),
        ("501", "ENTRY", 1550),
        ("501", "BUSY", 1550),
        ("500", "RELEASE", 1600),
    ]
    trace = tracekit.read(path)
    assert trace.threads.column("name").to_pylist() == ["python3", "loader"]
    assert (trace.metadata["source"], trace.metadata["pid"]) == ("Nsight Systems", "500")
    assert trace.waits.column("open").to_pylist() == [False, False, False, True]


def test_gecko(core: str) -> None:
    """Thread 101 waited from 2 to 7 ms and then had the GIL between two samples, while 100 seemed to keep it."""
    ms = 1_000_000
    assert events(IMPORTS / "gecko.json") == [
        ("100", "ENTRY", 0),
        ("100", "ACQUIRE", 0),
        ("101", "ENTRY", 2 * ms),
        ("101", "BUSY", 2 * ms),
        ("100", "RELEASE", 7 * ms),
        ("101", "ACQUIRE", 7 * ms),
        ("101", "RELEASE", 7 * ms),
        ("100", "ENTRY", 7 * ms),
        ("100", "ACQUIRE", 7 * ms),
        ("101", "ENTRY", 12 * ms),
        ("101", "BUSY", 12 * ms),
        ("100", "RELEASE", 20 * ms),
        ("100", "ENTRY", 20 * ms),
        ("101", "ACQUIRE", 20 * ms),
        ("100", "BUSY", 20 * ms),
        ("101", "RELEASE", 24 * ms),
        ("100", "ACQUIRE", 24 * ms),
        ("101", "ENTRY", 26 * ms),
        ("101", "BUSY", 26 * ms),
        ("100", "RELEASE", 30 * ms),
    ]
    metadata = tracekit.read(IMPORTS / "gecko.json").metadata
    assert (metadata["source"], metadata["sampled-every-us"]) == ("Tachyon Sampling Profiler", "1000")
    assert "sampled every 1000 µs" in command("analyze", IMPORTS / "gecko.json").stdout


def test_what_is_not_observed_is_not_reported(imported: Path) -> None:
    analysis = tracekit.analyze(imported)
    assert analysis.unobserved == {"ticks", "checks", "retries"}
    assert analysis.observed("long_holds")
    assert (analysis.counts["RETRY"], analysis.badness, analysis.totals.checks) == (None, None, None)
    trace = tracekit.read(imported)
    assert trace.threads.column("failed_retries").null_count == trace.threads.num_rows
    assert trace.waits.column("timeouts").null_count == trace.waits.num_rows
    for kind in ("battles", "convoys", "frozen_signals", "failed_retries"):
        assert not analysis.observed(kind)
        with pytest.raises(tracekit.NotObservedError, match="cannot be seen in this trace, which does not tell"):
            tracekit.check(analysis, no=[kind])
    assert tracekit.compare(analysis, analysis).regression == 0


@pytest.mark.slow
def test_what_is_not_observed_is_not_shown() -> None:
    imported = IMPORTS / "giltracer.json"
    found = json.loads(command("analyze", imported, "--json").stdout)
    assert found["trace"]["counts"]["RETRY"] is None
    assert found["found"]["convoys"] == {"count": None, "cost": None}
    assert found["found"]["long_holds"]["count"] is not None
    assert {thread["blocking_releases"] for thread in found["threads"]} == {None}
    shown = command("analyze", imported).stdout
    assert "Not observed in this trace: checks, retries, ticks, which" in shown
    assert "No contention" not in shown
    compared = command("compare", imported, imported)
    assert compared.stdout.count("Not observed in this trace: checks, retries, ticks, which giltracer") == 1
    failed = command("analyze", imported, "--fail-on", "convoys")
    assert (failed.returncode, failed.stdout, failed.stderr.count("\n")) == (2, "", 1)


def test_a_text_trace_can_say_so_too(tmp_path: Path) -> None:
    path = tmp_path / "trace.log"
    path.write_text("# retries: unknown\nt1 - 1 ENTRY 10\nt1 - 1 ACQUIRE 12\nt1 - 2 RELEASE 30\n")
    analysis = tracekit.analyze(path)
    assert analysis.unobserved == {"retries"}
    assert (analysis.observed("convoys"), analysis.observed("battles")) == (True, False)
    assert analysis.threads.column("check_releases").to_pylist() == [1]


@pytest.mark.parametrize(
    ("name", "ending"), [*((name, "log") for name in FILES), ("gecko.json", "parquet"), ("perf-hand.txt", "jsonl")]
)
def test_converted(name: str, ending: str, tmp_path: Path) -> None:
    """What is not known stays unknown, and all else comes back."""
    imported = nsight(tmp_path) if name == "nsight" else IMPORTS / name
    out = tmp_path / f"out.{ending}"
    assert command("convert", imported, "-o", out).returncode == 0
    before, after = tracekit.analyze(imported), tracekit.analyze(out)
    assert after.metadata == before.metadata
    assert after.unobserved == before.unobserved
    assert after.threads.equals(before.threads)
    assert after.blame.equals(before.blame)


@pytest.mark.parametrize("ending", ["parquet", "trace.json", "log"])
def test_json_is_read_once(ending: str, tmp_path: Path) -> None:
    """From a pipe that has a name nothing can be read twice."""
    pipe, out = tmp_path / "giltracer.json", tmp_path / f"out.{ending}"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes((IMPORTS / "giltracer.json").read_bytes()))
    writer.start()
    piped = command("convert", pipe, "-o", out)
    writer.join()
    assert piped.returncode == 0, piped.stderr
    if ending != "trace.json":
        assert tracekit.analyze(out).blame.equals(tracekit.analyze(IMPORTS / "giltracer.json").blame)


def test_piped_and_compressed(imported: Path, tmp_path: Path) -> None:
    packed = gzip.compress(imported.read_bytes())
    piped = json.loads(command("analyze", "-", "--json", stdin=packed).stdout)
    piped["trace"]["path"] = str(imported)
    assert piped == json.loads(json.dumps(as_dict(tracekit.analyze(imported))))


@st.composite
def schedules(draw: st.DrawFn) -> list[Row]:
    """What threads really did: each wants the GIL, gets it when it is free, gives it up; one thing a nanosecond."""
    rows: list[Row] = []
    wanting: list[int] = []
    holder: int | None = None
    for time in range(draw(st.integers(1, 60))):
        idle = [thread for thread in range(4) if thread not in (*wanting, holder)]
        steps = ["want"] * bool(idle) + ["get"] * (holder is None and bool(wanting)) + ["give"] * (holder is not None)
        step = draw(st.sampled_from(steps))
        if step == "want":
            wanting.append(thread := draw(st.sampled_from(idle)))
            rows.append((time, thread, ENTRY))
        elif step == "get":
            holder = draw(st.sampled_from(wanting))
            wanting.remove(holder)
            rows.append((time, holder, ACQUIRE))
        else:
            assert holder is not None
            rows.append((time, holder, RELEASE))
            holder = None
    return rows


def as_perf(rows: list[Row], folder: Path) -> Path:
    what = {ENTRY: "take_gil", ACQUIRE: "take_gil__return", RELEASE: "drop_gil"}
    path = folder / "perf.txt"
    path.write_text("".join(f"py {thread} [0] 1.{time:09}: g:{what[event]}: (1)\n" for time, thread, event in rows))
    return path


@given(rows=schedules(), silent=st.sets(st.integers(0, 3)))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_acquires_that_were_not_recorded(rows: list[Row], silent: set[int], tmp_path: Path) -> None:
    """Some threads' take_gil has no return probe. No order of events is invented that cannot have been."""
    told = [row for row in rows if row[2] != ACQUIRE or row[1] not in silent]
    trace = tracekit.read(as_perf(told or rows, tmp_path))
    assert [d.code for d in trace.summary if d.severity == "error"] == []
    found = [(e["clock"] - 10**9, int(e["thread"]), e["event"]) for e in trace.events.to_pylist()]
    kept = [(time, thread, EVENTS[event]) for time, thread, event in told or rows]
    assert [row for row in found if row in kept] == kept
    really = {(thread, time) for time, thread, event in rows if event == ACQUIRE}
    for hold in trace.holds.to_pylist():
        thread, start, end = int(hold["thread"]), hold["start_clock"] - 10**9, hold["end_clock"] - 10**9
        assert any(t == thread and start <= time <= end for t, time in really), "it had the GIL in that time"


@given(schedules(), st.randoms())
def test_ranges_in_any_order(rows: list[Row], chance: random.Random) -> None:
    """Waits and holds give back the events that they were made of."""
    spans, told, of = [], [], {thread: [row for row in rows if row[1] == thread] for thread in range(4)}
    for thread, its in of.items():
        for entry, acquire, release in zip(its[::3], its[1::3], its[2::3], strict=False):
            spans += [(WAITING, thread, entry[0], acquire[0]), (HOLDING, thread, acquire[0], release[0])]
            told += [entry, acquire, release]
    assume(spans)
    chance.shuffle(spans)
    ranges = Ranges()
    assert all(ranges.add(*span) for span in spans)
    assert list(ranges.rows()) == sorted(told)


def test_two_processes_in_perf(tmp_path: Path) -> None:
    path = tmp_path / "perf.txt"
    path.write_text("python 7/7 [0] 1.000001: a:take_gil: (1)\npython 8/8 [0] 1.000002: a:take_gil: (1)\n")
    done = command("analyze", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "records of the processes 7 and 8" in done.stderr


def test_bad_records_of_perf(tmp_path: Path) -> None:
    path = tmp_path / "perf.txt"
    good = "python 7 [0] 1.000001: a:take_gil: (1)\npython 7 [0] 1.000002: a:take_gil__return: (1 <- 2)\n"
    bad = "what is this\n python [0] 1.0: a:drop_gil: (1)\npython 7 9999999999.000000: a:drop_gil: (1)\n"
    path.write_text(good + bad)
    done = command("analyze", path)
    assert done.returncode == 0
    assert "3 × bad-record, first at line 3: the line is not a record of the tracer that wrote the file." in done.stdout
    strict = command("analyze", path, "--strict")
    assert (strict.returncode, strict.stdout) == (1, "")
    assert f"{path}:3: the line is not a record" in strict.stderr


@pytest.mark.parametrize("name", ["giltracer.json", "gecko.json", "perf-py313.txt"])
def test_cut_anywhere(name: str, tmp_path: Path) -> None:
    """What came before is analysed and the cut told, or one sentence says that there is nothing."""
    whole = (IMPORTS / name).read_bytes()
    path = tmp_path / name
    for end in range(20, len(whole), len(whole) // 23):
        path.write_bytes(whole[:end])
        try:
            analysis = tracekit.analyze(path)
        except tracekit.NoEventsError:
            continue
        if name.endswith(".json"):
            assert "truncated-input" in {d.code for d in analysis.diagnostics}


def damaged_json() -> dict[str, bytes]:
    gecko: Any = json.loads((IMPORTS / "gecko.json").read_bytes())
    gecko["threads"][0]["markers"]["startTime"] = ["x", None, {}, [1e400]]
    gecko["threads"][1]["tid"] = {"a": [1]}
    slice_of = '{"name": "LOCK", "ph": "%s", "ts": %s, "pid": 1, "tid": 1, "cat": "GIL state"}'
    times = [("b", "1"), ("e", "1e300"), ("b", '"x"'), ("e", "3"), ("b", "5"), ("e", "4"), ("b", "-1"), ("e", "1")]
    return {
        "no times": json.dumps(gecko).encode(),
        "slices": ("[" + ",".join(slice_of % time for time in times) + "]").encode(),
        "deep": b'{"traceEvents":' + b"[" * 300_000,
        "deep elements": b'[{"ph":"b","ts":1,"cat":"GIL state","args":' + b'{"a":' * 300_000,
        "no array": b'{"traceEvents": 7, "ph": 1}',
        "a number": b'{"meta": 1, "preprocessedProfileVersion": 1, "threads": {"a": 1}, "shared": []}',
        "not JSON": b'{"traceEvents": [nonsense]}',
        "huge number": b'[{"ph": "b", "ts": ' + b"9" * 5000 + b', "name": "LOCK", "cat": "GIL state"}]',
        "not UTF-8": b'{"traceEvents": [{"name": "\xff\xfe"}]}',
        "an empty database": b"SQLite format 3\0",
        "no database": b"SQLite format 3\0" + b"\xff" * 5000,
    }


@pytest.mark.parametrize("name", damaged_json())
def test_damaged(name: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(damaged_json()[name])
    refused(path)


def refused(path: Path) -> None:
    with pytest.raises(tracekit.TracekitError) as raised:
        tracekit.analyze(path)
    assert raised.value.message.startswith(f"{path}: ")
    assert "\n" not in f"{raised.value}"
    assert raised.value.exit_code == 2


WITHOUT: dict[str, Callable[[str], str]] = {
    "no such table": lambda sql: sql.replace("NVTX_EVENTS", "OSRT_API"),
    "a view": lambda sql: sql.replace("NVTX_EVENTS", "T") + "CREATE VIEW NVTX_EVENTS AS SELECT * FROM T;",
    "no column": lambda sql: sql.replace("globalTid", "thread"),
    "no ranges": lambda sql: sql.replace("GIL'", "lock'"),
    "no time": lambda sql: sql.replace("(1000,", "('x',"),
    "no threads": lambda sql: sql.replace("(500 << 24)", "'a' || ").replace("(600 << 24)", "'a' || "),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_databases_without_it(name: str, tmp_path: Path) -> None:
    path = nsight(tmp_path, WITHOUT[name]((IMPORTS / "nsight.sql").read_text()))
    if name == "no time":
        assert tracekit.analyze(path).metadata["records-left-out"] == "1"
    else:
        refused(path)


def test_older_exports(tmp_path: Path) -> None:
    """Without textId, domains and StringIds."""
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE NVTX_EVENTS (start INT, end INT, text TEXT, globalTid INT)")
        database.execute("INSERT INTO NVTX_EVENTS VALUES (5, 9, 'Holding GIL', 16777217)")
    database.close()
    assert events(path) == [("1", "ENTRY", 5), ("1", "ACQUIRE", 5), ("1", "RELEASE", 9)]
