"""What is said of a fleet, from datasets made row by row: who is out of line, what is common, and its quantiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tracekit.fleet.places import Place
from tracekit.fleet.reporters import html
from tracekit.fleet.reporters.console import render
from tracekit.fleet.run import _jobs
from tracekit.fleet.spool import Spool
from tracekit.fleet.summary import LISTED, summarise
from tracekit.fleet.task import Result
from tracekit.model import schemas

SECOND = 10**9


def dataset(folder: Path, **rows: list[dict[str, Any]]) -> Path:
    """A fleet's dataset with these rows; what they do not say is null, 0 or empty."""
    for name, table in schemas.FLEET_FOLDERS.items():
        schema = schemas.load(table).arrow("row")
        columns = []
        for field in schema:
            absent = None if field.nullable else 0 if pa.types.is_integer(field.type) else 0.0
            absent = absent if field.nullable or pa.types.is_primitive(field.type) else ""
            plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            values = pa.array([row.get(field.name, absent) for row in rows.get(name, [])], plain)
            columns.append(values.dictionary_encode() if plain is not field.type else values)
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), folder / name / "part-00000.parquet")
    return folder


def process(name: str, **other: Any) -> dict[str, Any]:
    return {"trace": f"/t/{name}", "unit": "ns", "events": 10, "duration": SECOND, "lost": 0.0} | other


def lost(*shares: float) -> list[dict[str, Any]]:
    return [process(f"{number:03}", lost=share) for number, share in enumerate(shares)]


def outliers(folder: Path, *shares: float) -> list[str]:
    return [one.trace[3:] for one in summarise(dataset(folder, traces=lost(*shares))).outliers if one.share == "lost"]


@pytest.mark.parametrize(
    ("shares", "out"),
    [
        ([0.2] * 9 + [0.29], []),  # a tenth of the trace is noise where all others are exactly alike
        ([0.2] * 9 + [0.31], ["009"]),
        ([0.2] * 3 + [0.9], []),  # of fewer than five none is out of line
        ([0.2] * 4 + [0.9], ["004"]),
        ([0.0, 0.1, 0.2, 0.3, 0.4, 0.75], []),  # these differ by so much that 0.75 is nothing special
        ([0.2, 0.22, 0.18, 0.2, 0.24, 0.9, 0.7], ["005", "006"]),
        ([0.9] * 9 + [0.1], []),  # better than the rest is not out of line
    ],
)
def test_out_of_line(shares: list[float], out: list[str], tmp_path: Path) -> None:
    assert outliers(tmp_path, *shares) == out


def test_an_outlier_tells_the_median_that_it_is_above(tmp_path: Path) -> None:
    (one,) = summarise(dataset(tmp_path, traces=lost(0.1, 0.1, 0.2, 0.1, 0.1, 0.8))).outliers
    assert (one.share, one.value, one.median) == ("lost", 0.8, pytest.approx(0.1))


def histogram(kind: str, *buckets: tuple[int, int, int], unit: str = "ns", name: str = "a") -> list[dict[str, Any]]:
    return [
        {"trace": f"/t/{name}", "unit": unit, "kind": kind, "low": low, "high": high, "count": count}
        for low, high, count in buckets
    ]


def test_quantiles_are_the_largest_value_of_their_bucket(tmp_path: Path) -> None:
    """A bucket ends before `high`: where all waits took 100 ns the median is 100, not 101."""
    rows = histogram("hold", (100, 101, 50)) + histogram("contended_wait", (8, 10, 90), (16, 20, 9), (64, 80, 1))
    rows += histogram("hold", (1, 2, 9), unit="ticks", name="b")
    waits, holds = sorted(summarise(dataset(tmp_path, traces=lost(0.1), histograms=rows)).pooled, key=lambda p: p.kind)
    assert (holds.kind, holds.count, holds.p50, holds.p99) == ("hold", 50, 100, 100)
    assert (waits.count, waits.p50, waits.p90, waits.p99) == (100, 9, 9, 19)
    assert waits.buckets == ((8, 10, 90), (16, 20, 9), (64, 80, 1))


def test_buckets_of_several_processes_add_up(tmp_path: Path) -> None:
    rows = histogram("hold", (4, 5, 3), (1, 2, 1)) + histogram("hold", (4, 5, 2), name="b")
    (holds,) = summarise(dataset(tmp_path, traces=lost(0.1), histograms=rows)).pooled
    assert holds.buckets == ((1, 2, 1), (4, 5, 5))


def cause(name: str, cost: float, thread: str | None = "t", hog: str | None = "h", **other: Any) -> dict[str, Any]:
    base = {"trace": f"/t/{name}", "kind": "convoys", "thread": thread, "hog": hog, "count": 2, "cost": cost}
    return base | other


