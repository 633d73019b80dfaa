"""The tables' schemas: `schemas/v1/*.json` as `pyarrow.Schema`, and the one place where tables are checked.

Every table carries in its Arrow metadata which schema it follows (`tracekit.schema`, e.g. `waits/1`) and the unit
of its clock columns (`tracekit.unit`, `ns` or `ticks`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tracekit.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1


def _folder() -> Path:
    package = Path(__file__).parent.parent
    installed = package / "_schemas"
    return (installed if installed.is_dir() else package.parent / "schemas") / f"v{VERSION}"


FINDING_TABLES = tuple(sorted(path.stem for path in (_folder() / "findings").glob("*.json")))
"""Those of kinds of findings: their schemas have a folder of their own."""
TRACE_TABLES = (
    "events", "threads", "holds", "waits", "switches", "blame", "failed_retries", "stacks", "regions", "diagnostics",
)  # fmt: skip
"""The tables of a `Trace`."""
ANALYSIS_TABLES = (
    "threads", "blame", "causes", *FINDING_TABLES, "distributions", "histograms", "utilisation", "waiting", "handoffs",
    "locks", "fairness", "stacks", "regions", "stack_blame", "lines", "requests", "request_blame", "request_split",
)  # fmt: skip
"""The tables of an `Analysis`."""
FLEET_TABLES = (
    "fleet_traces", "fleet_causes", "fleet_findings", "fleet_threads", "fleet_blame", "fleet_waited",
    "fleet_lines", "fleet_distributions", "fleet_histograms", "fleet_diagnostics", "fleet_errors",
)  # fmt: skip
"""The tables of a fleet's dataset."""
FLEET_FOLDERS = {name.removeprefix("fleet_"): name for name in FLEET_TABLES}
"""In which folder of the dataset each of them is: what it is called there, and in SQL."""
ORIGIN = "fleet_origin"
"""No table, but the columns that the fleet's tables begin with, all but the errors."""
TABLES = tuple(dict.fromkeys(TRACE_TABLES + ANALYSIS_TABLES))

_TYPES: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "string": pa.string(),
    "category": pa.dictionary(pa.int32(), pa.string()),
    "list<int64>": pa.list_(pa.int64()),
}


@dataclass(frozen=True)
class Column:
    """A column as its schema file declares it.

    unit: `clock` where it is that of the trace: ns or ticks. needs: which of `observed.OPTIONAL` a trace must tell,
    else the column is null.
    """

    name: str
    type: str
    nullable: bool
    unit: str | None
    description: str
    needs: str | None = None


@dataclass(frozen=True)
class TableSchema:
    """`begins_with`: the schemas whose columns come first in `columns`; the `own` ones come last."""

    name: str
    description: str
    columns: tuple[Column, ...]
    begins_with: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[Column, ...]:
        return self.columns[sum(len(load(part).columns) for part in self.begins_with) :]

    def arrow(self, unit: str) -> pa.Schema:
        return _arrow(self.name, unit)


@cache
def load(name: str) -> TableSchema:
    """The schema of one of `TABLES`. One that says `columns_of` begins with the columns of those."""
    folder = _folder() / "findings" if name in FINDING_TABLES else _folder()
    declared = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    columns = tuple(
        Column(c["name"], c["type"], c["nullable"], c.get("unit"), c["description"], c.get("needs"))
        for c in declared["columns"]
    )
    begins_with = tuple(declared.get("columns_of", ()))
    first = tuple(column for part in begins_with for column in load(part).columns)
    return TableSchema(declared["table"], declared["description"], first + columns, begins_with)


@cache
def _arrow(name: str, unit: str) -> pa.Schema:
    units = {c.name: unit if c.unit == "clock" else c.unit for c in load(name).columns}
    fields = [
        pa.field(c.name, _TYPES[c.type], c.nullable, {"unit": units[c.name]} if units[c.name] else None)
        for c in load(name).columns
    ]
    return pa.schema(fields, {"tracekit.schema": f"{name}/{VERSION}", "tracekit.unit": unit})


def table(name: str, unit: str, columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """A table of the schema `name` from its columns.

    Raises SchemaError where a column is missing, unknown, of another type, or null where it must not be.
    """
    schema = load(name).arrow(unit)
    if set(columns) != set(schema.names):
        odd = ", ".join(sorted(set(columns) ^ set(schema.names)))
        raise SchemaError(f"The table {name} does not have the columns of its schema: {odd}.", _HINT)
    arrays = [columns[name] for name in schema.names]
    return validate(pa.Table.from_arrays(arrays, names=schema.names).replace_schema_metadata(schema.metadata), name)


def to_pandas(rows: pa.Table, *, timedelta: bool = False) -> pd.DataFrame:
    """A DataFrame with categories for names and codes, and Int64 for the integers that may be null.

    Of a trace's table `attrs["unit"]` is that of its clocks. timedelta: columns in ns as timedelta64[ns].
    """
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype()}.get
    columns = {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if timedelta and (field.metadata or {}).get(b"unit") == b"ns":
            column = column.cast(pa.duration("ns"))
        columns[field.name] = column.to_pandas(types_mapper=nullable if field.nullable else None)
    frame = pd.DataFrame(columns, copy=False)
    unit = (rows.schema.metadata or {}).get(b"tracekit.unit")
    if unit in (b"ns", b"ticks"):
        frame.attrs["unit"] = unit.decode()
    return frame


def validate(rows: pa.Table, name: str) -> pa.Table:
    """The same table with the schema's nullability set, once it is known to follow schema `name`.

    Raises SchemaError.
    """
    unit = (rows.schema.metadata or {}).get(b"tracekit.unit", b"ticks").decode()
    schema = load(name).arrow(unit)
    stamp = (rows.schema.metadata or {}).get(b"tracekit.schema", b"").decode()
    if stamp != f"{name}/{VERSION}":
        raise SchemaError(f"This table is stamped {stamp or 'with no schema'}, not {name}/{VERSION}.", _HINT)
    for field, there in zip(schema, rows.schema, strict=False):
        if field.name != there.name or field.type != there.type:
            raise SchemaError(f"Column {there.name} of {name} is {there.type}, not {field.name}: {field.type}.", _HINT)
        if not field.nullable and rows.column(field.name).null_count:
            raise SchemaError(f"Column {field.name} of {name} has nulls.", _HINT)
    if len(schema) != len(rows.schema):
        raise SchemaError(f"The table {name} has {len(rows.schema)} columns, not {len(schema)}.", _HINT)
    return pa.Table.from_arrays(rows.columns, schema=schema)


_HINT = "See docs/tables.md for the columns of each table; a later tracekit may have written it."
