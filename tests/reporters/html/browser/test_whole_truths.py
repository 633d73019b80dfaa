"""What the page says is about all of what it speaks of: the whole wait, every thread, each finding."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracekit
from tests.conftest import SAMPLES, trace_file
from tracekit.words import duration

from .conftest import Open, Opened
from .test_report import many_threads

DESKTOP = {"viewport": {"width": 1400, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", ["py27-echo-convoy-timed.log", "py27-cpu2.log"])
def test_the_timeline_is_on_the_first_screen(name: str, window: dict[str, object], open_report: Open) -> None:
    opened = open_report(name, context=window)
    box = opened.page.locator("#timeline").bounding_box()
    assert box
    assert box["y"] < 620 / 900 * opened.page.viewport_size["height"]  # type: ignore[index]
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= opened.page.viewport_size["width"]  # type: ignore[index]


def texts_drawn(opened: Opened, canvas: str = "canvas") -> list[str]:
    """What is written on the lanes."""
    return opened.run(
        """(page, canvas) => {
            const timeline = page.timelines[0], texts = [];
            const context = timeline[canvas].getContext("2d"), fill = context.fillText;
            context.fillText = function (text, x, y) { texts.push(text); return fill.call(this, text, x, y); };
            timeline.draw();
            delete context.fillText;
            return texts;
        }""",
        canvas,
    )


def test_a_label_tells_the_whole_wait(open_report: Open) -> None:
    """Not the part of it from its BUSY on, or from its first RETRY."""
    trace = tracekit.read(trace_file("py311-echo-convoy.log"))
    first = trace.events.column("clock")[0].as_py()
    wait = max((row for row in trace.waits.to_pylist() if row["failed_retries"]), key=lambda row: row["duration"])
    opened = open_report("py311-echo-convoy.log")
    view = [wait["entry_clock"] - first - 1000, wait["end_clock"] - first + 1000]
    opened.run("(page, [from, to]) => page.views[0].set(from, to)", view)
    assert texts_drawn(opened).count(duration(wait["duration"], "ns")) == 1


def test_waiters_at_most_are_those_of_the_table(open_report: Open, tmp_path: Path) -> None:
    """Seven wait at once for a moment that is far shorter than a column of pixels."""
    lines = ["# gil: new", "h - 0 ENTRY 0", "h - 0 ACQUIRE 0"]
    lines += [f"w{i} - 0 {event} {1000 + i}" for i in range(7) for event in ("ENTRY", "BUSY")]
    lines += ["h - 0 RELEASE 1100"]
    for i in range(7):
        lines += [f"w{i} - 0 ACQUIRE {1101 + 2 * i}", f"w{i} - 0 RELEASE {1102 + 2 * i}"]
    lines += ["h - 0 ENTRY 1200", "h - 0 ACQUIRE 1201", "h - 0 RELEASE 5000000"]
    (tmp_path / "t.log").write_text("\n".join(lines) + "\n")
    opened = open_report(tmp_path / "t.log")
    opened.draw()
    assert opened.page.locator(".overview-labels").inner_text().startswith("waiters, at most 7")
    assert "7 threads" in opened.page.locator("[data-figure=waiting]").get_attribute("aria-label")


def test_every_finding_can_be_clicked(open_report: Open) -> None:
    """Where several lie on the same pixels, each click takes the next one; and `n` goes through all of them."""
    opened = open_report("py311-echo-convoy.log")
    bands = opened.run("page => page.models[0].about.bands.length")
    clicked = opened.run(
        """page => {
            const timeline = page.timelines[0], { canvas } = timeline.header, found = new Set();
            const { height } = canvas.getBoundingClientRect(), { bands } = page.models[0].about;
            for (const band of bands) {
                for (let turn = 0; turn < bands.length; turn++) {
                    timeline.view.reset();
                    timeline.draw();
                    const track = timeline.kinds.indexOf(band.kind) - timeline.kinds.length;
                    const event = new MouseEvent("click");
                    Object.defineProperties(event, {
                        offsetX: { value: timeline.x((band.begin + band.end) / 2) },
                        offsetY: { value: height + 13 * track + 6 },
                    });
                    canvas.dispatchEvent(event);
                    found.add(timeline.marked);
                }
            }
            return found.size;
        }"""
    )
    assert clicked == bands > 3
    opened.page.locator(".lane-scroller").focus()
    seen = set()
    for _ in range(bands):
        opened.page.keyboard.press("n")
        seen.add(opened.run("page => page.models[0].about.bands.indexOf(page.timelines[0].marked)"))
    assert len(seen) == bands
    last = opened.run("page => page.models[0].about.bands.indexOf(page.timelines[0].marked)")
    opened.page.keyboard.press("n")
    opened.page.keyboard.press("Shift+N")
    assert opened.run("page => page.models[0].about.bands.indexOf(page.timelines[0].marked)") == last
    assert f"of {bands}" in opened.page.locator("[aria-live=assertive]").inner_text()


def test_a_box_encloses_only_who_takes_part(open_report: Open) -> None:
    opened = open_report("py311-io4.log")
    runs = opened.run(
        """page => {
            const timeline = page.timelines[0];
            timeline.draw();
            const runs = timeline.drawing.involved({ threads: [0, 1, 4] });
            return runs.map(([first, last]) => [first.lane.thread, last.lane.thread]);
        }"""
    )
    assert runs == [[0, 1], [4, 4]]


def test_pinning_leaves_the_current_lane_current(open_report: Open) -> None:
    opened = open_report("py311-io4.log")
    opened.page.locator(".lane-scroller").focus()
    for key in ("ArrowDown", "ArrowDown", "p"):
        opened.page.keyboard.press(key)
    opened.draw()
    assert opened.page.locator(".lane-label.current.pinned").count() == 1
    assert opened.run("page => page.timelines[0].rows[0].lane.thread === page.timelines[0].current")


def test_no_handle_stays_where_it_was(open_report: Open) -> None:
    """Between the strip's two halves nothing is left of the window's edges."""
    opened = open_report("py311-cpu2.log")
    blue = """page => {
        const { canvas } = page.timelines[0].overview, context = canvas.getContext("2d");
        const { data } = context.getImageData(0, canvas.height / 2, canvas.width, 1);
        let found = 0;
        for (let i = 0; i < data.length; i += 4) found += data[i + 2] > data[i] + 60 && data[i + 3] === 255;
        return found;
    }"""
    for place in (0.2, 0.4, 0.6):
        opened.run("(page, at) => page.views[0].set(at * 1e6, (at + 0.1) * 1e6)", place)
        opened.draw()
    assert 0 < opened.run(blue) <= 14


def test_a_selection_tells_of_every_thread(open_report: Open, tmp_path: Path) -> None:
    opened = open_report(many_threads(tmp_path / "many.log", threads=33))
    opened.page.locator(".lane-scroller").focus()
    opened.page.keyboard.press("m")
    panel = opened.page.locator(".selection")
    assert "The 12 busiest of 33 threads" in panel.inner_text()
    panel.get_by_role("button", name="show all").click()
    assert panel.locator("tbody tr").count() == 33


def test_on_paper_everything_is_there(open_report: Open, tmp_path: Path) -> None:
    opened = open_report(many_threads(tmp_path / "many.log", threads=33), theme="dark")
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.run("page => page.timelines[0].rows.length") == 33  # none folded into a group
    assert opened.run("page => page.timelines[0].element.getBoundingClientRect().width") == 700
    assert opened.run("page => page.timelines[0].palette.paper") == "#fdfdfb"
    in_full = opened.page.get_by_role("region", name="Why, and what to do").locator(".why")
    assert in_full.evaluate_all("all => all.every(each => !each.hidden)")
    assert 2 * in_full.count() == opened.page.locator(".finding .why").count() > 0
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.run("page => page.timelines[0].rows.length") <= 33
    assert opened.run("page => page.timelines[0].palette.paper") == "#14181d"
    assert opened.page.locator(".finding .why").evaluate_all("all => all.every(each => each.hidden)")


def test_a_word_of_the_trade_is_explained_where_it_stands(open_report: Open) -> None:
    opened = open_report("py311-echo-convoy.log")
    opened.page.locator(".facts .term", has_text="forced").click()
    assert "drop the GIL" in opened.page.locator(".meaning").inner_text()
    opened.page.keyboard.press("Escape")
    assert opened.page.locator(".meaning").is_hidden()


def test_a_comparison_begins_with_the_timelines_and_says_whose_sentence_it_quotes(open_report: Open) -> None:
    opened = open_report(SAMPLES / "py27-cpu2.log", SAMPLES / "py27-cpu2-onecore.log")
    sections = opened.page.locator("section").evaluate_all("all => all.map(each => each.ariaLabel)")
    assert sections[:3] == ["Timeline", "What changed", "Verdict"]
