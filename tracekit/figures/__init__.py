"""The figures of a report as plotly takes them: plain dicts, so that making a report need not import plotly.

`FIGURES` lists them. Names of threads are escaped, since plotly reads a little HTML in text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.errors import OptionError
from tracekit.model.arrays import NULL, int64_values
from tracekit.model.rows import Rows
from tracekit.timeline.picture import Picture
from tracekit.words import count, duration, percent

THREADS_SHOWN = 24
COLUMNS = 600  # of the timeline
STATES = ("held", "entering", "busy", "retried")
COLOURS = {"held": "#4fa86b", "entering": "#ddd6a6", "busy": "#f0c04c", "retried": "#d65a4e", "off": "#c9d3dc"}
_WORDS = {
    "held": "holds the GIL", "entering": "wants it, not yet refused", "busy": "waits, found it taken",
    "retried": "waits, tried in vain",
}  # fmt: skip
Figure = dict[str, Any]
"""`{"data": [...], "layout": {...}}`."""


class Drawable(Protocol):
    """What figures need of an `Analysis`."""

    @property
    def unit(self) -> str: ...
    @property
    def duration(self) -> int: ...
    @property
    def tables(self) -> Mapping[str, pa.Table]: ...
    @property
    def names(self) -> dict[str, str]: ...
    @property
    def picture(self) -> Picture: ...


@dataclass(frozen=True)
class Drawing:
    """A figure's title, what it shows in a sentence or two, and how it is made."""

    title: str
    about: str
    make: Callable[[Drawable], Figure]
    tell: Callable[[Drawable], str]
    """What it shows of this trace, for those who do not see it."""


def figure(analysis: Drawable, name: str) -> Figure:
    """One of `FIGURES`. Raises OptionError for one that there is not."""
    if name not in FIGURES:
        raise OptionError(f"There is no figure {name!r}.", f"There are {', '.join(FIGURES)}.")
    return FIGURES[name].make(analysis)


def bin_spans(
    begin: npt.NDArray[Any], end: npt.NDArray[Any], state: npt.NDArray[Any], start: float, stop: float, columns: int,
    weight: npt.NDArray[Any] | float = 1.0,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:  # fmt: skip
    """What each of so many columns between two clocks shows: the page's script does the same.

    Returns the share of each state in each column, (columns, len(STATES)), and a bit for each state that occurs in it
    at all, however short.
    """
    inside = (end >= start) & (begin < stop)
    scale = columns / (stop - start)
    left = np.maximum((begin[inside] - start) * scale, 0)
    right = np.minimum((end[inside] - start) * scale, columns)
    first = np.minimum(np.floor(left).astype(np.int64), columns - 1)
    behind = np.minimum(np.maximum(np.ceil(right).astype(np.int64), first + 1), columns)
    code = state[inside]
    weights = np.broadcast_to(weight, begin.shape)[inside]
    shares = np.zeros((columns + 1, len(STATES)))
    steps = np.zeros((columns + 1, len(STATES)))
    touched = np.zeros((columns + 1, len(STATES)), np.int64)
    single = behind - first == 1
    np.add.at(shares, (first, code), weights * np.where(single, right - left, first + 1 - left))
    many = ~single
    np.add.at(shares, (behind[many] - 1, code[many]), (weights * (right - behind + 1))[many])
    np.add.at(steps, (first[many] + 1, code[many]), weights[many])
    np.add.at(steps, (behind[many] - 1, code[many]), -weights[many])
    np.add.at(touched, (first, code), 1)
    np.add.at(touched, (behind, code), -1)
    shares += np.cumsum(steps, axis=0)
    seen = (np.cumsum(touched, axis=0) > 0) << np.arange(len(STATES))
    return shares[:columns], seen[:columns].sum(axis=1).astype(np.uint8)


def lane(picture: Picture, thread: int) -> tuple[Rows, Rows, Rows, Rows]:
    """A thread's spans as `bin_spans` takes them, begin, end, state, weight; its cells where not all are there."""
    if not picture.whole:
        return _cells(picture, thread)
    holds = picture.holds[picture.holds["thread"] == thread]
    waits = picture.waits[picture.waits["thread"] == thread]
    asked = holds[(holds["waited"] > 0) & ~np.isin(holds["start_seq"], waits["end_seq"])]
    retry = np.where(waits["retry"] < 0, waits["end"], waits["retry"])
    tried = waits["retry"] >= 0
    parts = (
        (holds["start"], holds["end"]),
        (
            np.concatenate((asked["start"] - asked["waited"], waits["entry"])),
            np.concatenate((asked["start"], waits["busy"])),
        ),
        (waits["busy"], retry),
        (waits["retry"][tried], waits["end"][tried]),
    )
    begin, end = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    state = np.repeat(np.arange(len(STATES)), [len(part[0]) for part in parts])
    there = (state != STATES.index("entering")) | (end > begin)
    return begin[there], end[there], state[there], np.ones(int(there.sum()))


def _cells(picture: Picture, thread: int) -> tuple[Rows, Rows, Rows, Rows]:
    cells = picture.cells[picture.cells["thread"] == thread]
    times = np.stack([cells[name] for name in STATES])
    state, place = np.nonzero(times)
    begin = cells["bin"][place].astype(np.int64) * picture.width
    return begin, begin + picture.width, state, times[state, place] / picture.width


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table.column(name).to_pylist() for name in names]


