"""SQL over traces: the tables are the trace's, nothing else can be reached, and errors show their place."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import tracekit
from tests.conftest import SAMPLES, trace_file
from tests.writers.test_convert import converted, sorted_rows
from tracekit.cli import app
from tracekit.model import schemas
from tracekit.querying import open_database
from tracekit.sql import Database

SAMPLE = SAMPLES / "py311-echo-convoy.log"


@pytest.fixture(params=["text", "large text", "folder", "events", "in memory"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    if request.param == "large text":
        monkeypatch.setattr("tracekit.querying.IN_MEMORY", 10)
    if request.param == "in memory":
        yield Database(tracekit.read(SAMPLE)._tables)
        return
    out = {"text": "t.log", "large text": "t.log", "folder": "t.parquet", "events": "t.events.parquet"}[request.param]
    with open_database(converted(SAMPLE, tmp_path / out)) as opened:
        yield opened


def test_every_table_is_there(database: Database) -> None:
    trace = tracekit.read(SAMPLE)
    analysis = tracekit.analyze(SAMPLE)
    for table in schemas.TABLES:
        there = getattr(trace, table) if table in schemas.TRACE_TABLES else analysis.tables[table]
        found = database.query(f"select * from {table}")
        if table == "diagnostics":  # lines are no more where there is no text
            found, there = (t.drop_columns(["line", "text"]) for t in (found, there))
        assert sorted_rows(found) == sorted_rows(there), table
        assert found.column_names == there.column_names


@pytest.mark.parametrize("name", ["py27-cpu2.log", "bad-lines.log", "no-clock.log", "py311-longhold.log"])
def test_sql_of_a_trace(name: str) -> None:
    trace = tracekit.read(trace_file(name))
    found = trace.sql("select thread, sum(duration) as held, count(*) as acquires from holds group by thread")
    threads = trace.to_pandas("threads")
    both = found.merge(threads, on="thread", suffixes=("", "_threads"))
    assert (both.held == both.held_threads).all()
    assert (both.acquires == both.acquires_threads).all()
    assert len(both) == (threads.acquires > 0).sum()
    assert found.held.dtype == "int64"
    as_arrow = trace.sql("select count(*) as n from events", arrow=True)
    assert isinstance(as_arrow, pa.Table)
    assert as_arrow.to_pylist() == [{"n": trace.events.num_rows}]
    assert trace.sql("select null::bigint as n").n.dtype == pd.Int64Dtype()


def test_only_what_is_named_is_made() -> None:
    asked: list[str] = []
    trace = tracekit.read(SAMPLE)

    def derive(tables: Any) -> dict[str, pa.Table]:
        asked.extend(tables)
        return trace._tables(tables)

    with Database(derive) as database:
        database.query('with a as (select * from WAITS) select * from a join "Holds" using (thread) limit 1')
        assert asked == ["holds", "waits"]
        database.query("select count(*) from waits")
        assert asked == ["holds", "waits"]


def test_of_a_folder_only_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is derived; a table that is missing is."""
    folder = converted(SAMPLE, tmp_path / "odd [n]am*e '1' k=v.parquet")
    monkeypatch.setattr("tracekit.querying.TableStream", None)
    assert tracekit.query(folder, "select count(*) as n from events").n.tolist() == [2359]
    monkeypatch.undo()
    waits = tracekit.query(folder, "from waits order by all")
    (folder / "waits.parquet").unlink()
    assert tracekit.query(folder, "from waits order by all").equals(waits)


def test_what_is_no_table_in_a_folder(tmp_path: Path) -> None:
    folder = converted(SAMPLE, tmp_path / "t.parquet")
    pq.write_table(pa.table({"a": [1]}), folder / "waits.parquet")
    (folder / "holds.parquet").write_text("thread\n")
    with pytest.raises(tracekit.SchemaError, match="is not the table waits of a trace"):
        tracekit.query(folder, "from waits")
    with pytest.raises(tracekit.SourceError, match=r"holds\.parquet: cannot be read: "):
        tracekit.query(folder, "from holds")


