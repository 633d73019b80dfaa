"""Parquet files that mean harm: footer and pages' headers are read, changed field by field, and written again."""

from __future__ import annotations

import base64
import io
import random
import struct
from copy import deepcopy
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from tests.fuzz.formats import NUMBERS, bytes_changed, table

# ---- Thrift's compact protocol, in which Parquet tells of itself ----

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
Field = list[Any]
"""Number, type, value; of a list the value is [type, values], of a struct its fields. A struct is a list of them."""


class Reader:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def number(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def struct(self) -> list[Field]:
        fields: list[Field] = []
        number = 0
        while head := self.data[self.at]:
            self.at += 1
            number = number + (head >> 4) if head >> 4 else self.number()
            fields.append([number, head & 15, self.value(head & 15)])
        self.at += 1
        return fields

    def value(self, kind: int) -> Any:
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind in (I16, I32, I64):
            return self.number()
        if kind == STRUCT:
            return self.struct()
        if kind == LIST:
            head = self.data[self.at]
            self.at += 1
            count = self.varint() if head >> 4 == 15 else head >> 4
            inner = head & 15
            return [inner, [self.item(inner) for _ in range(count)]]
        assert kind in (BYTE, DOUBLE, BINARY), kind
        size = {BYTE: 1, DOUBLE: 8}.get(kind) or self.varint()
        self.at += size
        return self.data[self.at - size : self.at]

    def item(self, kind: int) -> Any:
        if kind in (TRUE, FALSE):
            self.at += 1
            return self.data[self.at - 1] == TRUE
        return self.value(kind)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def _number(value: int) -> bytes:
    return _varint(value << 1 ^ value >> 63)


def written(fields: list[Field]) -> bytes:
    made = bytearray()
    last = 0
    for number, kind, value in fields:
        told = (TRUE if value else FALSE) if kind in (TRUE, FALSE) else kind
        made += bytes([number - last << 4 | told]) if 0 < number - last < 16 else bytes([told]) + _number(number)
        last = number
        if kind not in (TRUE, FALSE):
            made += _value(kind, value)
    return bytes(made) + b"\0"


def _value(kind: int, value: Any) -> bytes:
    if isinstance(value, bool):
        return bytes([TRUE if value else FALSE])
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, bytes):
        return _varint(len(value)) + value if kind == BINARY else value
    if kind == LIST:
        inner, values = value
        count = len(values)
        head = bytes([count << 4 | inner]) if count < 15 else bytes([0xF0 | inner]) + _varint(count)
        return head + b"".join(_value(inner, one) for one in values)
    return written(value)


# ---- changes ----


def _places(fields: list[Field]) -> list[tuple[list[Field], int]]:
    """Every field in it, however deep."""
    found = []
    for at, (_, kind, value) in enumerate(fields):
        found.append((fields, at))
        if kind == STRUCT:
            found += _places(value)
        elif kind == LIST and value[0] == STRUCT:
            found += [place for one in value[1] for place in _places(one)]
    return found


def fields_changed(fields: list[Field], chance: random.Random) -> None:
    """A value, a field's number or type, one left out, there twice, or put where another was."""
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        places = _places(fields)
        if not places:
            return
        inside, at = chance.choice(places)
        number, kind, value = inside[at]
        act = chance.randrange(16)
        if act == 0:
            del inside[at]
        elif act == 1:
            inside.insert(at, [number, kind, deepcopy(value)])
        elif act == 2:
            inside[at] = [chance.randrange(1, 16), kind, value]
        elif act == 3:
            other, there = chance.choice(places)
            if there < len(other):
                inside[at] = [number, *deepcopy(other[there][1:])]
        else:
            inside[at] = [number, kind, _another(kind, value, chance)]


