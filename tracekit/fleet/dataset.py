"""A fleet's results as Parquet: one folder per table, split into parts of `PART` traces, sorted by trace.

The same results give the same bytes, in whatever order they came in.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracekit.errors import TracekitError
from tracekit.fleet.spool import FILE, Spool
from tracekit.fleet.task import unpacked
from tracekit.model import schemas

PART = 1000
"""Traces a part."""
FOLDERS = {table: folder for folder, table in schemas.FLEET_FOLDERS.items()}
_NEW = ".new"


def prepare(folder: Path, resume: bool) -> bool:
    """Creates the folder if missing; returns whether it is empty. Raises TracekitError if it holds something else."""
    hint = "Name another folder with -o."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise TracekitError(f"{folder}: cannot be written: {error.strerror}.", hint) from error
    if FILE in names and not resume:
        raise TracekitError(
            f"{folder}: holds the results of a run.", "Continue it with --resume, or name another folder with -o."
        )
    if names and FILE not in names:
        raise TracekitError(f"{folder}: is not empty, and holds no results of tracekit fleet.", hint)
    return not names


def write(spool: Spool, folder: Path) -> None:
    """Writes all tables next to the existing ones, then replaces those. Raises TracekitError."""
    new = folder / _NEW
    try:
        shutil.rmtree(new, ignore_errors=True)
        for name in FOLDERS.values():
            (new / name).mkdir(parents=True)
        rows = spool.rows()
        part = list(islice(rows, PART))
        for number in count():
            _write_part(part, new, number)
            part = list(islice(rows, PART))
            if not part:
                break
        for name in FOLDERS.values():
            shutil.rmtree(folder / name, ignore_errors=True)
            os.replace(new / name, folder / name)
        new.rmdir()
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise TracekitError(f"{folder}: {what}.", "Make room, or name another folder with -o.") from error


def _write_part(rows: Sequence[Mapping[str, bytes | None]], folder: Path, number: int) -> None:
    """These traces' rows in all tables. The first part is there even if without a row."""
    for table, name in FOLDERS.items():
        pieces = [unpacked(blob) for row in rows if (blob := row[table]) is not None]
        if pieces or not number:
            schema = schemas.load(table).arrow("row")
            whole = pa.concat_tables([schema.empty_table(), *pieces]).unify_dictionaries().combine_chunks()
            pq.write_table(whole, folder / name / f"part-{number:05}.parquet", compression="zstd")


def parts(folder: Path, table: str, columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of a table, part by part. Raises TracekitError if there is no dataset."""
    files = sorted((folder / FOLDERS[table]).glob("part-*.parquet"))
    if not files:
        raise TracekitError(f"{folder}: holds no results of tracekit fleet.", "Name the folder that -o named.")
    return (pq.read_table(part, columns=columns) for part in files)


def read(folder: Path, table: str, columns: list[str]) -> pa.Table:
    """The same as one table."""
    return pa.concat_tables(parts(folder, table, columns)).unify_dictionaries()
