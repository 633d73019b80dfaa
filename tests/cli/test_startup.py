"""What each command imports: no more than it needs, which is what makes it start at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import tracekit
from tests.conftest import SAMPLES, require_native
from tests.recorder.recorded import need_recorder

BATTLE = str(SAMPLES / "slide-battle.log")
ALWAYS = {"annotated_doc", "shellingham", "typer"}  # typer and what it imports
ARROW = {"numpy", "pyarrow"}  # pyarrow and what it imports
if find_spec("cloudpickle"):  # instead of pickle, where it is installed: with Dask
    ARROW |= {"cloudpickle"}
MEASURED = """
import sys
from tracekit.cli import main
try:
    main()
except SystemExit:
    pass
names = [name for name in sys.modules if getattr(sys.modules[name], "__spec__", None)]
print("\\nLOADED", *names)
"""


def loaded(*arguments: str, cwd: Path | None = None) -> tuple[set[str], set[str]]:
    """The packages that a command imports, without the standard library's; and tracekit's modules."""
    found = run_python(MEASURED, *arguments, cwd=cwd)
    own = {name.removeprefix("tracekit.") for name in found if name.startswith("tracekit.")}
    tops = {name.partition(".")[0] for name in found}
    packages = {name for name in tops - sys.stdlib_module_names - {"tracekit"} if not name.startswith("_")}
    return packages - {"cython_runtime"}, own


def run_python(code: str, *arguments: str, cwd: Path | None = None) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=True
    )
    names = set(done.stdout.rpartition("LOADED ")[2].split())
    return names - {name for name in names if name.startswith("__editable__")}


@pytest.mark.parametrize(
    ("arguments", "packages", "modules"),
    [
        (["--version"], set(), {"cli", "cli.commands", "cli.common", "errors", "words", "version", "_native"}),
        (["--help"], {"rich"}, {"cli", "cli.commands", "cli.common", "errors", "words"}),
        (["record", "--help"], {"rich"}, {
            "cli", "cli.commands", "cli.common", "cli.programs", "cli.record", "errors", "words", "_native", "recorder",
            "recorder.launch", "recorder.pythons",
        }),
    ],
    ids=["version", "help", "help of record"],
)  # fmt: skip
def test_what_a_command_without_a_trace_imports(arguments: list[str], packages: set[str], modules: set[str]) -> None:
    assert loaded(*arguments) == (ALWAYS | packages, modules)


@pytest.mark.parametrize(
    ("arguments", "packages"),
    [
        (["analyze", BATTLE], {"rich"}),
        (["analyze", BATTLE, "--json"], set()),
        (["compare", BATTLE, BATTLE], {"rich"}),
        (["query", BATTLE, "select 1"], {"rich", "duckdb"}),
        (["convert", BATTLE, "-o", "out.csv"], set()),
        (["report", BATTLE], set()),
    ],
    ids=["analyze", "json", "compare", "query", "convert", "report"],
)
def test_what_a_command_imports(arguments: list[str], packages: set[str], tmp_path: Path) -> None:
    require_native()
    assert loaded(*arguments, cwd=tmp_path)[0] == ALWAYS | ARROW | packages


def test_what_analyze_imports_of_tracekit() -> None:
    """No other parser, no writer, nothing that draws, no SQL, no plain-Python core."""
    require_native()
    _, modules = loaded("analyze", BATTLE)
    rooms = {name.partition(".")[0] for name in modules}
    assert rooms == {
        "_native", "analysis", "analyzers", "cli", "errors", "model", "parsers", "reporters", "timeline", "words",
    }  # fmt: skip
    assert {name for name in modules if name.startswith("parsers.")} == {
        "parsers.text", "parsers.native_text", "parsers.strangers",
    }  # fmt: skip
    assert not modules & {"timeline.plain", "timeline.picture", "reporters.json", "reporters.html"}


def test_record_imports_nothing_of_the_rest_before_the_program_runs(tmp_path: Path) -> None:
    need_recorder()
    watched = """
import sys, subprocess
popen = subprocess.Popen
def watch(*arguments, **options):
    if "pyarrow" in sys.modules or "numpy" in sys.modules:
        raise SystemExit("too early")
    return popen(*arguments, **options)
subprocess.Popen = watch
"""
    (tmp_path / "empty.py").write_text("")
    found = run_python(watched + MEASURED, "record", "empty.py", cwd=tmp_path)
    assert found >= {"numpy", "pyarrow"}
    assert not found & {"pyarrow.compute", "tracekit.analysis", "tracekit.timeline", "importlib.metadata"}
    assert (tmp_path / "empty.gil.log").exists()


def test_the_first_import_brings_nothing() -> None:
    found = run_python("import sys, tracekit; print('LOADED', *sys.modules)")
    assert {name for name in found if name.startswith("tracekit.")} == set()
    assert not found & {"numpy", "pyarrow", "pandas", "typer"}


def test_the_stub_tells_what_there_is() -> None:
    stub = ast.parse(Path(str(tracekit.__file__)).with_suffix(".pyi").read_text())
    told = {alias.asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    there = {name: f"tracekit.{module}" for name, module in tracekit._MODULES.items()}  # type: ignore[attr-defined]
    assert told == there | dict.fromkeys(tracekit._EXTRAS, "tracekit")  # type: ignore[attr-defined]
    assert {name: getattr(tracekit, name).__name__ for name in there} == {name: name for name in there}
    assert set(there) < set(dir(tracekit))
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        tracekit.analyse  # type: ignore[attr-defined]  # noqa: B018


def test_help_tells_of_each_command_what_it_tells_itself() -> None:
    from tracekit.cli import COMMANDS, load

    for name, (_, sentence) in COMMANDS.items():
        assert load(name).help.replace("\n", " ").startswith(sentence), name
