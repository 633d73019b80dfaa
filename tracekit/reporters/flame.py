"""A flame graph as text, as an SVG, and for the viewers of others."""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from tracekit.timeline.flame import Flame, Frame
from tracekit.version import VERSION
from tracekit.words import at_line, count, duration, percent, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

UNKNOWN = "stack unknown"
LEAST = 0.01
"""Of all: frames below are not in the text."""
ROWS = 40
_SIDES = {"holder": "who held it", "waiter": "who waited"}
_WIDTH, _ROW, _NARROW, _CHARACTER = 1200, 18, 1.0, 6.6  # of the SVG, in its pixels
_COLOURS = ("#f2c38f", "#f0ad7f", "#eed596", "#e8b6a0")


def heading(flame: Flame) -> str:
    """What the widths are."""
    known = f", known for {percent(1 - flame.unknown / flame.whole)}" if flame.whole else ""
    waited = f"{duration(flame.whole, flame.unit)} waited while another thread held the GIL"
    return f"{waited}, by the stack of {_SIDES[flame.by]}{known}"


def named(frame: Frame) -> str:
    """`parse (app.py:42)`"""
    if frame.function is None:
        return UNKNOWN
    return printable(at_line(frame.function, posixpath.basename(frame.file or ""), frame.line))


def render(flame: Flame) -> RenderableType:
    """What rich prints: the costliest frames as a tree. It is indented only where it branches."""
    from rich.console import Group
    from rich.text import Text

    shown = flame.costliest(ROWS, int(LEAST * flame.whole))
    lines: list[RenderableType] = [Text(f"{heading(flame)}.", style="bold"), Text()]
    callees = [0] * len(shown.frames)
    for frame in shown.frames:
        if frame.parent >= 0:
            callees[frame.parent] += 1
    indents: list[int] = []
    for place, frame in enumerate(shown.frames):
        above = frame.parent
        branches = above >= 0 and (callees[above] > 1 or shown.frames[above].own >= LEAST * flame.whole)
        indents.append((indents[above] + branches) if above >= 0 else 0)
        told = f"{percent(frame.total / flame.whole):>8}  {duration(frame.total, flame.unit):>9}  "
        own = frame.own >= LEAST * flame.whole
        mine = f", {percent(frame.own / flame.whole)} in itself" if own and callees[place] else ""
        lines.append(
            Text(told + "  " * indents[-1]).append(named(frame), style="bold" if own else "").append(mine, style="dim")
        )
    if shown.hidden:
        lines.append(
            Text(f"{count(shown.hidden, 'smaller frame')} not shown; -o x.html or x.svg has them.", style="dim")
        )
    return Group(*lines)


def collapsed(flame: Flame, title: str) -> str:
    """A line for each stack, `outermost;...;innermost N`: what flamegraph.pl and most others read."""
    lines = []
    words: list[str] = []
    for frame in flame.frames:
        name = UNKNOWN if frame.function is None else at_line(frame.function, frame.file or "", frame.line)
        del words[frame.depth - 1 :]
        words.append(printable(name).replace(";", ":"))
        if frame.own:
            lines.append(f"{';'.join(words)} {frame.own}\n")
    return "".join(lines)


def speedscope(flame: Flame, title: str) -> str:
    """A profile for https://www.speedscope.app."""
    places: dict[tuple[Any, ...], int] = {}
    stack: list[int] = []
    samples, weights = [], []
    for frame in flame.frames:
        del stack[frame.depth - 1 :]
        stack.append(places.setdefault(frame[:3], len(places)))
        if frame.own:
            samples.append(list(stack))
            weights.append(frame.own)
    frames = [
        {"name": UNKNOWN} if name is None else {"name": f"{name}:{line}", "file": file, "line": line}
        for name, file, line in places
    ]
    profile = {
        "type": "sampled",
        "name": f"{heading(flame)}: {title}",
        "unit": "nanoseconds" if flame.unit == "ns" else "none",
        "startValue": 0,
        "endValue": sum(weights),
        "samples": samples,
        "weights": weights,
    }
    told = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": f"tracekit {VERSION}",
        "name": title,
        "shared": {"frames": frames},
        "profiles": [profile],
    }
    return json.dumps(told, ensure_ascii=False) + "\n"


def svg(flame: Flame, title: str) -> str:
    """A picture without a script: the outermost frame on top. What is under the pointer is told by its title."""
    left = [0.0] * len(flame.frames)
    after: dict[int, float] = {}
    parts, deepest = [], 0
    scale = _WIDTH / flame.whole if flame.whole else 0.0
    for place, frame in enumerate(flame.frames):
        left[place] = after.get(frame.parent, left[frame.parent] if frame.parent >= 0 else 0.0)
        width = frame.total * scale
        after[frame.parent] = left[place] + width
        if width >= _NARROW:
            deepest = max(deepest, frame.depth)
            parts.append(_box(frame, flame, left[place], width))
    height = (deepest + 2) * _ROW
    words = escape(printable(f"{title}: {heading(flame)}"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="ui-sans-serif, system-ui, sans-serif" font-size="12">\n<title>{words}</title>\n'
        f'<rect width="100%" height="100%" fill="#fffdf8"/>\n<text x="4" y="13">{words}</text>\n'
        f"{''.join(parts)}</svg>\n"
    )


def _box(frame: Frame, flame: Flame, left: float, width: float) -> str:
    name, top = named(frame), frame.depth * _ROW
    where = "" if frame.function is None else printable(f"\n{frame.file}:{frame.line}")
    about = f"{name}: {duration(frame.total, flame.unit)}, {percent(frame.total / flame.whole)}{where}"
    fits = int((width - 6) / _CHARACTER)
    shown = name if len(name) <= fits else f"{name[: fits - 1]}…" if fits > 3 else ""
    text = f'<text x="{left + 3:.2f}" y="{top + 13}">{escape(shown)}</text>' if shown else ""
    return (
        f'<g><title>{escape(about)}</title><rect x="{left:.2f}" y="{top}" width="{max(width - 0.5, 0.5):.2f}" '
        f'height="{_ROW - 1}" fill="{_COLOURS[frame.depth % len(_COLOURS)]}"/>{text}</g>\n'
    )
