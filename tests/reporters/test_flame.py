"""`tracekit flame`: a tree for the terminal, and formats for viewers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

import tracekit
from tests.cli.test_cli import run
from tests.conftest import trace_file
from tests.timeline.test_flame import story
from tracekit.reporters import flame as reporter
from tracekit.words import duration

HOSTILE = "<a&b;c>\\x0a"


def hostile(tmp_path: Path) -> Path:
    path = story(tmp_path)
    path.write_text(path.read_text().replace("3 parse", f"3 {HOSTILE}"))
    return path


def test_the_terminal_gets_a_tree(tmp_path: Path) -> None:
    done = run("flame", str(story(tmp_path)))
    assert done.returncode == 0, done.stderr
    flame = tracekit.analyze(story(tmp_path)).flame()
    told = [words for line in done.stdout.splitlines()[2:] if "serve" in (words := line.split())]
    assert [(words[2], words[3], words[5].rstrip(",")) for words in told] == [
        (*duration(frame.total, "ns").split(), f"(app.py:{frame.line})")
        for frame in flame.frames
        if frame.function == "serve"
    ]
    assert done.stdout.startswith(f"{duration(flame.whole, 'ns')} waited while another thread held the GIL")


def test_collapsed_stacks_sum_to_the_whole(tmp_path: Path) -> None:
    flame = tracekit.analyze(hostile(tmp_path)).flame()
    sums: Counter[str] = Counter()
    for line in reporter.collapsed(flame, "t").splitlines():
        stack, _, number = line.rpartition(" ")
        sums[stack] += int(number)
    assert sums.total() == flame.whole
    assert sums[r"serve (/srv/app.py:14);<a&b:c>\n (/srv/lib.py:7)"] == flame.frames[1].own > 0
    assert sums[reporter.UNKNOWN] == flame.unknown > 0


def test_the_picture_is_well_formed_whatever_functions_are_called(tmp_path: Path) -> None:
    flame = tracekit.analyze(hostile(tmp_path)).flame()
    root = ElementTree.fromstring(reporter.svg(flame, "t <&>"))
    groups = root.findall("{http://www.w3.org/2000/svg}g")
    assert len(groups) == len([frame for frame in flame.frames if 1200 * frame.total / flame.whole >= 1])
    title = groups[0][0].text or ""
    assert title.startswith(f"serve (app.py:14): {duration(flame.frames[0].total, 'ns')}, ")
    assert title.endswith("/srv/app.py:14")
    assert (groups[1][0].text or "").startswith(r"<a&b;c>\n (lib.py:7)")
    widths = [float(group[1].attrib["width"]) for group in groups]
    assert widths[1] < widths[0] < 1200


@pytest.mark.parametrize("ending", [".svg", ".html", ".speedscope.json", ".collapsed"])
def test_the_ending_chooses_the_format(ending: str, tmp_path: Path) -> None:
    out = tmp_path / f"x{ending}"
    done = run("flame", str(story(tmp_path)), "--by", "waiter", "-o", str(out))
    assert (done.returncode, done.stdout) == (0, "")
    assert "by the stack of who waited" in done.stderr
    text = out.read_text()
    assert "serve" in text
    if ending == ".speedscope.json":
        assert sum(json.loads(text)["profiles"][0]["weights"]) == tracekit.analyze(story(tmp_path)).flame().whole


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    for arguments, words in (
        ([str(story(tmp_path)), "-o", str(tmp_path / "x.png")], "cannot infer the format"),
        ([str(trace_file("slide-battle.log"))], "tells no stacks. Record it"),
        ([str(story(tmp_path)), "--by", "victim"], "victim"),
    ):
        done = run("flame", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
    assert not (tmp_path / "x.png").exists()
