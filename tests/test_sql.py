"""What a query can reach: the trace's tables and nothing else, whatever its file is called."""

from __future__ import annotations

import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tracekit
from tests.conftest import SAMPLES
from tests.writers.test_convert import converted
from tracekit.querying import open_database
from tracekit.sql import Database, QueryError, default_memory, frame_of

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


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT 1 AS a, 2 AS a, 3 AS a", ["a", "a_1", "a_2"]),
        ("SELECT 1 AS a, 2 AS a_1, 3 AS a", ["a", "a_1", "a_2"]),
        ("SELECT 1 AS 'x\"y', 2 AS 'x\"y'", ['x"y', 'x"y_1']),
    ],
)
def test_each_column_has_a_name_of_its_own(sql: str, columns: list[str]) -> None:
    """JSON and DataFrames would keep one of them."""
    with open_database(SAMPLE) as database:
        found = database.query(sql)
    assert found.column_names == columns
    assert [column[0].as_py() for column in found.columns] == [1, 2, 3][: len(columns)]


def test_what_arrow_has_no_type_for_is_text() -> None:
    with open_database(SAMPLE) as database:
        found = database.query("SELECT INTERVAL 1 DAY AS d, [1, 2]::INTEGER[2] AS a, {'k': 5} AS s, 7 AS n")
    assert found.to_pylist() == [{"d": "1 day", "a": [1, 2], "s": {"k": 5}, "n": 7}]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("FROM wait", 'Did you mean "waits"?'),
        ("SELECT CAST('x' AS INTEGER)", "Could not convert string 'x' to INT32"),
        ("SELECT thraed FROM waits", "LINE 1: SELECT thraed FROM waits"),
    ],
)
def test_an_error_says_what_is_wrong(sql: str, said: str) -> None:
    with open_database(SAMPLE) as database, pytest.raises(QueryError) as failure:
        database.query(sql)
    assert said in str(failure.value)
    assert "None" not in str(failure.value)


def test_a_table_that_is_nothing_like_ours_is_not_guessed() -> None:
    with open_database(SAMPLE) as database, pytest.raises(QueryError) as failure:
        database.query("FROM zzzzzzzz")
    assert "Did you mean" not in str(failure.value)


def test_a_query_that_needs_more_memory_than_it_may_take_says_how_much_that_is() -> None:
    with (
        Database(lambda tables: {}, memory=1 << 27) as database,
        pytest.raises(QueryError, match=r"needs more memory than 0\.1[23] GiB"),
    ):
        database.query("SELECT list(range) FROM range(100000000)")


def test_half_of_what_is_free_is_taken_and_a_little_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is full a query must still be able to begin."""
    told = {"meminfo": "MemTotal: 9 kB\nMemAvailable:   8000000 kB\n", "memory.max": "max", "memory.current": "5"}
    monkeypatch.setattr(Path, "read_text", lambda self: told[self.name])
    assert default_memory() == 4_000_000 * 1024
    told |= {"memory.max": str(3 << 30), "memory.current": str(1 << 30)}
    assert default_memory() == 1 << 30
    told["meminfo"] = "MemAvailable: 1000 kB\n"
    assert default_memory() == 64 << 20


def test_a_table_of_a_later_version_is_refused(tmp_path: Path) -> None:
    folder = converted(SAMPLE, tmp_path / "t.parquet")
    waits = pq.read_table(folder / "waits.parquet")
    pq.write_table(waits.replace_schema_metadata({"tracekit.schema": "waits/2"}), folder / "waits.parquet")
    with open_database(folder) as database, pytest.raises(tracekit.SchemaError, match="waits/2"):
        database.query("FROM waits")


def test_events_of_others_have_no_stamp(tmp_path: Path) -> None:
    """What pandas wrote is a trace's events; of other tables only ours are believed."""
    events = tracekit.read(SAMPLE).events.replace_schema_metadata(None)
    pq.write_table(events, tmp_path / "t.parquet")
    with open_database(tmp_path / "t.parquet") as database:
        assert database.query("SELECT count(*) AS n FROM events").to_pylist() == [{"n": len(events)}]


def test_tables_made_for_a_query_are_gone_with_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracekit.querying.IN_MEMORY", 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_database(SAMPLE) as database:
        assert len(database.query("FROM waits"))
        assert list(tmp_path.rglob("*.parquet"))
    assert list(tmp_path.iterdir()) == []


def test_a_query_that_is_interrupted_ends_and_the_next_one_runs() -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with open_database(SAMPLE) as database:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                database.query(
                    "SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range + b.range = 5"
                )
            assert database.query("SELECT 1 AS n").to_pylist() == [{"n": 1}]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
