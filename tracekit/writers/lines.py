"""Columns to lines of text with Arrow's compute functions, a hundred times faster than a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from tracekit.model.arrays import strings


def texts(column: pa.Array, quote: Callable[[str], str] = str) -> pa.Array:
    """A column's values as strings; null and what is no number among floats are null.

    `quote` is applied to all but numbers and booleans, once to each different value.
    """
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_finite(column), column, None).cast(pa.string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.string())
    if pa.types.is_list(kind) and pa.types.is_integer(kind.value_type):
        column = joined(column, ",")
    elif pa.types.is_nested(kind):
        column = strings([None if value is None else str(value) for value in column.to_pylist()])
    elif not pa.types.is_dictionary(kind):
        column = column.cast(pa.string())
    if not pa.types.is_dictionary(kind):
        column = column.dictionary_encode()
    words = strings([quote(word) for word in column.dictionary.to_pylist()])
    return pc.take(words, column.indices)


def joined(column: pa.Array, between: str) -> pa.Array:
    """Each list of integers as one string; null for null."""
    import pyarrow.compute as pc

    numbers = pc.fill_null(column.values.cast(pa.string()), word("null"))
    lists = pa.ListArray.from_arrays(column.offsets, numbers, mask=column.is_null())
    return pc.binary_join(lists, word(between))


def word(text: str) -> pa.Scalar:
    """For Arrow's compute functions, which import pandas for a str."""
    return strings([text])[0]


def join(parts: Sequence[pa.Array | str]) -> bytes:
    """The parts of every row, one behind the other, and all rows behind one another. No part may be null."""
    import pyarrow.compute as pc

    rows = pc.binary_join_element_wise(*(word(part) if isinstance(part, str) else part for part in (*parts, "")))
    _, ends, data = rows.buffers()
    if data is None:
        return b""
    offsets = np.frombuffer(ends, np.int32)
    return bytes(memoryview(data)[offsets[rows.offset] : offsets[rows.offset + len(rows)]])
