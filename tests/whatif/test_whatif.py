"""Predictions against what was measured, refusals, and the command."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracekit
from tests.conftest import ROOT
from tracekit.errors import OptionError
from tracekit.whatif.gate import compared
from tracekit.whatif.ladder import ladder
from tracekit.whatif.prediction import Outcome, Prediction
from tracekit.whatif.preparing import learned
from tracekit.whatif.programs import Run
from tracekit.whatif.threads import Threads

DATA = ROOT / "tests" / "data" / "whatif"
MEASURED = json.loads((DATA / "measured.json").read_text())
WATCHED = {
    "cpu2": ("a", "b"),
    "echo_closed": ("server",),
    "echo_open": ("server",),
    "longhold": ("heart",),
    "queue": ("prod", "cons"),
}
HOGS = {"echo_closed": "spinner", "echo_open": "spinner", "longhold": "load"}


@cache
def trace_of(workload: str) -> tracekit.Trace:
    return tracekit.read(DATA / f"{workload}.log.gz")


def scenario(workload: str, name: str) -> Prediction:
    trace = trace_of(workload)
    if name[0] == "i":
        return tracekit.what_if(trace, interval=int(name[1:]) / 1e6).scenarios[0]
    change: dict[str, Any] = {"move" if name == "proc" else "split": HOGS[workload]}
    return tracekit.what_if(trace, **change).scenarios[0]


CELLS = [(workload, change) for workload, changes in MEASURED.items() for change in changes]


@pytest.mark.parametrize(("workload", "change"), CELLS)
def test_prediction_is_near_what_was_measured(workload: str, change: str) -> None:
    found = scenario(workload, change)
    assert found.confidence in ("good", "rough"), found.reason
    watched = [t for t in found.threads if t.name in WATCHED[workload]]
    duration = statistics.mean(t.after.duration for t in watched) / 1e6
    waited = statistics.mean(100 * t.after.waited / t.after.duration for t in watched)
    runs = MEASURED[workload][change]
    measured = statistics.median(run["duration_ms"] for run in runs)
    share = statistics.median(run["waited_percent"] for run in runs)
    assert abs(duration / measured - 1) <= 0.2
    # Ten smaller C calls are cheaper together than one large one, which no trace tells: that one is rough.
    allowed = max(3, 0.25 * share if change == "pieces" else 0.2 * share)
    assert abs(waited - share) <= allowed


def test_unchanged_replay_gives_the_trace() -> None:
    for workload in WATCHED:
        found = tracekit.what_if(DATA / f"{workload}.log.gz", interval=0.005)
        assert found.gate.passed
        assert found.gate.duration_error is not None
        assert found.gate.duration_error <= 0.1


def test_short_interval_needs_to_have_seen_threads_stopped() -> None:
    found = tracekit.what_if(DATA / "queue.log.gz", interval=0.0005).scenarios[0]
    assert found.confidence == "refused"
    assert "made to stop often, and here they were once" in (found.reason or "")


def test_moved_thread_waits_for_nobody() -> None:
    found = scenario("echo_closed", "proc")
    spinner = next(t for t in found.threads if t.name == "spinner")
    assert spinner.after.waited == 0
    assert spinner.after.wait_p50 is None


def test_no_gil_ends_the_waiting_and_joined_threads_end_sooner() -> None:
    bound, slower = (
        tracekit.what_if(DATA / "cpu2.log.gz", no_gil=True, slowdown=slowdown).scenarios[0] for slowdown in (1.0, 1.1)
    )
    for found in (bound, slower):
        assert found.confidence == "rough"
        assert all(thread.after.waited == 0 for thread in found.threads)
    ends = {t.name: (t.after.duration, t.before.duration) for t in bound.threads}
    assert ends["a"][0] < 0.6 * ends["a"][1]
    assert ends["MainThread"][0] < 0.6 * ends["MainThread"][1]  # it joins them
    later = {t.name: t.after.duration for t in slower.threads}
    assert later["a"] == pytest.approx(1.1 * ends["a"][0], rel=0.02)


@pytest.mark.parametrize(
    ("trace", "reason"),
    [
        ("tests/data/whatif/prodcons.log.gz", "waits for other threads"),
        ("tests/data/whatif/echo_fast.log.gz", "chance decides"),
        ("tests/data/golden/py27-pool.log", "has no times"),
        ("sample_traces/slide-battle.log", "has no times"),
        ("tests/data/golden/edge/overlapping-hold.log", "has 2 errors"),
    ],
)
def test_refused_with_a_reason(trace: str, reason: str) -> None:
    found = tracekit.what_if(ROOT / trace, interval=0.0005)
    assert not found.gate.passed
    assert reason in (found.gate.reason or "")
    assert [(s.confidence, s.reason, s.threads) for s in found.scenarios] == [("refused", found.gate.reason, ())]


def small(tmp_path: Path, *rows: str, head: str = "") -> Path:
    path = tmp_path / "small.log"
    path.write_text(head + "".join(f"{row}\n" for row in rows))
    return path


def test_old_gil_one_thread_nobody_waits_errors(tmp_path: Path) -> None:
    uncontended = [f"t1 - 0 {event} {time}" for time, event in enumerate(["ENTRY", "ACQUIRE", "RELEASE"])]
    other = [f"t2 - 0 {event} {10 + time}" for time, event in enumerate(["ENTRY", "ACQUIRE", "RELEASE"])]
    for rows, head, reason in [
        (["t1 100 5 ENTRY 1", "t1 100 5 ACQUIRE 2"], "", "old GIL"),
        (uncontended, "# gil: old\n", "old GIL"),
        (uncontended, "", "one thread"),
        ([*uncontended, *other], "", "No thread waited"),
        ([*uncontended, *other, "t1 - 0 RELEASE 20"], "", "errors"),
        (["t1 - - ENTRY 1", "t1 - - ACQUIRE 2"], "", "made to stop"),
    ]:
        found = tracekit.what_if(small(tmp_path, *rows, head=head), interval=0.001)
        assert reason in (found.gate.reason or ""), found.gate.reason


@pytest.mark.parametrize(("cpu", "refused"), [(450, True), (950, False)])
def test_a_trace_of_holders_without_a_cpu_is_refused(cpu: int, refused: bool, tmp_path: Path) -> None:
    rows, now = ["t1 - 0 ENTRY 0", "t1 - 0 ACQUIRE 1"], 1
    for turn in range(50):
        this, other = ("t1", "t2") if turn % 2 == 0 else ("t2", "t1")
        rows += [f"{other} - 0 ENTRY {now + 500}", f"{other} - 0 BUSY {now + 500}"]
        now += 1000
        rows += [f"{this} - 0 RELEASE {now} cpu={cpu}", f"{other} - 0 ACQUIRE {now}"]
    found = tracekit.what_if(small(tmp_path, *rows), interval=0.001)
    assert ("55% of the time that threads held the GIL they had no CPU" in (found.gate.reason or "")) == refused


def test_a_trace_among_its_replays_is_not_missed() -> None:
    """Three waits of a thread that matters are chance; 40 that all replays miss are not."""

    def run(duration: int, waited: int, contended: int = 40) -> Run:
        none = np.zeros(contended, np.int64)
        return Run(np.array([0]), np.array([duration]), np.array([waited]), none, none.astype(np.int32), 0)

    programs = replace(learned(trace_of("cpu2")), traced=run(1000, 300), held=np.array([500]))
    threads = Threads(["t1"], ["one"])
    among = compared(programs, [run(900, 100), run(1300, 600)], threads, ())
    assert (among.passed, among.duration_error, among.waited_error) == (True, 0.0, 0.0)
    waits = compared(programs, [run(1000, 400), run(1000, 420)], threads, ())
    assert (waits.passed, waits.waited_error) == (False, pytest.approx(1 / 3))
    takes = compared(programs, [run(1200, 300), run(1300, 300)], threads, ())
    assert (takes.passed, takes.duration_error) == (False, pytest.approx(0.2))


def test_requests_at_a_fixed_rate_are_told_by_the_trace_or_the_caller() -> None:
    path = DATA / "echo_open.log.gz"
    for rate in (None, {"server": 40.0}):
        found = tracekit.what_if(path, interval=0.00005, rate=rate)
        server = next(t for t in found.scenarios[0].threads if t.name == "server")
        assert server.after.duration == pytest.approx(server.before.duration, rel=0.05)
        assert server.after.waited < 0.05 * server.after.duration


def test_standard_scenarios() -> None:
    found = tracekit.what_if(DATA / "echo_closed.log.gz")
    names = [s.change.name for s in found.scenarios]
    hog = names[3].removeprefix("move ")
    assert names == [
        "interval 0.1 ms", "interval 0.5 ms", "interval 20 ms", f"move {hog}", f"split {hog}", "cores 1", "no gil",
    ]  # fmt: skip


def test_a_ladder_has_a_prediction_for_each_interval_and_each_hog() -> None:
    trace = trace_of("echo_closed")
    found = ladder(trace, (500_000, 20_000_000))
    (hog,) = found.hogs
    assert trace.to_pandas("threads").set_index("thread").name[hog] == "spinner"
    assert list(found.rungs) == [(500_000, None), (500_000, hog), (20_000_000, None), (20_000_000, hog)]
    assert found.rungs[500_000, None] == tracekit.what_if(trace, interval=0.0005).scenarios[0]
    assert found.interval == 5_000_000
    share = {
        rung: next(t.after.waited / t.after.duration for t in told.threads if t.name == "server")
        for rung, told in found.rungs.items()
    }
    assert share[500_000, None] < share[20_000_000, None] - 0.2
    assert share[20_000_000, hog] < 0.02


def test_nothing_stands_on_the_ladder_of_a_trace_that_cannot_be_replayed() -> None:
    found = ladder(trace_of("prodcons"))
    assert "waits for other threads" in (found.gate.reason or "")
    assert (found.interval, found.hogs, found.rungs) == (None, (), {})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"move": "nobody"}, "No thread is called 'nobody'"),
        ({"interval": 0}, "interval is 0"),
        ({"interval": float("nan")}, "interval is nan"),
        ({"slowdown": 1.1}, "not asked for"),
        ({"cores": 0}, "cores is 0"),
        ({"rate": {"server": -1}}, "rate is -1"),
    ],
)
def test_bad_options(options: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        tracekit.what_if(DATA / "echo_closed.log.gz", **options)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tracekit", "whatif", *arguments], capture_output=True, text=True)


def test_command_tells_in_words() -> None:
    done = run(str(DATA / "echo_closed.log.gz"), "--interval", "0.5ms")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "With a switch interval of 0.5 ms: server would wait" in words
    assert "Confidence: good." in words


def test_json_has_the_contract() -> None:
    done = run(str(DATA / "echo_closed.log.gz"), "--interval", "500us", "--move", "spinner", "--json")
    told = json.loads(done.stdout)
    assert told["schema"] == "tracekit.whatif/1"
    assert set(told["replay"]) == {"passed", "duration_error", "waited_error", "reason"}
    assert [(s["name"], s["change"]) for s in told["scenarios"]] == [
        ("interval 0.5 ms", {"interval_ns": 500_000}),
        ("move spinner", {"move": "spinner"}),
    ]
    keys = set(Outcome.__dataclass_fields__)
    for thread in told["scenarios"][0]["threads"]:
        assert set(thread) == {"thread", "name", "before"} | keys
        assert set(thread["before"]) == keys


@pytest.mark.slow
def test_refused_trace_is_no_failure_of_the_command(tmp_path: Path) -> None:
    done = run(str(ROOT / "sample_traces" / "slide-battle.log"), "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["replay"]["passed"] is False
    assert {s["confidence"] for s in told["scenarios"]} == {"refused"}
    for wrong in (["--slowdown", "2"], ["--interval", "soon"], ["--rate", "server"], ["--move", "nobody"]):
        bad = run(str(DATA / "echo_closed.log.gz"), *wrong)
        assert bad.returncode == 2
        assert "Traceback" not in bad.stderr
        assert bad.stdout == ""
    assert run(str(tmp_path / "none.log")).returncode == 2
