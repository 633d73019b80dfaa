"""What a query can reach: the trace's tables and nothing else, whatever its file is called."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import tracekit
from tests.conftest import SAMPLES
from tests.writers.test_convert import converted
from tracekit.querying import open_database
from tracekit.sql import Database, QueryError, frame_of

SAMPLE = SAMPLES / "slide-battle.log"


def test_variables_of_this_program_are_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB would read a table out of the variables of who calls it, here those of tracekit.sql itself."""
    monkeypatch.setattr("tracekit.sql.somebodys", pa.table({"secret": [1]}), raising=False)
    with open_database(SAMPLE) as database, pytest.raises(QueryError, match="somebodys"):
        database.query("SELECT * FROM somebodys")


@pytest.mark.parametrize("name", ["t[1].parquet", "t?.parquet", "*.parquet", "t'1.parquet"])
def test_a_folder_named_like_a_pattern_is_itself(name: str, tmp_path: Path) -> None:
    """And not one of those beside it that the pattern fits."""
    converted(SAMPLES / "py311-longhold.log", tmp_path / "t1.parquet")
    folder = converted(SAMPLE, tmp_path / name)
    events = len(tracekit.read(SAMPLE).events)
    with open_database(folder) as database:
        assert database.query("SELECT count(*) AS n FROM events").column("n").to_pylist() == [events]
        assert database.query("SELECT count(*) AS n FROM waits").column("n").to_pylist() != [0]


def test_integers_stay_integers() -> None:
    with open_database(SAMPLE) as database:
        table = database.query("SELECT sum(checks) AS s, avg(checks) AS a, sum(checks) * 0.5 AS d FROM events")
    assert table.schema.field("s").type == pa.int64()
    assert table.schema.field("a").type == pa.float64()


def test_sums_that_no_integer_holds_stay_wide() -> None:
    with open_database(SAMPLE) as database:
        table = database.query("SELECT sum(9223372036854775807) AS s, sum(checks) AS narrow FROM events")
    (row,) = table.to_pylist()
    assert table.schema.field("narrow").type == pa.int64()
    assert int(row["s"]) == len(tracekit.read(SAMPLE).events) * (2**63 - 1)


def test_a_frame_keeps_integers_beside_nulls() -> None:
    with open_database(SAMPLE) as database:
        frame = frame_of(database.query("SELECT 9007199254740993 AS big, NULL::BIGINT AS none UNION ALL SELECT 1, 2"))
    assert str(frame["none"].dtype) == "Int64"
    assert sorted(frame["big"].tolist()) == [1, 9007199254740993]


@pytest.mark.parametrize(
    ("sql", "what"),
    [("", "no SQL statements"), (" ;", "no SQL statements"), ("SELECT 1; SELECT 2", "2 SQL statements")],
)
def test_one_statement_at_a_time(sql: str, what: str) -> None:
    with open_database(SAMPLE) as database, pytest.raises(QueryError, match=what):
        database.query(sql)


def test_a_table_is_made_once() -> None:
    asked: list[list[str]] = []
    trace = tracekit.read(SAMPLE)

    def derive(names: object) -> dict[str, pa.Table]:
        asked.append(list(names))  # type: ignore[call-overload]
        return dict.fromkeys(asked[-1], trace.waits)

    with Database(derive) as database:
        for _ in range(2):
            assert len(database.query("SELECT * FROM WAITS")) == len(trace.waits)
        assert asked == [["waits"]]


def test_an_error_shows_its_place_but_no_list_of_functions() -> None:
    with open_database(SAMPLE) as database, pytest.raises(QueryError) as failure:
        database.query("SELECT abs('a', 'b', 'c') FROM events")
    text = str(failure.value)
    assert "No function matches" in text
    assert "Candidate functions" not in text
    assert "\n\nLINE 1: SELECT abs('a'" in text
    assert "\n               ^^^" in text
