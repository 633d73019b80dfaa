"""A fleet's summary as one HTML page: no script, no request, thread names as text only."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Container
from pathlib import Path

from tracekit.fleet.reporters import headline, more, report_command, report_file, share, told
from tracekit.fleet.summary import SHARES, Summary
from tracekit.words import count, duration, printable

_HERE = Path(__file__).parent
BIN_WIDTH, BIN_HEIGHT = 14, 56  # of a histogram's bars
UNFOLDED = 15  # rows of a table; the others on demand


def render(summary: Summary, reports: Container[str] = ()) -> str:
    """The page's text. reports: the files that are there, as `report_file` names them. Needs Jinja2."""
    from jinja2 import Environment, StrictUndefined

    style = (_HERE / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "count": count, "duration": duration, "printable": printable, "share": share, "bars": _bars
    }  # fmt: skip
    template = environment.from_string((_HERE / "page.html.jinja").read_text(encoding="utf-8"))
    page = template.render(
        summary=summary, style=style, style_hash=f"sha256-{digest}", headline=headline(summary), told=told,
        more=lambda name, shown: more(summary, name, shown), shares=SHARES, bin_height=BIN_HEIGHT, bin_width=BIN_WIDTH,
        unfolded=UNFOLDED, report_file=report_file, reports=reports,
        command=lambda trace: report_command(trace, summary.folder),
    )  # fmt: skip
    return page + "\n"


def _bars(counts: list[int]) -> list[tuple[int, float, float, int]]:
    """Of each bar: x, y, height and what it counts. Not one that counts something is too low to be seen."""
    most = max(counts, default=0) or 1
    heights = [max(1.5, BIN_HEIGHT * number / most) if number else 0.0 for number in counts]
    return [
        (place * BIN_WIDTH, round(BIN_HEIGHT - height, 2), round(height, 2), number)
        for place, (height, number) in enumerate(zip(heights, counts, strict=True))
    ]
