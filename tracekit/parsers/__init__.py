"""Parsers, each one file. They are recognised by content: `PARSERS` lists them, nothing registers itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from tracekit.parsers import text
from tracekit.source import Source
from tracekit.stream import EventStream


@dataclass(frozen=True)
class Parser:
    """`sniff` says from a trace's beginning how sure it is (0 to 1) that it can read it."""

    name: str
    sniff: Callable[[bytes], float]
    open: Callable[[Source, bool, bool], EventStream]


PARSERS = (Parser(text.NAME, text.sniff, text.open_stream),)


def open_trace(
    path: str | os.PathLike[str], *, strict: bool = False, whole: bool = False, file: BinaryIO | None = None
) -> EventStream:
    """Opens a trace with the parser that recognises it. `-` is standard input.

    file: read this open file instead, e.g. one of an object store; it stays the caller's to close.
    strict: the first bad line raises BadLineError. whole: all of it will be
    kept in memory, so all bad lines too, not only the first 1000.
    Raises SourceError.
    """
    source = Source(path, file)
    try:
        parser = max(PARSERS, key=lambda parser: parser.sniff(source.head))
        return parser.open(source, strict, whole)
    except BaseException:
        source.close()
        raise
