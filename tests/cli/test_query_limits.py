"""What a query may take: no file but the trace's, no more memory than it is given, no longer than one wants to wait."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import tracekit
from tests.conftest import SAMPLES
from tests.test_query import Terminal
from tracekit.cli import app
from tracekit.querying import open_database
from tracekit.sql import default_memory

SAMPLE = SAMPLES / "py311-echo-convoy.log"
COMMAND = [sys.executable, "-m", "tracekit", "query", str(SAMPLE)]
ENDLESS = [
    "select count(*) from range(100000000000) t(a), range(10)",
    "select * from range(1000000000000)",
    "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r",
    "select length(repeat('x', 1000000000)) from range(1000)",
]


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["query", str(SAMPLE), *arguments])
    return done.exit_code, done.stdout, done.stderr


# ---- files ----


@pytest.mark.parametrize("sql", ["from read_text('.tmp/s')", "from glob('.tmp/*')", "from '.tmp/s.csv'"])
def test_duckdbs_own_folder_is_not_there(sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".tmp").mkdir()
    Path(".tmp/s").write_text("secret")
    Path(".tmp/s.csv").write_text("a\n1\n")
    with open_database(SAMPLE) as database, pytest.raises(tracekit.QueryError):
        database.query(sql)


@pytest.mark.slow
def test_the_folder_for_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else's, and gone afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with open_database(SAMPLE, memory=1 << 27) as database:
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in tmp_path.iterdir())
        found = database.query(f"from glob('{database._spill}/*')")
        assert found.num_rows == 0
        many = database.query(
            "select count(*) as n from (select random() as a from range(20000000) order by 1 limit 1)"
        )
        assert many.to_pylist() == [{"n": 1}]
        rows = database.stream("select random() as a, range as b from range(20000000) order by a")
        next(rows.batches)
        assert any(tmp_path.rglob("*.tmp"))  # it was needed
    assert list(tmp_path.iterdir()) == []


# ---- memory ----


@pytest.mark.slow
def test_results_stream() -> None:
    """More rows than would fit."""
    script = """
