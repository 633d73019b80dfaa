"""What a lane shows in each column of a timeline: the share of each state. The page's script does the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.model.rows import Rows
from tracekit.timeline.picture import Picture

STATES = ("held", "entering", "busy", "retried")


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
