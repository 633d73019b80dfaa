"""Results as they come in, a row a trace, in one file: what a killed run leaves, and what `--resume` reads."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tracekit.errors import TracekitError
from tracekit.fleet.places import Failure, Place
from tracekit.fleet.task import Result, errors, moved, packed, unpacked
from tracekit.model import schemas
from tracekit.version import VERSION

FILE = ".results.sqlite"
_COMMIT = 0.5  # seconds of work that a kill may cost
_CACHE = 16 << 10  # KiB of pages
_CREATE = f"""
    create table if not exists results (
        trace text primary key, version text, size integer, modified integer, checksum text,
        {", ".join(f"{table} blob" for table in schemas.FLEET_TABLES)}
    );
    create temp table wanted (trace text primary key) without rowid;
"""


class Spool:
    """The results in a folder. Everything is about the traces that were `want`ed since it was opened."""

    def __init__(self, folder: Path, thresholds: tuple[tuple[str, float], ...] = ()) -> None:
        """thresholds: with which results are made; others are not kept.

        Raises TracekitError: it is in use, damaged, or cannot be written.
        """
        self.path = folder / FILE
        self._made_by = " ".join([VERSION, *(f"{name}={value}" for name, value in thresholds)])
        self._committed = time.monotonic()
        with self._told():
            self._database = sqlite3.connect(self.path, timeout=1)
            try:
                self._database.execute("pragma locking_mode = exclusive")
                self._database.execute("pragma synchronous = normal")
                self._database.execute(f"pragma cache_size = -{_CACHE}")
                self._database.executescript(_CREATE)
                self._database.execute("begin exclusive")
            except BaseException:
                self._database.close()
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY":
                message, hint = "is in use: another run writes there", "Wait for it, or name another folder."
            elif isinstance(error, sqlite3.OperationalError):
                message, hint = f"cannot be written: {error}", "Make room, or name another folder with -o."
            else:
                message, hint = f"is damaged: {error}", "Remove the folder, or name another one with -o."
            raise TracekitError(f"{self.path}: {message}.", hint) from error

    def want(self, traces: Iterable[str]) -> None:
        """From now on these traces are meant."""
        with self._told():
            self._database.executemany("insert or ignore into wanted values (?)", ((trace,) for trace in traces))

    def done(self) -> dict[str, tuple[int | None, int | None, str | None]]:
        """Size, modification time and checksum of the wanted traces whose results, of this version, are here."""
        query = """select trace, size, modified, checksum from results join wanted using (trace)
            where fleet_traces is not null and version = ?"""
        with self._told():
            return {row[0]: row[1:] for row in self._database.execute(query, (self._made_by,))}

    def add(self, result: Result) -> None:
        place, tables = result.place, dict(result.tables or {})
        if result.failure:
            tables["fleet_errors"] = packed(errors(place.trace, result.failure))
        row = (place.trace, self._made_by, place.size, place.modified, result.checksum)
        blobs = (tables.get(table) for table in schemas.FLEET_TABLES)
        marks = ", ".join("?" * (len(row) + len(schemas.FLEET_TABLES)))
        with self._told():
            self._database.execute(f"insert or replace into results values ({marks})", (*row, *blobs))
            if time.monotonic() - self._committed > _COMMIT:
                self.commit()

    def fail(self, trace: str, failure: Failure) -> None:
        self.add(Result(Place(trace), failure=failure))

    def keep(self, place: Place) -> None:
        """The results that are here are this trace's too, although its size or modification time is another."""
        with self._told():
            (blob,) = self._database.execute("select fleet_traces from results where trace = ?", place[:1]).fetchone()
            self._database.execute(
                "update results set size = ?, modified = ?, fleet_traces = ? where trace = ?",
                (place.size, place.modified, packed(moved(unpacked(blob), place)), place.trace),
            )

    def commit(self) -> None:
        with self._told():
            self._database.commit()
            self._database.execute("begin exclusive")
        self._committed = time.monotonic()

    def rows(self) -> Iterator[dict[str, bytes | None]]:
        """Of each wanted trace, sorted, its rows in each table, as `packed`; None where it has none there."""
        query = f"select {', '.join(schemas.FLEET_TABLES)} from wanted join results using (trace) order by trace"
        with self._told():
            for blobs in self._database.execute(query):
                yield dict(zip(schemas.FLEET_TABLES, blobs, strict=True))

    def counts(self) -> tuple[int, int]:
        """Of the wanted traces: with results, and with an error."""
        query = "select count(fleet_traces), count(fleet_errors) from wanted join results using (trace)"
        with self._told():
            analyzed, failed = self._database.execute(query).fetchone()
            return int(analyzed), int(failed)

    def close(self, remove: bool = False) -> None:
        """remove: delete the spool, after a run that failed before it started."""
        with self._told():
            self._database.commit()
            self._database.close()
        if remove:
            self.path.unlink()
