"""The tables `stacks` and `regions`: what the trace says its ids mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.model import schemas
from tracekit.model.arrays import categories, integers, strings, words_as_categories
from tracekit.model.definitions import Definitions

Ints = npt.NDArray[np.int64]


def definition_tables(known: Definitions, unit: str) -> dict[str, pa.Table]:
    """In the order of the definitions; without any, empty."""
    ids, parents, codes, lines, depths = known.stack_columns()
    outermost = parents < 0
    places = {code: place for place, code in enumerate(known.codes)}
    code = np.array([places[code] for code in codes.tolist()], np.int64)
    first_lines = np.array([code.first_line for code in known.codes.values()], np.int64)
    columns: dict[str, pa.Array] = {
        "stack": integers(ids),
        "parent": integers(np.where(outermost, 0, ids[parents]), outermost),
        "depth": integers(depths),
        "first_line": integers(first_lines[code]),
        "line": integers(lines),
    }
    for name in ("function", "file"):
        words = words_as_categories([getattr(code, name) for code in known.codes.values()])
        numbers = np.frombuffer(words.indices.buffers()[1], np.int32)
        columns[name] = categories(numbers[code], words.dictionary)
    columns["calls"] = _calls(known, codes, lines)
    regions = {"region": integers(np.array(list(known.regions), np.int64)), "name": strings([*known.regions.values()])}
    return {"stacks": schemas.table("stacks", unit, columns), "regions": schemas.table("regions", unit, regions)}


def _calls(known: Definitions, codes: Ints, lines: Ints) -> pa.Array:
    words = words_as_categories([", ".join(names) for names in known.calls.values()])
    if not known.calls:
        return categories(np.full(len(codes), -1, np.int64), words.dictionary)
    numbers = np.frombuffer(words.indices.buffers()[1], np.int32).tolist()
    of = dict(zip(known.calls, numbers, strict=True))
    places = [of.get(place, -1) for place in zip(codes.tolist(), lines.tolist(), strict=True)]
    return categories(np.array(places, np.int64), words.dictionary)