def _name(analysis: Drawable, thread: str | None) -> str:
    """As plotly shows it, cut where it is long."""
    if thread is None:
        return "nobody"
    name = analysis.names[thread]
    return escape(name if len(name) <= 28 else f"{name[:27]}…", quote=False)


def busiest(analysis: Drawable) -> list[str]:
    """The threads that a figure has room for: those which held and waited most."""
    threads, held, waited = _columns(analysis.tables["threads"], "thread", "held", "waited")
    order = sorted(range(len(threads)), key=lambda i: -(held[i] + waited[i]))[:THREADS_SHOWN]
    return [threads[i] for i in order]


def _layout(rows: Sequence[str], **more: Any) -> dict[str, Any]:
    """With a row for each of these labels, the first on top."""
    axis = {"tickvals": list(range(len(rows))), "ticktext": list(rows), "range": [len(rows) - 0.5, -0.5]}
    return {
        "yaxis": axis | {"automargin": True, "showgrid": False, "zeroline": False},
        "margin": {"l": 10, "r": 16, "t": 10, "b": 44},
        "height": max(190, 80 + 24 * len(rows)),
        "showlegend": False,
    } | more


def _timeline(analysis: Drawable) -> Figure:
    picture, threads = analysis.picture, busiest(analysis)
    known = analysis.tables["threads"].column("thread").to_pylist()
    whole = max(1, analysis.duration)
    width = whole / COLUMNS
    bars: dict[str, list[tuple[float, float, float, float]]] = {state: [] for state in STATES}
    for place, thread in enumerate(threads):
        begin, end, state, weight = lane(picture, known.index(thread))
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
    unit = {"ns": "ns", "ticks": "ticks"}[analysis.unit]
    labels = [_name(analysis, thread) for thread in threads]
    axis = {"title": {"text": f"clock, {unit}"}, "range": [0, whole], "zeroline": False}
    return {"data": data, "layout": _layout(labels, xaxis=axis, barmode="overlay", bargap=0, showlegend=True)}


