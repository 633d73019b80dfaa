"""Writes docs/tables.md from schemas/, docs/glossary.md from the report's words, and docs/culprits.md:
`python docs/make_tables.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

from tracekit.analyzers.culprits import CULPRITS
from tracekit.model import schemas

ROOT = Path(__file__).parents[1]
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


GLOSSARY = """# Glossary

Made from `tracekit/reporters/html/terms.json`, the words that the report explains, by `python docs/make_tables.py`.
How each number is computed: [analyses.md](analyses.md).
"""
PAGES = {
    "battle": "battles",
    "convoy": "convoys",
    "failed retry": "failed_retries",
    "frozen signals": "frozen_signals",
    "long hold": "long_holds",
}
"""Words with a page of their own."""


def glossary() -> str:
    terms = json.loads((ROOT / "tracekit" / "reporters" / "html" / "terms.json").read_text(encoding="utf-8"))
    parts = [GLOSSARY]
    for word in sorted(terms, key=str.lower):
        more = f" [More](effects/{PAGES[word]}.md)" if word in PAGES else ""
        parts.append(f"\n**{word[0].upper()}{word[1:]}**: {terms[word]}{more}\n")
    return "".join(parts)


CULPRIT_PAGE = """# Functions that keep the GIL

Made from `tracekit/analyzers/culprits.py` by `python docs/make_tables.py`. A finding whose holds were in one of these
gives its advice. They are recognised by the innermost frame where that is a library's (`json.decoder`), and in holds
that are known to have been in C code by what the line of the user's code calls ([recording.md](recording.md#stacks)).
`pytest -m soak tests/recorder/test_culprits.py` records those for which `tests/recorder/programs/culprits.py` has a
program.

| what | with the GIL | versions | what to do | source |
| --- | --- | --- | --- | --- |
"""


def culprits() -> str:
    rows = (
        f"| {c.name.rstrip(',')} | {c.keeps} | {c.versions} | {c.advice} | [source]({c.source}) |\n" for c in CULPRITS
    )
    return CULPRIT_PAGE + "".join(rows)


if __name__ == "__main__":
    (ROOT / "docs" / "tables.md").write_text(render(), encoding="utf-8")
    (ROOT / "docs" / "culprits.md").write_text(culprits(), encoding="utf-8")
    (ROOT / "docs" / "glossary.md").write_text(glossary(), encoding="utf-8")
