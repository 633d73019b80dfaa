"""The report's keys, clicks, drags and hovers."""

from __future__ import annotations

import re

import pytest

import tracekit
from tests.conftest import trace_file
from tracekit.words import duration

from .conftest import Open


def test_a_click_on_a_finding_takes_the_timeline_there(open_report: Open) -> None:
    opened = open_report("py311-longhold.log")
    analysis = tracekit.analyze(trace_file("py311-longhold.log"))
    finding = analysis.findings[0]
    row = next(row for row in analysis.long_holds.to_pylist() if row["start_seq"] == finding.start_seq)
    whole = opened.view()
    opened.page.get_by_role("button", name=finding.title).click()
    start, end, _ = opened.view()
    begin, stop = (row[name] - analysis.totals.first_clock for name in ("start_clock", "end_clock"))
    assert start <= begin < stop <= end
    assert end - start < 2 * (stop - begin) < whole[1]
    thread = analysis.threads.column("thread").to_pylist().index(row["thread"])
    text = opened.over(thread, (begin + stop) / 2)
    assert "holds the GIL" in text
    assert duration(stop - begin, analysis.unit) in text
    assert f"{row['start_seq']:,}" in text


def test_hover_tells_whom_a_thread_waited_for(open_report: Open) -> None:
    opened = open_report("slide-battle.log")
    text = opened.over(0, 20.5)
    assert "t2" in text
    assert "tried again in vain" in text
    assert "421 ticks" in text
    assert "4 (4 lost rounds)" in text
    assert "t1 holds it" in text
    assert "still waiting when the trace ends" in text
    assert "holds the GIL" in opened.over(1, 4)
    assert "neither has nor wants" in opened.over(1, 1.5)


def test_keys(open_report: Open) -> None:
    opened = open_report("py27-cpu2.log")
    page = opened.page
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    whole = opened.view()
    timeline = page.locator(".lane-scroller")
    while page.evaluate("document.activeElement.className") != "lane-scroller":
        page.keyboard.press("Tab")
    page.keyboard.press("w")
    page.keyboard.press("w")
    closer = opened.view()
    assert closer[1] - closer[0] < 0.6 * (whole[1] - whole[0])
    page.keyboard.press("d")
    assert opened.view()[0] > closer[0]
    page.keyboard.press("a")
    assert opened.view()[0] == pytest.approx(closer[0])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    assert opened.view()[1] - opened.view()[0] > closer[1] - closer[0]
    page.keyboard.press("0")
    assert opened.view() == whole
    for _ in range(20):
        page.keyboard.press("w")
    page.keyboard.press("]")
    spoken = page.locator("[aria-live=assertive]").inner_text()
    assert re.search(r"t[23], (holds the GIL|waits|wants)", spoken)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("p")
    opened.draw()
    assert page.locator(".lane-label.pinned").count() == 1
    assert timeline.get_attribute("aria-label").startswith("Timeline of 2 threads")


def test_drag_wheel_and_double_click(open_report: Open) -> None:
    opened = open_report("py311-cpu2.log")
    page = opened.page
    whole = opened.view()
    page.locator("canvas.lanes").scroll_into_view_if_needed()
    box = page.locator("canvas.lanes").bounding_box()
    assert box
    middle = (box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.move(*middle)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -600)
    page.keyboard.up("Control")
    opened.wait("(page, span) => page.views[0].span < span / 2", whole[1])
    before = opened.view()
    page.mouse.down()
    page.mouse.move(middle[0] - 100, middle[1], steps=4)
    page.mouse.up()
    after = opened.view()
    assert after[0] - before[0] == pytest.approx(100 / box["width"] * (before[1] - before[0]), rel=0.02)
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(middle[0] + 100, middle[1], steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    assert page.locator(".selection").is_visible()
    assert "selected" in page.locator(".selection").inner_text()
    assert opened.view() == after
    page.locator(".selection button").first.click()
    assert opened.view()[1] - opened.view()[0] == pytest.approx(200 / box["width"] * (after[1] - after[0]), rel=0.02)
    page.mouse.dblclick(*middle)
    assert opened.view() == whole


def test_overview_window_is_dragged(open_report: Open) -> None:
    opened = open_report("py27-cpu2.log")
    page = opened.page
    page.locator("canvas.overview").scroll_into_view_if_needed()
    box = page.locator("canvas.overview").bounding_box()
    assert box
    x = lambda part: box["x"] + part * box["width"]  # noqa: E731
    y = box["y"] + 30
    extent = opened.view()[1]
    page.mouse.move(x(0.2), y)
    page.mouse.down()
    page.mouse.move(x(0.4), y, steps=5)
    page.mouse.up()
    assert opened.view()[:2] == pytest.approx((0.2 * extent, 0.4 * extent), rel=0.01)
    page.mouse.move(x(0.3), y)
    page.mouse.down()
    page.mouse.move(x(0.5), y, steps=5)
    page.mouse.up()
    assert opened.view()[:2] == pytest.approx((0.4 * extent, 0.6 * extent), rel=0.01)
    page.mouse.move(x(0.6), y)
    page.mouse.down()
    page.mouse.move(x(0.8), y, steps=5)
    page.mouse.up()
    assert opened.view()[:2] == pytest.approx((0.4 * extent, 0.8 * extent), rel=0.01)


def test_a_link_restores_what_was_shown(open_report: Open) -> None:
    opened = open_report("py311-io4.log")
    page = opened.page
    page.get_by_role("button", name="event order").click()
    opened.run("page => page.views[0].set(100, 300)")
    page.get_by_label("Order of the lanes").select_option("waited")
    page.get_by_placeholder("filter threads").fill("t")
    page.get_by_role("button", name="Taller lanes").click()
    opened.wait("() => location.hash.includes('sort=waited') && location.hash.includes('height')")
    shown = opened.run("page => page.timelines[0].list.rows().map(row => [row.lane.thread, row.height])")
    fragment = page.evaluate("location.hash")
    again = open_report("py311-io4.log", fragment=fragment)
    assert again.view() == opened.view() == (100, 300, "order")
    assert again.run("page => page.timelines[0].list.rows().map(row => [row.lane.thread, row.height])") == shown
    again.page.evaluate("location.hash = '#axis=order&from=5&to=50'")
    again.wait("page => page.views[0].to === 50")
    open_report("py311-io4.log", fragment="#from=x&to=&sort=__proto__&pin=99.a&axis=%ff&height=7")