def _threads(analysis: Drawable) -> Figure:
    whole = max(1, analysis.duration)
    threads, held, waited = _columns(analysis.tables["threads"], "thread", "held", "waited")
    of = dict(zip(threads, zip(held, waited, strict=True), strict=True))
    shown = busiest(analysis)
    parts = {
        "held": [of[thread][0] for thread in shown],
        "waited": [of[thread][1] for thread in shown],
        "off": [max(0, whole - sum(of[thread])) if analysis.duration else 0 for thread in shown],
    }
    colours = {"held": COLOURS["held"], "waited": COLOURS["busy"], "off": COLOURS["off"]}
    hatch = {"shape": "/", "fillmode": "replace", "fgcolor": "#c4922a", "bgcolor": COLOURS["busy"], "size": 6}
    labels = [_name(analysis, thread) for thread in shown]
    data = [
        {
            "type": "bar", "orientation": "h", "name": name, "y": list(range(len(shown))),
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


def _tell_threads(analysis: Drawable) -> str:
    whole = max(1, analysis.duration)
    rows = {row["thread"]: row for row in analysis.tables["threads"].to_pylist()}
    shown = [(analysis.names[thread], rows[thread]) for thread in busiest(analysis)[:6]]
    shares = [
        f"{n} held {percent(row['held'] / whole)} and waited {percent(row['waited'] / whole)}" for n, row in shown
    ]
    return f"Of the trace's time {'; '.join(shares)}."


def _matrix(
    rows: Sequence[str], columns: Sequence[str], values: Mapping[tuple[int, int], float], words: Callable[[float], str],
    axes: tuple[str, str], hover: str, colour: str, least: float,
) -> Figure:  # fmt: skip
    """A heat map of labelled rows and columns; with the numbers in it while there is room.

    least: the darkest cell stands for this at least, so that little does not look like much.
    """
    z = [[values.get((y, x)) for x in range(len(columns))] for y in range(len(rows))]
    text = [[words(value) if value else "" for value in line] for line in z]
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


def _blame(analysis: Drawable) -> Figure:
    names, shown = analysis.tables["threads"].column("thread").to_pylist(), busiest(analysis)
    waiters, holders, durations = _codes(analysis.tables["blame"], "waiter", "holder", "duration")
    waiting, holding = set(waiters.tolist()), set(holders.tolist())
    rows = [names.index(thread) for thread in shown if names.index(thread) in waiting]
    columns = [names.index(thread) for thread in shown if names.index(thread) in holding]
    columns += [NULL] if NULL in holding else []
    return _matrix(
        *_cross(analysis, rows, columns, (waiters, holders, durations / max(1, analysis.duration))), percent,
        ("waits", "while this one holds"),
        "%{customdata[0]} waited %{text} of the trace<br>behind %{customdata[1]}<extra></extra>", "196,74,62", 0.1,
    )  # fmt: skip


def _handoffs(analysis: Drawable) -> Figure:
    names, shown = analysis.tables["threads"].column("thread").to_pylist(), busiest(analysis)
    givers, takers, counts = _codes(analysis.tables["handoffs"], "from", "to", "count")
    giving, taking = set(givers.tolist()), set(takers.tolist())
    rows = [names.index(thread) for thread in shown if names.index(thread) in giving]
    columns = [names.index(thread) for thread in shown if names.index(thread) in taking]
    return _matrix(
        *_cross(analysis, rows, columns, (givers, takers, counts)), lambda value: f"{int(value):,}", ("from", "to"),
        "%{customdata[0]} handed the GIL to %{customdata[1]}<br>%{text} times<extra></extra>", "70,110,170", 10,
    )  # fmt: skip


def _codes(table: pa.Table, *names: str) -> list[npt.NDArray[Any]]:
    """Columns as numbers: a thread as its place in the threads table, NULL where there is none."""
    arrays = [table.column(name).combine_chunks() for name in names]
    return [int64_values(array.indices if pa.types.is_dictionary(array.type) else array) for array in arrays]


def _cross(
    analysis: Drawable, rows: list[int], columns: list[int], cells: tuple[npt.NDArray[Any], ...]
) -> tuple[list[str], list[str], dict[tuple[int, int], float]]:
    """Labels of rows and columns, and the values where they meet. `cells`: row, column and value of each."""
    names = analysis.tables["threads"].column("thread").to_pylist()
    inside = np.isin(cells[0], rows) & np.isin(cells[1], columns) & (cells[2] > 0)
    values = {
        (rows.index(y), columns.index(x)): float(value)
        for y, x, value in zip(*(each[inside].tolist() for each in cells), strict=True)
    }
    labels = [[_name(analysis, None if code == NULL else names[code]) for code in codes] for codes in (rows, columns)]
    return labels[0], labels[1], values


def _largest(analysis: Drawable, table: str, *columns: str) -> list[tuple[str, str, int]]:
    """The four largest rows: two threads by name, and their number."""
    names = [*analysis.tables["threads"].column("thread").to_pylist()]
    first, second, sizes = _codes(analysis.tables[table], *columns)
    places = np.argsort(-sizes, kind="stable")[:4]
    told = [(first[place], second[place], int(sizes[place])) for place in places if sizes[place]]

    def name(code: int) -> str:
        return "nobody" if code == NULL else analysis.names[names[code]]

    return [(name(a), name(b), number) for a, b, number in told]


def _tell_blame(analysis: Drawable) -> str:
    whole = max(1, analysis.duration)
    parts = [
        f"{waiter} waited {percent(length / whole)} of the trace while {holder} held the GIL"
        for waiter, holder, length in _largest(analysis, "blame", "waiter", "holder", "duration")
    ]
    return f"{'; '.join(parts)}." if parts else "Nobody waited."


def _tell_handoffs(analysis: Drawable) -> str:
    parts = [
        f"{count(number, 'time')} from {giver} to {taker}"
        for giver, taker, number in _largest(analysis, "handoffs", "from", "to", "count")
    ]
    return f"The GIL went {'; '.join(parts)}." if parts else "The GIL never went from one thread to another."


def _spread(analysis: Drawable, kind: str) -> Figure:
    """How long things took: a strip a thread on a log axis, taller where more of them lie, and three quantiles."""
    quantiles = {row["thread"]: row for row in _of_kind(analysis, "distributions", kind)}
    order = sorted(quantiles, key=lambda thread: -(quantiles[thread]["p50"] * quantiles[thread]["count"]))
    shown = order[:THREADS_SHOWN]
    buckets = [row for row in _of_kind(analysis, "histograms", kind) if row["thread"] in shown]
    labels = [_name(analysis, thread) for thread in shown]
    marks = [_quantile_marks([quantiles[thread] for thread in shown], labels, *mark, analysis.unit) for mark in _MARKS]
    axis = _log_axis(buckets, analysis.unit)
    layout = _layout(labels, xaxis=axis, showlegend=True, legend=_LEGEND, barmode="overlay")
    layout["margin"]["t"] = 34
    parts = [row["count"] / quantiles[row["thread"]]["count"] for row in buckets]
    return {"data": [_strips(buckets, parts, shown, labels, analysis.unit), *marks], "layout": layout}


def _of_kind(analysis: Drawable, table: str, kind: str) -> list[dict[str, Any]]:
    """The rows of a kind. Without Arrow's compute functions, whose import takes longer than all of this."""
    found, threads = analysis.tables[table], analysis.tables["threads"].column("thread").to_pylist()
    kinds = found.column("kind").combine_chunks().dictionary.to_pylist()
    names = [name for name in found.column_names if name != "kind"]
    code, *columns = _codes(found, "kind", *names)
    inside = code == (kinds.index(kind) if kind in kinds else NULL)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(c[inside].tolist() for c in columns), strict=True)]
    return [row | {"thread": threads[row["thread"]]} for row in rows]


