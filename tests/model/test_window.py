"""A time window is the trace that a recorder would have written which ran only then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tracekit
from tests.cli.test_cli import run
from tests.conftest import SAMPLES
from tracekit.analysis import analyze_window
from tracekit.model.window import window_of
from tracekit.reporters.sentences import facts

TIMED = """\
# thread: t1 = Main
t1 - - ENTRY 1000
t1 - - ACQUIRE 1000
# a line that is no event
t2 - - ENTRY 2000
t2 - - BUSY 2000
t1 - - RELEASE 3000
t2 - - ACQUIRE 3500
t2 - - RELEASE 5000 stack=7
# stack: 7 = 0 1 3
"""
TICKS = """\
t1 100 5 ENTRY
t1 90 5 ACQUIRE
t1 - - RELEASE
t1 70 - ENTRY
t1 50 6 ACQUIRE
t1 0 7 RELEASE
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.log"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (None, None, 0, 7),
        ("1us", None, 2, 7),
        ("1000ns", "2.5us", 2, 6),
        (None, "1.999us", 0, 4),
        (1000, 1000 + 1000, 2, 5),
        ("0.0000025s", None, 5, 7),
    ],
)
def test_the_events_in_it(start: Any, end: Any, first: int, last: int, tmp_path: Path, core: str) -> None:
    path = written(tmp_path, TIMED)
    whole = tracekit.read(path).events.to_pylist()
    part = tracekit.read(path, start=start, end=end)
    kept = part.events.to_pylist()
    assert [row["time"] for row in kept] == [row["time"] for row in whole[first : last if last < 7 else None]]
    assert [row["clock"] for row in kept] == [row["clock"] for row in whole[first : last if last < 7 else None]]
    assert part.metadata.get("window") == (str(window_of(start, end)) if start or end else None)


def test_what_straddles_its_edges(tmp_path: Path, core: str) -> None:
    """The wait that began before counts from its BUSY within; a hold without its ACQUIRE is none; what is open ends."""
    path = written(tmp_path, TIMED)
    part = tracekit.read(path, start="1us", end="2.5us")
    assert part.duration == 1500
    (hold,) = part.holds.to_pylist()
    assert (hold["thread"], hold["open"], hold["duration"]) == ("t2", True, 0)
    (wait,) = part.waits.to_pylist()
    assert (wait["thread"], wait["duration"]) == ("t2", 1500)
    window = window_of("1us", "2.5us")
    assert f"only what happened from {window}" in facts(analyze_window(str(path), window))
    (told,) = [row for row in part.diagnostics.to_pylist() if row["code"] == "release-without-acquire"]
    assert (told["severity"], told["line"]) == ("info", 7)


def test_definitions_behind_it_count(tmp_path: Path, core: str) -> None:
    part = tracekit.read(written(tmp_path, "# code: 1 = 1 f app.py\n" + TIMED), start="2us", end="4us")
    assert len(part.stacks) == 1
    assert part.events.column("stack").to_pylist()[-1] == 7


def test_ticks(tmp_path: Path, core: str) -> None:
    path = written(tmp_path, TICKS)
    clocks = tracekit.read(path).events.column("clock").to_pylist()
    assert clocks == [500, 510, 510, 530, 650, 800]
    assert tracekit.read(path, start="10").events.column("event").to_pylist() == [
        "ACQUIRE", "RELEASE", "ENTRY", "ACQUIRE", "RELEASE",
    ]  # fmt: skip
    assert len(tracekit.read(path, start="11", end="150").events) == 2


@pytest.mark.parametrize("name", ["py311-io4.log", "py27-cpu2.log"])
def test_two_halves_are_the_whole(name: str, core: str) -> None:
    whole = tracekit.read(SAMPLES / name)
    middle = whole.duration // 2
    halves = [tracekit.read(SAMPLES / name, end=middle), tracekit.read(SAMPLES / name, start=middle + 1)]
    assert sum(len(half.events) for half in halves) == len(whole.events)
    times = [row for half in halves for row in half.events.select(["thread", "event", "time"]).to_pylist()]
    assert times == whole.events.select(["thread", "event", "time"]).to_pylist()


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("soon", None, "start is 'soon', which is not a time in a trace"),
        ("-1s", None, "not a time in a trace"),
        ("1.5", None, "not a time in a trace"),
        (-1, None, "not a time in a trace"),
        ("2s", "1s", "start is 2s, which is not before end, 1s"),
        ("1s", "1s", "not before"),
        ("1s", "20", "one of them has no unit"),
        ("5", None, "5 ticks is not a time in this trace, which has times"),
        ("1h", None, "not a time in a trace"),
        ("99999999999s", None, "not a time in a trace"),
    ],
)
def test_nonsense_is_refused(start: Any, end: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(tracekit.OptionError, match=says):
        tracekit.read(written(tmp_path, TIMED), start=start, end=end)


def test_units_and_emptiness(tmp_path: Path) -> None:
    with pytest.raises(tracekit.OptionError, match="counts ticks, so a time in it is a plain number"):
        tracekit.read(written(tmp_path, TICKS), start="1s")
    with pytest.raises(
        tracekit.NoEventsError, match=r"no event lies from 1\.00 s to the end; the trace lasts 4\.00 µs"
    ):
        tracekit.read(written(tmp_path, TIMED), start="1s")


def test_on_the_command_line(tmp_path: Path) -> None:
    path = str(written(tmp_path, TIMED))
    window = ["--from", "1us", "--to", "2.5us"]
    assert json.loads(run("analyze", path, *window, "--json").stdout)["trace"]["metadata"]["window"] == str(
        window_of("1us", "2.5us")
    )
    count = run("query", path, "select count(*) as n from events", *window, "--format", "csv")
    assert count.stdout.split() == ["n", "4"]
    out, page = tmp_path / "out.log", tmp_path / "page.html"
    assert run("convert", path, "-o", str(out), "--to", "text", "--from", "1us", "--until", "2.5us").returncode == 0
    assert len(tracekit.read(out).events) == 4
    assert run("report", path, "-o", str(page), *window).returncode == 0
    assert page.stat().st_size > 0
    refused = run("analyze", path, "--from", "2s", "--to", "1s")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("--from is 2s, which is not before --to, 1s. ")


def test_a_picture_later_is_of_the_same_window(tmp_path: Path) -> None:
    analysis = analyze_window(str(written(tmp_path, TIMED)), window_of("1us", None))
    assert analysis.picture.duration == analysis.duration == 3000
    assert analysis.sql("select count(*) as n from events").n.tolist() == [5]
