"""Rows as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracekit.model import schemas
from tracekit.sql import Found
from tracekit.words import printable

ROWS_SHOWN = 1000
_GAP = 2  # blanks between columns


def render(result: Found, width: int | None = None) -> RenderableType:
    """What rich prints: the first rows, in as many columns as fit; a line says what is not shown.

    width: of the terminal; None shows all columns.
    """
    rows, more = _first_rows(result)
    names = [printable(name) for name in result.schema.names]
    cells = [[_cell(value) for value in column.to_pylist()] for column in rows.columns]
    widths = [max(len(text) for text in (name, *column)) for name, column in zip(names, cells, strict=True)]
    shown = len(names)
    while width and shown > 1 and sum(widths[:shown]) + _GAP * shown > width:
        shown -= 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name, field in list(zip(names, result.schema, strict=True))[:shown]:
        numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(Text(name), justify="right" if numeric else "left", no_wrap=shown > 1)
    for row in zip(*cells[:shown], strict=True):
        table.add_row(*map(Text, row))
    notes = []
    if shown < len(names):
        notes.append(f"Not shown for want of room: {', '.join(names[shown:])}.")
    if more:
        notes.append(f"These are the first {ROWS_SHOWN:,} rows; --format csv, json or parquet gives all.")
    elif not rows.num_rows:
        notes.append("No rows.")
    return Group(table, *(Text(note, style="dim") for note in notes))


def _first_rows(result: Found) -> tuple[pa.Table, bool]:
    """Those that are shown, and whether there are more. How many is not asked: there may be no end of them."""
    batches, count = [], 0
    for batch in result.batches:
        batches.append(batch)
        count += batch.num_rows
        if count > ROWS_SHOWN:
            break
    return pa.Table.from_batches(batches, result.schema).slice(0, ROWS_SHOWN), count > ROWS_SHOWN


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.1f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}"
    return printable(str(value))


def render_tables(tables: Mapping[str, str]) -> RenderableType:
    """What rich prints: the tables that there are, by their names and schemas."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in ("table", "columns", ""):
        table.add_column(column, justify="right" if column == "columns" else "left")
    for name, of in tables.items():
        schema = schemas.load(of)
        table.add_row(name, str(len(schema.columns)), schema.description)
    return table


def render_schema(name: str) -> RenderableType:
    """What rich prints: the columns of this schema."""
    schema = schemas.load(name)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in ("column", "type", "unit", ""):
        table.add_column(column)
    for declared in schema.columns:
        kind = f"{declared.type} or null" if declared.nullable else declared.type
        table.add_row(declared.name, kind, declared.unit or "", declared.description)
    noted = (
        "Unit clock: ns, or ticks in a trace without times." if any(c.unit == "clock" for c in schema.columns) else ""
    )
    return Group(Text(schema.description), table, Text(noted, style="dim"))