import re, sys
from pathlib import Path
from tracekit.cli import main
sys.argv = ["tracekit", *sys.argv[1:]]
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""
    sql = "select range as a, repeat('x', 100) as b from range(20000000)"
    command = [sys.executable, "-c", script, "query", str(SAMPLE), sql, "--format", "csv"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0
    assert int(done.stderr) < 450_000  # KiB; the rows are 2.2 GB


def test_a_table_of_a_result_without_end() -> None:
    code, text, _ = run("select * from range(1000000000000)")
    assert code == 0
    assert "These are the first 1,000 rows" in text


@pytest.mark.parametrize("row_format", ["table", "csv", "json", "parquet"])
def test_memory_has_a_limit(row_format: str, tmp_path: Path) -> None:
    sql = "select list(range) as l from range(1000000000)"
    code, _, said = run(sql, "--memory", "100M", "--format", row_format, "-o", str(tmp_path / "out"))
    assert code == 2
    assert said == "The query needs more memory than 0.10 GiB. Ask for less at once, or give it more with --memory.\n"
    assert list(tmp_path.iterdir()) == []


def test_memory_is_told() -> None:
    code, _, said = run("select 1", "--memory", "much")
    assert (code, said) == (2, "--memory: 'much' is not a size. Write e.g. 100M, 2G, or bytes.\n")
    free = default_memory()
    if sys.platform == "linux":
        assert free
        assert free < os.sysconf("SC_PHYS_PAGES") * resource.getpagesize()


def test_derived_tables_keep_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a trace that could be too large go into files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with open_database(SAMPLE, memory=1 << 20) as database:
        database._derive(["waits"])
        assert [path.name for path in tmp_path.rglob("*.parquet")] == ["waits.parquet"]


# ---- time ----


def interrupted(number: int, sql: str, wait: float) -> tuple[float, int, str]:
    with subprocess.Popen(
        [*COMMAND, sql, "--format", "csv"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        time.sleep(wait)
        assert process.poll() is None
        begin = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        return time.monotonic() - begin, process.returncode, said


def ends_in_a_sentence(times: int) -> None:
    chance = random.Random(1)
    for _ in range(times):
        sql, number = chance.choice(ENDLESS), chance.choice([signal.SIGINT, signal.SIGTERM])
        seconds, code, said = interrupted(number, sql, 1.5 + chance.random())
        assert (code, said) == (2, "Interrupted before the end. Run it again for all of it.\n"), sql
        assert seconds < 3, sql  # one, on a machine that has nothing else to do


@pytest.mark.slow
def test_it_ends_when_it_is_told_to() -> None:
    ends_in_a_sentence(6)


@pytest.mark.soak
def test_it_ends_each_time() -> None:
    ends_in_a_sentence(100)


def test_nothing_is_left_of_an_interrupted_query(tmp_path: Path) -> None:
    command = [*COMMAND, ENDLESS[1], "-o", str(tmp_path / "out.csv")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        while not any(path.stat().st_size for path in tmp_path.rglob("out.csv")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_before_the_query_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while its thread starts: it must not go on with nobody to end it, and keep the next from an answer."""

    class Interrupted(threading.Thread):
        def start(self) -> None:
            super().start()
            raise KeyboardInterrupt

    class NotStarted(threading.Thread):
        def start(self) -> None:
            raise KeyboardInterrupt

    answers: list[int] = []
    with open_database(SAMPLE) as database:
        for thread in (Interrupted, NotStarted):
            with monkeypatch.context() as patched:
                patched.setattr("tracekit.sql.threading.Thread", thread)
                with pytest.raises(KeyboardInterrupt):
                    database._interruptibly(lambda: database._connection.execute(ENDLESS[0]).fetchall())
        after = threading.Thread(
            target=lambda: answers.extend(database.query("select 42 as x")["x"].to_pylist()), daemon=True
        )
        after.start()
        after.join(60)
        assert answers == [42]


def test_the_prompt_stays(tmp_path: Path) -> None:
    terminal = Terminal(["query", str(SAMPLE)], tmp_path)
    terminal.until("tracekit> ")
    for sql in (ENDLESS[0], ENDLESS[2]):
        terminal.type(f"{sql};\n")
        terminal.until(sql)
        time.sleep(0.5)
        terminal.type("\x03")
        terminal.until("Interrupted.", typing="\x03")
        terminal.until("tracekit> ", typing="\x03")
    terminal.type("select 40 + 2;\n")
    terminal.until(" 42")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end() == 2


@pytest.mark.soak
def test_the_prompt_stays_each_time(tmp_path: Path) -> None:
    """Wherever it is: it reads, parses, waits for the first rows, or writes them."""
    chance = random.Random(3)
    terminal = Terminal(["query", str(SAMPLE)], tmp_path)
    terminal.until("tracekit> ")
    for number in range(100):
        terminal.type(f"{chance.choice(ENDLESS[:3])};\n")
        time.sleep(chance.choice([0, 0.01, 0.1, 1]) * chance.random())
        terminal.type("\x03")
        terminal.type(f"\nselect {number} + 1000000;\n")
        terminal.until(f" {number + 1000000}")
    terminal.type(".quit\n")
    assert terminal.end() == 0


# ---- types ----

WRITTEN = {
    "'infinity'::date": "infinity",
    "'-infinity'::timestamp": "-infinity",
    "'300000-01-01'::date": "300000-01-01",
    "interval 1 day": "1 day",
    "'101'::bit": "101",
    "'POINT(1 2)'::geometry": "POINT (1 2)",
    "union_value(a := 1)": "1",
    "struct_pack(a := union_value(b := interval 1 day))": "{'a': 1 day}",
    "[date 'infinity']": "[infinity]",
    "map {'a': 1}": "{a=1}",
    "'01:00:00+02'::timetz": "01:00:00+02",
    "340282366920938463463374607431768211455::uhugeint": "340282366920938463463374607431768211455",
    "'a\\xFF'::blob": "a\\xFF",
    "'00000000-0000-0000-0000-000000000001'::uuid": "00000000-0000-0000-0000-000000000001",
    "'b'::enum('a', 'b')": "b",
    "123456789012345678901234567890::bignum": "123456789012345678901234567890",
    "time '12:00'": "12:00:00",
    "'[1]'::json": "[1]",
}


@pytest.mark.parametrize("value", WRITTEN)
def test_every_type_has_a_written_form(value: str, tmp_path: Path) -> None:
    sql = f"select {value} as x, null as y"
    code, text, _ = run(sql, "--format", "csv")
    assert code == 0
    assert list(csv.reader(io.StringIO(text)))[1] == [WRITTEN[value], ""]
    code, text, _ = run(sql, "--format", "json")
    assert (code, json.loads(text)) == (0, [{"x": WRITTEN[value], "y": None}])
    code, text, _ = run(sql)
    assert code == 0
    assert WRITTEN[value] in text
    code, _, said = run(sql, "--format", "parquet", "-o", str(tmp_path / "x.parquet"))
    assert (code, said) == (0, "")
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 1


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    def stored(sql: str) -> Any:
        assert run(sql, "-o", str(tmp_path / "x.parquet"))[0] == 0
        return pq.read_table(tmp_path / "x.parquet").column("x")

    assert stored("select sum(range) as x from range(10)").type == pa.int64()
    assert stored("select 2::hugeint ** 0 * 9223372036854775808::hugeint as x").to_pylist() == [2**63]
    assert stored("select 1.50::decimal(4, 2) as x").type == pa.decimal128(4, 2)


def test_names_are_different() -> None:
    assert json.loads(run('select 1 as a, 2 as a, 3 as a_1, 4 as "q"""', "--format", "json")[1]) == [
        {"a": 1, "a_1": 2, "a_1_1": 3, 'q"': 4}
    ]


def test_frames_of_dates_that_pandas_has_not() -> None:
    with pytest.raises(tracekit.QueryError, match="cannot be a DataFrame"):
        tracekit.query(SAMPLE, "select 'infinity'::date as d")