_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
_MARKS = (
    ("median", "p50", "diamond", "#d98e04"),
    ("99th percentile", "p99", "line-ns-open", "#8a4f9e"),
    ("longest", "max", "triangle-left", "#c2402f"),
)
_LEAST = 0.1  # where a log axis shows 0


def _strips(
    buckets: Sequence[Mapping[str, Any]], parts: Sequence[float], shown: Sequence[str], labels: Sequence[str], unit: str
) -> dict[str, Any]:
    """A bar a bucket, as tall and as dark as the root of its share: the eye compares areas."""
    low = [max(row["low"], _LEAST) for row in buckets]
    rows = [shown.index(row["thread"]) for row in buckets]
    spans = [f"{duration(row['low'], unit)} – {duration(row['high'], unit)}" for row in buckets]
    counts = [f"{row['count']:,} ({percent(part)})" for row, part in zip(buckets, parts, strict=True)]
    return {
        "type": "bar", "orientation": "h", "showlegend": False, "base": low, "y": rows,
        "x": [max(row["high"], 1) - least for row, least in zip(buckets, low, strict=True)],
        "width": [0.1 + 0.7 * part**0.5 for part in parts],
        "customdata": [[labels[row], *words] for row, *words in zip(rows, counts, spans, strict=True)],
        "marker": {"color": [f"rgba(64,122,176,{0.3 + 0.65 * part**0.5:.2f})" for part in parts], "line": {"width": 0}},
        "hovertemplate": "%{customdata[0]}: %{customdata[1]} took %{customdata[2]}<extra></extra>",
    }  # fmt: skip


def _quantile_marks(
    rows: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    name: str,
    column: str,
    symbol: str,
    colour: str,
    unit: str,
) -> dict[str, Any]:
    values = [row[column] for row in rows]
    edge = {"width": 2.5, "color": colour} if symbol.endswith("open") else {"width": 1.2, "color": "#ffffff"}
    return {
        "type": "scatter", "mode": "markers", "name": name,
        "x": [max(value, _LEAST) for value in values], "y": list(range(len(rows))),
        "customdata": [[label, duration(value, unit)] for label, value in zip(labels, values, strict=True)],
        "marker": {"symbol": symbol, "size": 11, "color": colour, "line": edge},
        "hovertemplate": f"%{{customdata[0]}}: {name} %{{customdata[1]}}<extra></extra>",
    }  # fmt: skip


