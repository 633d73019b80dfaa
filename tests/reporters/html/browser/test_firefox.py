"""The same page in Firefox."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SAMPLES, trace_file
from tracekit.analysis import analyze_and_draw
from tracekit.reporters import html

from .firefox import Firefox, started


@pytest.fixture(scope="module")
def firefox() -> Iterator[Firefox]:
    executable = shutil.which("firefox-esr") or shutil.which("firefox")
    if executable is None:
        if "CI" in os.environ:
            pytest.fail("Firefox is not there")
        pytest.skip("Firefox is not there")
    with started(executable) as running:
        yield running


def open_report(firefox: Firefox, name: str, folder: Path, width: int = 1400, height: int = 900) -> None:
    file = folder / "report.html"
    file.write_text(html.render([analyze_and_draw(trace_file(name))]), encoding="utf-8")
    firefox.messages.clear()
    firefox.requests.clear()
    firefox.open(file.as_uri(), width, height)
    firefox.run("(async () => { while (!globalThis.tracekit) await new Promise(done => setTimeout(done, 5)); })()")
    firefox.run("tracekit.ready.then(() => null)")


QUICK = ("py311-echo-convoy.log", "slide-battle.log")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.name, marks=() if path.name in QUICK else pytest.mark.slow)
        for path in sorted(SAMPLES.glob("*.log"))
    ],
)
def test_every_page_is_drawn(name: str, firefox: Firefox, tmp_path: Path) -> None:
    open_report(firefox, name, tmp_path)
    drawn = firefox.run("[...document.querySelectorAll('.plot')].map(plot => plot.querySelectorAll('svg').length)")
    assert len(drawn) >= 3
    assert set(drawn) == {1}
    colours = firefox.run(
        "(() => { const t = tracekit.timelines[0]; t.draw(); return new Set(t.drawing.raster).size; })()"
    )
    # py27-frozen.log is one thread that holds the GIL throughout: its colour and the background.
    assert colours >= (2 if name == "py27-frozen.log" else 3)
    assert not firefox.messages
    assert all(url.startswith(("file:", "data:", "blob:")) for url in firefox.requests)


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (500, 844)])
def test_the_timeline_is_on_the_first_screen(width: int, height: int, firefox: Firefox, tmp_path: Path) -> None:
    open_report(firefox, "py27-echo-convoy-timed.log", tmp_path, width, height)
    assert firefox.run("document.getElementById('timeline').getBoundingClientRect().top") < 620 / 900 * height
    assert firefox.run("document.documentElement.scrollWidth") <= width


def test_a_click_keeps_a_wait_and_keys_move(firefox: Firefox, tmp_path: Path) -> None:
    open_report(firefox, "py311-echo-convoy.log", tmp_path)
    firefox.run("(tracekit.views[0].set(3e8, 3.4e8), tracekit.timelines[0].draw())")
    x, y = firefox.run(
        """(() => {
            const [timeline] = tracekit.timelines, row = timeline.rows.find(({ lane }) => lane.thread === 1);
            timeline.element.scrollIntoView({ behavior: "instant" });
            const box = timeline.canvas.getBoundingClientRect();
            return [box.left + box.width / 2, box.top + row.y + row.height / 2];
        })()"""
    )
    firefox.click(x, y)
    assert firefox.run("document.querySelector('.panel').innerText").startswith("t2: ")
    before = firefox.run("tracekit.views[0].span")
    firefox.press("w")
    assert firefox.run("tracekit.views[0].span") < before
    firefox.press("\ue00c")
    assert firefox.run("document.querySelector('.panel').hidden")
    assert not firefox.messages
