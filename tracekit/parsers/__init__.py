"""Parsers, each one file. They are recognised by content: `PARSERS` lists them, nothing registers itself.

Each is loaded when those before it are not sure that a trace is theirs: of most traces only the first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from tracekit.model.code import as_prefixes
from tracekit.model.source import Source
from tracekit.model.stream import EventStream
from tracekit.parsers.strangers import refuse, refuse_program

if TYPE_CHECKING:
    from tracekit.model.window import Window

PARSERS = ("text", "raw", "perf", "giltracer", "gecko", "nsight", "parquet", "arrow", "csv", "jsonl")
"""The modules, in the order in which they are asked."""
UNLIKELY = 0.1  # any text at all
EVENTS_FILE = "events.parquet"


class Parser(Protocol):
    """What each module has."""

    def sniff(self, head: bytes) -> float:
        """From a trace's beginning: how sure it is (0 to 1) that it can read it."""

    def open_stream(self, source: Source, strict: bool, whole: bool) -> EventStream: ...


def parser_of(head: bytes) -> Parser:
    """The one that is most sure of a trace that begins so; of several the first."""
    best, most = None, -1.0
    for name in PARSERS:
        parser = cast(Parser, import_module(f"{__name__}.{name}"))
        sure = parser.sniff(head)
        if sure > most:
            best, most = parser, sure
        if sure >= 1:
            break
    assert best
    return best


def events_of(path: str) -> str:
    """The file that holds the events: of a folder of tables the one in it, otherwise `path` itself."""
    inside = os.path.join(path, EVENTS_FILE)
    return inside if os.path.isdir(path) and os.path.exists(inside) else path


def open_trace(
    path: str | os.PathLike[str],
    *,
    strict: bool = False,
    whole: bool = False,
    shown: str | None = None,
    file: BinaryIO | None = None,
    strip_prefix: str | Sequence[str] = (),
    window: Window | None = None,
) -> EventStream:
    """Opens a trace with the parser that recognises it. `-` is standard input.

    file: read this open file instead, e.g. one of an object store; it stays the caller's to close.
    strict: the first bad line raises BadLineError. whole: all of it will be
    kept in memory, so all bad lines too, not only the first 1000.
    shown: what to call it. strip_prefix: folders to leave out of the names of files, once `EventStream.shorten` is
    called. window: only what happened in it.
    Raises SourceError, SchemaError; BadLineError for what was converted with bad lines.
    """
    path = os.fspath(path)
    source = Source(path if file else events_of(path), shown or path, file)
    try:
        refuse(source.head, source.path)
        parser = parser_of(source.head)
        if parser.sniff(source.head) <= UNLIKELY:
            refuse_program(source.path)
        stream = parser.open_stream(source, strict, whole)
        stream.strip_prefixes = as_prefixes(strip_prefix)
        if strict and stream.bad_lines.total:  # what was converted had bad lines
            raise stream.bad_lines.refuse(stream.path)
        if window:
            from tracekit.model.window import WindowStream

            return WindowStream(stream, window)
        return stream
    except BaseException:
        source.close()
        raise
