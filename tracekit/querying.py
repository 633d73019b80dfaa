"""`query`: SQL over a trace file, of which only what the SQL names is read or derived."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, overload

import pyarrow as pa

from tracekit.errors import OptionError
from tracekit.model import schemas
from tracekit.model.source import Source
from tracekit.model.stream import OnProgress
from tracekit.sql import Database, default_memory, frame_of
from tracekit.writers import parquet
from tracekit.writers.tablestream import TableStream

if TYPE_CHECKING:
    import pandas as pd

    from tracekit.model.window import Window

IN_MEMORY = 2_000_000
"""Events of a trace whose tables are kept in memory; those of a larger one go into temporary files."""
_EVENT_BYTES = 1 << 10
"""An event takes no more in all tables together."""


@overload
def query(
    trace: str | os.PathLike[str], sql: str, *, arrow: Literal[False] = False, strip_prefix: str | Sequence[str] = ()
) -> pd.DataFrame: ...


@overload
def query(
    trace: str | os.PathLike[str], sql: str, *, arrow: Literal[True], strip_prefix: str | Sequence[str] = ()
) -> pa.Table: ...


def query(
    trace: str | os.PathLike[str], sql: str, *, arrow: bool = False, strip_prefix: str | Sequence[str] = ()
) -> pd.DataFrame | pa.Table:
    """The rows that one SELECT over the trace's tables (docs/tables.md) finds. Findings: default thresholds.

    trace: a file in any format; of a folder that `tracekit convert` wrote only what is needed is read.
    arrow: as a `pyarrow.Table` instead of a DataFrame. strip_prefix: as in `analyze`. Raises QueryError, and what
    `analyze` raises.
    """
    with open_database(trace, strip_prefix=strip_prefix) as database:
        answer = database.query(sql)
    return answer if arrow else frame_of(answer)


def open_database(
    trace: str | os.PathLike[str],
    progress: OnProgress | None = None,
    memory: int | None = None,
    window: Window | None = None,
    strip_prefix: str | Sequence[str] = (),
) -> Database:
    """The tables of a trace file, which is read when SQL names one, or of a fleet's folder.

    memory: bytes that may be taken; by default half of what is free. window: only what happened in it. strip_prefix:
    as in `analyze`. Raises SourceError: there is no such file; OptionError: of a fleet, which has neither.
    """
    path = os.fspath(trace)
    limit = memory or default_memory() or 1 << 33

    def derive(tables: Sequence[str]) -> Mapping[str, pa.Table | Path]:
        if _fleet(Path(path)):
            return {}
        with TableStream(path, progress=progress, window=window, strip_prefix=strip_prefix) as stream:
            if stream.analysis.events > min(IN_MEMORY, limit // _EVENT_BYTES):
                return parquet.write_tables(stream, Path(room.name), tables)
            pieces: dict[str, list[pa.Table]] = {table: [] for table in tables}
            for table, piece in stream.pieces(*tables):
                pieces[table].append(piece)
        return {table: pa.concat_tables(kept) for table, kept in pieces.items()}

    if path != "-" and not os.path.exists(path):
        Source(path)  # says so
    if window and _fleet(Path(path)):
        raise OptionError(f"{path}: a fleet has no clock of its own.", "Leave out --from and --to.")
    if strip_prefix and _fleet(Path(path)):
        raise OptionError(f"{path}: a fleet has its files' names as they are.", "Leave out --strip-prefix.")
    room = TemporaryDirectory(prefix="tracekit-")
    return Database(derive, {} if window or strip_prefix else _files(Path(path)), room, limit)


def tables_of(trace: str | os.PathLike[str]) -> dict[str, str]:
    """The tables that SQL can name, and their schemas."""
    return _fleet(Path(trace)) or {table: table for table in schemas.TABLES}


def _fleet(path: Path) -> dict[str, str]:
    """The folders of a fleet's dataset and their schemas; those of an older one can be fewer. Empty: it is none."""
    folders = {folder: table for folder, table in schemas.FLEET_FOLDERS.items() if (path / folder).is_dir()}
    return folders if {"traces", "causes"} <= folders.keys() else {}


def _files(path: Path) -> dict[str, Path]:
    """The tables of a folder of them."""
    if folders := _fleet(path):
        return {folder: (path / folder).resolve() for folder in folders}
    files = {table: (path / f"{table}.parquet").resolve() for table in schemas.TABLES} if path.is_dir() else {}
    return {table: file for table, file in files.items() if file.is_file()}
