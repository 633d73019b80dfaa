"""`compare`: what became of findings and metrics from one trace to another."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracekit
from tests.analyzers.test_severity import one_long_hold
from tests.conftest import trace_file


def compared(folder: Path, before: float, after: float) -> tracekit.Comparison:
    """Two traces of a second with a long hold each, of these shares."""
    old, new = (one_long_hold(folder / f"{share}.log", share) for share in (before, after))
    return tracekit.compare(tracekit.analyze(old, long_hold=1), tracekit.analyze(new, long_hold=1))


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (0.01, 0.02, "same"),  # a point, and no more: costs differ by as much from run to run
        (0.02, 0.01, "same"),
        (0.01, 0.0201, "worse"),
        (0.0201, 0.01, "better"),
        (0.3, 0.3, "same"),
    ],
)
def test_costs_that_differ_by_a_point_are_the_same(before: float, after: float, what: str, tmp_path: Path) -> None:
    comparison = compared(tmp_path, before, after)
    (change,) = (change for change in comparison.findings if change.kind == "long_holds")
    assert (change.what, change.cost_before, change.cost_after) == (what, before, after)
    assert change.threads == ("t1",)


def test_the_regression_is_the_largest_rise(tmp_path: Path) -> None:
    assert compared(tmp_path, 0.1, 0.4).regression == pytest.approx(0.3)
    assert compared(tmp_path, 0.4, 0.1).regression == 0
    assert compared(tmp_path, 0.2, 0.2).regression == 0


def test_new_ones_come_first_and_gone_ones_last() -> None:
    battle, hold = (tracekit.analyze(trace_file(name)) for name in ("slide-battle.log", "py311-longhold.log"))
    there, back = tracekit.compare(battle, hold).findings, tracekit.compare(hold, battle).findings
    assert [change.what for change in there] == ["new"] * (len(there) - 1) + ["gone"]
    assert [change.what for change in back] == ["new"] + ["gone"] * (len(back) - 1)
    assert there[-1].kind == back[0].kind == "battles"
    assert {(change.cost_before > 0, change.cost_after > 0) for change in back[1:]} == {(True, False)}


def test_metrics_of_both() -> None:
    before, after = (tracekit.analyze(trace_file(name)) for name in ("py311-io4.log", "py311-echo-convoy.log"))
    metrics = {metric.name: metric for metric in tracekit.compare(before, after).metrics}
    assert (metrics["duration"].unit, metrics["duration"].after) == ("ns", after.duration)
    assert metrics["switches"].change == after.totals.switches - before.totals.switches
    assert metrics["convoys"].after == after.totals.found["convoys"].count
    worst = max(row["waited"] for row in after.threads.to_pylist()) / after.duration
    assert metrics["waited by the worst thread"].after == worst
    used = {row["state"]: row["duration"] / after.duration for row in after.utilisation.to_pylist()}
    assert (metrics["GIL held"].after, metrics["GIL free while wanted"].after) == (used["held"], used["free_wanted"])
    longest = max(row["max"] for row in after.distributions.to_pylist() if row["kind"] == "contended_wait")
    assert metrics["longest contended wait"].after == longest


def test_ticks_and_nanoseconds_have_no_difference() -> None:
    before, after = (tracekit.analyze(trace_file(name)) for name in ("py27-cpu2.log", "py311-cpu2.log"))
    metrics = {metric.name: metric for metric in tracekit.compare(before, after).metrics}
    assert (metrics["duration"].unit, metrics["duration"].change) == ("clock", None)
    assert metrics["fairness"].change is not None


def test_the_same_trace_is_no_better_and_no_worse() -> None:
    for name in ("py27-cpu2.log", "py311-echo-convoy.log", "py311-longhold.log", "py311-cpu2.log"):
        comparison = tracekit.compare(*[tracekit.analyze(trace_file(name))] * 2)
        assert comparison.regression == 0
        assert {change.what for change in comparison.findings} == {"same"}
        assert all(not metric.change for metric in comparison.metrics)


def test_an_empty_stretch_has_no_shares(tmp_path: Path) -> None:
    """A trace without a clock lasts 0, and nothing can be a share of that."""
    path = tmp_path / "t.log"
    path.write_text("t1 - - ENTRY\nt1 - - ACQUIRE\n")
    comparison = tracekit.compare(*[tracekit.analyze(path)] * 2)
    assert comparison.findings == ()
    assert {metric.name for metric in comparison.metrics if metric.before is None} >= {"GIL held", "badness"}


def test_threads_are_the_same_by_name(tmp_path: Path) -> None:
    """Ids are the system's and differ from run to run; a name, where there is one, does not."""
    text = trace_file("py311-longhold.log").read_text()
    assert tracekit.analyze(trace_file("py311-longhold.log")).groups["long_holds"][0].thread == "t2"
    named = f"# thread: t2 = loader\n{text}"
    other = f"# thread: t9 = loader\n{text}".replace("\nt2 ", "\nt9 ")
    (tmp_path / "a.log").write_text(named)
    (tmp_path / "b.log").write_text(other)
    (tmp_path / "c.log").write_text(f"# thread: t2 = dumper\n{text}")
    a, b, c = (tracekit.analyze(tmp_path / name) for name in ("a.log", "b.log", "c.log"))
    holds = [[x.what for x in tracekit.compare(a, y).findings if x.kind == "long_holds"] for y in (b, c)]
    assert holds == [["same"], ["new", "gone"]]


