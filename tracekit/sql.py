"""SQL over a trace's tables with DuckDB: read-only, with access to nothing but this trace."""

from __future__ import annotations

import os
import re
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pyarrow as pa

from tracekit.errors import SchemaError, TracekitError
from tracekit.model import schemas
from tracekit.model.header import check_stamp
from tracekit.parsers.columnar import unreadable

if TYPE_CHECKING:
    import pandas as pd

_HINT = "--tables shows the tables, --schema TABLE the columns of one (at the prompt .tables, .schema TABLE)."
_LOCKED = "A query can only read this trace: no other files, no network, no extensions."
_MEMORY = "Ask for less at once, or give it more with --memory."
_BATCH_ROWS = 1 << 16
_FIRST_BYTES = 1 << 24
_PATIENCE = 0.02  # s between two tries to end a query
_NUMBERS_AND_WORDS = frozenset(
    {
        "boolean", "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger",
        "ubigint", "float", "double", "decimal", "varchar", "enum", "null", "sqlnull",
    }
)  # fmt: skip
_NESTED = frozenset({"list", "array", "struct", "map"})
_TIMES = frozenset(
    {"date", "time", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"}
)
_STORED = _NUMBERS_AND_WORDS | _NESTED | _TIMES | {"blob", "uuid"}
"""DuckDB's types that are the same in Arrow and Parquet."""
T = TypeVar("T")
Derive = Callable[[Sequence[str]], Mapping[str, pa.Table | Path]]


class QueryError(TracekitError):
    """SQL that cannot be run; the message shows where."""


class Found(NamedTuple):
    """What a query finds. The batches can be read once, and come as DuckDB finds them."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


class Database:
    """The tables of `schemas.TABLES` of one trace, or those of a fleet, for as many queries as wanted.

    files: tables that are Parquet files, or a fleet's folders of them; they are read in place, and only what a query
    needs of them. derive: makes those of the others that it is given, when SQL names them first; it may write them into
    `room`, an empty folder that is removed in the end. memory: bytes that DuckDB may take; half of what is free by
    default. DuckDB can reach no other file, no network, no extension, and change no setting.
    """

    def __init__(
        self,
        derive: Derive,
        files: Mapping[str, Path] | None = None,
        room: TemporaryDirectory[str] | None = None,
        memory: int | None = None,
    ) -> None:
        import duckdb

        self._derive = derive
        self._files = dict(files or {})
        self._room = room
        self._memory = memory or default_memory()
        self._loaded: set[str] = set()
        self._one_at_a_time = threading.Lock()
        # What does not fit into memory goes here. DuckDB's default is ./.tmp, and whatever is in it could be read.
        self._spill = mkdtemp(prefix="tracekit-")
        self._remove_spill = weakref.finalize(self, shutil.rmtree, self._spill, ignore_errors=True)
        self._connection = duckdb.connect(":memory:")
        run = self._connection.execute
        parts = [part for file in self._files.values() for part in _parts(file)]
        allowed = {name for part in parts for name in (str(part), _no_pattern(part))}
        run(f"SET temp_directory = {_quoted(self._spill)}")
        run(f"SET max_temp_directory_size = '{shutil.disk_usage(self._spill).free // 2}B'")
        if self._memory:
            run(f"SET memory_limit = '{self._memory}B'")
        run(f"SET allowed_paths = [{', '.join(map(_quoted, sorted(allowed)))}]")
        if room:
            run(f"SET allowed_directories = [{_quoted(os.path.join(room.name, ''))}]")
        run("SET enable_external_access = false")  # Python's variables are no tables either then
        run("SET lock_configuration = true")

    def query(self, sql: str) -> pa.Table:
        """The rows that one SELECT finds. Raises QueryError, and what making the tables raises.

        Threads may ask at once: one is answered after the other.
        """
        with self._one_at_a_time:
            result = self.stream(sql)
            return _narrow(pa.Table.from_batches(list(result.batches), result.schema))

    def stream(self, sql: str, as_text: bool = False) -> Found:
        """The same, batch by batch. What Arrow and Parquet have no type for is text, as DuckDB writes it.

        as_text: so is all but numbers, words and booleans. Whole sums are int64 where the first rows are, and are all
        there are, else decimals. Also raises QueryError while it is iterated.
        """
        with self._errors(sql):
            self._check(sql)
            self._load(sql)
            rows = self._interruptibly(lambda: self._connection.sql(sql))
            plain = _NUMBERS_AND_WORDS if as_text else _STORED
            as_it_is = [_is_of(plain, kind) for kind in rows.types]
            names = _different(rows.columns)
            if names != rows.columns or not all(as_it_is):
                columns = (
                    f"{f'#{place}' if fine else f'CAST(#{place} AS VARCHAR)'} AS {_identifier(name)}"
                    for place, (name, fine) in enumerate(zip(names, as_it_is, strict=True), start=1)
                )
                rows = rows.project(", ".join(columns))
            reader = self._interruptibly(lambda: rows.to_arrow_reader(_BATCH_ROWS))
        batches = self._batches(sql, reader)
        first: list[pa.RecordBatch] = []
        while sum(batch.nbytes for batch in first) < _FIRST_BYTES:
            batch = next(batches, None)
            if batch is None:
                whole = _narrow(pa.Table.from_batches(first, reader.schema))
                return Found(whole.schema, iter(whole.to_batches()))
            first.append(batch)
        return Found(reader.schema, chain(first, batches))

    def _batches(self, sql: str, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            while True:
                with self._errors(sql):
                    batch = self._interruptibly(lambda: next(reader, None))
                if batch is None:
                    return
                yield batch
        finally:
            reader.close()  # while it is open the connection takes no other query

    @contextmanager
    def _errors(self, sql: str) -> Iterator[None]:
        import duckdb

        try:
            yield
        except (duckdb.OutOfMemoryException, MemoryError) as error:
            limit = f"{self._memory / 2**30:,.2f} GiB" if self._memory else "there is"
            raise QueryError(f"The query needs more memory than {limit}.", _MEMORY) from error
        except duckdb.Error as error:
            hint = _LOCKED if isinstance(error, duckdb.PermissionException) else _HINT
            raise QueryError(_where(self._with_place(sql, error), (*schemas.TABLES, *self._files)), hint) from error
        except pa.ArrowException as error:
            if "Out of Memory" in str(error):
                raise QueryError("The query needs more memory than it may take.", _MEMORY) from error
            raise QueryError(f"{str(error).splitlines()[0]}", _HINT) from error

    def _interruptibly(self, work: Callable[[], T]) -> T:
        """Does it in a thread: DuckDB does not look at signals, and this thread can. Ctrl-C ends the query first."""
        begun, unwanted, done = threading.Event(), threading.Event(), threading.Event()
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            begun.set()
            try:
                if not unwanted.is_set():
                    results.append(work())
            except BaseException as error:
                errors.append(error)
            done.set()

        try:
            threading.Thread(target=run, name="tracekit-query", daemon=True).start()
            done.wait()
        except BaseException:
            unwanted.set()  # it may have come before the thread, which may yet begin
            while begun.is_set() and not done.is_set():
                with suppress(KeyboardInterrupt):  # once is enough
                    self._connection.interrupt()  # again: the query may only just begin
                    done.wait(_PATIENCE)
            errors.clear()
            raise
        if errors:
            raise errors.pop()  # left there it would hold itself, and what it was raised for
        return results[0]

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
                self._interruptibly(partial(self._connection.register, table, rows))
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
        self._interruptibly(lambda: self._connection.execute(f"CREATE VIEW {table} AS SELECT * FROM {source}"))

    def close(self) -> None:
        self._connection.close()
        self._remove_spill()
        if self._room:
            self._room.cleanup()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def frame_of(rows: pa.Table) -> pd.DataFrame:
    """What a query found as a DataFrame: Int64 where an integer is null."""
    fields = [field.with_nullable(rows.column(place).null_count > 0) for place, field in enumerate(rows.schema)]
    try:
        return schemas.to_pandas(pa.Table.from_arrays(rows.columns, schema=pa.schema(fields)))
    except (ValueError, OverflowError) as error:  # a date beyond Python's
        raise QueryError(f"It cannot be a DataFrame: {error}.", "Cast it to varchar, or ask for Arrow.") from error


def _is_of(plain: frozenset[str], kind: Any) -> bool:
    """Whether this type of DuckDB, and every type inside it, is one of these."""
    name = str(kind.id).strip('"')
    if name not in plain:
        return False
    inner = kind.children if name in _NESTED else ()
    return all(_is_of(plain, child) for _, child in inner if not isinstance(child, int))


def default_memory() -> int | None:
    """Half of the memory that is free here and in this process' control group; None where that is not known."""
    free = []
    with suppress(OSError):
        told = re.findall(r"^MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        free += [1024 * int(size) for size in told]
    with suppress(OSError, ValueError):
        limit, used = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
        free.append(limit - used)
    return max(min(free) // 2, 1 << 26) if free else None


def _parts(file: Path) -> list[Path]:
    """A file, or a folder's parts."""
    return sorted(file.glob("part-*.parquet")) if file.is_dir() else [file]


def _no_pattern(file: Path) -> str:
    """Its name for DuckDB, to which `*`, `?` and `[` say more."""
    return re.sub(r"([*?[])", r"[\1]", str(file))


def _different(names: list[str]) -> list[str]:
    """With a number behind those that there were before: an object or a file has each name once."""
    columns: dict[str, None] = {}
    for name in names:
        number, told = 1, name
        while told in columns:
            told, number = f"{name}_{number}", number + 1
        columns[told] = None
    return list(columns)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _narrow(rows: pa.Table) -> pa.Table:
    """Sums are 128 bits wide in SQL: int64 again, where they fit, as all integers of a trace are."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_decimal(field.type) and field.type.scale == 0:
            try:
                column = rows.column(place).cast(pa.int64())
            except pa.ArrowException:
                continue
            rows = rows.set_column(place, field.with_type(pa.int64()), column)
    return rows


def _where(error: Exception, tables: Sequence[str]) -> str:
    """DuckDB's message with the line and the caret below the place, without its list of all functions there are.

    Of tables that could be meant it knows its own only; these are ours.
    """
    message = re.sub(r"\n\s*Candidate functions:\n(?:[ \t]+.*\n)*", "\n", str(error))
    unknown = re.match(r"Catalog Error: Table with name (\S+) does not exist!", message)
    if unknown:
        near = get_close_matches(unknown[1].lower(), tables, 1, 0.5)
        meant = f'\nDid you mean "{near[0]}"?' if near else ""
        message = re.sub(r"\nDid you mean \".*\"\?", "", message).replace(unknown[0], unknown[0] + meant, 1)
    what, line, place = message.partition("\nLINE ")
    return f"{what.strip()}\n\nLINE {place}\n" if line else what.strip()
