from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import tracekit
from tests.conftest import SAMPLES, trace_file
from tracekit.analysis import _analyze
from tracekit.model.rows import Options, PictureLimits
from tracekit.reporters import html
from tracekit.words import duration

from .conftest import Open, Opened

HOSTILE = "</ScRiPt><img src=x onerror=alert(1)>"
STATES = ("held", "entering", "busy", "retried")


def spans_in_page(opened: Opened) -> dict[str, list[list[object]]]:
    """Holds and contended waits as the page has them, by thread id."""
    return opened.run(
        """page => {
            const model = page.models[0], first = model.about.firstClock, found = {holds: [], waits: []};
            for (const lane of model.lanes) {
                const { holds, waits, info: { id } } = lane;
                for (let i = 0; i < holds.rows; i++) {
                    const end = holds.events[i] < 0 ? null : holds.startSeq[i] + holds.events[i];
                    found.holds.push([id, holds.start[i] + first, holds.start[i] + holds.length[i] + first,
                        holds.startSeq[i], end, ["unknown", "check", "blocking"][holds.kind[i]]]);
                }
                for (let i = 0; i < waits.rows; i++) {
                    const { busy, stop } = lane.wait(i, "clock");
                    const end = waits.events[i] < 0 ? null : waits.startSeq[i] + waits.events[i];
                    found.waits.push([id, busy + first, stop + first, waits.startSeq[i] + waits.busyEvents[i], end,
                        waits.failedRetries[i], waits.lostRounds[i], waits.passes[i]]);
                }
            }
            return found;
        }"""
    )


QUICK = ("slide-sample.log", "py311-echo-convoy.log")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.name, marks=() if path.name in QUICK else pytest.mark.slow)
        for path in sorted(SAMPLES.glob("*.log"))
    ],
)
def test_rows_are_those_of_the_tables(name: str, open_report: Open) -> None:
    """What was packed, sent and decoded is what the Arrow tables have; and every figure is drawn."""
    opened = open_report(name)
    trace = tracekit.read(trace_file(name))
    found = spans_in_page(opened)
    columns = ("thread", "start_clock", "end_clock", "start_seq", "end_seq", "release_kind")
    assert sorted(found["holds"], key=lambda row: row[3]) == [
        list(row.values()) for row in trace.holds.select(columns).to_pylist()
    ]
    columns = ("thread", "busy_clock", "end_clock", "busy_seq", "end_seq", "failed_retries", "lost_rounds", "passes")
    waits = [list(row.values()) for row in trace.waits.select(columns).to_pylist() if row["busy_seq"] is not None]
    assert sorted(found["waits"], key=lambda row: row[3]) == sorted(waits, key=lambda row: row[3])
    opened.draw_figures()
    plots = opened.page.locator(".plot")
    for i in range(plots.count()):
        assert plots.nth(i).locator("svg").count() == 1
        assert plots.nth(i).get_attribute("aria-label")


def colours_at(opened: Opened, thread: int, at: float) -> set[str]:
    """The states whose colours stand in a lane at a place on the axis."""
    return set(
        opened.run(
            """(page, [thread, at]) => {
                const timeline = page.timelines[0];
                timeline.draw();
                const row = timeline.rows.find(row => row.lane.thread === thread);
                const ratio = devicePixelRatio, x = Math.round(timeline.x(at) * ratio);
                const names = Object.entries(timeline.pixels), found = [];
                for (let y = Math.round(row.y * ratio); y < Math.round((row.y + row.height) * ratio) - 1; y++) {
                    const value = timeline.drawing.raster[y * timeline.drawing.image.width + x];
                    found.push(names.find(([, colour]) => colour === value)[0].replace("Line", ""));
                }
                return found;
            }""",
            [thread, at],
        )
    )