def test_causes_are_those_worth_naming_dearest_in_all_first(tmp_path: Path) -> None:
    rows = [
        cause("000", 0.009, "cheap"), cause("000", 0.5), cause("001", 0.1), cause("002", 0.55, "alone"),
        cause("001", 0.01, None, None, kind="frozen_signals"),
    ]  # fmt: skip
    summary = summarise(dataset(tmp_path, traces=lost(0.5, 0.1, 0.55), causes=rows))
    seen = [(c.kind, c.thread, c.processes, c.findings, c.cost, c.worst, c.trace[3:]) for c in summary.causes]
    assert seen == [
        ("convoys", "t", 2, 4, pytest.approx(0.3), 0.5, "000"),
        ("convoys", "alone", 1, 2, 0.55, 0.55, "002"),
        ("frozen_signals", None, 1, 2, 0.01, 0.01, "001"),
    ]
    assert [(p.trace[3:], p.cause) for p in summary.processes] == [
        ("002", "alone convoys behind h"), ("000", "t convoys behind h"), ("001", "t convoys behind h"),
    ]  # fmt: skip


def test_of_causes_that_cost_the_same_the_first_by_name_is_told(tmp_path: Path) -> None:
    """So that the same dataset always gives the same summary."""
    rows = [cause("000", 0.3, "z"), cause("000", 0.3, "a"), cause("000", 0.3, "m")]
    summary = summarise(dataset(tmp_path, traces=lost(0.3), causes=rows))
    assert summary.processes[0].cause == "a convoys behind h"
    assert [one.thread for one in summary.causes] == ["a", "m", "z"]


def test_processes_suffer_that_have_a_finding_and_the_first_of_equals_is_shown(tmp_path: Path) -> None:
    rows = [process("b", findings=2), process("a", findings=1), process("c", findings=0)]
    summary = summarise(dataset(tmp_path, traces=rows, causes=[cause("b", 0.3), cause("a", 0.3)]))
    assert (summary.suffering, summary.analyzed) == (2, 3)
    assert [one.trace for one in summary.causes] == ["/t/a"]


def test_the_list_is_short_and_the_counts_are_whole(tmp_path: Path) -> None:
    summary = summarise(dataset(tmp_path, traces=lost(*[0.1] * (LISTED + 5))))
    assert (len(summary.processes), summary.counts["processes"], summary.analyzed) == (LISTED, LISTED + 5, LISTED + 5)
    assert (summary.events, summary.durations) == (10 * (LISTED + 5), {"ns": SECOND * (LISTED + 5)})


def test_sides(tmp_path: Path) -> None:
    """Interpreters and hosts, those with the most processes first, the unnamed too."""
    rows = [
        process("0", host="b", lost=0.4, findings=1), process("1", host="a", lost=0.2, findings=0),
        process("2", host="a", lost=0.6, findings=3), process("3", host=None, lost=None, duration=0),
    ]  # fmt: skip
    sides = summarise(dataset(tmp_path, traces=rows, causes=[cause("2", 0.6)])).hosts
    assert [(side.name, side.processes, side.suffering, side.p50) for side in sides] == [
        ("a", 2, 1, pytest.approx(0.4)), (None, 1, 0, None), ("b", 1, 1, pytest.approx(0.4)),
    ]  # fmt: skip
    assert sides[0].p90 == pytest.approx(0.56)
    assert [side.cause for side in sides] == ["t convoys behind h", None, None]


def test_spreads(tmp_path: Path) -> None:
    rows = [process(str(n), lost=n / 10, held=n * SECOND // 10, free_wanted=0) for n in range(11)]
    waits = [
        {"trace": f"/t/{n}", "unit": unit, "kind": kind, "p99": p99}
        for n, unit, kind, p99 in [
            (1, "ns", "contended_wait", 5), (1, "ns", "contended_wait", 7), (2, "ns", "contended_wait", 6),
            (3, "ticks", "contended_wait", 9), (4, "ns", "wait", 9),
        ]
    ]  # fmt: skip
    spreads = {spread.name: spread for spread in summarise(dataset(tmp_path, traces=rows, distributions=waits)).spreads}
    lost_, held = spreads["time lost"], spreads["GIL held"]
    assert (lost_.p10, lost_.p50, lost_.p90, lost_.max) == (0.1, 0.5, 0.9, 1.0)
    assert held.bins == lost_.bins
    assert len(held.bins) == 20
    assert sum(held.bins) == 11
    assert (held.bins[0], held.bins[19]) == (1, 1)
    worst = spreads["contended waits: p99 of the worst thread"]
    assert (worst.unit, worst.p10, worst.max, worst.bins) == ("ns", 6, 7, ())


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (["/a/b/1.log", "/a/b/2.log"], "/a/b/"), (["/a/b/1.log", "/a/c/2.log"], "/a/"), (["/1.log"], "/"),
        (["s3://x/1.log", "s3://x/y/2.log"], "s3://x/"), (["/ab/1.log", "/ac/1.log"], ""), ([], ""),
    ],
)  # fmt: skip
def test_the_root_is_what_paths_have_in_common(names: list[str], root: str, tmp_path: Path) -> None:
    rows = [process("") | {"trace": name} for name in names]
    summary = summarise(dataset(tmp_path, traces=rows))
    assert summary.root == root
    assert [summary.short(name) for name in names] == [name[len(root) :] for name in names]


