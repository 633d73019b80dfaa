"""Events to holds, waits, switches and blame: the state machine over a whole trace, and the tables it fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        tables: `schemas.ANALYSIS_TABLES`, or where rows were kept `schemas.TRACE_TABLES` but for `diagnostics`, which
            also knows the lines that are no events.
        groups: all findings of each kind by their threads, costliest first; none where rows were kept.
        faults: rows of `rows.FAULT_ROW`, where rows were kept.
        picture: where one was asked for.
    """

    totals: Totals
    unit: str
    tables: Mapping[str, pa.Table]
    groups: Mapping[str, list[Group]]
    faults: Rows
    picture: Picture | None = None


def run(
    stream: EventStream, options: Options, progress: OnProgress | None = None, limits: PictureLimits | None = None
) -> Timeline:
    """Streams a trace through the state machine and keeps totals only: memory does not grow with the trace.

    limits: those of the picture, if one is wanted.
    """
    machine = _drawing_machine(stream.check_interval, options, limits)
    stream.feed(machine, progress)
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
        "fairness": tables.fairness(),
        **{kind: tables.findings(kind) for kind in COLLECTED},
        **definition_tables(definitions, tables.unit),
        **tables.lines(definitions),
    }
    groups = {kind: tables.groups(kind) for kind in COLLECTED}
    return Timeline(tables.totals, tables.unit, made, groups, np.empty(0, LAYOUTS["faults"]), drawn)


def run_kept(
    batches: Sequence[pa.RecordBatch],
    threads: list[str],
    names: Mapping[str, str],
    definitions: Definitions,
    interval: int,
) -> Timeline:
    """Over batches in memory, with a row for every event, hold, wait, switch and failed retry."""
    machine = new_machine(interval, keep_rows=True, options=Options())
    for batch in batches:
        machine.feed(batch)
    machine.finish()
    tables = Tables(machine, threads)
    made = {
        "events": tables.events(batches),
        "threads": tables.threads(names),
        "holds": tables.holds(),
        "waits": tables.waits(),
        "switches": tables.switches(),
        "blame": tables.blame(),
        "failed_retries": tables.failed_retries(),
        **definition_tables(definitions, tables.unit),
    }
    return Timeline(tables.totals, tables.unit, made, {}, machine.rows("faults").copy())