def test_zoomed_in_each_lane_shows_its_state(open_report: Open) -> None:
    opened = open_report("py311-echo-convoy.log")
    trace = tracekit.read(trace_file("py311-echo-convoy.log"))
    first = trace.events.column("clock")[0].as_py()
    threads = trace.threads.column("thread").to_pylist()
    wait = max(trace.waits.to_pylist(), key=lambda row: row["duration"])
    retry = next(
        r for r in trace.failed_retries.to_pylist() if r["seq"] > wait["busy_seq"] and r["thread"] == wait["thread"]
    )
    opened.run(
        "(page, [from, to]) => page.views[0].set(from, to)", [wait["entry_clock"] - first, wait["end_clock"] - first]
    )
    thread = threads.index(wait["thread"])
    assert colours_at(opened, thread, (wait["busy_clock"] + retry["clock"]) / 2 - first) == {"busy"}
    assert colours_at(opened, thread, (retry["clock"] + wait["end_clock"]) / 2 - first) == {"retried"}
    middle = (wait["busy_clock"] + wait["end_clock"]) / 2
    holder = next(h for h in trace.holds.to_pylist() if h["start_clock"] <= middle <= h["end_clock"])
    assert colours_at(opened, threads.index(holder["thread"]), middle - first) == {"held"}


@pytest.mark.slow
def test_the_longest_wait_is_seen_at_every_zoom(open_report: Open) -> None:
    opened = open_report("py27-echo-convoy-timed.log")
    trace = tracekit.read(trace_file("py27-echo-convoy-timed.log"))
    first = trace.events.column("clock")[0].as_py()
    wait = max(trace.waits.to_pylist(), key=lambda row: row["duration"])
    thread = trace.threads.column("thread").to_pylist().index(wait["thread"])
    middle = (wait["entry_clock"] + wait["end_clock"]) / 2 - first
    for factor in (1, 10, 100, 1000):
        opened.run(
            "(page, [at, factor]) => { page.views[0].reset(); page.views[0].zoom(1 / factor, at); }", [middle, factor]
        )
        assert colours_at(opened, thread, middle) & {"busy", "retried"}
        longest = opened.run("({timelines: [it]}) => { it.draw(); return it.drawing.longest.wait.length; }")
        assert longest == wait["duration"]


def test_the_slides_battle_tells_its_story(open_report: Open) -> None:
    """In the order of events: what happens, by name, and a signal that comes too late for each RETRY."""
    opened = open_report("slide-battle.log")
    assert opened.view() == (0, 22, "order")
    drawn = opened.run(
        """page => {
            const timeline = page.timelines[0], texts = [];
            const context = timeline.canvas.getContext("2d"), fill = context.fillText;
            context.fillText = function (text, x, y) { texts.push([text, x, y]); return fill.call(this, text, x, y); };
            timeline.draw();
            delete context.fillText;
            return texts;
        }"""
    )
    rows = sorted(drawn, key=lambda text: text[1])
    top = min(y for _, _, y in rows)
    battle = [text for text, _, y in rows if y == top]
    assert battle == ["ENTRY", "ACQUIRE", "RELEASE", "ENTRY", "BUSY", "RETRY", "RETRY", "RETRY", "RETRY"]
    rival = [text for text, _, y in rows if y == max(y for _, _, y in rows)]
    assert rival == ["ACQUIRE", *["RELEASE", "ENTRY", "ACQUIRE"] * 4]
    assert [text for text, _, _ in rows].count("signal: too late") == 4


def test_tables_sort_search_and_lead_to_the_timeline(open_report: Open) -> None:
    opened = open_report("py27-cpu2.log")
    page = opened.page
    page.get_by_role("tab", name="Battles").click()
    rows = page.locator(".table-scroll tbody tr")
    assert page.locator(".more").inner_text().startswith("100 of 156 rows")
    page.get_by_role("button", name="show all").click()
    assert rows.count() == 156
    page.get_by_role("button", name="rounds", exact=True).click()
    rounds = [int(text) for text in page.locator(".table-scroll tbody td:nth-child(4)").all_inner_texts()]
    expected = tracekit.analyze(trace_file("py27-cpu2.log")).battles.column("rounds").to_pylist()
    assert rounds == sorted(expected, reverse=True)
    rows.first.get_by_role("button").click()
    span = opened.view()
    assert span[1] - span[0] < 100_000
    assert "where start_seq = " in page.locator(".same code").first.inner_text()
    page.get_by_role("tab", name="Threads").click()
    page.get_by_placeholder("search", exact=True).fill("t3")
    assert rows.count() == 1
    page.get_by_placeholder("search", exact=True).fill("no such thread")
    assert rows.count() == 0


