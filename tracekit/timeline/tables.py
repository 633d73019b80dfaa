"""The state machine's rows as the tables of schemas/: codes become names, clocks get their beginning back, -1 null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.analyzers import ANALYZERS
from tracekit.analyzers.finding import Group
from tracekit.model import schemas
from tracekit.model.arrays import (
    NULL,
    categories,
    int64_values,
    integers,
    no_integers,
    no_lists,
    numbers,
    optional_integers,
    ratios,
    strings,
    words_as_categories,
)
from tracekit.model.attributes import FIELDS
from tracekit.model.definitions import Definitions
from tracekit.model.naming import Names
from tracekit.model.rows import CAUSES, DISTRIBUTIONS, NO_SEQ, Machine, Rows, Totals
from tracekit.timeline import rowcolumns
from tracekit.timeline.lines import line_tables
from tracekit.timeline.requests import request_tables


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """One of integers as the table has it, or of lists of them; null where the batch has none."""
    if name not in batch.schema.names:
        return no_lists(batch.num_rows) if FIELDS[name] == pa.list_(pa.int64()) else no_integers(batch.num_rows)
    column = batch.column(name)
    if pa.types.is_list(column.type):
        return column
    if column.null_count == batch.num_rows:
        return no_integers(batch.num_rows)
    values = int64_values(column)
    return integers(values, values == NULL)


class Tables:
    """Of a machine's rows. One method a table, each of `schemas.table`.

    totals: of the whole trace; those of a machine that has finished are known to it.
    """

    def __init__(self, machine: Machine, threads: list[str], totals: Totals | None = None) -> None:
        self._machine = machine
        totals = self.totals = totals or machine.totals()
        self.unit = "ns" if totals.timed else "ticks"
        self._first = totals.first_clock or 0
        self._first_tick = totals.first_tick_clock if totals.timed else totals.first_clock
        self._threads = strings(threads)
        self._room = rowcolumns.Room()

    def thread(self, codes: npt.NDArray[Any]) -> pa.Array:
        return categories(codes, self._threads)

    @staticmethod
    def seq(seqs: npt.NDArray[Any]) -> pa.Array:
        return integers(seqs, seqs == NO_SEQ)

    def clock(self, clocks: npt.NDArray[Any], null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
        return integers(clocks + self._first, null)

    def _tick_clock(self, clocks: npt.NDArray[Any], null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
        return no_integers(len(clocks)) if self._first_tick is None else integers(clocks + self._first_tick, null)

    def events(self, batches: Sequence[pa.RecordBatch], seq: int = 0) -> pa.Table:
        """Of the batches that the machine was fed last; `seq` is that of the first event."""
        columns: dict[str, list[pa.Array]] = {name: [] for name in schemas.load("events").arrow(self.unit).names}
        clocks = self._machine.clocks()
        for batch, (clock, tick_clock) in zip(batches, clocks[len(clocks) - len(batches) :], strict=True):
            columns["seq"].append(integers(np.arange(seq, seq + batch.num_rows)))
            columns["thread"].append(categories(numbers(batch.column("thread").indices), self._threads))
            event = batch.column("event")
            columns["event"].append(categories(numbers(event.indices), event.dictionary))
            for name in ("ticks", "checks", "time", *FIELDS):
                columns[name].append(_column(batch, name))
            columns["clock"].append(integers(clock + self._first))
            columns["tick_clock"].append(self._tick_clock(clock if tick_clock is None else tick_clock))
            seq += batch.num_rows
        fields = schemas.load("events").arrow(self.unit)
        return schemas.table("events", self.unit, {f.name: pa.chunked_array(columns[f.name], f.type) for f in fields})

    def of_rows(self, table: str, rows: Rows, order: npt.NDArray[np.int64] | None = None) -> pa.Table:
        """One of `rowcolumns.PARTS`. order: of the rows; otherwise as they stand."""
        begin = rowcolumns.Beginnings(self._first, self._first_tick, self.totals.timed)
        columns = rowcolumns.columns(table, rows, self._threads, begin, order, self._room)
        return schemas.table(table, self.unit, columns)

    def threads(self, names: Names) -> pa.Table:
        rows = self._machine.rows("threads")
        columns: dict[str, Any] = {name: integers(rows[name]) for name in rows.dtype.names or () if name != "retries"}
        columns["thread"] = self.thread(np.arange(len(rows)))
        earlier = names.earlier()
        for column, told in (("name", names), ("earlier_names", earlier)):
            columns[column] = strings([told.get(thread) for thread in self._threads.to_pylist()])
        return schemas.table("threads", self.unit, columns)

    def blame(self) -> pa.Table:
        rows = self._machine.rows("blame")
        order = np.lexsort((rows["holder"].astype(np.uint32), -rows["duration"], rows["waiter"]))
        columns = {name: self.thread(rows[name][order]) for name in ("waiter", "holder")}
        return schemas.table("blame", self.unit, columns | {"duration": integers(rows["duration"][order])})

    def causes(self) -> pa.Table:
        rows = self._machine.rows("causes")
        order = np.lexsort((rows["cause"], rows["holder"].astype(np.uint32), -rows["duration"], rows["thread"]))
        columns = {
            "thread": self.thread(rows["thread"][order]),
            "cause": categories(rows["cause"][order].astype(np.int32), strings(CAUSES)),
            "holder": self.thread(rows["holder"][order]),
            **{name: integers(rows[name][order]) for name in ("duration", "waits")},
        }
        return schemas.table("causes", self.unit, columns)

    def lines(self, definitions: Definitions) -> dict[str, pa.Table]:
        """`stack_blame` and `lines`."""
        rows, shared = self._machine.rows("stack_blame"), self._machine.rows("shared_waits")
        return line_tables(rows, shared, definitions, self.unit, self.thread)

    def requests(self, definitions: Definitions) -> dict[str, pa.Table]:
        """`requests`, `request_blame` and `request_split`."""
        rows, blame = self._machine.rows("regions"), self._machine.rows("region_blame")
        return request_tables(rows, blame, definitions.regions, self.unit, self.thread, self.clock)

    def groups(self, kind: str) -> list[Group]:
        """The costliest first."""
        names = self._threads.to_pylist()
        rows = sorted(self._machine.groups(kind).tolist(), key=lambda row: (-row[1], row[5]))
        return [
            Group(
                count, cost, span if ANALYZERS[kind].costs_span else cost, tuple(more), worst, start,
                None if end == NO_SEQ else end, None if thread < 0 else names[thread],
                None if other < 0 else names[other],
            )
            for count, cost, span, more, worst, start, end, thread, other in rows
        ]  # fmt: skip

    def findings(self, kind: str) -> pa.Table:
        """Of one of `COLLECTED`, in the order of the trace."""
        columns = ANALYZERS[kind].columns
        assert columns
        rows = self._machine.findings(kind)
        rows = rows[np.lexsort((rows["thread"], rows["start_seq"]))]
        return schemas.table(kind, self.unit, columns(rows, self))

    def distributions(self) -> pa.Table:
        rows = self._machine.rows("distributions")
        columns = {name: integers(rows[name]) for name in ("count", "p50", "p90", "p99", "max")}
        kinds = {"thread": self.thread(rows["thread"]), "kind": categories(rows["kind"], strings(DISTRIBUTIONS))}
        return schemas.table("distributions", self.unit, columns | kinds)

    def histograms(self) -> pa.Table:
        rows = self._machine.rows("histograms")
        columns = {name: integers(rows[name]) for name in ("low", "high", "count")}
        kinds = {"thread": self.thread(rows["thread"]), "kind": categories(rows["kind"], strings(DISTRIBUTIONS))}
        return schemas.table("histograms", self.unit, columns | kinds)

    def utilisation(self) -> pa.Table:
        states = {"held": self.totals.held, "free_wanted": self.totals.free_wanted}
        states["free"] = self.totals.duration - sum(states.values())
        columns = {"state": words_as_categories(list(states)), "duration": optional_integers(list(states.values()))}
        return schemas.table("utilisation", self.unit, columns)

    def waiting(self) -> pa.Table:
        rows = self._machine.rows("waiting")
        return schemas.table("waiting", self.unit, {name: integers(rows[name]) for name in ("waiters", "duration")})

    def handoffs(self) -> pa.Table:
        rows = self._machine.rows("handoffs")
        rows = rows[np.lexsort((rows["to_thread"], rows["from_thread"]))]
        columns = {
            "from": self.thread(rows["from_thread"]),
            "to": self.thread(rows["to_thread"]),
            "count": integers(rows["count"]),
        }
        return schemas.table("handoffs", self.unit, columns)

    def locks(self) -> pa.Table:
        rows = self._machine.rows("locks")
        rows = rows[np.lexsort((rows["lock"], rows["releaser"].astype(np.uint32), rows["waiter"], -rows["duration"]))]
        columns = {
            "lock": integers(rows["lock"], rows["lock"] == 0),
            "waiter": self.thread(rows["waiter"]),
            "releaser": self.thread(rows["releaser"]),
            **{name: integers(rows[name]) for name in ("duration", "waits", "releaser_waited")},
        }
        return schemas.table("locks", self.unit, columns)

    def fairness(self) -> pa.Table:
        rows = self._machine.rows("threads")
        held = rows["held"][rows["contended_waits"] > 0].tolist()
        squares = sum(one * one for one in held)
        jain = sum(held) ** 2 / (len(held) * squares) if squares else None
        columns = {"threads": optional_integers([len(held)]), "jain": ratios([jain])}
        return schemas.table("fairness", self.unit, columns)
