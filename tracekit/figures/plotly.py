"""The figures as plotly takes them: plain dicts, so that nothing imports plotly before it is used.

Names of threads are escaped, since plotly reads a little HTML in text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from tracekit.figures import content
from tracekit.figures.bins import STATES, bin_spans, lane
from tracekit.figures.content import Drawable, Matrix, Spread
from tracekit.words import duration, percent

COLUMNS = 600  # of the timeline
COLOURS = {"held": "#2a9d8f", "entering": "#ddd6a6", "busy": "#f0c04c", "retried": "#7a1419", "off": "#c9d3dc"}
_WORDS = {
    "held": "holds the GIL", "entering": "wants it, not yet refused", "busy": "waits, found it taken",
    "retried": "waits, tried in vain",
}  # fmt: skip
_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
_MARKS = (
    ("median", 2, "diamond", "#d98e04"),
    ("99th percentile", 3, "line-ns-open", "#8a4f9e"),
    ("longest", 4, "triangle-left", "#c2402f"),
)
"""Of a spread's rows: name, place, symbol and colour."""
_LEAST = 0.1  # where a log axis shows 0
Figure = dict[str, Any]
"""`{"data": [...], "layout": {...}}`."""


def _labels(analysis: Drawable, threads: Sequence[int]) -> list[str]:
    """As plotly shows them, cut where they are long."""
    names = [content.label(analysis, thread) for thread in threads]
    return [escape(name if len(name) <= 28 else f"{name[:27]}…", quote=False) for name in names]


def _layout(rows: Sequence[str], **more: Any) -> dict[str, Any]:
    """With a row for each of these labels, the first on top."""
    axis = {"tickvals": list(range(len(rows))), "ticktext": list(rows), "range": [len(rows) - 0.5, -0.5]}
    return {
        "yaxis": axis | {"automargin": True, "showgrid": False, "zeroline": False},
        "margin": {"l": 10, "r": 16, "t": 10, "b": 44},
        "height": max(190, 80 + 24 * len(rows)),
        "showlegend": False,
    } | more


def timeline(analysis: Drawable) -> Figure:
    picture, threads = analysis.picture, content.busiest(analysis)
    whole = max(1, analysis.duration)
    width = whole / COLUMNS
    bars: dict[str, list[tuple[float, float, float, float]]] = {state: [] for state in STATES}
    for place, thread in enumerate(threads):
        begin, end, state, weight = lane(picture, thread)
        shares, seen = bin_spans(begin, end, state, 0, whole, COLUMNS, weight)
        top = np.zeros(COLUMNS)
        for code, name in enumerate(STATES):
            there = np.flatnonzero(seen & (1 << code))
            tall = np.minimum(np.maximum(shares[there, code], 0.03), 1) * 0.84  # nothing that occurs may vanish
            base = place + 0.42 - tall if code == 0 else place - 0.42 + top[there]
            if code:
                top[there] += tall
            bars[name] += zip(
                (there + 0.5) * width, base.tolist(), tall.tolist(), shares[there, code].tolist(), strict=True
            )
    data = []
    for name in STATES:
        x, base, tall, share = zip(*bars[name], strict=True) if bars[name] else ((), (), (), ())
        data.append(
            {
                "type": "bar", "name": _WORDS[name], "x": list(x), "y": list(tall), "base": list(base), "width": width,
                "customdata": list(share), "marker": {"color": COLOURS[name], "line": {"width": 0}},
                "hovertemplate": f"{_WORDS[name]}: %{{customdata:.1%}}<extra></extra>",
            }
        )  # fmt: skip
    axis = {"title": {"text": f"clock, {analysis.unit}"}, "range": [0, whole], "zeroline": False}
    layout = _layout(_labels(analysis, threads), xaxis=axis, barmode="overlay", bargap=0, showlegend=True)
    return {"data": data, "layout": layout}


