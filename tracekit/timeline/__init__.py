"""Events to holds, waits, switches and blame: the state machine over a whole trace, and the tables it fills."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tracekit import _native
from tracekit.analyzers import COLLECTED
from tracekit.analyzers.finding import Group
from tracekit.model.definitions import Definitions
from tracekit.model.rows import LAYOUTS, Machine, Options, PictureLimits, Rows, Totals
from tracekit.model.stream import EventStream, OnProgress
from tracekit.timeline.definitions import definition_tables
from tracekit.timeline.tables import Tables

if TYPE_CHECKING:
    from tracekit.timeline.picture import Picture


def new_machine(interval: int, keep_rows: bool, options: Options) -> Machine:
    """A state machine of the core in use. `interval`: ticks between two checks."""
    if _native.library:
        from tracekit.timeline.native import NativeMachine

        return NativeMachine(interval, keep_rows, options)
    from tracekit.timeline.plain import PlainMachine

    return PlainMachine(interval, keep_rows, options)


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
    names: Mapping[str, str],
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
    machine = new_machine(interval, keep_rows=False, options=options)
    if limits:
        machine.draw(limits)
    return machine


def _totals(
    machine: Machine,
    threads: list[str],
    names: Mapping[str, str],
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
    }
    groups = {kind: tables.groups(kind) for kind in COLLECTED}
    return Timeline(tables.totals, tables.unit, made, groups, drawn)


def rows_of(
    table: str, batches: Iterable[pa.RecordBatch], threads: list[str], interval: int, totals: Totals
) -> pa.Table:
    """One of `ROWS` over batches in memory, whose totals are known.

    Each batch's rows become columns while they are still in the processor's cache, and are forgotten then: memory holds
    this table and no row of another.
    """
    machine = new_machine(interval, keep_rows=True, options=Options())
    tables = Tables(machine, threads, totals)
    pieces, seq = [], 0
    for batch in batches:
        machine.feed(batch)
        pieces.append(tables.events([batch], seq) if table == "events" else ROWS[table](tables))
        machine.forget()
        seq += batch.num_rows
    machine.finish()
    if table != "events":
        pieces.append(ROWS[table](tables))
    return pa.concat_tables([piece for piece in pieces if piece.num_rows] or pieces[:1])


def faults_of(batches: Iterable[pa.RecordBatch], interval: int) -> Rows:
    """Rows of `rows.FAULT_ROW`."""
    machine = new_machine(interval, keep_rows=True, options=Options())
    faults = [np.empty(0, LAYOUTS["faults"])]
    for batch in batches:
        machine.feed(batch)
        faults.append(machine.rows("faults").copy())
        machine.forget()
    return np.concatenate(faults)


ROWS: dict[str, Callable[[Tables], pa.Table]] = {
    "events": lambda tables: tables.events([]),
    "holds": Tables.holds,
    "waits": Tables.waits,
    "switches": Tables.switches,
    "failed_retries": Tables.failed_retries,
}
"""The tables of a trace that have a row for each event, hold, wait, switch or failed retry."""
