"""Which small bugs in the Python would the tests notice?

    python -m tests.mutation.python [--sample 600] [--seed 1] [--only tracekit/parsers] [--results FILE]

Each mutant of a seeded sample is put into a copy of the working tree, and those of its room's tests run that reach its
line, quickest first, up to the first failure; each in a fork of one process that has imported the libraries. Results
are appended to the file (default build/mutants.jsonl) and are not computed twice: delete it after a change. Mutants
that change nothing a caller could see are listed in equivalent.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

from tests.mutation.operators import Mutant, mutants

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
ROOMS = {
    "tracekit/analyzers/": ["tests/analyzers", "tests/timeline"],
    "tracekit/parsers/": ["tests/parsers", "tests/writers/test_convert.py", "tests/timeline/test_golden.py"],
    "tracekit/writers/": ["tests/writers"],
    "tracekit/comparison.py": ["tests/test_comparison.py"],
    "tracekit/checks.py": ["tests/test_checks.py"],
    "tracekit/sql.py": ["tests/test_sql.py", "tests/test_query.py"],
    "tracekit/model/observed.py": ["tests/model", "tests/parsers/test_imports.py"],
    "tracekit/fleet/summary.py": ["tests/fleet/test_summary.py", "tests/fleet/test_fleet.py"],
}
"""Where the tests of what lies there are."""
HEAVY = (
    "hypothesis",
    "pandas",
    "plotly.graph_objects",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "duckdb",
    "typer.testing",
)
SURVIVED, KILLED, TIMED_OUT = "survived", "killed", "timed out"


def tree_copy(folder: Path) -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    built = [str(path.relative_to(ROOT)) for path in (ROOT / "tracekit").rglob("*.so")]
    for name in filter(None, names + built):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


class Recorder:
    """A plugin: which lines each test reaches, and how long it takes."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.measured.switch_context(item.nodeid)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """What a module's fixture reaches is reached by every test of the module."""
        if fixturedef.scope != "function":
            self.measured.switch_context(f"{request._pyfuncitem.nodeid.split('::')[0]}::*")
        yield
        if fixturedef.scope != "function":
            self.measured.switch_context(request._pyfuncitem.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)


class Chosen:
    """A plugin: only these tests (None: all), in their order; and which one failed."""

    def __init__(self, names: list[str] | None) -> None:
        self.order = None if names is None else {name: index for index, name in enumerate(names)}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if (order := self.order) is not None:
            items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or "collection"


def in_a_fork(folder: Path, arguments: list[str], plugin: Any, answer: Any, seconds: float) -> Any:
    """What `answer()` gives in a fork where pytest has run in the copy; None if it ran out of time."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.close(reading)
        quiet = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(quiet, descriptor)
        limit = int(seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        os.chdir(folder)
        sys.path[:] = [str(folder), *(entry for entry in sys.path if entry not in ("", str(ROOT)))]
        for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "tracekit")]:
            del sys.modules[name]
        os.environ.update(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1")
        common = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", "--basetemp", "pytest-temp"]
        common += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        pytest.main([*common, *arguments], plugins=[plugin])
        os.write(writing, json.dumps(answer()).encode())
        os._exit(0)
    os.close(writing)
    end = time.monotonic() + 20 * seconds
    while time.monotonic() < end and os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.02)
    try:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    return json.loads(text) if text else None


class Room:
    """Some files and their tests: which test reaches which line."""

    def __init__(self, folder: Path, tests: list[str]) -> None:
        self.tests = [name for name in tests if (ROOT / name).exists()]
        data = folder / "coverage"
        data.unlink(missing_ok=True)
        measured = coverage.Coverage(data_file=str(data), source=[str(folder / "tracekit")], config_file=False)
        plugin = Recorder(measured)

        def answer() -> Any:
            measured.stop()
            measured.save()
            return [plugin.seconds, plugin.failed]

        class Start:
            def pytest_sessionstart(self) -> None:
                measured.start()
                measured.switch_context("import")

        arguments = [*self.tests, "-p", "no:randomly"]
        given = in_a_fork(folder, arguments, _both(plugin, Start()), answer, 1500)
        if given is None or given[1]:
            sys.exit(f"{' '.join(self.tests)} must pass first: {given and given[1]}")
        self.seconds: dict[str, float] = given[0]
        self.reached: dict[str, dict[int, set[str]]] = {}
        stored = coverage.CoverageData(str(data))
        stored.read()
        for path in stored.measured_files():
            lines = {line: set(names) for line, names in stored.contexts_by_lineno(path).items()}
            self.reached[str(Path(path).relative_to(folder))] = lines

    def tests_of(self, path: str, mutant: Mutant) -> list[str]:
        """Quickest first; all of the room's for what runs when it is imported."""
        contexts: set[str] = set()
        for line in range(mutant.lines[0], mutant.lines[1] + 1):
            contexts |= self.reached.get(path, {}).get(line, set())
        names = {name for name in contexts if name in self.seconds}
        for module in (name.removesuffix("*") for name in contexts if name.endswith("::*")):
            names |= {name for name in self.seconds if name.startswith(module)}
        if mutant.function == "module" or (not names and "import" in contexts):
            names = set(self.seconds)
        return sorted(names, key=self.seconds.__getitem__)


