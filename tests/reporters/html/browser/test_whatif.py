"""The slider shows the predictions that were made beforehand, or why there are none."""

from __future__ import annotations

import tracekit
from tests.conftest import trace_file
from tracekit.reporters import predictions
from tracekit.whatif.ladder import ladder
from tracekit.words import percent

from .conftest import Open


def test_the_slider_tells_each_prediction(open_report: Open) -> None:
    steps = ladder(tracekit.read(trace_file("py311-cpu2.log")))
    assert steps.hogs
    opened = open_report("py311-cpu2.log", whatifs=[predictions.for_page(steps)])
    shown = opened.page.get_by_role("region", name="Predictions by thread")
    slider = opened.page.get_by_role("slider", name="Switch interval")
    slider.fill("0")
    rung = steps.rungs[100_000, None]
    assert opened.page.locator(".whatif output").inner_text() == "0.1 ms"
    assert f"Confidence: {rung.confidence}" in opened.page.locator(".whatif").inner_text()
    for thread in rung.threads:
        text = shown.locator("tr", has_text=thread.name or thread.thread).inner_text()
        assert percent(thread.after.waited / thread.after.duration) in text
    before = shown.inner_text()
    slider.press("ArrowRight")
    assert opened.page.locator(".whatif output").inner_text() == "0.2 ms"
    opened.page.get_by_role("button", name="in a process of its own").first.click()
    assert "in a process of its own:" in opened.page.locator(".whatif").inner_text()
    assert shown.inner_text() != before


def test_a_refusal_is_told_instead(open_report: Open) -> None:
    steps = ladder(tracekit.read(trace_file("py311-longhold.log")))
    opened = open_report("py311-longhold.log", whatifs=[predictions.for_page(steps)])
    assert steps.gate.reason
    assert steps.gate.reason in opened.page.locator(".whatif").inner_text()
    assert opened.page.get_by_role("slider").count() == 0
