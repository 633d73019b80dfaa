"""What `compare.py` times, one contender in one process: `python benchmarks/contenders.py NAME TRACE` prints JSON.

A contender prepares (imports, options) and returns its job; only the job is timed. Every reader parses all four
columns and takes `-` for null; threads and events are plain strings but for tracekit's categories.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLUMNS = ("thread", "ticks", "checks", "event")
READ_BYTES = 256 << 10
CHUNK_ROWS = 1 << 20


@dataclass(frozen=True)
class Result:
    """What a job gives.

    Attributes:
        amount: events; of the raw readers bytes, of polars' analysis the rows it pairs.
        keep: lives on until the clock has stopped.
    """

    amount: int
    detail: Any = None
    keep: Any = None


Job = Callable[[], Result]


def head_lines(path: str) -> int:
    with open(path, "rb") as trace:
        return next(place for place, line in enumerate(trace) if not line.startswith(b"#"))


def raw_read(path: str) -> Job:
    def job() -> Result:
        buffer, total = bytearray(READ_BYTES), 0
        descriptor = os.open(path, os.O_RDONLY)
        while got := os.readv(descriptor, [buffer]):
            total += got
        os.close(descriptor)
        return Result(total)

    return job


def raw_newlines(path: str) -> Job:
    import numpy as np

    def job() -> Result:
        buffer, total, lines = np.empty(READ_BYTES, np.uint8), 0, 0
        matches = np.empty(READ_BYTES, np.bool_)
        descriptor = os.open(path, os.O_RDONLY)
        while got := os.readv(descriptor, [buffer]):
            lines += int(np.count_nonzero(np.equal(buffer[:got], 10, out=matches[:got])))
            total += got
        os.close(descriptor)
        return Result(total, lines)

    return job


def tracekit_scan(path: str) -> Job:
    from tracekit.parsers import open_trace

    def job() -> Result:
        with open_trace(path) as stream:
            return Result(sum(batch.num_rows for batch in stream))

    return job


def tracekit_table(path: str) -> Job:
    import pyarrow as pa

    from tracekit.parsers import open_trace

    def widest(pieces: list[pa.Array]) -> list[pa.Array]:
        kind = max((piece.type for piece in pieces), key=lambda kind: kind.bit_width)
        return [piece if piece.type == kind else piece.cast(kind) for piece in pieces]

    def job() -> Result:
        with open_trace(path, whole=True) as stream:
            batches = list(stream)
        threads = batches[-1].column("thread").dictionary  # those before are its beginnings
        columns: dict[str, pa.ChunkedArray] = {}
        for name in batches[0].schema.names:
            pieces = [batch.column(name) for batch in batches]
            if name == "thread":
                codes = widest([piece.indices for piece in pieces])
                pieces = [pa.DictionaryArray.from_arrays(piece, threads, safe=False) for piece in codes]
            elif name != "event":
                pieces = widest(pieces)
            columns[name] = pa.chunked_array(pieces)
        table = pa.table(columns)
        return Result(table.num_rows, keep=table)

    return job


def _pyarrow(path: str, *, whole: bool, check_utf8: bool) -> Job:
    import pyarrow as pa
    from pyarrow import csv

    text, number = pa.string(), pa.int64()
    options = (
        csv.ReadOptions(block_size=8 << 20, skip_rows=head_lines(path), column_names=list(COLUMNS)),
        csv.ParseOptions(delimiter=" ", quote_char=False),
        csv.ConvertOptions(
            column_types=dict(zip(COLUMNS, (text, number, number, text), strict=True)),
            null_values=["-"],
            check_utf8=check_utf8,
        ),
    )

    def to_table() -> Result:
        table = csv.read_csv(path, *options)
        return Result(table.num_rows, keep=table)

    def stream() -> Result:
        return Result(sum(batch.num_rows for batch in csv.open_csv(path, *options)))

    return to_table if whole else stream


def pyarrow_stream(path: str) -> Job:
    return _pyarrow(path, whole=False, check_utf8=True)


def pyarrow_stream_unchecked(path: str) -> Job:
    return _pyarrow(path, whole=False, check_utf8=False)


def pyarrow_table(path: str) -> Job:
    return _pyarrow(path, whole=True, check_utf8=True)


def pyarrow_table_unchecked(path: str) -> Job:
    return _pyarrow(path, whole=True, check_utf8=False)


def _polars_options(path: str) -> dict[str, Any]:
    import polars as pl

    return {
        "has_header": False,
        "separator": " ",
        "quote_char": None,
        "skip_rows": head_lines(path),
        "schema": dict(zip(COLUMNS, (pl.String, pl.Int64, pl.Int64, pl.String), strict=True)),
        "null_values": "-",
    }


def polars_sums(path: str) -> Job:
    import polars as pl

    options = _polars_options(path)

    def job() -> Result:
        sums = pl.scan_csv(path, **options).select(
            pl.len(), pl.col("ticks", "checks").sum(), pl.col("thread", "event").null_count()
        )
        return Result(sums.collect(engine="streaming").item(0, "len"))

    return job


def polars_batches(path: str) -> Job:
    import polars as pl

    options = _polars_options(path)

    def job() -> Result:
        return Result(sum(batch.height for batch in pl.scan_csv(path, **options).collect_batches()))

    return job


def polars_table(path: str) -> Job:
    import polars as pl

    options = _polars_options(path)

    def job() -> Result:
        frame = pl.read_csv(path, **options)
        return Result(frame.height, keep=frame)

    return job


def _duckdb_source(path: str) -> str:
    quoted = path.replace("'", "''")
    return (
        f"read_csv('{quoted}', delim=' ', quote='', escape='', header=false, skip={head_lines(path)}, "
        "auto_detect=false, strict_mode=false, nullstr='-', "
        "columns={'thread': 'VARCHAR', 'ticks': 'BIGINT', 'checks': 'BIGINT', 'event': 'VARCHAR'})"
    )


def duckdb_sums(path: str) -> Job:
    import duckdb

    connection, source = duckdb.connect(), _duckdb_source(path)
    connection.execute("set preserve_insertion_order = false")

    def job() -> Result:
        query = f"select count(*), sum(ticks), sum(checks), count(thread), count(event) from {source}"
        return Result(connection.sql(query).fetchall()[0][0])

    return job


def duckdb_table(path: str) -> Job:
    import duckdb

    connection, source = duckdb.connect(), _duckdb_source(path)

    def job() -> Result:
        table = connection.sql(f"from {source}").to_arrow_table()
        return Result(table.num_rows, keep=table)

    return job


def _pandas_options(path: str) -> dict[str, Any]:
    return {
        "sep": " ",
        "header": None,
        "names": list(COLUMNS),
        "skiprows": head_lines(path),
        "na_values": ["-"],
        "keep_default_na": False,
    }


def pandas_chunks(path: str) -> Job:
    import pandas as pd

    options = _pandas_options(path) | {"engine": "c", "quoting": 3, "chunksize": CHUNK_ROWS}

    def job() -> Result:
        return Result(sum(len(chunk) for chunk in pd.read_csv(path, **options)))

    return job


def pandas_table(path: str) -> Job:
    import pandas as pd

    options = _pandas_options(path) | {"engine": "c", "quoting": 3}

    def job() -> Result:
        frame = pd.read_csv(path, **options)
        return Result(len(frame), keep=frame)

    return job


def pandas_pyarrow_table(path: str) -> Job:
    import pandas as pd
    import pyarrow.csv  # noqa: F401 - so that its import is not timed

    options = _pandas_options(path) | {"engine": "pyarrow", "dtype_backend": "pyarrow"}

    def job() -> Result:
        frame = pd.read_csv(path, **options)
        return Result(len(frame), keep=frame)

    return job


def tracekit_analyze(path: str) -> Job:
    import tracekit

    def job() -> Result:
        analysis = tracekit.analyze(path)
        rows = analysis.threads.select(["thread", "held", "waited"]).to_pylist()
        return Result(analysis.events, {row["thread"]: [row["held"], row["waited"]] for row in rows})

    return job


def tracekit_without_analyzers(path: str) -> Job:
    """The same with a core that was compiled without analyzers: what they cost."""
    from tracekit import _native

    sources = Path(_native.__file__).resolve().parents[2] / "tracekit" / "_native"
    with tempfile.TemporaryDirectory() as folder:
        core = Path(folder) / "core.so"
        flags = ["-std=gnu11", "-O3", "-fwrapv", "-fPIC", "-shared", "-pthread", "-DTK_ANALYZERS=0"]
        subprocess.run(["cc", *flags, *map(str, sorted(sources.glob("*.c"))), "-o", str(core)], check=True)
        _native.library = _native.load(core)
    return tracekit_analyze(path)


def _polars_events(path: str) -> Any:
    """Thread, event and clock of the rows that begin or end a wait or hold. Codes instead of words: half the time."""
    import polars as pl

    options = _polars_options(path)
    options["schema"] |= {"thread": pl.Categorical, "event": pl.Enum(["ENTRY", "ACQUIRE", "RELEASE", "BUSY", "RETRY"])}
    known = pl.col("checks").forward_fill()
    clock = (known * 100 + 100 - pl.col("ticks").clip(0, 100)).forward_fill().cum_max()
    rows = pl.scan_csv(path, **options).select("thread", "event", clock.alias("clock"))
    return rows.filter(pl.col("event").is_in(["ENTRY", "ACQUIRE", "RELEASE"]))


def polars_analyze(path: str) -> Job:
    """Only held and waited per thread, from pairs of a thread's neighbouring rows; faulty rows are not looked after."""
    import polars as pl

    def job() -> Result:
        event = pl.col("event")
        before, passed = event.shift().over("thread"), pl.col("clock") - pl.col("clock").shift().over("thread")
        threads = (
            _polars_events(path)
            .select("thread", "event", before.alias("before"), passed.alias("passed"))
            .group_by("thread")
            .agg(
                pl.col("passed").filter((event == "RELEASE") & (pl.col("before") == "ACQUIRE")).sum().alias("held"),
                pl.col("passed").filter((event == "ACQUIRE") & (pl.col("before") == "ENTRY")).sum().alias("waited"),
                pl.len().alias("rows"),
            )
            .collect(engine="streaming")
        )
        detail = {thread: [held, waited] for thread, held, waited, _ in threads.rows()}
        return Result(threads["rows"].sum(), detail)

    return job


