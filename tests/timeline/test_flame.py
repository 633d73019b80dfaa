"""The tree of frames that flame graphs are drawn from, against a plain reading of the table `stack_blame`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import tracekit
from tests.conftest import trace_file
from tracekit.errors import OptionError
from tracekit.timeline.flame import DEEPEST, SIDES, By, Frame

Frames = tuple[tuple[str, str, int], ...]


def story(tmp_path: Path, depth: int = 2) -> Path:
    """Two stacks that are the same frames, a stack below them, one of another thread, and one that is unknown."""
    chain = "".join(f"# stack: {n} = {n - 1} 1 {n}\n" for n in range(10, 10 + depth))
    text = f"""# gil: new
# code: 1 = 10 serve /srv/app.py
# code: 2 = 3 parse /srv/lib.py
# code: 3 = 10 serve /srv/app.py
# stack: 1 = 0 1 14
# stack: 2 = 1 2 7
# stack: 3 = 0 3 14
# stack: 9 = 2 2 8
{chain}h - 0 ENTRY 1000
h - 0 ACQUIRE 1000
w - 0 ENTRY 2000
w - 0 BUSY 2000 stack=1 sample=2
w - 0 RETRY 5002000 sample=3
w - 0 RETRY 7002000 sample={9 + depth}
h - 1 RELEASE 9000000
w - 1 ACQUIRE 9001000
h - 1 ENTRY 9002000
h - 1 BUSY 9002000
w - 1 RELEASE 9500000
h - 1 ACQUIRE 9501000
h - 1 RELEASE 9600000
"""
    path = tmp_path / "t.log"
    path.write_text(text)
    return path


def read_plainly(analysis: tracekit.Analysis, by: By) -> tuple[Counter[Frames], Counter[Frames]]:
    """Total and own time by the frames from the outermost on."""
    rows = {row["stack"]: row for row in analysis.stacks.to_pylist()}
    total: Counter[Frames] = Counter()
    own: Counter[Frames] = Counter()
    for row in analysis.stack_blame.to_pylist():
        at, frames = row[f"{by}_stack"], []
        while at is not None:
            frames.append((rows[at]["function"], rows[at]["file"], rows[at]["line"]))
            at = rows[at]["parent"]
        path = tuple(reversed(frames)) or ((None, None, None),)
        own[path] += row["duration"]
        for end in range(1, len(path) + 1):
            total[path[:end]] += row["duration"]
    return total, own


def as_paths(frames: tuple[Frame, ...]) -> tuple[Counter[Frames], Counter[Frames]]:
    total: Counter[Frames] = Counter()
    own: Counter[Frames] = Counter()
    paths: list[Frames] = []
    for frame in frames:
        path = (*(paths[frame.parent] if frame.parent >= 0 else ()), frame[:3])
        paths.append(path)
        assert frame.depth == len(path)
        assert path not in total
        total[path], own[path] = frame.total, frame.own
    return total, own


@pytest.mark.parametrize("by", SIDES)
def test_the_tree_sums_what_the_table_says(tmp_path: Path, by: By) -> None:
    for trace in (story(tmp_path), trace_file("plain.log"), trace_file("sloppy.log")):
        analysis = tracekit.analyze(trace)
        flame = analysis.flame(by)
        total, own = read_plainly(analysis, by)
        assert as_paths(flame.frames) == (total, own)
        assert flame.whole == sum(analysis.stack_blame.column("duration").to_pylist()) > 0
        assert flame.unknown == own[((None, None, None),)]
        assert tracekit.read(trace).flame(by) == flame


def test_callees_follow_their_caller_the_costliest_first(tmp_path: Path) -> None:
    frames = tracekit.analyze(story(tmp_path)).flame().frames
    assert [(frame.function, frame.line, frame.depth) for frame in frames] == [
        ("serve", 14, 1), ("parse", 7, 2), ("parse", 8, 3), ("serve", 10, 4), ("serve", 11, 5), (None, None, 1),
    ]  # fmt: skip


def test_the_costliest_keep_their_totals_and_callers(tmp_path: Path) -> None:
    flame = tracekit.analyze(story(tmp_path)).flame()
    cut = flame.costliest(3)
    assert [frame.function for frame in cut.frames] == ["serve", "parse", "parse"]
    assert cut.frames == flame.frames[:3]
    assert (cut.hidden, cut.whole) == (3, flame.whole)
    assert [frame.line for frame in flame.stack(3)] == [14, 7, 8, 10]
    assert len(flame.costliest(100, least=flame.frames[1].total).frames) == 2


def test_stacks_of_any_depth_end_somewhere(tmp_path: Path) -> None:
    flame = tracekit.analyze(story(tmp_path, depth=3 * DEEPEST)).flame()
    assert max(frame.depth for frame in flame.frames) == DEEPEST
    assert sum(frame.own for frame in flame.frames) == flame.whole


def test_there_are_two_sides(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="by 'victim'"):
        tracekit.analyze(story(tmp_path)).flame("victim")  # type: ignore[arg-type]
    assert tracekit.analyze(trace_file("slide-battle.log")).flame().frames == ()