def test_dark_and_light(open_report: Open) -> None:
    opened = open_report("py311-cpu2.log", context={"color_scheme": "dark"})
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    dark = opened.page.evaluate(paper)
    assert opened.run("page => page.timelines[0].palette.paper") == "#14181d"
    opened.page.locator(".theme").click()
    assert opened.page.evaluate(paper) != dark
    assert opened.run("page => page.timelines[0].palette.paper") == "#fdfdfb"
    forced = open_report("py311-cpu2.log", theme="light", context={"color_scheme": "dark"})
    assert forced.run("page => page.timelines[0].palette.paper") == "#fdfdfb"


@pytest.mark.slow
def test_printed_in_light_colours(open_report: Open, tmp_path: Path) -> None:
    opened = open_report("slide-sample.log", theme="dark")
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.run("page => page.timelines[0].palette.paper") == "#fdfdfb"
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.run("page => page.timelines[0].palette.paper") == "#14181d"
    assert len(opened.page.pdf()) > 10_000


def hostile(tmp_path: Path) -> Path:
    text = (SAMPLES / "slide-battle.log").read_text().replace("t1", HOSTILE.replace(" ", "\u00a0"))
    path = tmp_path / f"{HOSTILE.replace('/', '_')} {{{{ script }}}} \u2028.log"
    names = f"# python: {HOSTILE}\n# workload: {HOSTILE}\n# lost: {HOSTILE}\n# thread: t2 = {HOSTILE}\n"
    path.write_text(names + text, encoding="utf-8")
    return path


def test_hostile_names_are_text_everywhere(open_report: Open, tmp_path: Path) -> None:
    path = hostile(tmp_path)
    opened = open_report(path, title=HOSTILE)
    page = opened.page
    page.on("dialog", lambda dialog: pytest.fail("a name was run"))
    opened.draw_figures()
    assert HOSTILE in page.title()
    assert page.locator("h1").inner_text() == HOSTILE
    assert HOSTILE in page.locator(".workload").inner_text()
    assert page.locator(".lane-name", has_text=HOSTILE).count() >= 1
    assert HOSTILE in opened.over(0, 20.5)
    for tab in page.get_by_role("tab").all():
        tab.click()
    assert HOSTILE in page.locator("section[aria-label=Verdict]").inner_text()
    assert any("<img" in text for text in page.locator(".plot").all_text_contents())
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2  # data, ours
    page.set_viewport_size({"width": 390, "height": 800})
    opened.draw_figures()
    both = open_report(path, path)
    assert both.page.locator("img").count() == 0


def many_threads(path: Path, threads: int = 512, rounds: int = 12) -> Path:
    lines = ["# gil: new"]
    clock = 0
    for _ in range(rounds):
        for thread in range(threads):
            ahead = (thread + 7) % threads
            lines += [f"w{thread} - 0 ENTRY {clock}", f"w{thread} - 0 ACQUIRE {clock + 5}"]
            lines += [f"w{ahead} - 0 ENTRY {clock + 6}", f"w{ahead} - 0 BUSY {clock + 7}"]
            lines += [f"w{thread} - 0 RELEASE {clock + 900}", f"w{ahead} - 0 ACQUIRE {clock + 905}"]
            lines += [f"w{ahead} - 0 RELEASE {clock + 1500}"]
            clock += 2000
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_512_lanes(open_report: Open, tmp_path: Path) -> None:
    opened = open_report(many_threads(tmp_path / "many.log"))
    page = opened.page
    opened.page.get_by_role("button", name="Show each of w*").click()
    opened.draw()
    assert opened.run("page => page.timelines[0].list.rows().length") == 512
    labels = page.locator(".lane-label")
    assert 10 < labels.count() < 100  # only those in the window are there
    page.locator(".lane-scroller").evaluate("element => { element.scrollTop = element.scrollHeight; }")
    opened.draw()
    last = opened.run("page => page.timelines[0].rows.at(-1).place")
    assert last == 511
    page.get_by_placeholder("filter threads").fill("w51")
    opened.draw()
    assert opened.run("page => page.timelines[0].list.rows().length") == 3  # w51, w510, w511
    page.get_by_placeholder("filter threads").fill("")
    for _ in range(4):
        page.get_by_role("button", name="Lower lanes").click()
    opened.draw()
    assert opened.run("page => page.timelines[0].list.height") == 3