def duckdb_analyze(path: str) -> Job:
    """The same pairs by window functions."""
    import duckdb

    connection, source = duckdb.connect(), _duckdb_source(path)
    clock = "max(checks * 100 + 100 - greatest(0, least(100, ticks))) over (rows unbounded preceding)"
    query = f"""
        with clocks as (select thread, event, {clock} as clock, row_number() over () as seq from {source}),
        pairs as (
            select thread, event, lag(event) over rows as before, clock - lag(clock) over rows as passed
            from clocks where event in ('ENTRY', 'ACQUIRE', 'RELEASE')
            window rows as (partition by thread order by seq))
        select thread, sum(passed) filter (event = 'RELEASE' and before = 'ACQUIRE'),
            sum(passed) filter (event = 'ACQUIRE' and before = 'ENTRY'), count(*)
        from pairs group by thread"""

    def job() -> Result:
        rows = connection.sql(query).fetchall()
        detail = {thread: [int(held or 0), int(waited or 0)] for thread, held, waited, _ in rows}
        return Result(sum(row[-1] for row in rows), detail)

    return job


CONTENDERS: dict[str, Callable[[str], Job]] = {
    made.__name__: made
    for made in (
        raw_read,
        raw_newlines,
        tracekit_scan,
        tracekit_table,
        pyarrow_stream,
        pyarrow_stream_unchecked,
        pyarrow_table,
        pyarrow_table_unchecked,
        polars_sums,
        polars_batches,
        polars_table,
        duckdb_sums,
        duckdb_table,
        pandas_chunks,
        pandas_table,
        pandas_pyarrow_table,
        tracekit_analyze,
        tracekit_without_analyzers,
        polars_analyze,
        duckdb_analyze,
    )
}


def main() -> None:
    name, path = sys.argv[1:]
    job = CONTENDERS[name](path)
    start = time.perf_counter()
    result = job()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "amount": result.amount, "detail": result.detail}))


if __name__ == "__main__":
    main()