def _log_axis(buckets: Sequence[Mapping[str, int]], unit: str) -> dict[str, Any]:
    """From the power of ten below everything to the one above, marked at each."""
    least = max(min((row["low"] for row in buckets), default=1), _LEAST)
    most = max((row["high"] for row in buckets), default=10)
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(max(most, 10)))
    every = 1 + (last - first) // 7
    powers = list(range(max(first, 0), last + 1, every))
    labels = [duration(10**power, unit).replace(".00", "").replace(".0", "").removesuffix(" ticks") for power in powers]
    if least < 1:
        powers, labels = [math.log10(_LEAST), *powers], ["0", *labels]  # type: ignore[list-item]
    axis = {"type": "log", "tickvals": [10**power for power in powers], "ticktext": labels, "zeroline": False}
    return axis | {"range": [math.log10(least) - 0.1 if least < 1 else first - 0.05, last + 0.05], "automargin": True}


def _tell_spread(kind: str, what: str) -> Callable[[Drawable], str]:
    def tell(analysis: Drawable) -> str:
        rows = [row for row in _of_kind(analysis, "distributions", kind) if row["count"]]
        rows.sort(key=lambda row: -row["max"])
        unit = analysis.unit
        parts = [
            f"{analysis.names[row['thread']]}: {count(row['count'], what)}, half of them at most "
            f"{duration(row['p50'], unit)}, the longest {duration(row['max'], unit)}"
            for row in rows[:5]
        ]
        return f"{'; '.join(parts)}." if parts else f"There is no {what}."

    return tell


def _waiting(analysis: Drawable) -> Figure:
    waiters, durations = _columns(analysis.tables["waiting"], "waiters", "duration")
    whole = max(1, sum(durations))
    data = {
        "type": "bar", "x": waiters, "y": [length / whole for length in durations],
        "customdata": [duration(length, analysis.unit) for length in durations],
        "marker": {"color": [COLOURS["off"] if number == 0 else COLOURS["busy"] for number in waiters]},
        "hovertemplate": "%{x} waiting for %{customdata}, %{y:.1%} of the time<extra></extra>",
    }  # fmt: skip
    step = 1 if max(waiters, default=0) <= 12 else None
    layout = {
        "xaxis": {"title": {"text": "threads waiting at once"}, "dtick": step, "zeroline": False, "showgrid": False},
        "yaxis": {"tickformat": ".0%", "range": [0, 1], "zeroline": False, "automargin": True},
        "margin": {"l": 10, "r": 16, "t": 10, "b": 44}, "height": 260, "showlegend": False, "bargap": 0.3,
    }  # fmt: skip
    return {"data": [data], "layout": layout}


def _tell_waiting(analysis: Drawable) -> str:
    waiters, durations = _columns(analysis.tables["waiting"], "waiters", "duration")
    whole = max(1, sum(durations))
    parts = [
        f"{count(number, 'thread')} {percent(length / whole)}"
        for number, length in zip(waiters, durations, strict=True)
    ]
    return f"Of the time so many waited at once: {', '.join(parts[:8])}."


def _tell_timeline(analysis: Drawable) -> str:
    return _tell_threads(analysis)


FIGURES: Mapping[str, Drawing] = {
    "timeline": Drawing("Timeline", "Who had the GIL, and who waited for it, when.", _timeline, _tell_timeline),
    "blame": Drawing(
        "Blame", "Who waited while whom held the GIL, as shares of the trace's time.", _blame, _tell_blame
    ),
    "threads": Drawing("Where the time went", "What each thread did with the trace's time.", _threads, _tell_threads),
    "waits": Drawing(
        "Waits that found the GIL taken", "How long they were, on a log axis; taller where more of them lie.",
        lambda analysis: _spread(analysis, "contended_wait"), _tell_spread("contended_wait", "contended wait"),
    ),
    "holds": Drawing(
        "Holds", "How long each thread kept the GIL, on a log axis; taller where more of them lie.",
        lambda analysis: _spread(analysis, "hold"), _tell_spread("hold", "hold"),
    ),
    "handoffs": Drawing("Hand-offs", "How often the GIL went from one thread to another.", _handoffs, _tell_handoffs),
    "waiting": Drawing("Waiters", "For how much of the time how many waited at once.", _waiting, _tell_waiting),
}  # fmt: skip