def test_a_phone(open_report: Open) -> None:
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    opened = open_report("py311-longhold.log", context=phone)
    opened.draw_figures()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = opened.page.locator("canvas.lanes").bounding_box()
    assert box
    assert box["width"] > 250
    opened.page.locator(".finding .title").first.tap()
    assert opened.view()[1] < 1e9


@pytest.mark.slow
def test_two_traces_on_one_page(open_report: Open) -> None:
    opened = open_report("py27-cpu2.log", "py27-cpu2-onecore.log")
    page = opened.page
    changes = page.locator("section[aria-label='What changed'] .what").all_inner_texts()
    assert {change.lower() for change in changes} == {"better", "gone"}  # saturation, and the battles
    ends = opened.run("page => page.views.map(view => view.to)")
    assert ends[0] == ends[1] == opened.run("page => Math.max(...page.models.map(model => model.duration))")
    opened.run("page => page.views[0].set(1000, 50000)")
    assert opened.run("page => [page.views[1].from, page.views[1].to]") == [1000, 50000]
    page.locator(".linked input").uncheck()
    opened.run("page => page.views[0].set(2000, 3000)")
    assert opened.run("page => page.views[1].from") == 1000
    opened.draw_figures()
    assert page.locator(".plot svg").count() == 16  # eight of each trace


@pytest.mark.slow
def test_odd_traces_have_reports(open_report: Open) -> None:
    for name in ("no-clock.log", "one-line.log", "dropped-wait.log", "entry-while-holding.log", "overlapping-hold.log"):
        opened = open_report(name)
        opened.draw_figures()
        opened.run("page => { page.views[0].zoom(0.1); page.timelines[0].draw(); }")
        for at in (0.1, 0.5, 0.9):
            start, end, _ = opened.view()
            opened.over(0, start + at * (end - start))


def test_figures_have_all_they_show_in_numbers(open_report: Open) -> None:
    opened = open_report("py27-cpu2.log")
    analysis = tracekit.analyze(trace_file("py27-cpu2.log"))
    opened.draw_figures()
    for figure in opened.page.locator("figure:has(details)").all():
        figure.get_by_text("in numbers").click()
        figure.locator("table").wait_for()
    numbers = opened.page.locator("figure:has([data-figure=blame]) tbody tr").all_inner_texts()
    names = dict(zip(analysis.names, analysis.names.values(), strict=True))
    expected = [
        f"{names[row['waiter']]}\t{names.get(row['holder'], 'nobody')}\t{duration(row['duration'], analysis.unit)}"
        for row in analysis.blame.to_pylist()
        if row["duration"]
    ]
    assert sorted(text.rsplit("\t", 1)[0] for text in numbers) == sorted(expected)
    waiting = opened.page.locator("figure:has([data-figure=waiting])")
    assert waiting.locator("tbody tr").count() == analysis.tables["waiting"].num_rows
    assert waiting.locator("rect").count() == analysis.tables["waiting"].num_rows


def test_printed_at_once_every_figure_is_drawn(open_report: Open) -> None:
    opened = open_report("slide-sample.log")
    drawn = opened.run(
        """page => {
            for (const box of page.boxes) box.plot?.replaceChildren();
            for (const box of page.boxes) box.drawn = null;
            dispatchEvent(new Event("beforeprint"));
            return page.boxes.filter(box => box.plot?.isConnected).map(box => box.plot.childElementCount);
        }"""
    )
    assert len(drawn) >= 5
    assert set(drawn) == {1}


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("*.log")))
def test_a_page_is_small(name: str) -> None:
    page = html.render([_analyze(trace_file(name), Options(), PictureLimits())])
    assert len(page.encode()) < 400_000
    assert "Plotly" not in page


def test_data_is_json(open_report: Open) -> None:
    opened = open_report("slide-sample.log")
    text = opened.page.locator("#data").evaluate("element => element.textContent")
    assert "<" not in text
    assert json.loads(text)["traces"][0]["events"] == 22