def threads(analysis: Drawable) -> Figure:
    whole = max(1, analysis.duration)
    rows = content.bars(analysis).rows
    parts = {
        "held": [held for _, held, _ in rows],
        "waited": [waited for _, _, waited in rows],
        "off": [max(0, whole - held - waited) if analysis.duration else 0 for _, held, waited in rows],
    }
    colours = {"held": COLOURS["held"], "waited": COLOURS["busy"], "off": COLOURS["off"]}
    hatch = {"shape": "/", "fillmode": "replace", "fgcolor": "#c4922a", "bgcolor": COLOURS["busy"], "size": 6}
    labels = _labels(analysis, [thread for thread, _, _ in rows])
    data = [
        {
            "type": "bar", "orientation": "h", "name": name, "y": list(range(len(rows))),
            "x": [value / whole for value in values],
            "customdata": [[label, duration(x, analysis.unit)] for label, x in zip(labels, values, strict=True)],
            "marker": {"color": colours[name], "pattern": hatch | {"solidity": 0.25} if name == "waited" else {}},
            "hovertemplate": f"%{{customdata[0]}}: {name} %{{customdata[1]}}, %{{x:.1%}}<extra></extra>",
        }
        for name, values in parts.items()
    ]  # fmt: skip
    axis = {"tickformat": ".0%", "range": [0, 1], "zeroline": False}
    return {
        "data": data,
        "layout": _layout(
            labels, xaxis=axis, barmode="stack", bargap=0.28, showlegend=True,
            legend=_LEGEND | {"traceorder": "normal"},
        ) | {"margin": {"l": 10, "r": 16, "t": 34, "b": 36}},
    }  # fmt: skip


def _matrix(
    analysis: Drawable, shown: Matrix, words: Callable[[int], str], axes: tuple[str, str], hover: str, colour: str,
    least: float,
) -> Figure:  # fmt: skip
    """A heat map of labelled rows and columns; with the numbers in it while there is room.

    least: the darkest cell stands for this at least, so that little does not look like much.
    """
    rows, columns = _labels(analysis, shown.rows), _labels(analysis, shown.columns)
    values = {(y, x): value for y, x, value in shown.cells}
    z = [[values.get((y, x)) for x in range(len(columns))] for y in range(len(rows))]
    text = [["" if value is None else words(value) for value in line] for line in z]
    names = [[[row, column] for column in columns] for row in rows]
    data = {
        "type": "heatmap", "z": z, "text": text, "customdata": names, "xgap": 2, "ygap": 2,
        "zmin": 0, "zmax": max([least, *values.values()]),
        "colorscale": [[0, f"rgba({colour},0.06)"], [1, f"rgba({colour},0.72)"]], "showscale": False,
        "hovertemplate": hover, "hoverongaps": False,
    }  # fmt: skip
    if len(columns) <= 8:
        data["texttemplate"] = "%{text}"
    layout = _layout(rows, height=max(180, 110 + 30 * len(rows)))
    layout["xaxis"] = {
        "tickvals": list(range(len(columns))), "ticktext": list(columns), "title": {"text": axes[1]}, "showgrid": False,
        "zeroline": False, "automargin": True, "tickangle": 0 if len(columns) <= 6 else -40,
    }  # fmt: skip
    layout["yaxis"]["title"] = {"text": axes[0]}
    layout["margin"]["b"] = 60
    return {"data": [data], "layout": layout}


def blame(analysis: Drawable) -> Figure:
    whole = max(1, analysis.duration)
    return _matrix(
        analysis, content.blame(analysis), lambda value: percent(value / whole), ("waits", "while this one holds"),
        "%{customdata[0]} waited %{text} of the trace<br>behind %{customdata[1]}<extra></extra>", "196,74,62",
        0.1 * whole,
    )  # fmt: skip


def handoffs(analysis: Drawable) -> Figure:
    return _matrix(
        analysis, content.handoffs(analysis), lambda value: f"{value:,}", ("from", "to"),
        "%{customdata[0]} handed the GIL to %{customdata[1]}<br>%{text} times<extra></extra>", "70,110,170", 10,
    )  # fmt: skip


def spread(analysis: Drawable, kind: str) -> Figure:
    """How long things took: a strip a thread on a log axis, taller where more of them lie, and three quantiles."""
    shown = content.spread(analysis, kind)
    labels = _labels(analysis, [row[0] for row in shown.rows])
    marks = [_quantile_marks(shown, labels, *mark, analysis.unit) for mark in _MARKS]
    axis = _log_axis(shown, analysis.unit)
    layout = _layout(labels, xaxis=axis, showlegend=True, legend=_LEGEND, barmode="overlay")
    layout["margin"]["t"] = 34
    return {"data": [_strips(shown, labels, analysis.unit), *marks], "layout": layout}


