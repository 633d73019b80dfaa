"""The picture's columns as text that the page decodes: `script/columns.js` is the other side."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tracekit.reporters.html.lines import Places
from tracekit.timeline.causes import in_convoys, preempted

if TYPE_CHECKING:
    from tracekit.analysis import Analysis

LEVEL = 6  # of deflate
_INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "i8")
Column = tuple[str, npt.NDArray[Any], str]
"""A name, its values, and how they are written: `plain`, or `delta` to the value before."""


def pack(columns: list[Column]) -> dict[str, Any]:
    """`{"columns": [[name, dtype, coding, length], ...], "data": base64 of deflated bytes}`.

    Each column takes the narrowest little-endian integers that hold it and begins at a multiple of 8 bytes.
    """
    described, parts = [], []
    for name, values, coding in columns:
        written = np.diff(values.astype(np.int64), prepend=0) if coding == "delta" else values
        dtype = _narrowest(written)
        raw = np.ascontiguousarray(written, f"<{dtype}").tobytes()
        described.append([name, dtype, coding, len(values)])
        parts += [raw, bytes(-len(raw) % 8)]
    return {"columns": described, "data": deflated(b"".join(parts))}


def deflated(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, LEVEL)).decode("ascii")


def picture(analysis: Analysis, places: Places) -> dict[str, Any]:
    """The picture as the page takes it: columns by thread, then time. places: of the stacks that the page has."""
    drawn = analysis.picture
    tables = {
        "holds": _holds(analysis, places),
        "waits": _waits(analysis, places),
        "retries": _retries(drawn.retries, places),
    }
    if not drawn.whole:
        tables["cells"] = _cells(drawn.cells)
    knots = drawn.knots
    return {
        "duration": drawn.duration,
        "width": drawn.width,
        "whole": drawn.whole,
        "windows": [list(window) for window in drawn.windows],
        "knots": np.stack([knots["clock"], knots["ticks"]], 1).tolist() if len(knots) else None,
        "tables": {name: pack(columns) for name, columns in tables.items()},
    }


def _holds(analysis: Analysis, places: Places) -> list[Column]:
    drawn = analysis.picture
    rows = drawn.holds[np.lexsort((drawn.holds["start"], drawn.holds["thread"]))]
    held = rows["end"] - rows["start"]
    uncontended = (rows["waited"] >= 0) & ~np.isin(rows["start_seq"], drawn.waits["end_seq"])
    return [
        ("thread", rows["thread"], "delta"),
        ("start", rows["start"], "delta"),
        ("length", held, "plain"),
        ("startSeq", rows["start_seq"], "delta"),
        ("events", _since(rows["start_seq"], rows["end_seq"]), "plain"),
        ("asked", np.where(uncontended, rows["waited"], -1), "plain"),
        ("kind", rows["kind"], "plain"),
        ("stack", places.of(rows["stack"]), "plain"),
        (
            "flags",
            _flags(
                rows["open"],
                rows["truncated"],
                rows["after_check"],
                rows["long"],
                preempted(rows, analysis.totals.timed),
            ),
            "plain",
        ),
    ]


def _waits(analysis: Analysis, places: Places) -> list[Column]:
    rows = analysis.picture.waits
    rows = rows[np.lexsort((rows["entry"], rows["thread"]))]
    battle = rows["lost_rounds"] >= analysis.options.min_rounds
    codes = analysis.threads["thread"].to_pylist()
    convoy = in_convoys(rows, analysis.picture.holds, analysis.tables, codes, analysis.options)
    start, start_seq = rows["entry"], np.where(rows["entry_seq"] >= 0, rows["entry_seq"], rows["busy_seq"])
    return [
        ("thread", rows["thread"], "delta"),
        ("start", start, "delta"),
        ("busy", rows["busy"] - start, "plain"),
        ("retry", _since(start, rows["retry"]), "plain"),
        ("length", rows["end"] - start, "plain"),
        ("startSeq", start_seq, "delta"),
        ("busyEvents", rows["busy_seq"] - start_seq, "plain"),
        ("events", _since(start_seq, rows["end_seq"]), "plain"),
        ("failedRetries", rows["failed_retries"], "plain"),
        ("lostRounds", rows["lost_rounds"], "plain"),
        ("timeouts", rows["timeouts"], "plain"),
        ("passes", rows["passes"], "plain"),
        ("rival", rows["rival"], "plain"),
        ("stack", places.of(rows["stack"]), "plain"),
        ("sample", places.of(rows["sample"]), "plain"),
        ("flags", _flags(rows["open"], rows["truncated"], rows["after_check"], battle, convoy), "plain"),
    ]


def _retries(rows: npt.NDArray[Any], places: Places) -> list[Column]:
    rows = rows[np.lexsort((rows["seq"], rows["thread"]))]
    return [
        ("thread", rows["thread"], "delta"),
        ("start", rows["clock"], "delta"),
        ("startSeq", rows["seq"], "delta"),
        ("holder", rows["holder"], "plain"),
        ("sample", places.of(rows["sample"]), "plain"),
        ("kind", rows["kind"], "plain"),
    ]


def _cells(rows: npt.NDArray[Any]) -> list[Column]:
    names = {
        "held": "held", "entering": "entering", "busy": "busy", "retried": "retried", "longest_hold": "longestHold",
        "longest_wait": "longestWait", "retries": "retries", "checks": "checks", "blocking": "blocking",
    }  # fmt: skip
    columns: list[Column] = [("thread", rows["thread"], "delta"), ("bin", rows["bin"], "delta")]
    return columns + [(shown, rows[name], "plain") for name, shown in names.items()]


def _since(start: npt.NDArray[Any], later: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """How far behind `start`, and -1 where there is none."""
    return np.where(later < 0, -1, later - start)


def _flags(*columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    bits = [column.astype(np.uint8) << bit for bit, column in enumerate(columns)]
    return np.asarray(np.stack(bits).sum(axis=0), np.uint8)


def _narrowest(values: npt.NDArray[Any]) -> str:
    if not len(values):
        return "u1"
    least, most = int(values.min()), int(values.max())
    return next(d for d in _INTEGERS if np.iinfo(d).min <= least and most <= np.iinfo(d).max)