def test_a_trace_too_large_to_carry_whole(open_report: Open) -> None:
    """Exact around the findings, shares elsewhere, and told what is not there and which command shows it."""
    path = trace_file("py27-echo-convoy-timed.log")
    limits = PictureLimits(bins=256, rows=1024, window_rows=256, windows=2)
    analysis = _analyze(path, Options(), limits)
    assert not analysis.picture.whole
    opened = open_report(analysis)
    page = opened.page
    assert "too large to carry whole" in page.locator("details.complete").evaluate("element => element.textContent")
    trace = tracekit.read(path)
    first = analysis.totals.first_clock or 0
    windows = analysis.picture.windows
    everywhere = trace.holds.to_pylist()

    begin, end = max(windows, key=lambda window: window[1] - window[0])
    opened.run("(page, [from, to]) => page.views[0].set(from, to)", [begin, end])
    opened.draw()
    assert page.locator(".note").is_hidden()
    found = {row[3]: row[1:3] for row in spans_in_page(opened)["holds"]}
    inside = [row for row in everywhere if begin <= row["start_clock"] - first and row["end_clock"] - first <= end]
    assert len(inside) > 20
    assert all(found[row["start_seq"]] == [row["start_clock"], row["end_clock"]] for row in inside)
    longest = max(inside, key=lambda row: row["duration"])
    middle = (longest["start_clock"] + longest["end_clock"]) / 2 - first
    threads = trace.threads.column("thread").to_pylist()
    assert "holds the GIL" in opened.over(threads.index(longest["thread"]), middle)

    edges = [0, *(edge for window in windows for edge in window), analysis.duration]
    begin, end = max(zip(edges[::2], edges[1::2], strict=True), key=lambda gap: gap[1] - gap[0])
    middle = (begin + end) // 2
    opened.run("(page, at) => page.views[0].set(at - 100, at + 100)", middle)
    opened.draw()
    assert page.locator(".note").is_visible()
    sql = re.search(r'"(.*)"$', page.locator(".note code").inner_text())
    assert sql
    assert page.locator(".note code").inner_text().startswith(f"tracekit query {path} ")
    seqs = set(tracekit.query(path, sql[1])["end_seq"])
    there = [
        row
        for row in trace.waits.to_pylist()
        if row["end_clock"] >= middle - 100 + first and row["entry_clock"] is not None
    ]
    assert {row["end_seq"] for row in there if row["entry_clock"] <= middle + 100 + first} == seqs
    bin_ = middle // analysis.picture.width * analysis.picture.width
    held = sum(
        max(0, min(row["end_clock"] - first, bin_ + analysis.picture.width) - max(row["start_clock"] - first, bin_))
        for row in everywhere
        if row["thread"] == threads[-1]
    )
    text = opened.over(len(threads) - 1, middle)
    assert f"{100 * held / analysis.picture.width:.1f} %" in text


def test_who_waited_for_whom_where_not_every_wait_is_there(open_report: Open) -> None:
    """Each thread's sum is exact in whole bins; who held meanwhile is told as far as the bins tell it."""
    analysis = _analyze(
        trace_file("py27-cpu2.log"), Options(), PictureLimits(bins=4096, rows=64, edge_rows=8, windows=2)
    )
    assert not analysis.picture.whole
    opened = open_report(analysis)
    opened.run("page => page.timelines[0].selection.select([0, page.views[0].extent])")
    opened.wait("page => page.timelines[0].selection.behind !== null")
    assert "to the nearest" in opened.page.locator(".selection").inner_text()
    rows = opened.run("page => [...page.timelines[0].selection.behind].map(([waiter, parts]) => [waiter, [...parts]])")
    threads = analysis.threads.to_pylist()
    blame = {(row["waiter"], row["holder"]): row["duration"] for row in analysis.blame.to_pylist()}
    for waiter, parts in rows:
        thread, waited = threads[waiter]["thread"], threads[waiter]["waited"]
        assert sum(length for _, length in parts) == pytest.approx(waited, rel=1e-3)
        for holder, length in parts:
            exact = blame.get((thread, None if holder < 0 else threads[holder]["thread"]), 0)
            assert abs(length - exact) < 0.05 * waited
