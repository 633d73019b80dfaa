"""What findings say: shares that the tables have, the names of those who are guilty, and no more than is known."""

from __future__ import annotations

import re
from collections import Counter
from itertools import accumulate
from pathlib import Path

import pytest

import tracekit
from tests.conftest import GOLDEN, SAMPLES, trace_file
from tracekit.analysis import Analysis
from tracekit.analyzers.finding import Finding
from tracekit.reporters.sentences import not_running
from tracekit.words import fold, percent

MS = 1_000_000
TRACES = sorted(path.name for folder in (SAMPLES, GOLDEN) for path in folder.rglob("*.log"))


def shares(analysis: Analysis) -> set[str]:
    """All shares that a sentence may tell, from the tables: of the duration, and of those who held the GIL in a cause's
    time for the threads of one folded name."""
    whole = analysis.duration
    parts: list[int] = []
    for row in analysis.threads.to_pylist():
        parts += [row["held"], row["waited"], row["retried_waited"] or 0]
    causes: Counter[tuple[str, str]] = Counter()
    holders: dict[tuple[str, str], Counter[str]] = {}
    for row in analysis.causes.to_pylist():
        causes[row["thread"], row["cause"]] += row["duration"]
    for row in analysis.causes.to_pylist():
        if row["holder"] is not None and causes[row["thread"], row["cause"]] >= 0.01 * whole:
            for waiters in (row["thread"], fold(analysis.called[row["thread"]]), ""):
                holders.setdefault((row["cause"], waiters), Counter())[row["holder"]] += row["duration"]
    parts += causes.values()
    kept: Counter[str] = Counter()
    for row in analysis.long_holds.to_pylist():
        kept[row["thread"]] += 0 if row["preempted"] else row["duration"]
    parts += kept.values()
    parts.append(sum(row["end_clock"] - row["start_clock"] for row in analysis.frozen_signals.to_pylist()))
    found = {percent(min(1.0, part / whole)) for part in parts}
    for held in holders.values():
        total = held.total()
        folded: Counter[str] = Counter()
        for holder, duration in held.items():
            folded[fold(analysis.called[holder])] += duration
        tops = accumulate(duration for _, duration in held.most_common())
        found |= {percent(part / total) for part in (*held.values(), *folded.values(), *tops)}
    return found


@pytest.mark.parametrize("name", TRACES)
def test_every_share_in_a_sentence_is_one_of_a_table(name: str) -> None:
    analysis = tracekit.analyze(trace_file(name))
    known = shares(analysis) if analysis.duration else set()
    for finding in analysis.findings:
        said = f"{finding.title} {finding.explanation} {finding.advice}"
        told = re.findall(r"([\d.]+)(?: to ([\d.]+))? %", said)
        assert {f"{number} %" for pair in told for number in pair if number} <= known, said
        assert percent(finding.cost) in known


def written(folder: Path, rows: list[str], header: str = "", **thresholds: float) -> Analysis:
    (folder / "t.log").write_text(header + "".join(f"{row}\n" for row in rows))
    return tracekit.analyze(folder / "t.log", **thresholds)


def turns(holders: list[str], waiters: list[str], each: int, kind: int = 0) -> list[str]:
    """Each of the holders in turn has the GIL for so many ns while all waiters but itself wait, each for this anew."""
    rows, now = [], 0
    for holder in holders:
        rows += [f"{holder} - 0 ENTRY {now}", f"{holder} - 0 ACQUIRE {now}"]
        others = [waiter for waiter in waiters if waiter != holder]
        rows += [f"{waiter} - 0 {event} {now}" for waiter in others for event in ("ENTRY", "BUSY")]
        now += each
        rows.append(f"{holder} - {kind} RELEASE {now}")
        for waiter in others:
            rows += [f"{waiter} - 0 ACQUIRE {now}", f"{waiter} - 0 RELEASE {now}"]
    return rows


def one(analysis: Analysis, kind: str) -> Finding:
    (finding,) = (finding for finding in analysis.findings if finding.kind == kind)
    return finding