def _another(kind: int, value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = [value + 1, value - 1, -value, value * 2, chance.randrange(12), chance.randrange(-5, 300)]
        width = 64 if kind == I64 else 32
        return chance.choice([*near, chance.choice(NUMBERS)]) % (1 << width) - chance.choice([0, 0, 0, 1 << width])
    if isinstance(value, bytes):
        if kind != BINARY:
            return bytes_changed(value, chance)[: len(value)].ljust(len(value), b"\xff")
        odd = [b"", b"\xff" * 9, b"x" * 70_000, b"\0" * 8, b"thread", b"event"]
        return chance.choice([*odd, bytes_changed(value, chance)])
    if kind == LIST and value[1]:
        inner, values = value
        place = chance.randrange(len(values))
        again = [values[:place] + values[place + 1 :], [*values, values[place]], [], values[::-1], values * 20]
        return [inner, [deepcopy(one) for one in chance.choice(again)]]
    return value


ENCRYPTION = {
    "file": [[8, STRUCT, [[1, STRUCT, [[1, BINARY, b"prefix"], [2, BINARY, b"unique"], [3, TRUE, True]]]]]],
    "signed": [[8, STRUCT, [[2, STRUCT, []]]], [9, BINARY, b"key"]],
    "column": [[8, STRUCT, [[1, STRUCT, []]]]],
    "column of its own": [[8, STRUCT, [[2, STRUCT, [[1, LIST, [BINARY, [b"thread"]]]]]]], [9, BINARY, b"\1" * 40]],
}
"""Fields that say that something is encrypted, where nothing is."""


def _of(fields: list[Field], number: int) -> Any:
    return next((value for one, _, value in fields if one == number), None)


def changed(content: bytes, chance: random.Random) -> bytes:
    """In its structure."""
    size = struct.unpack("<I", content[-8:-4])[0]
    body, footer = content[: -8 - size], Reader(content[-8 - size : -8]).struct()
    chunks = [chunk for group in _of(footer, 4)[1] for chunk in _of(group, 1)[1]]
    kind = chance.randrange(8)
    if kind < 3 and chunks and _of(footer, 8) is None:  # not encrypted
        metadata = _of(chance.choice(chunks), 3)
        body = _page_changed(body, footer, metadata, chance)
        if chance.random() < 0.2:
            fields_changed(footer, chance)
    elif kind == 3:
        name = chance.choice(list(ENCRYPTION))
        into = footer if name in ("file", "signed") or not chunks else chance.choice(chunks)
        into += deepcopy(ENCRYPTION[name])
    else:
        fields_changed(footer, chance)
    made = written(footer)
    magic = b"PARE" if chance.random() < 0.03 else b"PAR1"
    return body + made + struct.pack("<I", len(made)) + magic


def _page_changed(body: bytes, footer: list[Field], metadata: list[Field], chance: random.Random) -> bytes:
    """With another header of one page of a column, or other bytes in it; the footer still finds all others."""
    starts = [start for start in (_of(metadata, 9), _of(metadata, 11)) if start]
    start = chance.choice(starts)
    reader = Reader(body, start)
    header = reader.struct()
    end = reader.at
    if chance.random() < 0.3:
        size = _of(header, 3)
        data = bytes_changed(body[end : end + size], chance)[:size].ljust(size, b"\0")
        return body[:end] + data + body[end + size :]
    fields_changed(header, chance)
    made = written(header)
    longer = len(made) - (end - start)
    for group in _of(footer, 4)[1]:
        for chunk in _of(group, 1)[1]:
            for fields, numbers in ((chunk, (2, 4, 6)), (_of(chunk, 3), (9, 10, 11))):
                for field in fields:
                    if field[0] in numbers and field[2] > start:
                        field[2] += longer
    for field in metadata:
        if field[0] == 7:
            field[2] += longer
    return body[:start] + made + body[end:]


# ---- files ----


class _Keys(pe.KmsClient):  # type: ignore[misc]
    """Keys that are wrapped in nothing."""

    def __init__(self, _: Any) -> None:
        super().__init__()

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64encode(key)

    def unwrap_key(self, wrapped: bytes, _: str) -> bytes:
        return base64.b64decode(wrapped)


def _encryption(open_footer: bool) -> Any:
    config = pe.EncryptionConfiguration("footer", column_keys={"key": ["thread"]}, plaintext_footer=open_footer)
    return pe.CryptoFactory(_Keys).file_encryption_properties(pe.KmsConnectionConfig(), config)


@cache
def whole(number: int) -> bytes:
    """One of the files that are changed; empty where there can be no such file."""
    chance = random.Random(number)
    made = table(chance)
    out = io.BytesIO()
    try:
        made.validate(full=True)
        if chance.random() < 0.2:
            nested = chance.choice(
                [pa.list_(pa.int8()), pa.struct({"a": pa.list_(pa.string())}), pa.map_(pa.string(), pa.int8())]
            )
            made = made.append_column("nested", pa.nulls(made.num_rows, nested))
        pq.write_table(
            made, out,
            compression=chance.choice(["none", "none", "snappy", "zstd", "gzip", "lz4", "brotli"]),
            use_dictionary=chance.random() < 0.6,
            data_page_version=chance.choice(["1.0", "2.0"]),
            version=chance.choice(["1.0", "2.4", "2.6"]),
            write_statistics=chance.random() < 0.5,
            write_page_checksum=chance.random() < 0.2,
            write_page_index=chance.random() < 0.3,
            store_schema=chance.random() < 0.5,
            data_page_size=chance.choice([None, 8, 100]),
            row_group_size=chance.choice([None, 10]),
            encryption_properties=_encryption(chance.random() < 0.5) if chance.random() < 0.05 else None,
        )  # fmt: skip
    except (pa.ArrowException, ValueError):
        return b""
    return out.getvalue()


def parquet(chance: random.Random) -> bytes:
    content = b""
    while not content:
        content = whole(chance.randrange(1000))
    footer = len(content) - 8 - struct.unpack("<I", content[-8:-4])[0]
    kind = chance.randrange(12)
    if kind < 8 and content.endswith(b"PAR1"):
        return changed(content, chance)
    if kind == 8:
        return content[:footer] + bytes_changed(content[footer:-8], chance) + content[-8:]
    if kind == 9:
        size = chance.choice([*NUMBERS, footer, len(content)]) % (1 << 32)
        return content[:-8] + struct.pack("<I", size) + chance.choice([b"PAR1", b"PARE", b"XXXX"])
    return bytes_changed(content, chance) if kind == 10 else content
