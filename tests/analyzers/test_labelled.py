"""The labelled real traces behave as their labels say; odd ones make no nonsense."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import tracekit
from tests.conftest import require_native, trace_file
from tracekit.analyzers import KINDS
from tracekit.errors import OptionError
from tracekit.reporters.json import as_dict


def kinds(name: str) -> dict[str, int]:
    analysis = tracekit.analyze(trace_file(name))
    return {kind: analysis.found(kind)[0] for kind in KINDS}


@pytest.mark.parametrize(
    ("name", "named", "threads"),
    [
        ("py27-cpu2.log", ["battles", "saturation"], {"t2", "t3"}),
        ("py27-cpu2-onecore.log", [], set()),
        ("py27-io4.log", ["queueing"], {"t1", "t2"}),
        ("py311-io4.log", [], set()),
        ("py27-frozen.log", ["frozen_signals"], set()),
        ("py311-cpu2.log", ["saturation", "queueing"], {"t1", "t2", "t3"}),
        ("py311-echo-convoy.log", ["convoys", "scheduling", "queueing"], {"t2", "t3"}),
        ("py311-longhold.log", ["long_holds"], {"t2"}),
        ("slide-battle.log", ["battles"], {"t1", "t2"}),
        ("slide-sample.log", ["battles", "saturation"], {"t1", "t2"}),
    ],
)
def test_findings_of_labelled_traces(name: str, named: list[str], threads: set[str]) -> None:
    analysis = tracekit.analyze(trace_file(name))
    assert [finding.kind for finding in analysis.findings] == named
    assert {thread for finding in analysis.findings for thread in finding.threads} == threads
    assert [f.cost for f in analysis.findings] == sorted((f.cost for f in analysis.findings), reverse=True)
    for finding in analysis.findings:
        assert 0 < finding.cost <= 1
        assert finding.title.endswith(".")
        assert ("3.2 or newer" in finding.advice) <= (not analysis.new_gil)


def test_the_experiments() -> None:
    assert kinds("py27-cpu2.log")["battles"] == 156
    assert kinds("py27-cpu2-onecore.log") == dict.fromkeys(KINDS, 0)
    assert kinds("py311-longhold.log")["long_holds"] == 10
    frozen = tracekit.analyze(trace_file("py27-frozen.log")).frozen_signals.to_pylist()
    assert [row["start_seq"] for row in frozen] == [6000]
    echo = tracekit.analyze(trace_file("py311-echo-convoy.log"))
    assert set(echo.convoys.column("hog").to_pylist()) == {"t3"}
    assert {row["thread"] for row in echo.convoys.to_pylist() if row["waited"] > 10**8} == {"t2"}


def test_a_finding_leads_to_its_costliest_instance() -> None:
    analysis = tracekit.analyze(trace_file("py27-cpu2.log"))
    worst = max(analysis.battles.to_pylist(), key=lambda row: (row["duration"], -row["start_seq"]))
    assert (analysis.findings[0].start_seq, analysis.findings[0].end_seq) == (worst["start_seq"], worst["end_seq"])


def test_more_that_the_events_tell(core: str) -> None:
    analysis = tracekit.analyze(trace_file("long-hold-edges.log"))
    assert analysis.utilisation.to_pylist() == [
        {"state": "held", "duration": 22000290},
        {"state": "free_wanted", "duration": 210},
        {"state": "free", "duration": 0},
    ]
    assert analysis.waiting.to_pylist() == [
        {"waiters": 0, "duration": 10},
        {"waiters": 1, "duration": 10000230},
        {"waiters": 2, "duration": 12000160},
        {"waiters": 3, "duration": 100},
    ]
    assert analysis.handoffs.to_pylist() == [
        {"from": "a", "to": "c", "count": 1},
        {"from": "c", "to": "b", "count": 1},
    ]
    held = [11999990, 10000200, 100]
    jain = sum(held) ** 2 / (3 * sum(one * one for one in held))
    assert analysis.fairness.to_pylist() == [{"threads": 3, "jain": pytest.approx(jain)}]
    rows = {(row["thread"], row["kind"]): row for row in analysis.distributions.to_pylist()}
    assert rows["a", "wait"] == {
        "thread": "a", "kind": "wait", "count": 2, "p50": 10, "p90": 10000400, "p99": 10000400, "max": 10000400,
    }  # fmt: skip
    assert rows["c", "switch_latency"]["max"] == 200


ODD = {
    "only releases": "t1 5 1 RELEASE\nt2 6 1 RELEASE\nt1 5 1 RELEASE\n",
    "never gets it": "t1 - 0 ENTRY 0\nt1 - 0 ACQUIRE 1\nt2 - 0 ENTRY 2\nt2 - 0 BUSY 3\nt2 - 0 RETRY 9000000\n",
    "one thread": "t1 - 0 ENTRY 0\nt1 - 0 ACQUIRE 5\nt1 - 0 RELEASE 9\n",
    "clock stands still": "t1 7 3 ENTRY\nt1 7 3 ACQUIRE\nt2 7 3 ENTRY\nt2 7 3 BUSY\nt1 7 3 RELEASE\nt2 7 3 ACQUIRE\n"
    * 9,
    "ticks of -1": "t1 -1 3 ENTRY\nt1 -1 3 ACQUIRE\nt1 -1 4 RELEASE\n" * 30,
    "512 threads": "".join(f"t{i} - 0 ENTRY {i}\nt{i} - 0 BUSY {i}\n" for i in range(512))
    + "".join(f"t{i} - 0 ACQUIRE {1000 + i}\nt{i} - 0 RELEASE {1001 + i}\n" for i in range(512)),
    "no clock": "t1 - - ENTRY\nt1 - - ACQUIRE\nt2 - - ENTRY\nt2 - - RETRY\nt2 - - RETRY\n",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "512 threads" else ()) for name in ODD]
)
def test_odd_traces_make_no_nonsense(name: str, tmp_path: Path, core: str) -> None:
    path = tmp_path / "odd.log"
    path.write_text(ODD[name])
    analysis = tracekit.analyze(path, min_rounds=1, min_cycles=1, min_frozen=1, min_timeouts=1)
    assert all(0 <= finding.cost <= 1 for finding in analysis.findings)
    assert all(0 <= analysis.found(kind)[1] <= 1 for kind in KINDS)

    def sane(value: Any) -> None:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, (list, tuple)):
            for item in value:
                sane(item)
        elif isinstance(value, float):
            assert math.isfinite(value)

    sane(as_dict(analysis))
    if name == "only releases":
        assert {d.code for d in analysis.diagnostics} == {"release-without-acquire"}


def test_options() -> None:
    path = trace_file("slide-battle.log")
    assert tracekit.analyze(path, min_rounds=4).battles.num_rows == 1
    assert tracekit.analyze(path, min_rounds=5).battles.num_rows == 0
    assert tracekit.analyze(tracekit.read(path), min_rounds=5).battles.num_rows == 0
    for wrong in (0, -1, 2.5, "2", None, 2**70):
        with pytest.raises(OptionError, match=r"min_rounds is .*, but must be an integer, at least 1 and below"):
            tracekit.analyze(path, min_rounds=wrong)
    with pytest.raises(OptionError, match="no threshold 'rounds'"):
        tracekit.analyze(path, rounds=2)
    with pytest.raises(OptionError, match="no kind of finding 'battle'"):
        tracekit.analyze(path).found("battle")


def test_gil_by_metadata_or_ticks(tmp_path: Path) -> None:
    assert not tracekit.analyze(trace_file("slide-battle.log")).new_gil
    assert not tracekit.analyze(trace_file("py27-echo-convoy-timed.log")).new_gil
    bare = tmp_path / "bare.log"
    text = trace_file("py311-echo-convoy.log").read_text()
    bare.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")))
    assert tracekit.analyze(bare).new_gil


def test_rounded_distributions_say_so(tmp_path: Path) -> None:
    path = tmp_path / "many.log"
    path.write_text(
        "".join(f"t1 - 0 ACQUIRE {i * i * 7}\nt1 - 0 RELEASE {i * i * 7 + i * 5}\n" for i in range(1, 3000))
    )
    exact = tracekit.analyze(path)
    rounded = tracekit.analyze(path, distinct_values=100)
    assert (exact.totals.exact, rounded.totals.exact) == (True, False)
    for row, other in zip(exact.distributions.to_pylist(), rounded.distributions.to_pylist(), strict=True):
        assert row["count"] == other["count"]
        assert row["max"] == other["max"]
        for quantile in ("p50", "p90", "p99"):
            assert row[quantile] * (1 - 2**-7) <= other[quantile] <= row[quantile]


def test_rounded_durations_keep_8_significant_bits(tmp_path: Path) -> None:
    """As the docs promise: fewer would be less exact than they say, more would not bound the memory as they say."""
    require_native()
    durations = [*range(1, 101), *[0b1111_1111_1111] * 1000]
    clock, lines = 0, []
    for duration in durations:
        lines += [f"t1 - 0 ACQUIRE {clock}", f"t1 - 0 RELEASE {clock + duration}"]
        clock += duration
    (tmp_path / "t.log").write_text("\n".join(lines))
    holds = [
        row["p50"]
        for row in tracekit.analyze(tmp_path / "t.log", distinct_values=100).distributions.to_pylist()
        if row["kind"] == "hold"
    ]
    assert holds == [0b1111_1111_0000]


def test_analysis_to_pandas() -> None:
    analysis = tracekit.analyze(trace_file("py27-cpu2.log"))
    frame = analysis.to_pandas("battles")
    assert len(frame) == 156
    assert frame.groupby("waiter", observed=True)["rounds"].sum().sum() == 527
    with pytest.raises(ValueError, match="no table 'events'"):
        analysis.to_pandas("events")
    assert repr(analysis).endswith("2 findings>")


def long_hold_rows(*lines: str) -> str:
    return "\n".join(["a - 0 ENTRY 0", "a - 0 ACQUIRE 0", *lines, "a - 0 RELEASE 90", "a - 0 ENTRY 91"])


def test_timeouts_of_a_dropped_wait_are_in_no_finding(tmp_path: Path, core: str) -> None:
    path = tmp_path / "dropped.log"
    waiting = ["b - 0 ENTRY 1", "b - 0 BUSY 2", "b - 0 RETRY 3"]
    path.write_text(long_hold_rows(*waiting, *waiting))
    assert tracekit.analyze(path).long_holds.num_rows == 0
    assert [r["timeouts"] for r in tracekit.analyze(path, min_timeouts=1).long_holds.to_pylist()] == [1]
    path.write_text(
        long_hold_rows(*waiting, "b - 0 RETRY 4", *waiting, "c - 0 ENTRY 5", "c - 0 BUSY 6", "c - 0 RETRY 7")
    )
    assert tracekit.analyze(path).long_holds.num_rows == 0
    assert [r["timeouts"] for r in tracekit.analyze(path, min_timeouts=1).long_holds.to_pylist()] == [2]
    path.write_text(long_hold_rows(*waiting, *waiting, "b - 0 RETRY 8"))
    assert [r["timeouts"] for r in tracekit.analyze(path).long_holds.to_pylist()] == [2]


@pytest.mark.slow
def test_what_is_kept_changes_no_sentence(core: str) -> None:
    for name in ("py27-pool.log", "py311-longhold.log", "py27-echo-convoy.log", "frozen-edges.log"):
        every, few = (tracekit.analyze(trace_file(name), worst=worst) for worst in (1000, 1))
        assert every.findings == few.findings
        assert [every.found(kind) for kind in KINDS] == [few.found(kind) for kind in KINDS]


def test_frozen_finding_leads_to_the_longest_run(tmp_path: Path, core: str) -> None:
    def run(checks: int, start: int) -> list[str]:
        rows = []
        for check in range(start, start + checks):
            rows += [f"t 0 {check + 1} RELEASE", f"t 0 {check + 1} ENTRY", f"t 0 {check + 1} ACQUIRE"]
        return rows

    path = tmp_path / "frozen.log"
    rows = [
        "t 9 0 ENTRY",
        "t 9 0 ACQUIRE",
        *run(12, 0),
        "t 5 13 RELEASE",
        "t 5 13 ENTRY",
        "t 5 13 ACQUIRE",
        *run(100, 13),
    ]
    path.write_text("\n".join(rows))
    (finding,) = tracekit.analyze(path).findings
    assert "112 checks found the tick countdown at 0, in 2 runs, the longest of 100, from event 41 on." in finding.title
    assert (finding.start_seq, finding.end_seq) == (41, 338)


def test_hostile_metadata(tmp_path: Path) -> None:
    for value in ("9" * 5000, "²", "-1", "", "1e3"):
        path = tmp_path / "hostile.log"
        text = trace_file("py311-echo-convoy.log").read_text()
        path.write_text(f"# switch-interval-us: {value}\n# cores: {value}\n# lost: {value}\n" + text.split("\n", 5)[5])
        assert "5 ms unless it was changed" in tracekit.analyze(path).findings[0].explanation


@pytest.mark.parametrize(
    ("name", "kind", "column", "threshold"),
    [
        ("py27-cpu2.log", "battles", "rounds", "min_rounds"),
        ("py311-echo-convoy.log", "convoys", "cycles", "min_cycles"),
        ("frozen-edges.log", "frozen_signals", "checks", "min_frozen"),
        ("long-hold-edges.log", "long_holds", "duration", "long_hold"),
    ],
)
def test_what_just_reaches_a_threshold_counts(name: str, kind: str, column: str, threshold: str, core: str) -> None:
    """Thresholds are the least that is found, as the options' help says."""
    most = max(row[column] for row in tracekit.analyze(trace_file(name)).tables[kind].to_pylist())
    at, above = (
        tracekit.analyze(trace_file(name), **{"min_timeouts": 2**40, threshold: most + more}) for more in (0, 1)
    )
    assert {row[column] for row in at.tables[kind].to_pylist()} == {most}
    assert above.tables[kind].num_rows == 0
