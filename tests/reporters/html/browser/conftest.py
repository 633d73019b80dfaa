"""A real browser on real reports. Where there is no Chromium these tests are skipped, but not in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tracekit
from tests.conftest import trace_file
from tracekit.analysis import Analysis, analyze_and_draw
from tracekit.reporters import html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        if "CI" in os.environ:
            pytest.fail("Chromium is not there")
        pytest.skip("Chromium is not there")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@dataclass
class Opened:
    """A report in the browser, and what it did that it must not."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def run(self, script: str, argument: Any = None) -> Any:
        """Evaluates a function of the page object and an argument."""
        return self.page.evaluate(f"argument => ({script})(globalThis.tracekit, argument)", argument)

    def wait(self, script: str, argument: Any = None) -> None:
        """Until it is true; the browser's own way to wait would need `eval`, which the page's policy forbids."""
        for _ in range(200):
            if self.run(script, argument):
                return
            self.page.wait_for_timeout(25)
        pytest.fail(f"never true: {script}")

    def view(self) -> tuple[float, float, str]:
        return tuple(self.run("page => [page.views[0].from, page.views[0].to, page.views[0].axis]"))

    def draw(self) -> None:
        self.run("page => page.timelines.forEach(timeline => timeline.draw())")

    def draw_figures(self) -> None:
        self.run("page => page.ready")

    def over(self, thread: int, at: float) -> str:
        """Moves the pointer to a place on the axis in a thread's lane; what the hover text says."""
        self.draw()
        self.page.locator("canvas.lanes").scroll_into_view_if_needed()
        x, y = self.run(
            """(page, [thread, at]) => {
                const timeline = page.timelines[0];
                const row = timeline.rows.find(row => row.lane.thread === thread);
                const box = timeline.canvas.getBoundingClientRect();
                return [box.left + timeline.x(at), box.top + row.y + row.height / 2];
            }""",
            [thread, at],
        )
        self.page.mouse.move(x, y)
        tip = self.page.locator(".tip")
        tip.wait_for(state="visible")
        return tip.inner_text()


WINDOW: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
Open = Callable[..., Opened]


def _analysis(trace: str | Path | Analysis) -> Analysis:
    if isinstance(trace, Analysis):
        return trace
    return analyze_and_draw(trace if isinstance(trace, Path) else trace_file(trace))


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens the report of these traces; at the end nothing may have been asked for or complained of."""
    opened: list[Opened] = []

    def open_it(
        *traces: str | Path | Analysis, fragment: str = "", context: dict[str, Any] | None = None, **options: Any
    ) -> Opened:
        analyses = [_analysis(trace) for trace in traces]
        if len(analyses) == 2 and "folder" not in options:
            options["comparison"] = tracekit.compare(*analyses)
        file = tmp_path / f"report {len(opened)}.html"
        file.write_text(html.render(analyses, **options), encoding="utf-8")
        page = browser.new_context(**WINDOW | (context or {})).new_page()
        found = Opened(page)
        opened.append(found)
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("console", lambda message: found.messages.append(message.text))
        page.on("pageerror", lambda error: found.messages.append(str(error)))
        page.goto(file.as_uri() + fragment)
        found.wait("page => page !== undefined")
        return found

    yield open_it
    for found in opened:
        asked = [url for url in found.requests if not url.startswith(("file:", "data:", "blob:"))]
        assert not asked
        assert not found.messages
        found.page.context.close()
