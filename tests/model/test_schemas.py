"""The schemas: what they declare, what they refuse, and that the docs say the same."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

import tracekit
from tests.conftest import ROOT, trace_file
from tracekit.analyzers import COLLECTED
from tracekit.errors import SchemaError
from tracekit.model import schemas
from tracekit.model.arrays import integers, words_as_categories

TRACES = ["slide-sample.log", "py27-echo-convoy-timed.log", "bad-lines.log", "no-clock.log"]


def test_every_file_is_a_table_and_every_table_a_file() -> None:
    files = {path.stem: json.loads(path.read_text()) for path in (ROOT / "schemas" / "v1").rglob("*.json")}
    assert set(files) == {*schemas.TABLES, *schemas.FLEET_TABLES, schemas.ORIGIN}
    for name, declared in files.items():
        assert (declared["table"], declared["version"]) == (name, schemas.VERSION)
        assert all(column["description"].endswith(".") for column in declared["columns"])


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("table", schemas.TABLES)
def test_tables_follow_their_schemas(name: str, table: str, core: str) -> None:
    trace = tracekit.read(trace_file(name))
    of = trace if table in schemas.TRACE_TABLES else tracekit.analyze(trace, min_rounds=1, min_cycles=1, min_frozen=1)
    found: pa.Table = getattr(of, table)
    assert found.schema.equals(schemas.load(table).arrow(trace.unit), check_metadata=True)
    assert found.schema.metadata[b"tracekit.schema"] == f"{table}/1".encode()
    assert found.schema.metadata[b"tracekit.unit"] == trace.unit.encode()
    found.validate(full=True)
    assert schemas.validate(found, table).equals(found)


def blame() -> dict[str, pa.Array]:
    import numpy as np

    return {
        "waiter": words_as_categories(["t1"]),
        "holder": words_as_categories([None]),
        "duration": integers(np.array([5])),
    }


def test_what_is_refused() -> None:
    good = schemas.table("blame", "ns", blame())
    assert good.to_pylist() == [{"waiter": "t1", "holder": None, "duration": 5}]
    with pytest.raises(SchemaError, match="duration"):
        schemas.table("blame", "ns", {k: v for k, v in blame().items() if k != "duration"})
    with pytest.raises(SchemaError, match="has nulls"):
        schemas.table("blame", "ns", blame() | {"waiter": words_as_categories([None])})
    with pytest.raises(SchemaError, match="Column duration of blame is double"):
        schemas.table("blame", "ns", blame() | {"duration": pa.array([1.5])})
    with pytest.raises(SchemaError, match="stamped blame/2"):
        schemas.validate(good.replace_schema_metadata({"tracekit.schema": "blame/2"}), "blame")
    with pytest.raises(SchemaError, match="stamped with no schema"):
        schemas.validate(good.replace_schema_metadata(None), "blame")


def test_docs_are_generated_from_the_schemas_and_the_reports_words() -> None:
    """Run `python docs/make_tables.py` when this fails."""
    import runpy

    made = runpy.run_path(str(ROOT / "docs" / "make_tables.py"))
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == made["render"]()
    assert (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8") == made["glossary"]()
    assert (ROOT / "docs" / "culprits.md").read_text(encoding="utf-8") == made["culprits"]()


def test_the_schemas_of_findings_are_those_of_the_kinds_that_have_a_table() -> None:
    assert sorted(COLLECTED) == list(schemas.FINDING_TABLES)
