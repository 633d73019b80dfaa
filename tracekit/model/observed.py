"""What a trace did not record (`retries: unknown` in its metadata): such columns are null, never 0."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from tracekit.model import schemas

OPTIONAL = ("ticks", "checks", "retries")
"""What may be unknown. A column that comes from one of them says so in its schema (`needs`)."""


def unobserved(metadata: Mapping[str, str]) -> frozenset[str]:
    """Which of `OPTIONAL` the trace does not tell."""
    return frozenset(what for what in OPTIONAL if metadata.get(what) == "unknown")


def hide(name: str, table: pa.Table, what: frozenset[str]) -> pa.Table:
    """The table `name` with nulls where its columns come from what was not observed."""
    if not what:
        return table
    for place, column in enumerate(schemas.load(name).columns):
        if column.needs in what:
            field = table.schema.field(place)
            table = table.set_column(place, field, pa.nulls(len(table), field.type))
    return schemas.validate(table, name)


def hide_all(tables: Mapping[str, pa.Table], metadata: Mapping[str, str]) -> dict[str, pa.Table]:
    """The same for all tables of a trace with these metadata."""
    what = unobserved(metadata)
    return {name: hide(name, table, what) for name, table in tables.items()}
