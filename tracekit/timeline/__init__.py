"""Events to holds, waits, switches and blame: the state machine over a whole trace, and the tables it fills."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tracekit import _native
from tracekit.analyzers import COLLECTED
from tracekit.analyzers.finding import Group
from tracekit.model.arrays import NULL, int64_values
from tracekit.model.definitions import Definitions
from tracekit.model.naming import Names
from tracekit.model.rows import LAYOUTS, Machine, Options, PictureLimits, Rows, Totals
from tracekit.model.stream import EventStream, OnProgress
from tracekit.timeline.definitions import definition_tables
from tracekit.timeline.rowcolumns import KEPT_AS, PARTS
from tracekit.timeline.tables import Tables

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tracekit.timeline.picture import Picture


def new_machine(interval: int, kept: Collection[str], options: Options) -> Machine:
    """A state machine of the core in use. interval: ticks between two checks. kept: of `rows.KEPT`."""
    if _native.library:
        from tracekit.timeline.native import NativeMachine

        return NativeMachine(interval, kept, options)
    from tracekit.timeline.plain import PlainMachine

    return PlainMachine(interval, kept, options)


@dataclass(frozen=True)
class Timeline:
    """What the state machine found in a whole trace.

    Attributes:
        totals: counts, duration and faults.
        unit: of the clock: `ns` or `ticks`.
        tables: `schemas.ANALYSIS_TABLES`.
        groups: all findings of each kind by their threads, costliest first.
        picture: where one was asked for.
    """

    totals: Totals
    unit: str
    tables: Mapping[str, pa.Table]
    groups: Mapping[str, list[Group]]
    picture: Picture | None = None


def run(
    stream: EventStream, options: Options, progress: OnProgress | None = None, limits: PictureLimits | None = None
) -> Timeline:
    """Streams a trace through the state machine and keeps totals only: memory does not grow with the trace.

    limits: those of the picture, if one is wanted.
    """
    machine = _drawing_machine(stream.check_interval, options, limits)
    stream.feed(machine, progress)
    stream.shorten()
    return _totals(machine, stream.threads, stream.names, stream.definitions, limits)


def run_batches(
    batches: Sequence[pa.RecordBatch],
    threads: list[str],
    names: Names,
    definitions: Definitions,
    interval: int,
    options: Options,
    limits: PictureLimits | None = None,
) -> Timeline:
    """The same over batches in memory."""
    machine = _drawing_machine(interval, options, limits)
    for batch in batches:
        machine.feed(batch)
    return _totals(machine, threads, names, definitions, limits)


def _drawing_machine(interval: int, options: Options, limits: PictureLimits | None) -> Machine:
    machine = new_machine(interval, (), options)
    if limits:
        machine.draw(limits)
    return machine


def _totals(
    machine: Machine,
    threads: list[str],
    names: Names,
    definitions: Definitions,
    limits: PictureLimits | None,
) -> Timeline:
    machine.finish()
    tables = Tables(machine, threads)
    drawn = None
    if limits:
        from tracekit.timeline.picture import picture

        drawn = picture(tables.totals.duration, machine.picture())
    made = {
        "threads": tables.threads(names),
        "blame": tables.blame(),
        "causes": tables.causes(),
        "distributions": tables.distributions(),
        "histograms": tables.histograms(),
        "utilisation": tables.utilisation(),
        "waiting": tables.waiting(),
        "handoffs": tables.handoffs(),
        "locks": tables.locks(),
        "fairness": tables.fairness(),
        **{kind: tables.findings(kind) for kind in COLLECTED},
        **definition_tables(definitions, tables.unit),
        **tables.lines(definitions),
        **tables.requests(definitions),
    }
    groups = {kind: tables.groups(kind) for kind in COLLECTED}
    return Timeline(tables.totals, tables.unit, made, groups, drawn)


def rows_of(table: str, batches: Sequence[pa.RecordBatch], threads: list[str], interval: int) -> pa.Table:
    """One of `ROWS` over batches in memory.

    Each batch's rows become columns while they are still in the processor's cache, by a second thread, and are
    forgotten then: memory holds this table and no row of another.
    """
    from concurrent.futures import ThreadPoolExecutor  # not needed to start

    kept = KEPT_AS.get(table, "clocks")
    machine = new_machine(interval, [kept], Options())
    pieces: list[pa.Table] = []
    tables: Tables | None = None
    ticks_told = _tells_ticks(batches)
    seq = 0
    with ThreadPoolExecutor(1, "tracekit-rows") as pool:
        turning: Future[pa.Table] | None = None
        waiting: list[pa.RecordBatch] = []
        for batch in [*batches, None]:
            if batch is None:
                machine.finish()
            else:
                machine.feed(batch)
                waiting.append(batch)
            if tables is None:
                totals = machine.totals()
                if batch is not None and ticks_told and not _begun(totals):
                    continue  # until it is known what the clocks count from
                tables = Tables(machine, threads, totals)
            if turning:
                pieces.append(turning.result())
            if table == "events":
                pieces.append(tables.events(waiting, seq))
            else:
                turning = pool.submit(tables.of_rows, table, machine.rows(kept))
            seq += sum(batch.num_rows for batch in waiting)
            waiting.clear()
            machine.forget()
        if turning:
            pieces.append(turning.result())
    return pa.concat_tables([piece for piece in pieces if piece.num_rows] or pieces[:1])


def _begun(totals: Totals) -> bool:
    """Whether both clocks have begun; of a trace without times there is one."""
    return totals.first_clock is not None and (not totals.timed or totals.first_tick_clock is not None)


def _tells_ticks(batches: Iterable[pa.RecordBatch]) -> bool:
    """Whether there is a tick clock: ticks at or behind the first checks."""
    checks_told = False
    for batch in batches:
        ticks, checks = batch.column("ticks"), batch.column("checks")
        if not checks_told:
            if checks.null_count == batch.num_rows:
                continue
            checks_told = True
            ticks = ticks.slice(int(np.argmax(int64_values(checks) != NULL)))
        if ticks.null_count < len(ticks):
            return True
    return False


def faults_of(batches: Iterable[pa.RecordBatch], interval: int) -> Rows:
    """Rows of `rows.FAULT_ROW`."""
    machine = new_machine(interval, ["faults"], Options())
    faults = [np.empty(0, LAYOUTS["faults"])]
    for batch in batches:
        machine.feed(batch)
        faults.append(machine.rows("faults").copy())
        machine.forget()
    return np.concatenate(faults)


ROWS = ("events", *PARTS)
"""The tables of a trace that have a row for each event, hold, wait, switch or failed retry."""
