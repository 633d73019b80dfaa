"""What each region (a request, a task) held and waited: the tables `requests`, `request_blame` and `request_split`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.model import schemas
from tracekit.model.arrays import integers, words_as_categories
from tracekit.model.rows import NO_STACK, Rows

Ints = npt.NDArray[np.int64]
_QUANTILES = (50, 90, 99)


def request_tables(
    rows: Rows,
    blame: Rows,
    names: Mapping[int, str],
    unit: str,
    thread: Callable[[npt.NDArray[Any]], pa.Array],
    clock: Callable[[npt.NDArray[Any]], pa.Array],
) -> dict[str, pa.Table]:
    """rows, blame: of `REGION_ROW` and `REGION_BLAME_ROW`. names: of regions. thread: codes as Arrow; clock: too."""
    duration = rows["end"] - rows["start"]
    order = np.lexsort((rows["region"], -duration))
    rows, duration = rows[order], duration[order]
    blocked = np.maximum(duration - rows["held"] - rows["waited"], 0)
    called = [names.get(region) for region in rows["region"].tolist()]
    spent = {"duration": duration, "held": rows["held"], "waited": rows["waited"], "blocked": blocked}
    requests = {
        "region": integers(rows["region"]),
        "name": words_as_categories(called),
        "thread": thread(rows["thread"]),
        "start_clock": clock(rows["start"]),
        "end_clock": clock(rows["end"]),
        **{name: integers(values) for name, values in spent.items()},
        "waits": integers(rows["waits"]),
    }
    blame = blame[np.lexsort((blame["stack"], blame["holder"].astype(np.uint32), -blame["duration"], blame["region"]))]
    lost = {
        "region": integers(blame["region"]),
        "holder": thread(blame["holder"]),
        "holder_stack": integers(blame["stack"], blame["stack"] == NO_STACK),
        "duration": integers(blame["duration"]),
    }
    return {
        "requests": schemas.table("requests", unit, requests),
        "request_blame": schemas.table("request_blame", unit, lost),
        "request_split": schemas.table("request_split", unit, _split(called, spent)),
    }


def _split(called: list[str | None], spent: Mapping[str, Ints]) -> dict[str, pa.Array]:
    """By name, those first that took longest in all."""
    places: dict[str | None, int] = {}
    of = np.array([places.setdefault(name, len(places)) for name in called], np.int64)
    groups = [np.flatnonzero(of == place) for place in range(len(places))]
    whole = [int(spent["duration"][group].sum()) for group in groups]
    order = sorted(range(len(groups)), key=lambda place: -whole[place])
    words = list(places)

    def column(of_group: Callable[[npt.NDArray[np.int64]], int]) -> pa.Array:
        return integers(np.array([of_group(groups[place]) for place in order], np.int64))

    def quantiles(values: Ints, prefix: str) -> dict[str, pa.Array]:
        return {
            f"{prefix}p{part}": column(lambda group, part=part: _nearest_rank(values[group], part))  # type: ignore[misc]
            for part in _QUANTILES
        }

    return {
        "name": words_as_categories([words[place] for place in order]),
        "requests": column(len),
        **{name: column(lambda group, values=values: int(values[group].sum())) for name, values in spent.items()},  # type: ignore[misc]
        **quantiles(spent["duration"], ""),
        "max": column(lambda group: int(spent["duration"][group].max())),
        **quantiles(spent["waited"], "waited_"),
    }


def _nearest_rank(values: Ints, part: int) -> int:
    place = -(-part * len(values) // 100) - 1
    return int(np.partition(values, place)[place])
