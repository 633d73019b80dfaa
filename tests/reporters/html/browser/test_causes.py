"""Where the waiting went, how little each thread got, and many threads as one lane."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import tracekit
from tests.conftest import trace_file
from tracekit.words import duration, percent

from .conftest import Open
from .test_report import many_threads


def test_the_bar_of_causes_is_the_table(open_report: Open) -> None:
    opened = open_report("py27-echo-convoy-timed.log")
    analysis = tracekit.analyze(trace_file("py27-echo-convoy-timed.log"))
    sums: Counter[str] = Counter()
    for row in analysis.tables["causes"].to_pylist():
        sums[row["cause"]] += row["duration"]
    whole = sum(sums.values())
    keys = opened.page.locator(".cause-key").all_inner_texts()
    told = {key.rsplit("\n", 1)[0].strip().replace(" ", "_"): key.split("\n")[-1].strip() for key in keys}
    expected = {cause: percent(length / whole) for cause, length in sums.items() if length}
    assert {"".join(key.split()) for key in keys} == {
        f"{cause.replace('_', '')}{text.replace(' ', '')}" for cause, text in expected.items()
    }, told
    assert opened.page.locator(".causes-bar rect").count() == len(expected)
    widths = opened.page.locator(".causes-bar rect").evaluate_all("all => all.map(each => each.width.baseVal.value)")
    assert sorted(round(width) for width in widths) == sorted(
        max(1, round(1000 * length / whole)) for length in sums.values()
    )
    opened.page.locator(".cause-key", has_text="battle").click()
    text = opened.page.locator(".cause-told").inner_text()
    assert duration(sums["battle"], "ns") in text
    assert "Who waited: t" in text
    opened.draw_figures()
    figure = opened.page.locator("figure:has([data-figure=causes])")
    rows = [row for row in analysis.tables["causes"].to_pylist() if row["duration"]]
    assert figure.locator("rect:not(.off)").count() == len({(row["thread"], row["cause"]) for row in rows})


def test_minimum_utilisation_counts_the_worst_window(open_report: Open) -> None:
    """Against every window that begins or ends where a wait does, from the table of waits."""
    name = "py311-longhold.log"
    trace = tracekit.read(trace_file(name))
    first = trace.events.column("clock")[0].as_py()
    end = trace.events.column("clock")[-1].as_py() - first
    opened = open_report(name)
    opened.draw_figures()
    shown = opened.run("page => page.boxes.find(box => box.name === 'utilisation').content")
    threads = trace.threads.column("thread").to_pylist()
    assert len(shown["lengths"]) > 4
    for row in shown["rows"][:2]:
        waits = [
            (wait["entry_clock"] - first, wait["end_clock"] - first)
            for wait in trace.waits.to_pylist()
            if wait["thread"] == threads[row["thread"]]
        ]
        for length, share in list(zip(shown["lengths"], row["shares"], strict=True))[::3]:
            starts = {min(max(0, at), end - length) for pair in waits for at in (pair[0], pair[1] - length)}
            worst = max(sum(max(0, min(b, at + length) - max(a, at)) for a, b in waits) for at in starts)
            assert abs(share - (1 - worst / length)) < 1e-9


def test_threads_of_one_name_are_one_lane_until_unfolded(open_report: Open, tmp_path: Path) -> None:
    opened = open_report(many_threads(tmp_path / "many.log", threads=40))
    rows = "page => page.timelines[0].list.rows().length"
    assert opened.run(rows) == 1
    label = opened.page.locator(".lane-label")
    assert "w*: 40 threads" in label.inner_text()
    colours = "page => { const t = page.timelines[0]; t.draw(); return new Set(t.drawing.raster).size; }"
    assert opened.run(colours) >= 3
    text = opened.over(-2, 10_000)
    assert "one of them held" in text
    opened.page.mouse.down()
    opened.page.mouse.up()
    assert opened.run(rows) == 40
    opened.wait("() => location.hash.includes('unfold=0')")
    again = open_report(tmp_path / "many.log", fragment=opened.page.evaluate("location.hash"))
    assert again.run(rows) == 40
    again.page.locator(".lane-scroller").focus()
    again.page.keyboard.press("c")
    assert again.run(rows) == 1
    again.page.get_by_placeholder("filter threads").fill("w3")
    assert again.run(rows) == 11  # w3, w30 to w39


def test_a_finding_unfolds_the_group_of_its_thread(open_report: Open, tmp_path: Path) -> None:
    opened = open_report(many_threads(tmp_path / "many.log", threads=40))
    opened.run("page => page.timelines[0].reveal(17)")
    assert opened.run("page => page.timelines[0].list.rows().length") == 40