def test_a_store_that_tells_no_time_is_read_again(tmp_path: Path) -> None:
    """Its size alone does not say that a trace is the same; nothing may be kept that may be another's."""

    spool = Spool(tmp_path)
    try:
        timed, untimed = Place("/t/a", 10, 5), Place("memory://b", 10, None)
        spool.want(place.trace for place in (timed, untimed))
        for place in (timed, untimed):
            spool.add(Result(place, tables={"fleet_traces": b"x"}))
        assert [job.place for job in _jobs(spool, [timed, untimed], checksum=False, thresholds=())] == [untimed]
        assert [job.place for job in _jobs(spool, [timed._replace(modified=6)], checksum=False, thresholds=())] != []
        assert [job.place for job in _jobs(spool, [timed._replace(size=11)], checksum=False, thresholds=())] != []
    finally:
        spool.close(remove=True)


def test_what_threads_waited_for_dearest_for_the_fleet_first(tmp_path: Path) -> None:
    def waited(name: str, cause: str, share: float, group: str = "w*") -> dict[str, Any]:
        return {"trace": f"/t/{name}", "unit": "ns", "group": group, "cause": cause, "share": share}

    rows = [
        waited("000", "saturation", 0.3), waited("000", "saturation", 0.9, "x"), waited("001", "saturation", 0.005),
        waited("000", "queueing", 0.6), waited("001", "queueing", 0.9), waited("002", "battle", 0.009),
    ]  # fmt: skip
    summary = summarise(dataset(tmp_path, traces=lost(0.1, 0.1, 0.1), waited=rows))
    seen = [(one.cause, one.processes, one.share, one.worst, one.trace[3:], one.group) for one in summary.waited]
    assert seen == [
        ("queueing", 2, pytest.approx(1.5 / 3), 0.9, "001", "w*"),
        ("saturation", 1, pytest.approx(1.205 / 3), pytest.approx(1.2), "000", "x"),
    ]


def test_a_finding_without_one_thread_to_blame_is_behind_others(tmp_path: Path) -> None:
    def cause(hog: str | None, cost: float) -> dict[str, Any]:
        return {"trace": "/t/000", "unit": "ns", "kind": "queueing", "thread": "w*", "hog": hog, "cost": cost}

    summary = summarise(dataset(tmp_path, traces=lost(0.5), causes=[cause("h", 0.3), cause(None, 0.5)]))
    assert [(one.hog, one.text) for one in summary.causes] == [
        (None, "w* queues for the GIL behind others"), ("h", "w* queues for the GIL behind h")
    ]  # fmt: skip


def test_the_line_that_costs_the_fleet_most_comes_first(tmp_path: Path) -> None:
    def line(name: str, held: int, share: float, waits: int | None = 7) -> dict[str, Any]:
        waiter = {} if waits is None else {"waiter_function": "g", "waiter_file": "b.py", "waiter_line": waits}
        holder = {} if not held else {"holder_function": "f", "holder_file": "a.py", "holder_line": held}
        return {"trace": f"/t/{name}", "unit": "ns", "share": share, "cause": "queueing"} | holder | waiter

    rows = [
        line("000", 1, 0.3), line("000", 1, 0.4, 8), line("001", 1, 0.2, 8), line("001", 2, 0.8, None),
        line("002", 3, 0.009), line("002", 0, 0.9),
    ]  # fmt: skip
    summary = summarise(dataset(tmp_path, traces=lost(0.1, 0.1, 0.1), lines=rows))
    seen = [(one.where, one.processes, one.share, one.worst, one.trace[3:], one.waiter) for one in summary.lines]
    assert seen == [
        ("f (a.py:1)", 2, pytest.approx(0.9 / 3), pytest.approx(0.7), "000", "g (b.py:8)"),
        ("f (a.py:2)", 1, pytest.approx(0.8 / 3), 0.8, "001", None),
    ]
    assert summary.counts["lines"] == 2
    page, console = html.render(summary), Console(width=200)
    with console.capture() as capture:
        console.print(render(summary))
    assert all(one.where in page and one.where in capture.get() for one in summary.lines)


def test_long_tables_of_the_page_are_folded(tmp_path: Path) -> None:
    page = html.render(summarise(dataset(tmp_path, traces=lost(*[0.5] * 20))))
    first, rest = page.split("Who loses most")[1].split("<details><summary>5 more rows</summary>")
    assert [f"/t/{number:03}" in first for number in range(20)] == [True] * 15 + [False] * 5
    assert "/t/019" in rest.split("</table>")[0]
    assert "more row" not in html.render(summarise(dataset(tmp_path / "few", traces=lost(*[0.5] * 15))))