FORBIDDEN = [
    "select * from read_csv('{file}')",
    "select * from read_text('{file}')",
    "select * from read_blob('{folder}/*')",
    "select * from '{file}'",
    "select * from read_parquet('{folder}/other.parquet')",
    "select * from glob('{folder}/*')",
    "select * from read_csv('https://example.org/a.csv')",
    "copy (select 1) to '{folder}/out.csv'",
    "copy waits to '{trace}' (use_tmp_file false)",
    "explain analyze copy waits to '{trace}'",
    "attach '{folder}/a.db'",
    "install httpfs",
    "load httpfs",
    "pragma database_list",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "reset enable_external_access",
    "call enable_logging()",
    "create table t as select 1",
    "drop view waits",
    "insert into waits select * from waits",
    "export database '{folder}/out'",
    "select 1; copy waits to '{folder}/out.csv'",
    "pivot waits on thread using count(*)",
    "checkpoint",
    "use memory",
    "begin",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_it_only_reads(sql: str, database: Database, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    places = {"file": tmp_path / "secret.csv", "folder": tmp_path, "trace": tmp_path / "t.parquet" / "waits.parquet"}
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(tracekit.QueryError):
        database.query(sql.format(**places))
    # Not even below the check of what kind of statement it is, but for what stays in memory, and for the trace's files.
    harmless = ("select 1;", "create", "drop", "pivot", "begin", "pragma", "use", "checkpoint", "call")
    if not sql.startswith(harmless) and "{trace}" not in sql:
        import duckdb

        with pytest.raises(duckdb.Error):
            database._connection.execute(sql.format(**places)).fetchall()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_pythons_variables_are_no_tables(database: Database) -> None:
    secret = pd.DataFrame({"a": [1]})
    with pytest.raises(tracekit.QueryError, match="secret"):
        database.query("select * from secret")
    assert len(secret) == 1


@pytest.mark.parametrize(
    ("sql", "line", "caret"),
    [
        ("selec 1", "LINE 1: selec 1", "selec"),
        ("select thread\nfrom waits\nwhere nix = 3", "LINE 3: where nix = 3", "nix"),
        ("select 'a' + thread from waits", "LINE 1: select 'a' + thread from waits", "+"),
        ("select * from wait", "LINE 1: select * from wait", "wait"),
        ("select cast(thread as int) from waits", "LINE 1: select cast(thread as int) from waits", "cast"),
    ],
)
def test_errors_show_the_place(sql: str, line: str, caret: str, database: Database) -> None:
    with pytest.raises(tracekit.QueryError) as raised:
        database.query(sql)
    lines = raised.value.message.splitlines()
    place = lines.index(line)
    assert lines[place + 1].index("^") == line.rindex(caret) or caret == "cast"
    assert "Candidate functions" not in raised.value.message
    assert len(raised.value.message) < 400


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["query", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_formats(tmp_path: Path) -> None:
    sql = "select thread, count(*) as n, max(rival) as rival, avg(duration) as mean from waits group by 1 order by 1"
    expected = tracekit.query(SAMPLE, sql)
    code, text, _ = run(str(SAMPLE), sql)
    assert code == 0
    assert next(line.split() for line in text.splitlines() if line.strip()) == ["thread", "n", "rival", "mean"]
    assert "t2       401   t1      2517422.2" in text
    code, text, _ = run(str(SAMPLE), sql, "--format", "json")
    assert json.loads(text) == expected.astype(object).where(expected.notna(), None).to_dict("records")
    for name in ("out.csv", "out.json", "out.parquet", "out.txt"):
        code, text, _ = run(str(SAMPLE), sql, "-o", str(tmp_path / name))
        assert (code, text) == (0, "")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), expected, check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), expected, check_dtype=False)
    assert json.loads((tmp_path / "out.json").read_text())[0]["thread"] == "t1"
    assert "mean" in (tmp_path / "out.txt").read_text()
    assert json.loads(run(str(SAMPLE), "select 1 where false", "--format", "json")[1]) == []
    odd = "select 'a,\"b' as \"x,y\", '' as e, null as n, [1, 2] as l, date '2020-01-01' as d, 'nan'::double as f"
    assert run(str(SAMPLE), odd, "--format", "csv")[1] == '"x,y",e,n,l,d,f\n"a,""b","",,"[1, 2]",2020-01-01,\n'
    assert json.loads(run(str(SAMPLE), odd, "--format", "json")[1]) == [
        {"x,y": 'a,"b', "e": "", "n": None, "l": "[1, 2]", "d": "2020-01-01", "f": None}
    ]


