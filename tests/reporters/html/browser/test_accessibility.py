"""axe-core finds nothing serious or moderate, in any colours, with everything unfolded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tracekit
from tests.conftest import ROOT, SAMPLES
from tracekit.reporters import predictions
from tracekit.whatif.ladder import ladder

from .conftest import Open, Opened
from .test_lines import TEXT
from .test_processes import processes
from .test_report import many_threads

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
COLOURS = [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"forced_colors": "active"}]
UNFOLD = """page => {
    for (const each of document.querySelectorAll("details")) each.open = true;
    for (const each of document.querySelectorAll(".more-less, .cause-key")) each.click();
    const [timeline] = page.timelines;
    timeline.selection.select([0, timeline.view.extent]);
    const lane = timeline.model.lanes.find(each => each.waits.rows);
    timeline.panel.lock({ lane, table: "waits", row: 0 });
    timeline.notes.write(0, lane.thread);
}"""


def violations(opened: Opened) -> list[str]:
    if not AXE.exists():
        if "CI" in os.environ:
            pytest.fail("axe-core is not there: npm ci")
        pytest.skip("axe-core is not there: npm ci")
    opened.draw_figures()
    opened.run(UNFOLD)
    opened.wait("page => page.data.processes || document.querySelectorAll('.numbers').length > 2")
    for each in opened.page.query_selector_all(".why-here .more-less"):
        each.click()
    opened.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = opened.page.evaluate("axe.run(document, { rules: { 'target-size': { enabled: true } } })")
    return [
        f"{each['impact']} {each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in found["violations"]
        if each["impact"] != "minor"
    ]


@pytest.mark.parametrize("colours", COLOURS, ids=["light", "dark", "forced"])
def test_nothing_serious_or_moderate(colours: dict[str, str], open_report: Open) -> None:
    assert violations(open_report("py27-echo-convoy-timed.log", context=colours)) == []


@pytest.mark.slow
@pytest.mark.parametrize("colours", COLOURS, ids=["light", "dark", "forced"])
def test_nor_in_comparisons_and_with_many_threads(colours: dict[str, str], open_report: Open, tmp_path: Path) -> None:
    two = [SAMPLES / "py27-cpu2.log", SAMPLES / "py27-cpu2-onecore.log"]
    assert violations(open_report(*two, context=colours)) == []
    assert violations(open_report(many_threads(tmp_path / "many.log", threads=40), context=colours)) == []


@pytest.mark.slow
@pytest.mark.parametrize("colours", COLOURS, ids=["light", "dark", "forced"])
def test_nor_with_stacks_predictions_and_processes(colours: dict[str, str], open_report: Open, tmp_path: Path) -> None:
    (tmp_path / "stacks.log").write_text(TEXT)
    assert violations(open_report(tmp_path / "stacks.log", context=colours)) == []
    steps = ladder(tracekit.read(SAMPLES / "py311-cpu2.log"))
    assert violations(open_report("py311-cpu2.log", whatifs=[predictions.for_page(steps)], context=colours)) == []
    assert violations(open_report(*processes(tmp_path), folder="out", context=colours)) == []


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def deuteranopia(colour: str) -> list[float]:
    """Linear RGB as those see it who lack the green cones (Viénot, Brettel and Mollon, 1999)."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    )
    both = 0.29275 * red + 0.70725 * green
    return [both, both, -0.02234 * red + 0.02234 * green + blue]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_held_and_tried_in_vain_differ_without_hue(scheme: str, open_report: Open) -> None:
    opened = open_report("slide-battle.log", theme=scheme)
    palette = opened.run("page => page.timelines[0].palette")
    light, dark = sorted((luminance(palette[name]) for name in ("held", "retried")), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3
    seen = [deuteranopia(palette[name]) for name in ("held", "busy", "retried")]
    for i, one in enumerate(seen):
        for other in seen[i + 1 :]:
            assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 0.15
