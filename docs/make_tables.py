"""Writes docs/tables.md from schemas/: `python docs/make_tables.py`."""

from __future__ import annotations

from pathlib import Path

from tracekit.model import schemas

HEAD = """# Tables

Made from `schemas/v1/` by `python docs/make_tables.py`; change them there.

Each is a `pyarrow.Table` whose metadata names its schema and version (`tracekit.schema`, e.g. `waits/1`) and the unit
of its clock (`tracekit.unit`: `ns` or `ticks`). A column of unit *clock* is in that unit. In a fleet's tables
(`fleet_*`, see [fleet.md](fleet.md)) it is in each row's `unit`, and `tracekit.unit` is `row`. A `category` is a
dictionary-encoded string, a category in pandas. [format.md](format.md) and [analyses.md](analyses.md) define the words.
"""


def render() -> str:
    parts = [HEAD]
    for name in (*schemas.TABLES, *schemas.FLEET_TABLES, schemas.ORIGIN):
        table = schemas.load(name)
        begins = " and of ".join(f"[{part}](#{part})" for part in table.begins_with)
        first = f" Its first columns are those of {begins}." if begins else ""
        parts.append(
            f"\n## {name}\n\n{table.description}{first}\n\n| column | type | unit | |\n| --- | --- | --- | --- |\n"
        )
        for column in table.own:
            kind = f"{column.type}, may be null" if column.nullable else column.type
            parts.append(f"| `{column.name}` | {kind} | {column.unit or ''} | {column.description} |\n")
    return "".join(parts)


if __name__ == "__main__":
    (Path(__file__).parent / "tables.md").write_text(render(), encoding="utf-8")