def test_the_trace_is_not_written_over(tmp_path: Path) -> None:
    folder = converted(SAMPLE, tmp_path / "t.parquet")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for output in (folder / "waits.parquet", folder / "new.csv", folder):
        code, _, said = run(str(folder), "select 1 as a", "-o", str(output))
        assert (code, "-o names" in said or "is a folder" in said) == (2, True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_tables_and_schema() -> None:
    code, text, _ = run(str(SAMPLE), "--tables")
    assert code == 0
    assert all(table in text for table in schemas.TABLES)
    code, text, _ = run(str(SAMPLE), "--schema", "waits")
    assert all(column.name in text for column in schemas.load("waits").columns)
    code, _, said = run(str(SAMPLE), "--schema", "wait")
    assert (code, "There is no table 'wait'. There are events," in said) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nix.log", "select 1 from waits"], "nix.log: there is no such file."),
        ([str(SAMPLE)], "There is no SQL, and no terminal to ask for it."),
        (
            [str(SAMPLE), "select 1", "--format", "xml"],
            "there is no format 'xml'. There are table, csv, json, parquet.",
        ),
        ([str(SAMPLE), "select nix from waits"], "LINE 1: select nix from waits\n               ^^^\n"),
        ([str(SAMPLE), "copy waits to 'x.csv'"], "This is COPY; a trace can only be read, with SELECT."),
    ],
)
def test_what_cannot_be_done(arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, said = run(*arguments)
    assert (code, out) == (2, "")
    assert sentence in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_many_rows_and_columns_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from tracekit.reporters import rows

    with open_database(SAMPLE) as database:
        found = database.stream("select * from events", as_text=True)
        console = Console(width=40)
        with console.capture() as captured:
            console.print(rows.render(found, 40))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(line.strip() for line in lines[-5:]).replace("  ", " ").count("Not shown for want of room: ") == 1
    assert "the first 1,000 rows" in " ".join(line.strip() for line in lines[-4:])


class Terminal:
    """A process on a pseudo-terminal."""

    def __init__(self, arguments: list[str], state: Path) -> None:
        self.pid, self.fd = pty.fork()
        if not self.pid:
            environment = {**os.environ, "XDG_STATE_HOME": str(state), "TERM": "xterm", "COLUMNS": "100"}
            os.execve(sys.executable, [sys.executable, "-m", "tracekit", *arguments], environment)
        self.seen = ""

    def until(self, text: str, typing: str = "") -> str:
        """All that came up to this text. typing: this is typed again each second that nothing comes."""
        deadline = time.monotonic() + 90
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.fd], [], [], 1)[0]:
                self.seen += os.read(self.fd, 4096).decode()
            elif typing:
                self.type(typing)
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self) -> int:
        try:
            while os.read(self.fd, 4096):
                pass
        except OSError:
            pass  # the process is gone
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_prompt(tmp_path: Path) -> None:
    terminal = Terminal(["query", str(SAMPLE)], tmp_path)
    terminal.until("tracekit> ")
    terminal.type("select thread, count(*) as n\n")
    terminal.until("..> ")
    terminal.type("from waits group by 1 order by 2 desc;\n")
    assert "401" in terminal.until("tracekit> ")
    terminal.type("select nix from waits;\n")
    assert "^^^" in terminal.until("tracekit> ")
    terminal.type("copy waits to 'x';\n")
    assert "can only be read" in terminal.until("tracekit> ")
    terminal.type(".schema blame\n")
    assert "How long each thread waited while" in terminal.until("tracekit> ")
    terminal.type(".tables\n")
    assert "convoys" in terminal.until("tracekit> ")
    terminal.type("help\n")
    assert "Tab completes" in terminal.until("tracekit> ")
    terminal.type("select 1\x03")
    # Once may not do: a terminal throws away what is on its way, a prompt too, and readline may just be about to wait.
    terminal.until("tracekit> ", typing="\x03")
    terminal.type("\x04")
    assert terminal.end() == 0
    again = Terminal(["query", str(SAMPLE)], tmp_path)
    again.until("tracekit> ")
    again.type("\x1b[A\x1b[A")  # up: lines of the session before
    again.until(".tables")
    again.type("\n")
    assert "convoys" in again.until("tracekit> ")
    again.type("select count(*) from battl\t;\n")  # completed
    assert "count_star()" in again.until("tracekit> ")
    again.type("quit;\n")
    assert again.end() == 0


def test_start_up_is_light() -> None:
    code = "import sys, tracekit.cli; print([m for m in ('pandas', 'duckdb', 'pyarrow.compute') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