def _both(*plugins: Any) -> Any:
    class Several:
        def pytest_configure(self, config: pytest.Config) -> None:
            for plugin in plugins:
                config.pluginmanager.register(plugin)

    return Several()


def fate(folder: Path, path: str, mutant: Mutant, room: Room) -> tuple[str, str]:
    names = room.tests_of(path, mutant)
    if not names:
        return SURVIVED, "no test reaches it"
    target = folder / path
    original, status = target.read_bytes(), target.stat()
    target.write_text(mutant.source)
    os.utime(target, (status.st_atime, status.st_mtime + 1000))  # no compiled file is as new as that
    plugin = Chosen(names)
    files = sorted({name.split("::")[0] for name in names})
    try:
        seconds = 30 + 5 * sum(room.seconds[name] for name in names)
        failed = in_a_fork(folder, files, plugin, lambda: plugin.failed, seconds)
    finally:
        target.write_bytes(original)
        os.utime(target, (status.st_atime, status.st_mtime))
    if failed is None:
        return TIMED_OUT, ""
    return (KILLED, failed) if failed else (SURVIVED, "")


def equivalents() -> set[str]:
    """`path function: ...` of each, above its reason."""
    lines = EQUIVALENT.read_text("utf-8").splitlines() if EQUIVALENT.exists() else []
    return {line for line in lines if line.startswith("tracekit/")}


def report(results: dict[str, dict[str, Any]], chosen: list[str]) -> None:
    known = equivalents()
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for name in chosen:
        if name in results:
            room = next(room for room in ROOMS if name.startswith(room))
            result = results[name]["fate"]
            counted[room]["equivalent" if result == SURVIVED and name in known else result] += 1
    for name in chosen:
        if name in results and results[name]["fate"] == SURVIVED and name not in known:
            print(f"survived: {name} {results[name]['by']}")
    total = sum(counted.values(), Counter())
    for room, counts in [*counted.items(), ("all", total)]:
        noticed, real = counts[KILLED] + counts[TIMED_OUT], sum(counts.values()) - counts["equivalent"]
        print(f"{room}: {noticed} of {real} killed ({noticed / max(real, 1):.1%}), {counts['equivalent']} equivalent")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sample", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="tracekit/", help="mutants of files whose path starts so")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "mutants.jsonl")
    options = parser.parse_args()
    files = subprocess.run(["git", "ls-files", *ROOMS], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    everything = {
        f"{path} {mutant.name}": (path, mutant)
        for path in sorted(filter(lambda name: name.endswith(".py"), files.split()))
        for mutant in mutants((ROOT / path).read_text("utf-8"))
    }
    chosen = random.Random(options.seed).sample(sorted(everything), min(options.sample, len(everything)))
    chosen = [name for name in chosen if name.startswith(options.only)]
    print(f"{len(chosen)} of {len(everything)} mutants")
    options.results.parent.mkdir(parents=True, exist_ok=True)
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    results = {row["mutant"]: row for row in map(json.loads, lines)}
    for module in HEAVY:
        __import__(module)
    with tempfile.TemporaryDirectory() as temporary, options.results.open("a") as out:
        folder = Path(temporary)
        tree_copy(folder)
        rooms: dict[str, Room] = {}
        for name in sorted(chosen):
            if name in results:
                continue
            path, mutant = everything[name]
            place = next(place for place in ROOMS if path.startswith(place))
            if place not in rooms:
                rooms[place] = Room(folder, ROOMS[place])
            began = time.monotonic()
            result, by = fate(folder, path, mutant, rooms[place])
            results[name] = {"mutant": name, "fate": result, "by": by, "seconds": round(time.monotonic() - began, 2)}
            out.write(json.dumps(results[name]) + "\n")
            out.flush()
    report(results, chosen)


if __name__ == "__main__":
    main()
