"""Imports run downward; docs/architecture.md says why."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tracekit as public
from tests.conftest import ROOT
from tracekit.analyzers import KINDS
from tracekit.model.rows import CAUSES

PACKAGE = ROOT / "tracekit"
ROOMS = [
    ["errors", "version", "words", "zstd"],
    ["_native", "files"],
    ["model"],
    ["analyzers", "parsers"],
    ["timeline", "sql"],
    ["frames", "figures"],
    ["trace"],
    ["whatif"],
    ["reporters"],
    ["analysis"],
    ["checks", "comparison", "writers"],
    ["querying", "recorder"],
    ["live"],
    ["magic", "opentelemetry", "pandas", "prometheus", "pytest_plugin"],
    ["fleet"],
    [""],
    ["cli"],
    ["__main__"],
]
"""The folders and the modules beside them, from the ground up; "" is `tracekit/__init__.py`."""
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
RECORDER_MAY_IMPORT = {
    "recorder": {"errors"},
    "recorder.bootstrap": set(),
    "recorder.stacks": set(),
    "recorder.follow.sitecustomize": set(),
    "recorder.pythons": set(),
    "recorder.launch": {"errors"},
}
"""What runs in or starts the recorded program; only `recorder.recording` knows the rest of tracekit."""

MAX_LINES = 500


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room(module: str) -> str:
    return module.split(".")[0]


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Everything in the syntax tree, imports in functions included, but what is there for type checking alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from statements(child)


def imports(module: str) -> set[str]:
    """The modules of tracekit that it imports."""
    names: set[str] = set()
    for node in statements(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and room(node.module) == "tracekit":
            names |= {
                member if (member := f"{node.module}.{alias.name}")[9:] in MODULES else node.module
                for alias in node.names
            }
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if room(alias.name) == "tracekit"}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in BY_NAME:
            names |= imported_by_name(module, node.args[0])
    return {name.removeprefix("tracekit").removeprefix(".") for name in names}


BY_NAME = {"__import__", "import_module", "importlib.import_module"}


def imported_by_name(module: str, name: ast.expr) -> set[str]:
    """What the argument of such a call names: all of it, or at least the room."""
    if module == "" and ast.unparse(name).startswith("f'{__name__}."):
        return {f"tracekit.{each}" for each in (*public._MODULES.values(), *public._EXTRAS)}
    start = name.values[0] if isinstance(name, ast.JoinedStr) else name
    if isinstance(start, ast.FormattedValue) and ast.unparse(start.value) == "__name__":
        return {f"tracekit.{module}"}
    assert isinstance(start, ast.Constant), f"{module} imports {ast.unparse(name)}: say at least the room"
    told = str(start.value)
    if room(told) != "tracekit":
        return set()
    assert start is name or told.count(".") > 1, f"{module} imports {ast.unparse(name)}: say at least the room"
    return {told.rstrip(".")}


IMPORTS = {module: imports(module) for module in MODULES}


def test_every_module_has_a_room() -> None:
    assert {room(module) for module in MODULES} == set(LEVEL)


def test_rooms_import_only_rooms_below() -> None:
    upward = [
        (module, imported)
        for module in MODULES
        for imported in IMPORTS[module]
        if room(imported) != room(module) and LEVEL[room(imported)] >= LEVEL[room(module)]
    ]
    assert not upward


@pytest.mark.parametrize(
    ("module", "call", "named"),
    [
        ("analysis", "import_module('tracekit.cli.report')", {"tracekit.cli.report"}),
        ("analysis", "import_module('pandas')", set()),
        ("cli", "import_module(f'tracekit.cli.{name}')", {"tracekit.cli"}),
        ("writers", "import_module(f'{__name__}.{module}')", {"tracekit.writers"}),
        ("analysis", "import_module(f'tracekit.{module}')", None),
        ("analysis", "import_module(module)", None),
    ],
)
def test_an_import_by_name_is_one_too(module: str, call: str, named: set[str] | None) -> None:
    """Else a room could reach those above it, and nobody would see."""
    argument = ast.parse(call, mode="eval").body.args[0]  # type: ignore[attr-defined]
    if named is None:
        with pytest.raises(AssertionError, match="say at least the room"):
            imported_by_name(module, argument)
    else:
        assert imported_by_name(module, argument) == named


def test_modules_of_a_room_do_not_import_in_a_circle() -> None:
    try:
        TopologicalSorter({module: IMPORTS[module] - {module} for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {error.args[1]}")


@pytest.mark.parametrize("folder", ["recorder/native"])
def test_files_of_c_do_not_include_each_other_in_a_circle(folder: str) -> None:
    """A .c and the .h of its name are one file here, so a function is declared where it is defined."""
    includes: dict[str, set[str]] = {}
    for path in (PACKAGE / folder).glob("*.[ch]"):
        named = re.findall(r'^#include "(\w+)\.h"$', path.read_text(), re.MULTILINE)
        includes.setdefault(path.stem, set()).update(set(named) - {path.stem})
    assert includes
    try:
        TopologicalSorter(includes).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of includes: {error.args[1]}")


def test_what_runs_in_the_recorded_program_imports_almost_nothing() -> None:
    for module, allowed in RECORDER_MAY_IMPORT.items():
        assert {imported for imported in IMPORTS[module] if room(imported) != "recorder"} <= allowed, module


def test_files_of_python_and_javascript_are_short() -> None:
    """A longer file does more than one thing."""
    sources = [
        path
        for folder in ("tracekit", "tests", "benchmarks", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".js", ".cjs", ".mjs")
    ]
    assert len(sources) > 100
    lengths = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in sources}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_only_the_command_line_prints_and_exits() -> None:
    for module, path in MODULES.items():
        if room(module) in ("cli", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit", "open"), path


COLUMNS_TOO = {"failed_retries"}
"""Kinds whose names are names of columns and tables of other things too."""
READ_ALL = {"timeline.plain", "timeline.causes"}
"""Follow the events as the native core does: they call the analyzers that recognise findings by their names."""
LISTS_CAUSES = "model.rows"
"""Has the causes of the table `causes`, in the native core's order."""


def words_of_code(path: Path) -> set[str]:
    """All words of identifiers and strings, without those of comments and docstrings."""
    if path.suffix == ".js":
        return set(re.findall(r"\w+", re.sub(r"/\*.*?\*/|(^|\s)//[^\n]*", "", path.read_text(), flags=re.DOTALL)))
    nodes = list(ast.walk(ast.parse(path.read_text())))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    values = [value for node in nodes if id(node) not in docstrings for _, value in ast.iter_fields(node)]
    return {word for value in values if isinstance(value, str) for word in re.findall(r"\w+", value)}


def test_a_kind_of_finding_is_named_in_its_own_file_only() -> None:
    """All else derives from `ANALYZERS`, so that a new kind is one file and one entry."""
    sources = [path for module, path in MODULES.items() if room(module) != "analyzers" and module not in READ_ALL]
    sources += PACKAGE.rglob("*.js")
    assert len(sources) > 80
    kinds = {*KINDS} - COLUMNS_TOO
    named = {path: words_of_code(path) & kinds for path in sources}
    named[MODULES[LISTS_CAUSES]] -= {*CAUSES}
    assert {str(path.relative_to(PACKAGE)): found for path, found in named.items() if found} == {}