def test_compare_costs_not_names(tmp_path: Path) -> None:
    """A long hold gone must not make the failed retries that it explained a regression."""
    held = "".join(f"x - 0 ENTRY {at}\nx - 0 ACQUIRE {at}\n" + f"y - 0 ENTRY {at}\ny - 0 BUSY {at}\n"
                   + f"y - 0 RETRY {at + 5_000_000}\nx - 1 RELEASE {at + 5_100_000}\ny - 1 ACQUIRE {at + 5_100_000}\n"
                   + f"y - 1 RELEASE {at + 5_200_000}\n" for at in range(0, 10**8, 10**7))  # fmt: skip
    long = "".join(f"{row}\n" for row in (
        "x - 1 ENTRY 200000000", "x - 1 ACQUIRE 200000000", "y - 1 ENTRY 200000000", "y - 1 BUSY 200000000",
        "y - 1 RETRY 205000000", "y - 1 RETRY 210000000", "x - 2 RELEASE 211000000",
    ))  # fmt: skip
    before, after = tmp_path / "before.log", tmp_path / "after.log"
    after.write_text(held + "y - 1 ENTRY 211000000\n")
    before.write_text(held + long)
    comparison = tracekit.compare(tracekit.analyze(before), tracekit.analyze(after))
    assert {change.kind: change.what for change in comparison.findings}["long_holds"] == "gone"
    assert comparison.regression < 0.05


def test_compare_frozen_signals() -> None:
    """They cost what their runs lasted, in a comparison too."""
    frozen = tracekit.analyze(trace_file("py27-frozen.log"))
    (change,) = tracekit.compare(frozen, frozen).findings
    assert (change.what, change.kind) == ("same", "frozen_signals")
    assert change.cost_before == change.cost_after == frozen.findings[0].cost == frozen.found("frozen_signals")[1]


def held_at(analysis: tracekit.Analysis, file: str, line: int) -> int:
    """What was waited while this was the innermost line that is no library's."""
    rows, spent = {row["stack"]: row for row in analysis.stacks.to_pylist()}, 0
    for row in analysis.stack_blame.to_pylist():
        at = leaf = rows.get(row["holder_stack"])
        while at and ("/lib/python" in at["file"] or "site-packages" in at["file"] or at["file"].startswith("<frozen")):
            at = rows.get(at["parent"])
        at = at or leaf
        spent += row["duration"] if at and (at["file"], at["line"]) == (file, line) else 0
    return spent


def test_what_was_waited_for_each_cause_and_at_each_line() -> None:
    before, after = (tracekit.analyze(trace_file(name)) for name in ("plain.log", "sloppy.log"))
    comparison = tracekit.compare(before, after)
    metrics = {metric.name: metric for metric in comparison.metrics}
    for name, cause in (("waited: long hold", "long_hold"), ("waited: preemption", "preemption")):
        lost = [sum(r["duration"] for r in a.causes.to_pylist() if r["cause"] == cause) for a in (before, after)]
        shares = [duration / a.duration for duration, a in zip(lost, (before, after), strict=True)]
        assert [metrics[name].before, metrics[name].after] == shares
    places = {(line.file, line.line): (line.before, line.after) for line in comparison.lines}
    for (file, number), shares_ in places.items():
        for analysis, share in zip((before, after), shares_, strict=True):
            assert share == held_at(analysis, file, number) / analysis.duration
    assert ("/srv/my app/spin.py", 9) in places
    first = comparison.lines[0]
    assert first.where == "spin.py:7 (spin)"
    assert max(first.before, first.after) == max(max(shares_) for shares_ in places.values())


def test_lines_are_told_where_both_traces_tell_them() -> None:
    with_lines, without = (tracekit.analyze(trace_file(name)) for name in ("plain.log", "py311-pool.log"))
    assert tracekit.compare(with_lines, without).lines == tracekit.compare(without, with_lines).lines == ()


def test_what_a_line_called_counts_for_the_users_line(tmp_path: Path) -> None:
    from tests.analyzers.test_places import long_hold

    analysis = tracekit.analyze(long_hold(tmp_path))
    comparison = tracekit.compare(analysis, analysis)
    (change,) = [line for line in comparison.lines if line.file == "/srv/app.py" and line.line == 42]
    assert change.where == "app.py:42 (handle)"
    held = [row for row in analysis.stack_blame.to_pylist() if row["holder_stack"] in (1, 3)]
    assert change.before == change.after == sum(row["duration"] for row in held) / analysis.duration


@pytest.mark.parametrize(("end", "shares"), [(1000, [0.01]), (1001, [])])
def test_lines_are_told_from_one_percent_on(end: int, shares: list[float], tmp_path: Path) -> None:
    """As findings are: what cost less in both traces is noise."""
    (tmp_path / "t.log").write_text(
        "# code: 1 = 1 f /srv/x.py\n# stack: 1 = 0 1 7\na - 0 ENTRY 0\na - 0 ACQUIRE 0\nw - 0 ENTRY 0\n"
        f"w - 0 BUSY 0 sample=1\na - 0 RELEASE 10\nw - 0 ACQUIRE 10\nw - 0 RELEASE 10\na - 0 ENTRY {end}\n"
    )
    comparison = tracekit.compare(tmp_path / "t.log", tmp_path / "t.log")
    assert [line.after for line in comparison.lines] == shares
