"""Parsers, each one file. They are recognised by content: `PARSERS` lists them, nothing registers itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from tracekit.model.source import Source
from tracekit.model.stream import EventStream
from tracekit.parsers import arrow, csv, gecko, giltracer, jsonl, nsight, parquet, perf, raw, text


@dataclass(frozen=True)
class Parser:
    """`sniff` says from a trace's beginning how sure it is (0 to 1) that it can read it."""

    name: str
    sniff: Callable[[bytes], float]
    open: Callable[[Source, bool, bool], EventStream]


PARSERS = (
    Parser(text.NAME, text.sniff, text.open_stream),
    Parser(raw.NAME, raw.sniff, raw.open_stream),
    Parser(perf.NAME, perf.sniff, perf.open_stream),
    Parser(giltracer.NAME, giltracer.sniff, giltracer.open_stream),
    Parser(gecko.NAME, gecko.sniff, gecko.open_stream),
    Parser(nsight.NAME, nsight.sniff, nsight.open_stream),
    Parser(parquet.NAME, parquet.sniff, parquet.open_stream),
    Parser(arrow.NAME, arrow.sniff, arrow.open_stream),
    Parser(csv.NAME, csv.sniff, csv.open_stream),
    Parser(jsonl.NAME, jsonl.sniff, jsonl.open_stream),
)


def open_trace(
    path: str | os.PathLike[str],
    *,
    strict: bool = False,
    whole: bool = False,
    shown: str | None = None,
    file: BinaryIO | None = None,
) -> EventStream:
    """Opens a trace with the parser that recognises it. `-` is standard input.

    file: read this open file instead, e.g. one of an object store; it stays the caller's to close.
    strict: the first bad line raises BadLineError. whole: all of it will be
    kept in memory, so all bad lines too, not only the first 1000.
    shown: what to call it. Raises SourceError, SchemaError; BadLineError for what was converted with bad lines.
    """
    path = os.fspath(path)
    source = Source(path if file else parquet.events_of(path), shown or path, file)
    try:
        parser = max(PARSERS, key=lambda parser: parser.sniff(source.head))
        stream = parser.open(source, strict, whole)
        if strict and stream.bad_lines.total:  # what was converted had bad lines
            raise stream.bad_lines.refuse(stream.path)
        return stream
    except BaseException:
        source.close()
        raise
