"""What a trace does not tell: its metadata say so (`retries: unknown`), and nothing may be said of it, not even 0."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from tracekit.model import schemas

_RETRIES = ("failed_retries", "lost_rounds", "timeouts", "hand_overs")
_COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "ticks": {},
    "checks": {"threads": ("check_releases", "blocking_releases")},
    "retries": {"threads": (*_RETRIES, "retried_waited"), "waits": _RETRIES, "long_holds": ("timeouts",)},
}
"""What may be unknown, and the columns of each table that come from it."""


def unobserved(metadata: Mapping[str, str]) -> frozenset[str]:
    """Which of `ticks`, `checks` and `retries` the trace does not tell."""
    return frozenset(what for what in _COLUMNS if metadata.get(what) == "unknown")


def hide(name: str, table: pa.Table, what: frozenset[str]) -> pa.Table:
    """The table `name` with nulls where its columns come from what was not observed."""
    for column in (column for unknown in what for column in _COLUMNS[unknown].get(name, ())):
        place = table.schema.get_field_index(column)
        table = table.set_column(place, table.schema.field(place), pa.nulls(len(table), table.schema.types[place]))
    return schemas.validate(table, name) if what else table


def hide_all(tables: Mapping[str, pa.Table], metadata: Mapping[str, str]) -> dict[str, pa.Table]:
    """The same for all tables of a trace with these metadata."""
    what = unobserved(metadata)
    return {name: hide(name, table, what) for name, table in tables.items()}
