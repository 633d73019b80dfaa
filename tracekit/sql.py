"""SQL over a trace's tables, by DuckDB: it only reads, and nothing but this trace."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa

from tracekit.errors import SchemaError, TracekitError
from tracekit.model import schemas
from tracekit.model.header import check_stamp
from tracekit.parsers.columnar import unreadable

if TYPE_CHECKING:
    import pandas as pd

_HINT = "--tables shows the tables, --schema TABLE the columns of one (at the prompt .tables, .schema TABLE)."
_LOCKED = "A query reads this trace and nothing else: no other file, no network, no extension."
Derive = Callable[[Sequence[str]], Mapping[str, pa.Table | Path]]


class QueryError(TracekitError):
    """SQL that cannot be run; the message shows where."""


class Database:
    """The tables of `schemas.TABLES` of one trace, or those of a fleet, for as many queries as wanted.

    files: tables that are Parquet files, or a fleet's folders of them; they are read in place, and only what a query
    needs of them. derive: makes those of the others that it is given, when SQL names them first; it may write them into
    `room`, an empty folder that is removed in the end. DuckDB can reach no other file, no network, no extension, and
    change no setting.
    """

    def __init__(
        self, derive: Derive, files: Mapping[str, Path] | None = None, room: TemporaryDirectory[str] | None = None
    ) -> None:
        import duckdb

        self._derive = derive
        self._files = dict(files or {})
        self._room = room
        self._loaded: set[str] = set()
        self._connection = duckdb.connect(":memory:")
        run = self._connection.execute
        parts = [part for file in self._files.values() for part in _parts(file)]
        allowed = {name for part in parts for name in (str(part), _no_pattern(part))}
        run(f"SET allowed_paths = [{', '.join(map(_quoted, sorted(allowed)))}]")
        if room:
            run(f"SET allowed_directories = [{_quoted(os.path.join(room.name, ''))}]")
        run("SET enable_external_access = false")
        run("SET python_enable_replacements = false")  # SQL's names are tables, not Python's variables
        run("SET lock_configuration = true")

    def query(self, sql: str) -> pa.Table:
        """The rows that one SELECT finds. Raises QueryError, and what making the tables raises."""
        import duckdb

        try:
            self._check(sql)
            self._load(sql)
            return _narrow(self._connection.sql(sql).to_arrow_table())
        except duckdb.Error as error:
            hint = _LOCKED if isinstance(error, duckdb.PermissionException) else _HINT
            raise QueryError(_where(self._with_place(sql, error)), hint) from error

    def _with_place(self, sql: str, error: Exception) -> Exception:
        """Of what is wrong with the words of the SQL, `execute` alone tells the place."""
        import duckdb

        if isinstance(error, (duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException)):
            try:
                self._connection.execute(sql)
            except duckdb.Error as placed:
                return placed
        return error

    def _check(self, sql: str) -> None:
        """One SELECT. COPY could write over the very files that may be read."""
        import duckdb

        statements = self._connection.extract_statements(sql)
        if len(statements) != 1:
            raise QueryError(f"There are {len(statements) or 'no'} SQL statements; there must be one.", _HINT)
        if statements[0].type != duckdb.StatementType.SELECT:
            kind = str(statements[0].type).rpartition(".")[2]
            raise QueryError(f"This is {kind}; a trace can only be read, with SELECT.", _HINT)

    def _load(self, sql: str) -> None:
        """Opens or makes the tables that it names; a word in it that only looks like one costs time, no more."""
        words = set(re.findall(r"\w+", sql.lower()))
        missing = [table for table in dict.fromkeys((*schemas.TABLES, *self._files)) if table in words - self._loaded]
        derived = [table for table in missing if table not in self._files]
        for table, rows in (self._derive(derived) if derived else {}).items():
            if isinstance(rows, Path):
                self._files[table] = rows
            else:
                self._connection.register(table, rows)
        for table in missing:
            if table in self._files:
                self._open(table, self._files[table])
        self._loaded.update(missing)

    def _open(self, table: str, file: Path) -> None:
        import pyarrow.parquet as pq

        parts = _parts(file)
        try:
            stamp = (pq.read_schema(parts[0]).metadata or {}).get(b"tracekit.schema")
        except (pa.ArrowException, OSError) as error:
            raise unreadable(str(file), error) from error
        if stamp is None and table != "events":
            raise SchemaError(f"{file}: is not the table {table} of a trace.", "Convert the trace again.")
        schema = schemas.FLEET_FOLDERS[table] if file.is_dir() else table
        check_stamp(stamp.decode("utf-8", "replace") if stamp else None, schema, str(file))
        names = ", ".join(_quoted(_no_pattern(part)) for part in parts)
        source = f"read_parquet([{names}], hive_partitioning = false)"
        self._connection.execute(f"CREATE VIEW {table} AS SELECT * FROM {source}")

    def close(self) -> None:
        self._connection.close()
        if self._room:
            self._room.cleanup()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def frame_of(found: pa.Table) -> pd.DataFrame:
    """What a query found as a DataFrame: Int64 where an integer is null."""
    fields = [field.with_nullable(found.column(place).null_count > 0) for place, field in enumerate(found.schema)]
    return schemas.to_pandas(pa.Table.from_arrays(found.columns, schema=pa.schema(fields)))


def _parts(file: Path) -> list[Path]:
    """A file, or a folder's parts."""
    return sorted(file.glob("part-*.parquet")) if file.is_dir() else [file]


def _no_pattern(file: Path) -> str:
    """Its name for DuckDB, to which `*`, `?` and `[` say more."""
    return re.sub(r"([*?[])", r"[\1]", str(file))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _narrow(found: pa.Table) -> pa.Table:
    """Sums are 128 bits wide in SQL: int64 again, where they fit, as all integers of a trace are."""
    for place, field in enumerate(found.schema):
        if pa.types.is_decimal(field.type) and field.type.scale == 0:
            try:
                column = found.column(place).cast(pa.int64())
            except pa.ArrowException:
                continue
            found = found.set_column(place, field.with_type(pa.int64()), column)
    return found


def _where(error: Exception) -> str:
    """DuckDB's message with the line and the caret below the place, without its list of all functions there are."""
    message = re.sub(r"\n\s*Candidate functions:\n(?:[ \t]+.*\n)*", "\n", str(error))
    what, line, place = message.partition("\nLINE ")
    return f"{what.strip()}\n\nLINE {place}\n" if line else what.strip()
