"""A click keeps a hold or wait; a selection tells who waited for whom; notes and all else stay in the link."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import tracekit
from tests.conftest import GOLDEN, SAMPLES, trace_file
from tracekit.analysis import analyze_and_draw
from tracekit.words import duration

from .conftest import Open, Opened

NAME = "py311-echo-convoy.log"


def click(opened: Opened, thread: int, at: float) -> None:
    opened.over(thread, at)
    opened.page.mouse.down()
    opened.page.mouse.up()


def lock_a_wait(opened: Opened) -> dict[str, object]:
    """Clicks the longest wait of the trace; its row of the table."""
    trace = tracekit.read(trace_file(NAME))
    first = trace.events.column("clock")[0].as_py()
    wait = max((row for row in trace.waits.to_pylist() if row["contended"]), key=lambda row: row["duration"])
    begin, end = wait["entry_clock"] - first, wait["end_clock"] - first
    opened.run("(page, [from, to]) => page.views[0].show(from, to)", [begin, end])
    click(opened, trace.threads.column("thread").to_pylist().index(wait["thread"]), (begin + end) / 2)
    return wait


def test_a_click_keeps_a_wait_with_links_to_its_holder_and_waker(open_report: Open) -> None:
    opened = open_report(NAME)
    wait = lock_a_wait(opened)
    panel = opened.page.locator(".panel")
    text = panel.inner_text()
    assert text.startswith(f"{wait['thread']}: wait")
    assert duration(wait["duration"], "ns") in text  # type: ignore[arg-type]
    command = shlex.split(panel.locator("code").inner_text())
    assert command[:2] == ["tracekit", "query"]
    (row,) = tracekit.query(trace_file(NAME), command[3]).to_dict("records")
    assert row["end_seq"] == wait["end_seq"]
    panel.get_by_role("button", name="wait after").click()
    after = opened.run("page => page.timelines[0].panel.item.row")
    panel.get_by_role("button", name="wait before").click()
    assert opened.run("page => page.timelines[0].panel.item.row") == after - 1
    panel.get_by_role("button", name=re.compile("^the RELEASE of")).click()
    table = tracekit.read(trace_file(NAME)).holds.to_pylist()
    waker = max(
        (hold for hold in table if (hold["end_seq"] or 0) < wait["end_seq"]), key=lambda hold: hold["end_seq"] or 0
    )  # type: ignore[operator]
    assert panel.inner_text().startswith(f"{waker['thread']}: hold")
    assert f"start_seq = {waker['start_seq']}" in panel.locator("code").inner_text()
    opened.page.keyboard.press("Escape")
    assert panel.is_hidden()
    assert opened.page.evaluate("document.activeElement.className") == "lane-scroller"


def test_the_holders_of_a_wait_add_up_to_it(open_report: Open) -> None:
    opened = open_report("py27-cpu2.log")
    off = opened.run(
        """page => {
            const [timeline] = page.timelines, { panel, model } = timeline;
            return model.lanes.flatMap(lane => Array.from({ length: lane.waits.rows }, (_, row) => {
                const parts = panel.parts({ lane, table: "waits", row });
                const sum = parts.holders.reduce((all, { overlap }) => all + overlap, parts.free);
                return Math.abs(sum - lane.waits.length[row]);
            })).filter(error => error > 1e-6);
        }"""
    )
    assert off == []


def test_by_keyboard(open_report: Open) -> None:
    opened = open_report(NAME)
    opened.page.locator(".lane-scroller").focus()
    opened.page.keyboard.press("ArrowDown")
    for _ in range(8):
        opened.page.keyboard.press("w")
    opened.page.keyboard.press("]")
    opened.page.keyboard.press("Enter")
    panel = opened.page.locator(".panel")
    assert panel.is_visible()
    assert opened.page.evaluate("document.activeElement.className") == "panel"
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.closest('.panel') !== null")


@pytest.mark.parametrize("name", [NAME, "py27-cpu2.log", "py311-io4.log"])
def test_blame_of_all_that_is_selected_is_the_blame_table(name: str, open_report: Open) -> None:
    opened = open_report(name)
    found = opened.run(
        """async page => {
            const [timeline] = page.timelines;
            timeline.view.use("clock");
            timeline.selection.select([0, timeline.view.extent]);
            while (!timeline.selection.behind) await new Promise(done => setTimeout(done, 5));
            const ids = timeline.model.lanes.map(lane => lane.info.id);
            return [...timeline.selection.behind].flatMap(([waiter, parts]) =>
                [...parts].map(([holder, length]) => [ids[waiter], ids[holder] ?? null, Math.round(length)]));
        }"""
    )
    expected = [
        [row["waiter"], row["holder"], row["duration"]]
        for row in tracekit.analyze(trace_file(name)).blame.to_pylist()
        if row["duration"]
    ]
    key = lambda row: (row[0], row[1] or "")  # noqa: E731
    assert sorted(found, key=key) == sorted(expected, key=key)


WAITED = """async (page, stretch) => {
    const [timeline] = page.timelines, { about, lanes } = timeline.model;
    timeline.view.use("clock");
    timeline.selection.select(stretch ?? [0, timeline.view.extent]);
    while (!timeline.selection.waited) await new Promise(done => setTimeout(done, 5));
    const ids = lanes.map(lane => lane.info.id);
    return [...timeline.selection.waited.byHolder].map(([key, length]) => {
        const [thread, holder, cause] = key.split(" ");
        return [ids[thread], about.causes.words[cause].name, ids[holder] ?? null, Math.round(length)];
    });
}"""


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted([*GOLDEN.glob("*.log"), *SAMPLES.glob("py*.log")]), ids=lambda path: path.stem)
def test_causes_of_all_that_is_selected_are_the_causes_table(path: Path, open_report: Open) -> None:
    """But for waits still open at the end that found the GIL free: the page does not have them."""
    analysis = analyze_and_draw(path)
    if not analysis.causes.num_rows:
        return
    still_open = {
        (row["thread"], row["duration"])
        for row in tracekit.read(path).waits.to_pylist()
        if row["open"] and not row["contended"]
    }
    opened = open_report(analysis)
    found = {tuple(row[:3]): row[3] for row in opened.run(WAITED)}
    expected = {(row["thread"], row["cause"], row["holder"]): row["duration"] for row in analysis.causes.to_pylist()}
    if still_open:
        threads = {thread for thread, _ in still_open}
        found, expected = ({k: v for k, v in rows.items() if k[0] not in threads} for rows in (found, expected))
    assert found == expected


def test_the_sql_of_a_selection_gives_its_blame(open_report: Open) -> None:
    opened = open_report(NAME)
    opened.run("page => page.timelines[0].selection.select([3e8, 3.4e8])")
    opened.wait("page => page.timelines[0].selection.behind !== null")
    panel = opened.page.locator(".selection")
    analyze, query = map(shlex.split, panel.locator("code").all_inner_texts())
    assert analyze[:2] == ["tracekit", "analyze"]
    assert analyze[3:] == ["--from", "300000000ns", "--to", "340000000ns"]
    rows = tracekit.query(trace_file(NAME), query[3]).to_dict("records")
    assert len(rows) >= 2
    for row in rows:
        line = panel.locator(
            "tr", has=opened.page.get_by_role("rowheader", name=row["waiter"], exact=True)
        ).inner_text()
        assert f"{row['holder']} {duration(int(row['waited']), 'ns')}" in line


def test_the_link_keeps_all(open_report: Open) -> None:
    opened = open_report(NAME)
    opened.page.locator(".lane-scroller").focus()
    opened.page.keyboard.press("n")
    lock_a_wait(opened)
    opened.page.keyboard.press("x")
    opened.page.keyboard.press("e")
    opened.page.keyboard.type("why | here & #1? ünï")
    opened.page.keyboard.press("Enter")
    opened.run("page => page.timelines[0].selection.select([3e8, 3.4e8])")
    opened.wait(
        "() => ['finding=', 'lock=', 'select=', 'notes=', 'arrows='].every(name => location.hash.includes(name))"
    )
    state = """page => {
        const { panel, selection, marked, drawing, notes, model } = page.timelines[0];
        const { lane: { thread }, table, row } = panel.item;
        return [thread, table, row, selection.stretch, model.about.bands.indexOf(marked), drawing.arrows, notes.all];
    }"""
    shown = opened.run(state)
    again = open_report(NAME, fragment=opened.page.evaluate("location.hash"))
    assert again.run(state) == shown
    assert again.view()[:2] == pytest.approx(opened.view()[:2], abs=1)
    assert again.page.locator(".notes li").inner_text().startswith("why ¦ here & #1? ünï")
    again.page.locator(".notes").get_by_role("button", name="remove").click()
    again.wait("() => !location.hash.includes('notes=')")
    hostile = "#lock=9.w.x&finding=a&select=5-&notes=c1.99.a|x|c1.0.<img src=x>&scroll=-1&arrows=0"
    odd = open_report(NAME, fragment=hostile)
    assert odd.page.locator(".panel").is_hidden()
    assert odd.page.locator(".notes li").count() == 1
    assert odd.page.locator("img").count() == 0


def test_arrows_go_from_waits_to_holds(open_report: Open) -> None:
    opened = open_report(NAME)
    opened.run("page => page.views[0].set(3e8, 3.4e8)")
    before = opened.page.locator("canvas.lanes").evaluate("canvas => canvas.toDataURL()")
    opened.page.get_by_role("button", name="arrows").click()
    opened.draw()
    assert opened.page.locator("canvas.lanes").evaluate("canvas => canvas.toDataURL()") != before
