"""Requests by name and the slowest ones, and the way from there to the timeline."""

from __future__ import annotations

from pathlib import Path

from tests.timeline.test_requests import TRACE
from tracekit.words import percent

from .conftest import Open


def test_requests_are_told_by_name_and_one_by_one(open_report: Open, tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_text(TRACE.replace("= GET /orders", "= GET /<img src=x>"))
    opened = open_report(path)
    section = opened.page.locator("section[aria-label=Requests]")
    first, second, _ = section.locator("[aria-label='Requests by name'] tbody tr").all()
    text = first.inner_text()
    for told in ("GET /<img src=x>", "800 ns", percent(190 / 840), percent(550 / 840), percent(100 / 840)):
        assert told in text, told
    assert "300 ns behind server-* at report (views.py:5)" in text
    assert "(no name)" in second.inner_text()
    widths = first.locator(".request-bar rect").evaluate_all("all => all.map(each => each.width.baseVal.value)")
    assert [round(width, 2) for width in widths] == [round(100 * part / 840, 2) for part in (190, 550, 100)]
    assert opened.page.locator("img").count() == 0
    slowest = section.locator("[aria-label='The slowest requests'] tbody tr")
    assert slowest.count() == 4
    slowest.nth(1).locator("button").click()
    assert opened.run("page => page.timelines[0].current") == 1
    begin, end = opened.view()[:2]
    assert begin <= 110
    assert end >= 700


def test_a_trace_without_regions_has_no_such_section(open_report: Open) -> None:
    opened = open_report("py27-echo-convoy-timed.log")
    assert opened.page.locator("section[aria-label=Requests]").count() == 0
