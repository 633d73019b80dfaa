"""The page of `tracekit flame -o x.html`; and what speedscope's own page reads from the exports for it."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tracekit
from tests.conftest import ROOT
from tests.timeline.test_flame import story
from tracekit.reporters import flame as reporter
from tracekit.reporters.html import render_flames
from tracekit.words import duration

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SPEEDSCOPE = ROOT / "node_modules" / "speedscope" / "dist" / "release" / "index.html"


def test_a_page_of_its_own(browser: Browser, tmp_path: Path) -> None:
    analysis = tracekit.analyze(story(tmp_path))
    (tmp_path / "x.html").write_text(render_flames(analysis, "waiter"), encoding="utf-8")
    page = browser.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((tmp_path / "x.html").as_uri())
    shown = page.locator(".flame .frame")
    for by in ("waiter", "holder"):
        page.get_by_role("button", name=f"by the {by}'s stack").click()
        told = shown.evaluate_all("all => all.map(each => each.getAttribute('aria-label'))")
        frames = analysis.flame(by).frames
        assert len(told) == len(frames) + 1
        assert told[1].startswith(f"{reporter.named(frames[0])}: {duration(frames[0].total, 'ns')}")
    assert not wrong
    page.close()


@pytest.mark.parametrize("ending", [".speedscope.json", ".collapsed"])
def test_speedscope_reads_it(ending: str, browser: Browser, tmp_path: Path) -> None:
    """Its own page, as its command line opens it; in the order of the costliest, as it tells them."""
    if not SPEEDSCOPE.exists():
        if "CI" in os.environ:
            pytest.fail("speedscope is not there: npm ci")
        pytest.skip("speedscope is not there: npm ci")
    flame = tracekit.analyze(story(tmp_path)).flame()
    text = {".speedscope.json": reporter.speedscope, ".collapsed": reporter.collapsed}[ending](flame, "t.log")
    told = json.dumps(base64.b64encode(text.encode()).decode())
    script = tmp_path / "load.js"
    script.write_text(f"speedscope.loadFileFromBase64({json.dumps(f't{ending}')}, {told})")
    page = browser.new_page()
    page.goto(f"{SPEEDSCOPE.as_uri()}#localProfilePath={script}")
    page.get_by_text("Sandwich").click()
    page.get_by_text("Symbol Name").wait_for()
    words = page.locator("body").inner_text()
    for frame in flame.frames:
        name = reporter.UNKNOWN if frame.function is None else f"{frame.function}"
        assert name in words
    share = 100 * flame.frames[0].total / flame.whole
    assert f"({share:.0f}%)" in words or f"({share:.2f}%)" in words
    page.close()