def _strips(shown: Spread, labels: Sequence[str], unit: str) -> dict[str, Any]:
    """A bar a bucket, as tall and as dark as the root of its share: the eye compares areas."""
    rows, lows, highs, counts = zip(*shown.buckets, strict=True) if shown.buckets else ((), (), (), ())
    parts = [number / shown.rows[row][1] for row, number in zip(rows, counts, strict=True)]
    base = [max(low, _LEAST) for low in lows]
    words = [
        [labels[row], f"{number:,} ({percent(part)})", f"{duration(low, unit)} – {duration(high, unit)}"]
        for row, low, high, number, part in zip(rows, lows, highs, counts, parts, strict=True)
    ]
    return {
        "type": "bar", "orientation": "h", "showlegend": False, "base": base, "y": list(rows),
        "x": [max(high, 1) - least for high, least in zip(highs, base, strict=True)],
        "width": [0.1 + 0.7 * part**0.5 for part in parts], "customdata": words,
        "marker": {"color": [f"rgba(64,122,176,{0.3 + 0.65 * part**0.5:.2f})" for part in parts], "line": {"width": 0}},
        "hovertemplate": "%{customdata[0]}: %{customdata[1]} took %{customdata[2]}<extra></extra>",
    }  # fmt: skip


def _quantile_marks(
    shown: Spread, labels: Sequence[str], name: str, place: int, symbol: str, colour: str, unit: str
) -> dict[str, Any]:
    values = [row[place] for row in shown.rows]
    edge = {"width": 2.5, "color": colour} if symbol.endswith("open") else {"width": 1.2, "color": "#ffffff"}
    return {
        "type": "scatter", "mode": "markers", "name": name,
        "x": [max(value, _LEAST) for value in values], "y": list(range(len(values))),
        "customdata": [[label, duration(value, unit)] for label, value in zip(labels, values, strict=True)],
        "marker": {"symbol": symbol, "size": 11, "color": colour, "line": edge},
        "hovertemplate": f"%{{customdata[0]}}: {name} %{{customdata[1]}}<extra></extra>",
    }  # fmt: skip


def _log_axis(shown: Spread, unit: str) -> dict[str, Any]:
    """From the power of ten below everything to the one above, marked at each."""
    least = max(min((low for _, low, _, _ in shown.buckets), default=1), _LEAST)
    most = max((high for _, _, high, _ in shown.buckets), default=10)
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(max(most, 10)))
    every = 1 + (last - first) // 7
    powers = list(range(max(first, 0), last + 1, every))
    labels = [duration(10**power, unit).replace(".00", "").replace(".0", "").removesuffix(" ticks") for power in powers]
    if least < 1:
        powers, labels = [math.log10(_LEAST), *powers], ["0", *labels]  # type: ignore[list-item]
    axis = {"type": "log", "tickvals": [10**power for power in powers], "ticktext": labels, "zeroline": False}
    return axis | {"range": [math.log10(least) - 0.1 if least < 1 else first - 0.05, last + 0.05], "automargin": True}


def waiting(analysis: Drawable) -> Figure:
    rows = content.waiting(analysis).rows
    whole = max(1, sum(length for _, length in rows))
    data = {
        "type": "bar", "x": [number for number, _ in rows], "y": [length / whole for _, length in rows],
        "customdata": [duration(length, analysis.unit) for _, length in rows],
        "marker": {"color": [COLOURS["off" if number == 0 else "busy"] for number, _ in rows]},
        "hovertemplate": "%{x} waiting for %{customdata}, %{y:.1%} of the time<extra></extra>",
    }  # fmt: skip
    step = 1 if max((number for number, _ in rows), default=0) <= 12 else None
    layout = {
        "xaxis": {"title": {"text": "threads waiting at once"}, "dtick": step, "zeroline": False, "showgrid": False},
        "yaxis": {"tickformat": ".0%", "range": [0, 1], "zeroline": False, "automargin": True},
        "margin": {"l": 10, "r": 16, "t": 10, "b": 44}, "height": 260, "showlegend": False, "bargap": 0.3,
    }  # fmt: skip
    return {"data": [data], "layout": layout}
