"""Parquet: a folder with a file for each table, or the events alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, BinaryIO

import pyarrow as pa

from tracekit.model import schemas
from tracekit.model.header import KEY
from tracekit.writers.tablestream import TableStream

GROUP_ROWS = 1 << 17
"""Rows of a row group: what a reader can skip by its statistics."""
SORTED_ROWS = 7 << 15
"""So many rows are sorted by thread before they are written: a query for one thread skips the others' row groups. With
those of the batch that is one too many they fit into room for 2^18, as the core doubles it."""
_WAITING = 1  # pieces: a table whose encoder is behind stops the reading
_FEW_VALUES = ("ticks",)


class _TableFile:
    """A table that is written as its pieces come; a large one by a thread of its own, since pyarrow encodes without the
    GIL."""

    def __init__(self, table: str, unit: str, header: str, out: Any) -> None:
        import pyarrow.parquet as pq

        schema = schemas.load(table).arrow(unit)
        self._schema = schema.with_metadata({**schema.metadata, KEY: header})
        self._pieces: list[pa.Table] = []
        self._rows = 0
        words = [field.name for field in schema if pa.types.is_dictionary(field.type)]
        growing = [field.name for field in schema if field.name.endswith(("seq", "clock", "time", "checks"))]
        self._writer = pq.ParquetWriter(
            out, self._schema, compression="zstd", compression_level=1, write_page_checksum=True,
            use_dictionary=[*words, *_FEW_VALUES], column_encoding=dict.fromkeys(growing, "DELTA_BINARY_PACKED"),
            write_statistics=[field.name for field in schema if field.name == "thread" or field.name not in words],
            write_batch_size=GROUP_ROWS,
        )  # fmt: skip
        self._waiting: Queue[pa.Table | None] = Queue(_WAITING)
        self._error: BaseException | None = None
        self._thread: Thread | None = None

    def add(self, piece: pa.Table) -> None:
        """Raises what writing has raised so far."""
        self._pieces.append(piece)
        self._rows += piece.num_rows
        if self._rows < SORTED_ROWS:
            return
        if not self._thread:
            self._thread = Thread(target=self._write_waiting, name="tracekit-parquet", daemon=True)
            self._thread.start()
        if self._error:
            raise self._error
        self._waiting.put(self._taken())

    def _taken(self) -> pa.Table:
        rows = pa.concat_tables(self._pieces)
        self._pieces.clear()
        self._rows = 0
        return rows

    def _write(self, rows: pa.Table) -> None:
        groups = max(1, round(rows.num_rows / GROUP_ROWS))
        self._writer.write_table(rows.cast(self._schema), -(-rows.num_rows // groups))

    def _write_waiting(self) -> None:
        while (rows := self._waiting.get()) is not None:
            try:
                if not self._error:
                    self._write(rows)
            except BaseException as error:
                self._error = error

    def close(self) -> None:
        """Raises what writing raised."""
        if self._thread:
            self._waiting.put(None)
            self._thread.join()
        try:
            if self._rows and not self._error:
                self._write(self._taken())
        finally:
            self._writer.close()
        if self._error:
            raise self._error


def write_folder(trace: TableStream, folder: Path) -> None:
    """A file for each of `schemas.TABLES`."""
    write_tables(trace, folder, schemas.TABLES)


def write_tables(trace: TableStream, folder: Path, tables: Sequence[str]) -> dict[str, Path]:
    """A file for each of these tables; where they are."""
    files = {table: folder / f"{table}.parquet" for table in tables}
    _write(trace, files)
    return files


def write_events(trace: TableStream, out: BinaryIO) -> None:
    """The table `events`."""
    _write(trace, {"events": out})


def _write(trace: TableStream, outs: Mapping[str, Any]) -> None:
    header, short = trace.header.to_json(), trace.header.without_definitions().to_json()
    with ExitStack() as closing:
        files = {}
        for table, out in outs.items():
            file = _TableFile(table, trace.analysis.unit, header if table == "events" else short, out)
            closing.callback(file.close)
            files[table] = file
        for table, piece in trace.pieces(*files, sorted_rows=SORTED_ROWS):
            files[table].add(piece)
