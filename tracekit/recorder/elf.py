"""What the recorder must know of programs and libraries on disk: their symbols, and room in their code."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_PT_LOAD, _EXECUTABLE, _SHT_DYNSYM = 1, 1, 11


class Segment(NamedTuple):
    flags: int
    offset: int
    address: int
    size: int


class Image:
    """A 64-bit, little-endian ELF file. Raises ValueError: it is none; OSError."""

    def __init__(self, path: Path | str) -> None:
        with Path(path).open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._bytes[:6] != b"\x7fELF\x02\x01" or len(self._bytes) < 64:
            raise ValueError("not an ELF file of 64 bits")
        self._programs, self._sections = struct.unpack_from("<QQ", self._bytes, 32)
        self._program_bytes, self._program_count, self._section_bytes, self._section_count = struct.unpack_from(
            "<HHHH", self._bytes, 54
        )

    def segments(self) -> list[Segment]:
        """What is loaded."""
        found = []
        for i in range(self._program_count):
            kind, flags, offset, address, _, size = struct.unpack_from(
                "<IIQQQQ", self._bytes, self._programs + i * self._program_bytes
            )
            if kind == _PT_LOAD:
                found.append(Segment(flags, offset, address, size))
        return found

    def code(self) -> list[Segment]:
        return [segment for segment in self.segments() if segment.flags & _EXECUTABLE]

    def symbols(self, names: Collection[str]) -> dict[str, int]:
        """The addresses of those that it defines for others."""
        found: dict[str, int] = {}
        wanted = {name.encode(): name for name in names}
        sections = [
            struct.unpack_from("<IIQQQQII", self._bytes, self._sections + i * self._section_bytes)
            for i in range(self._section_count)
        ]
        for _, kind, _, _, offset, size, link, _ in sections:
            if kind != _SHT_DYNSYM:
                continue
            strings = sections[link][4]
            for at in range(offset, offset + size, 24):
                name, _, _, section, value, _ = struct.unpack_from("<IBBHQQ", self._bytes, at)
                if section and value:
                    end = self._bytes.find(b"\0", strings + name)
                    if known := wanted.get(self._bytes[strings + name : end]):
                        found.setdefault(known, value)
        return found

    def at(self, address: int, size: int) -> bytes:
        """What is loaded at an address."""
        for segment in self.segments():
            if segment.address <= address < segment.address + segment.size:
                start = segment.offset + address - segment.address
                return self._bytes[start : start + size]
        return b""
