"""Nsight Systems' SQLite export of a profile with `--trace=python-gil`.

The ranges `Holding GIL` and `Waiting for GIL` are rows of NVTX_EVENTS in the domain `GIL Trace`, with their text
there or in StringIds; times in nanoseconds, no end where the recording ended first. Seen in NVIDIA's SQLite Export
Schema Reference, its examples (globalTid), and the queries of its NVTX reports: the name of a domain is a row of event
type 75.
"""

from __future__ import annotations

import math
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

from tracekit.model.source import Source
from tracekit.model.stream import EventStream
from tracekit.parsers.ranges import HOLDING, WAITING, RangeEvents

_MAGIC = b"SQLite format 3\0"
_DOMAIN = "GIL Trace"
_KINDS = {"Holding GIL": HOLDING, "Waiting for GIL": WAITING}
_DOMAIN_CREATED = 75
_HINT = "Profile with `nsys profile --trace=nvtx,python-gil`, and export with `nsys export --type=sqlite`."


def sniff(head: bytes) -> float:
    return 0.9 if head.startswith(_MAGIC) else 0.0


def open_stream(source: Source, strict: bool, whole: bool) -> EventStream:
    return NsightExport(source)


class NsightExport(RangeEvents):
    missing = ("its table NVTX_EVENTS has no range `Holding GIL` or `Waiting for GIL`", _HINT)

    def __init__(self, source: Source) -> None:
        super().__init__(source, "Nsight Systems")

    def read(self) -> None:
        try:
            with self._file() as path, closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as database:
                database.text_factory = lambda text: text.decode("utf-8", "replace")
                database.execute("PRAGMA trusted_schema = OFF")
                tables = self._tables(database)
                for start, end, thread, text in database.execute(_ranges(tables)):
                    self.add(_KINDS[text], *_pid_and_tid(thread), _time(start), _time(end))
                if {"ThreadNames", "StringIds"} <= set(tables):
                    for thread, name in database.execute(_NAMES):
                        self.names[str(_pid_and_tid(thread)[1])] = str(name)
        except (sqlite3.Error, OverflowError) as error:
            raise self.damaged(f"it cannot be read as an SQLite database ({error})") from error

    @contextmanager
    def _file(self) -> Iterator[str]:
        """SQLite reads files only: what comes from a pipe or is compressed is put into one."""
        if plain := self._source.plain_file:
            yield os.path.abspath(plain)
            return
        with tempfile.NamedTemporaryFile(suffix=".sqlite") as copy:
            for chunk in self.chunks():
                copy.write(chunk)
            copy.flush()
            yield copy.name

    def _tables(self, database: sqlite3.Connection) -> dict[str, set[str]]:
        """The columns of each table that is needed. A view could run forever."""
        found = {
            name: {row[1] for row in database.execute(f"PRAGMA table_info({name})")}
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' "
                "AND name IN ('NVTX_EVENTS', 'StringIds', 'ThreadNames')"
            )
        }
        if not {"start", "end", "globalTid", "text"} <= found.get("NVTX_EVENTS", set()):
            raise self.damaged("it has no table NVTX_EVENTS with start, end, globalTid and text", _HINT)
        return found


def _ranges(tables: dict[str, set[str]]) -> str:
    """The GIL's ranges: an open one ends with the last. A domain's number belongs to its process."""
    columns = tables["NVTX_EVENTS"]
    strings = "textId" in columns and {"id", "value"} <= tables.get("StringIds", set())
    text = "coalesce(event.text, string.value)" if strings else "event.text"
    join = "LEFT JOIN StringIds AS string ON string.id = event.textId" if strings else ""
    names = ", ".join(f"'{name}'" for name in _KINDS)
    where = f"{text} IN ({names})"
    domains = ""
    if {"domainId", "eventType"} <= columns:
        domains = f""", others AS (
            SELECT event.domainId AS id, event.globalTid >> 24 AS process FROM NVTX_EVENTS AS event {join}
            WHERE event.eventType = {_DOMAIN_CREATED} AND {text} <> '{_DOMAIN}')"""
        where += " AND (event.domainId, event.globalTid >> 24) NOT IN (SELECT id, process FROM others)"
    return f"""
        WITH whole AS (SELECT max(max(start), max(coalesce("end", start))) AS last FROM NVTX_EVENTS
            WHERE typeof(start) = 'integer' AND typeof("end") IN ('integer', 'null')){domains}
        SELECT event.start, coalesce(event."end", whole.last), event.globalTid, {text}
        FROM whole, NVTX_EVENTS AS event {join} WHERE {where}"""


_NAMES = """
    SELECT thread.globalTid, string.value FROM ThreadNames AS thread JOIN StringIds AS string
    ON string.id = thread.nameId"""


def _pid_and_tid(thread: Any) -> tuple[int | None, int | None]:
    return ((thread >> 24) & 0xFFFFFF, thread & 0xFFFFFF) if isinstance(thread, int) else (None, None)


def _time(value: Any) -> float:
    return value if isinstance(value, (int, float)) else math.nan
