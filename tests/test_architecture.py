"""Imports run downward; docs/architecture.md says why."""

from __future__ import annotations

import ast
from pathlib import Path

from conftest import ROOT

LAYERS = [
    ["errors", "words", "version", "recorder.bootstrap"],
    ["files"],
    ["recorder"],
    ["recorder.launch"],
    ["arrays", "machine", "schemas", "source"],
    ["observed", "stream"],
    ["header"],
    ["_native"],
    ["_native.text", "_native.timeline"],
    ["analyzers.finding"],
    [
        "analyzers.battles",
        "analyzers.convoys",
        "analyzers.frozen_signals",
        "analyzers.long_holds",
        "analyzers.failed_retries",
    ],
    ["analyzers"],
    ["tables", "picture", "parsers.text", "parsers.imported", "parsers.jsonevents", "parsers.raw"],
    ["parsers.columnar", "parsers.ranges"],
    ["parsers.parquet", "parsers.arrow", "parsers.csv", "parsers.jsonl"],
    ["parsers.gecko", "parsers.giltracer", "parsers.nsight", "parsers.perf"],
    ["timeline"],
    ["parsers", "diagnostics", "sql", "frames"],
    ["trace"],
    ["reporters"],
    ["reporters.figures"],
    ["reporters.notebook"],
    ["analysis"],
    ["checks", "comparison", "tablestream"],
    ["writers.lines", "writers.viewer", "pandas"],
    ["writers.text", "writers.parquet", "writers.arrow", "writers.csv", "writers.jsonl"],
    ["writers.chrome", "writers.firefox", "writers.perfetto"],
    ["writers", "writers.rows"],
    ["recording"],
    ["pytest_plugin"],
    ["querying"],
    ["reporters.sentences", "reporters.rows", "reporters.html.payload"],
    ["reporters.console", "reporters.json", "reporters.html.content"],
    ["reporters.html"],
    [""],
    ["fleet", "fleet.places"],
    ["fleet.task"],
    ["fleet.spool", "fleet.cluster"],
    ["fleet.dataset"],
    ["fleet.run", "fleet.summary"],
    ["reporters.fleet"],
    ["reporters.fleet.console", "reporters.fleet.html", "reporters.fleet.json"],
    ["cli.common"],
    ["cli.thresholds", "cli.prompt"],
    ["cli.analyze", "cli.compare", "cli.convert", "cli.query", "cli.report"],
    ["cli.record", "cli.fleet"],
    ["cli"],
    ["__main__"],
]
LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT / "tracekit").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tracekit":
            inner = node.module.removeprefix("tracekit").removeprefix(".")
            for alias in node.names:
                deeper = f"{inner}.{alias.name}".removeprefix(".")
                found.add(deeper if deeper in LEVEL else inner)
        elif isinstance(node, ast.Import):
            found |= {
                a.name.removeprefix("tracekit").removeprefix(".") for a in node.names if a.name.startswith("tracekit")
            }
    return found


def test_imports_run_downward() -> None:
    modules = {module_name(path): imported(path) for path in (ROOT / "tracekit").rglob("*.py")}
    assert set(modules) == set(LEVEL), "every module has a layer"
    wrong = [(a, b) for a, targets in modules.items() for b in targets if LEVEL[b] >= LEVEL[a]]
    assert not wrong


def test_only_the_command_line_prints_and_exits() -> None:
    for path in (ROOT / "tracekit").rglob("*.py"):
        if module_name(path).split(".")[0] in ("cli", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit", "open"), path
