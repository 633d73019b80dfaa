"""Columns to Arrow and back, buffer by buffer: `pa.array` would import all of pandas first (0.3 s)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

NULL = -(2**63)
"""The missing value in NumPy columns."""


def integers(
    values: npt.NDArray[Any], null: npt.NDArray[np.bool_] | None = None, dtype: npt.DTypeLike = np.int64
) -> pa.Array:
    """An array of int64 or of another integer `dtype`, null where `null` says so."""
    buffers = [None if null is None else _validity(null), pa.py_buffer(np.ascontiguousarray(values, dtype))]
    return pa.Array.from_buffers(pa.from_numpy_dtype(dtype), len(values), buffers)


def no_integers(length: int) -> pa.Array:
    """An int64 array of nulls."""
    zeros = _zeros(8 * length)
    return pa.Array.from_buffers(pa.int64(), length, [zeros, zeros], length)


def zero_integers(length: int) -> pa.Array:
    """An int64 array of zeros."""
    return pa.Array.from_buffers(pa.int64(), length, [None, _zeros(8 * length)], 0)


def no_lists(length: int) -> pa.Array:
    """An array of null lists of int64."""
    zeros = _zeros(4 * length + 4)
    none = integers(np.empty(0, np.int64))
    return pa.Array.from_buffers(pa.list_(pa.int64()), length, [zeros, zeros], length, children=[none])


@lru_cache(maxsize=4)
def _zero_buffer(size: int) -> pa.Buffer:
    return pa.py_buffer(np.zeros(size, np.uint8))  # never touched: costs no memory


def _zeros(least: int) -> pa.Buffer:
    return _zero_buffer(1 << max(least - 1, 1).bit_length())


def ratios(values: Sequence[float | None]) -> pa.Array:
    null = np.array([value is None for value in values], bool)
    data = np.array([value or 0.0 for value in values], np.float64)
    return pa.Array.from_buffers(pa.float64(), len(values), [_validity(null), pa.py_buffer(data)])


def flags(values: npt.NDArray[Any]) -> pa.Array:
    bits = np.packbits(values.astype(bool), bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])


def categories(codes: npt.NDArray[Any], words: pa.Array) -> pa.Array:
    """A dictionary array; a negative code is null."""
    buffers = [_validity(codes < 0), pa.py_buffer(np.ascontiguousarray(codes, np.int32))]
    indices = pa.Array.from_buffers(pa.int32(), len(codes), buffers)
    return pa.DictionaryArray.from_arrays(indices, words, safe=False)


def strings(words: Sequence[str | None]) -> pa.Array:
    raw = [b"" if word is None else word.encode() for word in words]
    ends = np.cumsum([0, *map(len, raw)], dtype=np.int64).astype(np.int32)
    buffers = [
        _validity(np.array([word is None for word in words], bool)),
        pa.py_buffer(ends),
        pa.py_buffer(b"".join(raw)),
    ]
    return pa.Array.from_buffers(pa.string(), len(words), buffers)


def words_as_categories(words: Sequence[str | None]) -> pa.Array:
    codes: dict[str | None, int] = {None: -1}
    numbered = [codes.setdefault(word, len(codes) - 1) for word in words]
    return categories(np.array(numbered, np.int32), strings([word for word in codes if word is not None]))


def optional_integers(values: Sequence[int | None]) -> pa.Array:
    null = np.array([value is None for value in values], bool)
    return integers(np.array([value or 0 for value in values], np.int64), null)


def _validity(null: npt.NDArray[np.bool_]) -> pa.Buffer | None:
    return pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None


def numbers(column: pa.Array) -> npt.NDArray[Any]:
    """An integer array's values, without a copy; what stands where it is null is undefined."""
    dtype = np.dtype(f"i{column.type.bit_width // 8}")
    if not len(column):
        return np.empty(0, dtype)
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)


def int64_values(column: pa.Array, room: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    """An integer array's values, with NULL where it is null. Of int64 without nulls this is no copy.

    room: where the copy goes, if it takes one.
    """
    values = numbers(column)
    if values.dtype != np.int64:
        room = np.empty(len(column), np.int64) if room is None else room[: len(column)]
        np.copyto(room, values)
        values = room
    if not column.null_count:
        return values
    first, skipped = divmod(column.offset, 8)
    bits = np.frombuffer(column.buffers()[0], np.uint8, (skipped + len(column) + 7) // 8, first)
    valid = np.unpackbits(bits, bitorder="little")[skipped : skipped + len(column)]
    return np.where(valid, values, NULL)
