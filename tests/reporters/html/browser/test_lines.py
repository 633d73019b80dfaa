"""At which lines was waited: the table of lines, and the flame graph of blame by stack."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import tracekit
from tests.conftest import trace_file
from tracekit.words import duration

from .conftest import Open

TEXT = """# gil: new
# thread: h = hog
# code: 1 = 10 serve /srv/app.py
# code: 2 = 3 <img/src=x> /srv/</script>.py
# code: 3 = 340 decode /usr/lib/json.py
# stack: 1 = 0 1 14
# stack: 2 = 1 2 7
# stack: 3 = 2 3 355
h - 0 ENTRY 1000
h - 0 ACQUIRE 1000
w - 0 ENTRY 2000
w - 0 BUSY 2000 stack=1 sample=2
w - 0 RETRY 5002000 sample=3
h - 1 RELEASE 9000000
w - 1 ACQUIRE 9001000
h - 1 ENTRY 9002000
h - 1 BUSY 9002000
w - 1 RELEASE 9500000
h - 1 ACQUIRE 9501000
h - 1 RELEASE 9600000
"""


def frames(opened: Any) -> dict[str, str]:
    """Each frame's name and what is told of it."""
    told = opened.page.locator(".flame .frame").evaluate_all("all => all.map(each => each.getAttribute('aria-label'))")
    return dict(text.split(": ", 1) for text in told)


def test_the_flame_graph_sums_what_was_waited_while_somebody_held(open_report: Open, tmp_path: Path) -> None:
    (tmp_path / "t.log").write_text(TEXT)
    analysis = tracekit.analyze(tmp_path / "t.log")
    sums: Counter[int | None] = Counter()
    for row in analysis.stack_blame.to_pylist():
        sums[row["holder_stack"]] += row["duration"]
    opened = open_report(tmp_path / "t.log")
    opened.draw_figures()
    shown = frames(opened)
    assert shown["all"].startswith(duration(sum(sums.values()), "ns"))
    assert shown["decode (json.py:355)"].startswith(duration(sums[3], "ns"))
    assert shown["<img/src=x> (script>.py:7)"].startswith(duration(sums[2] + sums[3], "ns"))
    assert shown["stack unknown"].startswith(duration(sums[None], "ns"))
    assert opened.page.locator("img").count() == 0

    decode = opened.page.locator(".flame .frame", has_text="decode")
    decode.focus()
    opened.page.keyboard.press("Enter")
    assert list(frames(opened)) == ["decode (json.py:355)"]
    opened.page.get_by_role("button", name="all of it").click()
    assert frames(opened) == shown
    opened.page.get_by_role("button", name="by the waiter's stack").click()
    shown = frames(opened)
    assert shown["serve (app.py:14)"].startswith(duration(sums[2] + sums[3], "ns"))


def test_the_lines_are_those_of_the_table(open_report: Open, tmp_path: Path) -> None:
    (tmp_path / "t.log").write_text(TEXT)
    rows = tracekit.analyze(tmp_path / "t.log").lines.to_pylist()
    opened = open_report(tmp_path / "t.log")
    shown = opened.page.locator("section[aria-label='At which lines'] tbody tr")
    assert shown.count() == len(rows) >= 3
    for row, text in zip(rows, shown.all_inner_texts(), strict=True):
        assert text.startswith(duration(row["duration"], "ns"))
        assert (row["holder_function"] or "unknown") in text
        assert (row["waiter_function"] or "unknown") in text


def test_without_stacks_there_is_no_such_section(open_report: Open) -> None:
    opened = open_report(trace_file("slide-sample.log"))
    assert opened.page.locator("section[aria-label='At which lines']").count() == 0


def test_two_traces_are_compared_by_line(open_report: Open, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(TEXT)
    (tmp_path / "b.log").write_text(TEXT.replace("stack: 3 = 2 3 355", "stack: 3 = 2 3 366"))
    both = [tracekit.analyze(tmp_path / f"{name}.log") for name in "ab"]
    opened = open_report(tmp_path / "a.log", tmp_path / "b.log")
    shown = opened.page.get_by_role("region", name="Lines of both").locator("tbody tr").all_inner_texts()
    lines = tracekit.compare(*both).lines
    assert len(shown) == len(lines) >= 2
    for text, line in zip(shown, lines, strict=True):
        assert text.split("\t")[:3] == [line.where, *(f"{100 * share:.1f} %" for share in (line.before, line.after))]


def test_a_selection_has_its_own_lines_and_the_panel_its_stacks(open_report: Open, tmp_path: Path) -> None:
    (tmp_path / "t.log").write_text(TEXT)
    analysis = tracekit.analyze(tmp_path / "t.log")
    opened = open_report(tmp_path / "t.log")
    opened.run("page => { page.views[0].use('clock'); page.timelines[0].selection.select([0, page.views[0].extent]); }")
    opened.wait("page => page.timelines[0].selection.waited !== null")
    selection = opened.page.locator(".selection")
    selection.get_by_role("button", name="at which lines").click()
    told = selection.locator(".lines tbody tr").evaluate_all("rows => rows.map(row => row.children[0].textContent)")
    assert told == [duration(row["duration"], "ns") for row in analysis.lines.to_pylist()]
    whole = frames(opened)
    assert whole["serve (app.py:14)"].startswith(duration(sum(analysis.lines["duration"].to_pylist()) - 499_000, "ns"))
    # Only what follows the second sample: all of it by the line that this one names.
    opened.run("page => page.timelines[0].selection.select([5.1e6, 8e6])")
    opened.wait("page => page.timelines[0].selection.waited !== null")
    selection.get_by_role("button", name="at which lines").click()
    assert "decode" in selection.locator(".lines tbody tr").all_inner_texts()[0]
    assert selection.locator(".lines tbody tr").count() == 1
    opened.run(
        "page => page.timelines[0].panel.lock({ lane: page.timelines[0].model.lanes[1], table: 'waits', row: 0 })"
    )
    panel = opened.page.locator(".panel").inner_text()
    assert "serve (app.py:14)" in panel
    assert "decode (json.py:355)" in panel
    assert "cause" in panel
