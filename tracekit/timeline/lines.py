"""Who waited at which stack and line behind which: the tables `stack_blame` and `lines`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.model import schemas
from tracekit.model.arrays import categories, integers, strings, words_as_categories
from tracekit.model.definitions import Definitions
from tracekit.model.rows import CAUSES, Rows

Ints = npt.NDArray[np.int64]


def line_tables(
    rows: Rows,
    shared: Rows,
    definitions: Definitions,
    unit: str,
    thread: Callable[[npt.NDArray[Any]], pa.Array],
) -> dict[str, pa.Table]:
    """The costliest rows first. rows, shared: of `STACK_BLAME_ROW` and `SHARED_ROW`. thread: codes as Arrow."""
    ids, _, codes, lines, _ = definitions.stack_columns()
    stacks = [_places(ids, rows[side]) for side in ("holder_stack", "waiter_stack")]
    keys, duration, waits = _merged(rows, shared, [*stacks, rows["waiter"], rows["holder"], rows["cause"]])
    known = [integers(_at(ids, places), places < 0) for places in keys[:2]]
    made = {
        "stack_blame": schemas.table(
            "stack_blame",
            unit,
            {
                "holder_stack": known[0],
                "waiter_stack": known[1],
                "waiter": thread(keys[2]),
                "holder": thread(keys[3]),
                "cause": categories(keys[4], strings(CAUSES)),
                "duration": integers(duration),
                "waits": integers(waits),
            },
        )
    }
    functions, files, named = _named(definitions, codes)
    sides = [side for places in stacks for side in (_at(named, places), _at(lines, places))]
    keys, duration, waits = _merged(rows, shared, [*sides, rows["cause"]])
    columns = {
        "cause": categories(keys[4], strings(CAUSES)),
        "duration": integers(duration),
        "waits": integers(waits),
    }
    for side, (name, line) in {"holder": keys[:2], "waiter": keys[2:4]}.items():
        columns[f"{side}_function"] = _words(functions, name)
        columns[f"{side}_file"] = _words(files, name)
        columns[f"{side}_line"] = integers(line, name < 0)
    return made | {"lines": schemas.table("lines", unit, columns)}


def _merged(rows: Rows, shared: Rows, keys: Sequence[npt.NDArray[Any]]) -> tuple[list[Ints], Ints, Ints]:
    """One row for each combination of the keys: the keys, duration, waits. A wait counts once in each."""
    table = np.stack([np.asarray(key, np.int64) for key in keys], axis=1)
    different, of = np.unique(table, axis=0, return_inverse=True)
    of = of.reshape(-1)
    duration, waits = np.zeros(len(different), np.int64), np.zeros(len(different), np.int64)
    np.add.at(duration, of, rows["duration"])
    np.add.at(waits, of, rows["waits"])
    places = np.stack([shared["set"].astype(np.int64), of[shared["row"]]], axis=1)
    pairs, first, times = np.unique(places, axis=0, return_index=True, return_counts=True)
    np.subtract.at(waits, pairs[:, 1], shared["waits"][first] * (times - 1))
    order = np.argsort(-duration, kind="stable")
    return [different[order, column] for column in range(len(keys))], duration[order], waits[order]


def _places(ids: Ints, stacks: npt.NDArray[Any]) -> Ints:
    """Of these stacks among the ids; -1 where a stack is unknown."""
    if not len(ids):
        return np.full(len(stacks), -1, np.int64)
    order = np.argsort(ids)
    nearest = np.minimum(np.searchsorted(ids, stacks, sorter=order), len(ids) - 1)
    return np.where(ids[order[nearest]] == stacks, order[nearest], -1)


def _at(values: Ints, places: Ints) -> Ints:
    """-1 where there is none."""
    return np.where(places < 0, -1, values[places]) if len(values) else np.full(len(places), -1, np.int64)


def _named(definitions: Definitions, codes: Ints) -> tuple[list[str], list[str], Ints]:
    """The different functions and their files, and for each of the codes its place among them."""
    places: dict[tuple[str, str], int] = {}
    of = {
        number: places.setdefault((code.function, code.file), len(places)) for number, code in definitions.codes.items()
    }
    return (
        [name for name, _ in places],
        [file for _, file in places],
        np.array([of[c] for c in codes.tolist()], np.int64),
    )


def _words(words: Sequence[str], places: Ints) -> pa.Array:
    column = words_as_categories(words)
    numbers = np.frombuffer(column.indices.buffers()[1], np.int32)
    return categories(np.where(places < 0, -1, numbers[places]) if len(numbers) else places, column.dictionary)


def lines_known(lines: pa.Table) -> float | None:
    """The share of what was waited while somebody held whose holder's line is known; None where nothing was."""
    known = sum(
        duration
        for duration, line in zip(
            *(lines.column(name).to_pylist() for name in ("duration", "holder_line")), strict=True
        )
        if line is not None
    )
    total = sum(lines.column("duration").to_pylist())
    return known / total if total else None
