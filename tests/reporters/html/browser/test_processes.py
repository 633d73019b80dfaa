"""A program's processes on one page, on one clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tracekit.analysis import analyze
from tracekit.reporters.matter import ranked

from .conftest import Open

STARTED = "# pid: {}\n# command: python {}.py\n# started: 2026-11-25T20:42:{:012.9f}+00:00\n"


def processes(tmp_path: Path) -> list[Path]:
    """Three, of which the second began 0.25 s and the third 1.5 s after the first."""
    made = []
    names = ("py311-cpu2", "py311-longhold", "py311-echo-convoy")
    for pid, (name, second) in enumerate(zip(names, (37.9, 38.15, 39.4), strict=True), 1):
        events = [line for line in (SAMPLES / f"{name}.log").read_text().splitlines() if not line.startswith("# pid")]
        first = next(int(line.split()[4]) for line in events if not line.startswith("#"))
        moved = [line if line.startswith("#") else _moved(line, first) for line in events]
        path = tmp_path / f"out.log.{pid}"
        path.write_text(STARTED.format(pid, name, second) + "\n".join(moved) + "\n")
        made.append(path)
    return made


def _moved(line: str, first: int) -> str:
    thread, ticks, checks, event, time, *rest = line.split()
    return " ".join([thread, ticks, checks, event, str(int(time) - first), *rest])


def test_processes_stand_under_each_other_on_one_clock(open_report: Open, tmp_path: Path) -> None:
    paths = processes(tmp_path)
    analyses = ranked([analyze(path) for path in paths])
    opened = open_report(*analyses, folder="out")
    begins = {1: 0, 2: 250_000_000, 3: 1_500_000_000}
    shown = opened.run("page => page.models.map(model => [model.about.name, model.offset, model.duration])")
    assert {name: offset for name, offset, _ in shown} == {f"out.log.{pid}": begins[pid] for pid in begins}
    whole = max(offset + duration for _, offset, duration in shown)
    assert set(opened.run("page => page.views.map(view => view.extent)")) == {whole}
    opened.run("page => page.views[0].set(page.views[0].begin + 3e8, page.views[0].begin + 5e8)")
    for from_, to in opened.run("page => page.views.map(view => [view.from - view.begin, view.to - view.begin])"):
        assert (from_, to) == pytest.approx((3e8, 5e8))
    table = opened.page.get_by_role("region", name="Processes")
    for analysis in analyses:
        row = table.locator("tr", has_text=f"tracekit report {analysis.path}").inner_text()
        assert (analysis.findings[0].title if analysis.findings else "nothing worth naming") in row
    opened.page.get_by_role("button", name="Show the timeline of process 3").click()
    # What a hover tells is on the page's clock, the command for the trace alone on its own.
    third = next(i for i, (name, _, _) in enumerate(shown) if name == "out.log.3")
    opened.run("(page, place) => page.views[place].reset()", third)
    moment = opened.run(
        """(page, place) => {
            const { model, selection } = page.timelines[place];
            selection.select([1e8, 2e8]);
            return [selection.element.textContent, model.offset];
        }""",
        third,
    )
    assert "from 1.600000 s to 1.700000 s" in moment[0]
    assert "--from 100000000ns --to 200000000ns" in moment[0]


def test_traces_that_do_not_tell_when_they_began(open_report: Open, tmp_path: Path) -> None:
    analyses = [analyze(SAMPLES / name) for name in ("py311-cpu2.log", "py311-io4.log", "slide-battle.log")]
    opened = open_report(*ranked(analyses), folder="all")
    assert "each begins at 0 here" in opened.page.locator("main").inner_text()
    assert opened.run("page => page.views.map(view => view.begin)") == [0, 0, 0]