def test_a_pool_of_alike_is_one_finding_that_names_nobody(tmp_path: Path) -> None:
    """With 32 alike nobody is to blame: each has a 32nd of what the others wait."""
    pool = [f"worker-{number}" for number in range(32)]
    analysis = written(tmp_path, turns(pool * 3, pool, 4 * MS, kind=0))
    (finding,) = analysis.findings
    assert finding.title.startswith("32 worker-* threads each waited 96.9 % of the trace")
    assert "behind each other" in finding.title
    assert not re.search(r"worker-\d", finding.title + finding.explanation + finding.advice)


@pytest.mark.parametrize(
    ("holders", "said"),
    [
        (["a"] * 4, "behind a."),
        (["a", "b", "a", "b"], "behind a (50.0 % of that time)."),
        (["b", "a", "b", "a"], "behind b (50.0 % of that time)."),
        (["io-1", "io-2", "io-3", "io-1", "io-2"], "behind 3 io-* threads."),
        (["io-1", "io-2", "io-3", "io-4", "a"], "behind 4 io-* threads (80.0 % of that time)."),
        (["a", "b", "c", "d", "e"], "behind 4 threads (80.0 % of that time)."),
        (["1", "2", "3", "1", "2"], "behind 3 threads."),
    ],
)
def test_one_is_named_who_has_half_and_else_the_smallest_group(holders: list[str], said: str, tmp_path: Path) -> None:
    """Of two halves the first one seen is named."""
    finding = one(written(tmp_path, turns(holders, ["waiter"], MS // 2), min_cycles=99), "queueing")
    assert finding.title.startswith("waiter waited 100.0 % of the trace until the GIL was free again, ")
    assert finding.title.endswith(said)


def test_different_names_are_different_findings(tmp_path: Path) -> None:
    analysis = written(tmp_path, turns(["a"] * 4, ["web-1", "web-2", "db-1"], MS // 2), min_cycles=99)
    titles = sorted(finding.title for finding in analysis.findings if finding.kind == "queueing")
    assert [title.split(" waited")[0] for title in titles] == ["db-1", "web-1 and web-2 each"]


def test_the_four_kinds_are_found_when_they_are_told(tmp_path: Path) -> None:
    """From 1 % of the trace on: what is not worth a sentence fails no build either."""
    rows = turns(["a"], ["waiter"], MS)
    rows.append(f"a - 0 ENTRY {100 * MS}")
    analysis = written(tmp_path, rows)
    assert analysis.found("queueing") == (1, 0.01)
    assert one(analysis, "queueing").cost == 0.01
    rows[-1] = f"a - 0 ENTRY {100 * MS + 1}"
    analysis = written(tmp_path, rows)
    assert analysis.found("queueing") == (0, 0.0)
    assert analysis.findings == ()
    tracekit.check(analysis, no=["queueing"])


def long_hold(cpu: str, timeouts: int = 3) -> list[str]:
    rows = ["a - 0 ENTRY 0", "a - 0 ACQUIRE 0", "b - 0 ENTRY 0", "b - 0 BUSY 0"]
    rows += [f"b - 0 RETRY {5 * MS * (number + 1)}" for number in range(timeouts)]
    return [*rows, f"a - 0 RELEASE {20 * MS}{cpu}", f"b - 0 ACQUIRE {20 * MS}", f"b - 0 RELEASE {20 * MS}"]


@pytest.mark.parametrize(
    ("asked", "timeouts", "answered"), [(19.95, 1, True), (19.95, 2, False), (15.0, 1, False), (19.0, 1, False)]
)
def test_a_hold_that_ends_when_it_is_asked_to_is_no_c_code(
    asked: float, timeouts: int, answered: bool, tmp_path: Path
) -> None:
    """Who waits asks after a switch interval, and later where it finds no core: until then nobody asked."""
    rows = ["a - 0 ENTRY 0", "a - 0 ACQUIRE 0", f"b - 0 ENTRY {12 * MS}", f"b - 0 BUSY {12 * MS}"]
    rows += [f"b - 0 RETRY {round(asked * MS) + number}" for number in range(timeouts)]
    end = 20 * MS
    rows += [f"a - 1 RELEASE {end} cpu={19 * MS}", f"b - 1 ACQUIRE {end}", f"b - 1 RELEASE {end}"]
    finding = one(written(tmp_path, rows), "long_holds")
    told = finding.title + finding.explanation + finding.advice
    assert ("let it go when asked" in finding.title) == answered
    assert ("it is no C code that keeps the GIL" in told) == answered
    assert ("it was inside C code" in told) != answered
    assert ("in vain" in told) != answered


@pytest.mark.parametrize(
    ("cpu", "kind", "said", "not_said"),
    [
        (f" cpu={19 * MS}", "long_holds", "it was inside C code that keeps the GIL", "operating system"),
        ("", "long_holds", "or the operating system had taken the CPU away", "it was inside C code that keeps"),
        (f" cpu={9 * MS}", "preemption", "did not run", "inside C code"),
    ],
)
def test_c_code_is_said_only_where_the_thread_is_known_to_have_run(
    cpu: str, kind: str, said: str, not_said: str, tmp_path: Path
) -> None:
    """On a busy machine a loop in pure Python must not be told to release the GIL in its C code."""
    analysis = written(tmp_path, long_hold(cpu))
    (finding,) = analysis.findings
    assert finding.kind == kind
    assert said in finding.explanation
    assert not_said not in finding.explanation
    assert analysis.found("long_holds")[0] == (kind == "long_holds")
    assert analysis.long_holds.num_rows == 1


def test_a_long_hold_that_nobody_asked_to_end_is_not_put_down_to_c_code(tmp_path: Path) -> None:
    """With a switch interval of 100 ms pure Python keeps the GIL for 20 ms."""
    rows = long_hold(f" cpu={20 * MS}", timeouts=0)
    (finding,) = written(tmp_path, rows, "# switch-interval-us: 100000\n").findings
    assert "none had asked twice: the switch interval is 100 ms" in finding.explanation
    assert "C code that keeps" not in finding.explanation


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        (500, "taking a GIL that was free: 20 waits of 500 ns"),
        (20_000, "waiting while the GIL was free, until somebody had woken up to take it: 21.1 µs on average"),
        (900_000, "waiting while the GIL was free, until somebody had woken up to take it: 947 µs on average"),
    ],
)
def test_a_free_gil_is_taken_late_for_different_reasons(gap: int, said: str, tmp_path: Path) -> None:
    """Half a microsecond is what the lock itself costs; nearly a millisecond means that no core was free."""
    rows = [
        f"a-{number % 2} - {number} {event} {number * 2 * gap + late}"
        for number in range(20)
        for event, late in (("ENTRY", 0), ("ACQUIRE", gap), ("RELEASE", gap))
    ]
    finding = one(written(tmp_path, rows), "scheduling")
    assert said in finding.title
    assert ("CPU quota" in finding.explanation) == (gap == 900_000)


def test_shares_of_a_clock_that_counts_ticks_say_so(tmp_path: Path) -> None:
    rows = ["a 100 0 ENTRY", "a 100 0 ACQUIRE", "b 100 0 ENTRY", "b 100 0 BUSY", "a 100 50 RELEASE", "b 100 50 ACQUIRE"]
    (finding,) = written(tmp_path, rows).findings
    assert "100.0 % of the trace's ticks" in finding.title


def test_where_release_kinds_are_unknown_the_reason_for_waiting_is_too(tmp_path: Path) -> None:
    rows = [row.replace(" - 0 ", " - - ") for row in turns(["a"] * 4, ["waiter"], MS // 2)]
    finding = one(written(tmp_path, rows, min_cycles=99), "queueing")
    assert "the trace does not tell" in finding.explanation
    assert "blocking call (I/O" not in finding.explanation


def test_time_between_a_forced_release_and_the_next_entry_is_told() -> None:
    """One core, two counters: each waits for nothing, and runs half of the time."""
    analysis = tracekit.analyze(trace_file("py27-cpu2-onecore.log"))
    (worst,) = [row for row in analysis.threads.to_pylist() if row["thread"] == "t2"]
    assert worst["waited"] < 0.001 * analysis.duration < 0.4 * analysis.duration < worst["not_running"]
    told = not_running(analysis)
    assert "t2 was not yet running for 50.0 % of the trace's ticks, and 1 other thread for at least 5 %" in told
    assert percent(worst["not_running"] / analysis.duration) == "50.0 %"
    assert not_running(tracekit.analyze(trace_file("py27-cpu2.log"))) == ""
