"""Attributes: what a timed row may tell beside its columns (docs/format.md), as optional columns of a batch.

A batch has a column of `FIELDS` only where a row of it has that attribute: a trace without attributes pays nothing.
Whoever gives batches (all parsers) has checked them: each value is in range, of several given the last, and on an event
that it belongs to; all others are null. Ids that no definition explains are there as given.

The two state machines take them as follows. The plain one asks `of_rows(batch)`: a dict from a row of the batch to its
`Attributes`, empty for most batches. The native one gets them as a side array, `tk_columns.attributes` in core.h: rows
of `SPARSE`, sorted by row and then by key, so that it compares one number a row with the next row that has any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.model.arrays import NULL, int64_values, integers
from tracekit.words import whole_number

FIELDS: dict[str, pa.DataType] = {
    "cpu": pa.int64(),
    "stack": pa.int64(),
    "sample": pa.int64(),
    "region": pa.int64(),
    "lock": pa.int64(),
    "unlocks": pa.list_(pa.int64()),
}
"""The keys, in the order in which they are written, and the types of their columns. A key's number is its place here,
as in core.h."""
BELONGS: dict[str, tuple[str, ...]] = {
    "cpu": ("RELEASE",),
    "stack": ("BUSY", "RETRY", "RELEASE"),
    "sample": ("BUSY", "RETRY"),
    "region": ("ENTRY", "RELEASE"),
    "lock": ("RELEASE",),
    "unlocks": ("RELEASE",),
}
"""On which events each counts."""
VALUE_LIMIT = 2**62
LEAST = dict.fromkeys(FIELDS, 1) | {"cpu": 0}
MOST_UNLOCKS = 8
SPARSE = np.dtype([("row", "<u4"), ("key", "<u4"), ("value", "<i8")])
"""tk_attribute: one attribute of a row of the batch. A row has as many of `unlocks` as locks."""
_KEYS = tuple(FIELDS)

Sparse = npt.NDArray[np.void]


class Attributes(NamedTuple):
    """Of one row; None or empty: not told."""

    cpu: int | None = None
    stack: int | None = None
    sample: int | None = None
    region: int | None = None
    lock: int | None = None
    unlocks: tuple[int, ...] = ()


NO_ATTRIBUTES = Attributes()


def of_rows(batch: pa.RecordBatch) -> dict[int, Attributes]:
    """The rows of a batch that have attributes, in order."""
    return by_row(sparse(batch))


def by_row(sparse_rows: Sparse) -> dict[int, Attributes]:
    """The same, of rows of `SPARSE`."""
    found: dict[int, dict[str, Any]] = {}
    for row, key, value in sparse_rows.tolist():
        attributes, name = found.setdefault(row, {}), _KEYS[key]
        attributes[name] = (*attributes.get(name, ()), value) if name == "unlocks" else value
    return {row: Attributes(**attributes) for row, attributes in found.items()}


def columns(sparse_rows: Sparse, rows: int) -> dict[str, pa.Array]:
    """The columns of a batch of so many rows, as narrow as their values need; those without any value left out.

    sparse_rows: sorted.
    """
    made: dict[str, pa.Array] = {}
    if not len(sparse_rows):
        return made
    present = np.bincount(sparse_rows["key"], minlength=len(_KEYS))
    for key, name in enumerate(_KEYS):
        if not present[key]:
            continue
        own = sparse_rows[sparse_rows["key"] == key] if present[key] < len(sparse_rows) else sparse_rows
        if name == "unlocks":
            made[name] = _lists(own, rows)
            continue
        dtype = np.result_type(np.int8, np.min_scalar_type(-int(own["value"].max()) - 1))
        values, null = np.zeros(rows, dtype), np.ones(rows, bool)
        values[own["row"]] = own["value"]
        null[own["row"]] = False
        made[name] = integers(values, null, dtype)
    return made


def _lists(own: Sparse, rows: int) -> pa.Array:
    lengths = np.bincount(own["row"], minlength=rows)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    valid = pa.py_buffer(np.packbits(lengths > 0, bitorder="little"))
    values = integers(own["value"].copy())  # one value would be its own contiguous array, of somebody else's memory
    return pa.Array.from_buffers(FIELDS["unlocks"], rows, [valid, pa.py_buffer(ends)], children=[values])


def sparse(batch: pa.RecordBatch) -> Sparse:
    """The attributes of a batch as rows of `SPARSE`, sorted."""
    columns = [(key, batch.column(name)) for key, name in enumerate(_KEYS) if name in batch.schema.names]
    return joined([_sparse(key, column) for key, column in columns])


def _sparse(key: int, column: pa.Array) -> Sparse:
    if pa.types.is_list(column.type):
        return numbered(*flat(column), key=key)
    values = int64_values(column)
    rows = np.flatnonzero(values != NULL)
    return numbered(rows, values[rows], key)


def numbered(rows: npt.NDArray[Any], values: npt.NDArray[np.int64], key: int) -> Sparse:
    """One attribute of these rows."""
    made = np.empty(len(rows), SPARSE)
    made["row"], made["key"], made["value"] = rows, key, values
    return made


def joined(parts: Sequence[Sparse]) -> Sparse:
    """Several attributes, each sorted by row, in the order of their keys; sorted."""
    if not parts:
        return np.empty(0, SPARSE)
    values = np.concatenate(parts)
    return values[np.argsort(values["row"], kind="stable")]


def flat(column: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The rows and the values of a list array."""
    valid = np.ones(len(column), bool)
    if column.null_count:
        bits = np.unpackbits(np.frombuffer(column.buffers()[0], np.uint8), bitorder="little")
        valid = bits[column.offset : column.offset + len(column)].astype(bool)
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    lengths = np.where(valid, np.diff(ends), 0)
    rows = np.repeat(np.arange(len(column)), lengths)
    starts = np.repeat(ends[:-1] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return rows, int64_values(column.values)[starts + np.arange(len(rows))]


def gathered(rows: Iterable[Attributes]) -> Sparse:
    """The attributes of rows, one after the other, as rows of `SPARSE`."""
    triples: list[tuple[int, int, int]] = []
    for row, attributes in enumerate(rows):
        if attributes is NO_ATTRIBUTES:
            continue
        for key, value in enumerate(attributes):
            values = value if isinstance(value, tuple) else () if value is None else (value,)
            triples += [(row, key, one) for one in values]
    return np.array(triples, SPARSE)


def with_attributes(batch: pa.RecordBatch, attributes: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """The batch with these columns behind its own."""
    if not attributes:
        return batch
    return pa.RecordBatch.from_arrays([*batch.columns, *attributes.values()], names=[*batch.schema.names, *attributes])


def natural(word: str, least: int, most: int) -> int | None:
    """The value of `[0-9]+` if it is within the limits."""
    value = whole_number(word, most)
    return value if value is not None and value >= least else None
