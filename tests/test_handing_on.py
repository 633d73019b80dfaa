"""The API hands on what people need: tables by name and as Arrow, units, files, types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest

import tracekit
from tests.conftest import ROOT, SAMPLES
from tests.recorder.recorded import good, need_recorder
from tracekit.analyzers import KINDS
from tracekit.errors import OptionError
from tracekit.figures import FIGURES
from tracekit.model import schemas
from tracekit.model.rows import Options
from tracekit.words import size_in_bytes

TICKS, TIMED = SAMPLES / "py27-cpu2.log", SAMPLES / "py311-echo-convoy.log"


def test_tables_by_name() -> None:
    trace = tracekit.read(TICKS)
    for table in schemas.TRACE_TABLES:
        assert trace[table] is trace[table] is getattr(trace, table)
    with pytest.raises(ValueError, match="no table 'wait'"):
        trace["wait"]  # type: ignore[index]


def test_what_is_known_of_the_whole_derives_no_rows() -> None:
    trace = tracekit.read(TICKS)
    assert (trace.unit, trace.duration) == ("ticks", 1297800)
    assert "40,001 events" in repr(trace)
    assert trace.blame.num_rows
    assert trace.summary
    assert set(trace._made) == {"blame"}


def test_arrow_takes_a_trace_as_it_is() -> None:
    trace = tracekit.read(TIMED)
    assert pa.RecordBatchReader.from_stream(trace).read_all() == trace.events
    assert pa.RecordBatchReader.from_stream(trace["waits"]).read_all() == trace.waits


def test_units_are_handed_on() -> None:
    for path, unit in ((TICKS, b"ticks"), (TIMED, b"ns")):
        trace = tracekit.read(path)
        fields = {field.name: (field.metadata or {}).get(b"unit") for field in trace.waits.schema}
        assert (fields["duration"], fields["end_tick_clock"], fields["thread"]) == (unit, b"ticks", None)
        assert trace.to_pandas("holds").attrs["unit"] == unit.decode()
        assert tracekit.analyze(trace).to_pandas("threads").attrs["unit"] == unit.decode()


def test_durations_as_timedelta() -> None:
    trace = tracekit.read(TIMED)
    plain, spans = trace.to_pandas("waits"), trace.to_pandas("waits", timedelta=True)
    assert str(spans["duration"].dtype) == "timedelta64[ns]"
    assert (spans["duration"].astype("int64") == plain["duration"]).all()
    assert (spans["busy_clock"].isna() == plain["busy_clock"].isna()).all()
    assert spans["failed_retries"].dtype == plain["failed_retries"].dtype
    ticks = tracekit.read(TICKS).to_pandas("waits", timedelta=True)
    assert str(ticks["duration"].dtype) == "int64"


def test_sql_from_many_threads_at_once() -> None:
    trace = tracekit.read(TICKS)
    answers: list[object] = []

    def ask() -> None:
        try:
            tables = ("waits", "holds", "battles", "threads")
            answers.extend(trace.sql(f"select count(*) from {table}").iloc[0, 0] for table in tables)
        except BaseException as error:
            answers.append(error)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = {trace.waits.num_rows, trace.holds.num_rows, 156, 2}
    assert len(answers) == 40
    assert set(answers) == counts


def test_an_analysis_writes_itself(tmp_path: Path) -> None:
    analysis = tracekit.analyze(TICKS, min_rounds=3)
    page = tmp_path / "x.html"
    analysis.report(page, title="mine", theme="dark")
    assert "<title>mine" in page.read_text()
    assert json.loads(analysis.to_json())["schema"] == "tracekit.analysis/1"
    with pytest.raises(OptionError):
        analysis.report(page, theme="blue")  # type: ignore[arg-type]
    found = analysis.sql("select (select count(*) from battles) as battles, (select count(*) from waits) as waits")
    assert found.battles[0] == analysis.battles.num_rows < 156
    assert found.waits[0] == tracekit.read(TICKS).waits.num_rows


def test_compare_takes_paths() -> None:
    by_path = tracekit.compare(TICKS, str(TICKS), min_rounds=3)
    assert by_path.before.options.min_rounds == 3
    assert by_path.regression == 0


@pytest.mark.parametrize(
    ("text", "size"), [("100M", 100 * 2**20), ("2 GiB", 2**31), ("512k", 2**19), ("7", 7), ("x", None), ("1T", None)]
)
def test_sizes(text: str, size: int | None) -> None:
    assert size_in_bytes(text) == size


def test_record_takes_a_size_in_words() -> None:
    assert tracekit.record("x.log", max_size="1M")._max_size == 2**20
    for wrong in ("x", "0", 0):
        with pytest.raises(OptionError, match="max_size"):
            tracekit.record("x.log", max_size=wrong)


def test_a_recorded_function(tmp_path: Path) -> None:
    need_recorder()

    @tracekit.recorded(tmp_path / "out.log")
    def work(number: int) -> int:
        """Doubles."""
        return 2 * number

    assert (work(21), work.__name__, work.__doc__) == (42, "work", "Doubles.")
    good(tmp_path / "out.log", cut=True)


def test_the_cell_magic(tmp_path: Path) -> None:
    """In a shell that does what IPython's does with a cell magic."""
    need_recorder()
    code = """
import sys, types
shown = []
sys.modules["IPython"] = types.ModuleType("IPython")
sys.modules["IPython.display"] = display = types.ModuleType("IPython.display")
display.display = shown.append
class Shell:
    user_ns = {}
    def register_magic_function(self, function, magic_kind, magic_name):
        self.magics = {magic_name: function}
    def run_cell(self, cell):
        exec(cell, self.user_ns)
        return types.SimpleNamespace(error_before_exec=None, error_in_exec=None)
import tracekit
shell = Shell()
tracekit.load_ipython_extension(shell)
shell.magics["gil"]("kept.log", "import time\\nfor _ in range(20): time.sleep(0.0001)\\nx = 1")
assert shell.user_ns["x"] == 1
print(*(type(one).__name__ for one in shown))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "Analysis Figure\n", done.stderr
    good(tmp_path / "kept.log", cut=True)


TYPOS = """
import tracekit
trace = tracekit.read("x.log")
trace["wait"]
trace.to_pandas("wait")
tracekit.analyze(trace, min_round=3)
tracekit.analyze(trace, ratio="5")
tracekit.compare("a", "b", min_round=3)
analysis = tracekit.analyze(trace)
analysis.found("convoy")
analysis.figure("blames")
analysis.to_pandas("wait")
tracekit.check(trace, no=["convoy"])
tracekit.analyse(trace)
cost: int = analysis.found("convoys")[1]
"""


@pytest.mark.slow
def test_a_typo_is_an_error_of_types(tmp_path: Path) -> None:
    (tmp_path / "typos.py").write_text(TYPOS)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "typos.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, env={**os.environ, "MYPYPATH": str(ROOT)},
    )  # fmt: skip
    wrong = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    lines = TYPOS.splitlines()
    fine = {n for n, line in enumerate(lines, 1) if not line or line.startswith(("import", "trace =", "analysis ="))}
    assert wrong == set(range(1, len(lines) + 1)) - fine, done.stdout


def test_the_types_name_what_there_is() -> None:
    import ast

    stub = ast.parse((Path(schemas.__file__).parent.parent / "names.pyi").read_text())
    told: dict[str, tuple[object, ...]] = {}
    for node in stub.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            told[node.targets[0].id] = tuple(ast.literal_eval(node.value.slice))  # type: ignore[attr-defined]
        elif isinstance(node, ast.ClassDef):
            told[node.name] = tuple(field.target.id for field in node.body)  # type: ignore[attr-defined]
    assert told["Table"] == schemas.TRACE_TABLES
    assert told["AnalysisTable"] == schemas.ANALYSIS_TABLES
    assert told["Kind"] == KINDS
    assert told["Figure"] == tuple(FIGURES)
    assert told["Thresholds"] == tuple(vars(Options()))
