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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

from tracekit.model.source import Source
from tracekit.model.stream import NAME_LIMIT, THREAD_LIMIT, EventStream
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
            with self._file() as path, closing(_opened(path)) as database:
                self._take(database)
        except (sqlite3.Error, OverflowError) as error:
            if "interrupted" in str(error):  # by Ctrl-C, in the middle of a query
                raise KeyboardInterrupt from error
            raise self.damaged(f"it cannot be read as an SQLite database ({error})") from error
        except UnicodeDecodeError as error:  # of SQLite's own message about a name
            raise self.damaged("a name in its schema is no UTF-8") from error

    @contextmanager
    def _file(self) -> Iterator[str]:
        """SQLite reads files only: what comes from a pipe or is compressed is put into one."""
        if plain := self._source.plain_file:
            yield os.path.abspath(plain)
            return
        with self._source.unpacked() as copy:
            yield copy.name

    def _take(self, database: sqlite3.Connection) -> None:
        """Each table once, row by row: joins over ids that are there many times would have no end."""
        tables = self._tables(database)
        events = tables["NVTX_EVENTS"]
        has_strings = {"id", "value"} <= tables.get("StringIds", set())
        words: dict[Any, str] = {}
        if has_strings and "textId" in events:
            known = ", ".join(f"'{word}'" for word in (*_KINDS, _DOMAIN))
            for number, word in database.execute(f"SELECT id, value FROM StringIds WHERE value IN ({known})"):
                words.setdefault(number, word)
        text_id = "textId" if "textId" in events else "NULL"
        domains = {"domainId", "eventType"} <= events
        domain = "domainId" if domains else "NULL"
        others = set()
        if domains:
            for number, thread, text, word in database.execute(
                f"SELECT domainId, globalTid, text, {text_id} FROM NVTX_EVENTS WHERE eventType = {_DOMAIN_CREATED}"
            ):
                if (words.get(word) if text is None else text) != _DOMAIN:
                    others.add((number, _pid_and_tid(thread)[0]))
        (last,) = next(database.execute(_LAST))
        for start, end, thread, text, word, number in database.execute(
            f'SELECT start, "end", globalTid, text, {text_id}, {domain} FROM NVTX_EVENTS'
        ):
            kind = _KINDS.get(words.get(word, "") if text is None else text)
            if kind is not None and (number, _pid_and_tid(thread)[0]) not in others:
                self.add(kind, *_pid_and_tid(thread), _time(start), _time(last if end is None else end))
        if has_strings and {"nameId", "globalTid"} <= tables.get("ThreadNames", set()):
            self._read_names(database)

    def _read_names(self, database: sqlite3.Connection) -> None:
        named: dict[Any, Any] = {}
        for thread, name in database.execute("SELECT globalTid, nameId FROM ThreadNames"):
            if len(named) < THREAD_LIMIT:
                named[_pid_and_tid(thread)[1]] = name
        words: dict[Any, str | None] = dict.fromkeys(named.values())
        for number, word in database.execute("SELECT id, value FROM StringIds"):
            if number in words and words[number] is None:
                words[number] = str(word)[:NAME_LIMIT]
        for tid, name in named.items():
            if told := words[name]:
                self.names[str(tid)] = told

    def _tables(self, database: sqlite3.Connection) -> dict[str, set[str]]:
        """The columns of each table that is needed. Views and virtual tables could run forever, and have no page."""
        tables = {
            name: {row[1] for row in database.execute(f"PRAGMA table_info({name})")}
            for (name,) in database.execute(
                f"SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 AND name IN {_TABLES}"
            ).fetchall()
        }
        if not {"start", "end", "globalTid", "text"} <= tables.get("NVTX_EVENTS", set()):
            raise self.damaged("it has no table NVTX_EVENTS with start, end, globalTid and text", _HINT)
        return tables


_TABLES = ("NVTX_EVENTS", "StringIds", "ThreadNames")
_LAST = """
    SELECT max(max(start), max(coalesce("end", start))) FROM NVTX_EVENTS
    WHERE typeof(start) = 'integer' AND typeof("end") IN ('integer', 'null')"""
_FUNCTIONS = {"max", "coalesce", "typeof"}
_LONGEST = 1 << 26  # bytes of a value or a row
_LOOK = 10_000  # instructions of SQLite between two looks at signals


def _opened(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)
    database.text_factory = lambda text: text.decode("utf-8", "replace")
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "temp_store = MEMORY"):
        database.execute(f"PRAGMA {setting}")
    database.set_authorizer(_allowed)
    database.set_progress_handler(lambda: 0, _LOOK)
    return database


def _allowed(action: int, first: str | None, second: str | None, schema: str | None, inside: str | None) -> int:
    """Reading these tables, and nothing that the file's schema could call."""
    fine = (
        action == sqlite3.SQLITE_SELECT
        or (action == sqlite3.SQLITE_READ and first in ("sqlite_master", *_TABLES))
        or (action == sqlite3.SQLITE_PRAGMA and first == "table_info")
        or (action == sqlite3.SQLITE_FUNCTION and second in _FUNCTIONS)
    )
    return sqlite3.SQLITE_OK if fine else sqlite3.SQLITE_DENY


def _pid_and_tid(thread: Any) -> tuple[int | None, int | None]:
    return ((thread >> 24) & 0xFFFFFF, thread & 0xFFFFFF) if isinstance(thread, int) else (None, None)


def _time(value: Any) -> float:
    return value if isinstance(value, (int, float)) else math.nan
