"""Which small bugs in the Python would the tests notice?

    python -m tests.mutation.python [--sample 600] [--seed 1] [--only tracekit/parsers] [--results FILE]
        [--tests FILE...] [--again]

Each mutant of a seeded sample is put into a copy of the working tree, and those of its room's tests run that reach
its line, quickest first, up to the first failure or `BUDGET` seconds. They run in a fork of a process that has
collected the room's tests once; the changed function is put into the module in memory. Only what runs while modules
are imported needs a fork that imports them anew. Results are appended to the file (default build/mutants.jsonl) and
are not computed twice: after a change delete the lines that it may have made untrue, or try those that survived
--again, perhaps with new --tests only, of those that belong to the room. Mutants that change nothing a caller could see
are listed in equivalent.txt.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import gc
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import hypothesis
import pytest

from tests.mutation.operators import Mutant, mutants

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
ROOMS = {
    "tracekit/analyzers/": ["tests/analyzers", "tests/timeline"],
    "tracekit/parsers/": [
        "tests/parsers",
        "tests/recorder/test_raw.py",
        "tests/writers/test_convert.py",
        "tests/timeline/test_golden.py",
    ],
    "tracekit/writers/": ["tests/writers"],
    "tracekit/files.py": ["tests/writers/test_faults.py", "tests/writers/test_convert.py"],
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
BUDGET = 10.0
"""Seconds of CPU, unmutated, of the tests that a mutant gets. Those left out could only make fewer survive."""
EXAMPLES = 15
"""Of each property."""
OPTIONS = [
    "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly", "-m", "not slow and not soak",
    "--capture", "sys", "--basetemp", "pytest-temp", "-W", "ignore::pytest.PytestAssertRewriteWarning",
]  # fmt: skip


def tree_copy(folder: Path) -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    built = [str(path.relative_to(ROOT)) for path in (ROOT / "tracekit").rglob("*.so")]
    for name in filter(None, names + built):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


class FewExamples:
    """A plugin: properties try a few examples, the same each time, and do not look for the smallest that fails."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            test = getattr(item, "obj", None)
            if (usual := getattr(test, "_hypothesis_internal_use_settings", None)) is not None:
                few = hypothesis.settings(
                    usual,
                    max_examples=min(usual.max_examples, EXAMPLES),
                    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
                    deadline=None,
                    database=None,
                    derandomize=True,
                    suppress_health_check=list(hypothesis.HealthCheck),
                )
                test._hypothesis_internal_use_settings = few


class Recorder:
    """A plugin: which lines each test reaches, and how much CPU time it takes."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []

    def pytest_sessionstart(self) -> None:
        self.measured.start()
        self.measured.switch_context("import")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.measured.switch_context(item.nodeid)
        before = sum(os.times()[:4])
        yield
        self.seconds[item.nodeid] = sum(os.times()[:4]) - before

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """What a module's fixture reaches is reached by every test of the module."""
        if fixturedef.scope != "function":
            self.measured.switch_context(f"{request._pyfuncitem.nodeid.split('::')[0]}::*")
        yield
        if fixturedef.scope != "function":
            self.measured.switch_context(request._pyfuncitem.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
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


def forked(run: Callable[[], Any], seconds: float) -> Any:
    """What `run` gives in a fork that has this CPU time; None if it ran out of it, or broke off."""
    with tempfile.TemporaryFile() as answer:
        pid = os.fork()
        if pid == 0:
            try:
                os.setpgid(0, 0)
                limit = int(seconds + 1)
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
                os.write(answer.fileno(), json.dumps(run()).encode())
            finally:
                os._exit(0)
        end = time.monotonic() + 6 * seconds  # who waits for ever uses no CPU
        while time.monotonic() < end and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what it started, too
        os.waitpid(pid, 0)
        answer.seek(0)
        text = answer.read()
    return json.loads(text) if text else None


def in_the_copy(folder: Path, arguments: list[str], plugins: list[Any]) -> None:
    """In a fork: pytest, as if nothing of this project had been imported yet."""
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    os.chdir(folder)
    sys.path[:] = [str(folder), *(entry for entry in sys.path if entry not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "tracekit")]:
        del sys.modules[name]
    os.environ.update(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1")
    pytest.main([*OPTIONS, *arguments], plugins=[FewExamples(), *plugins])


def in_a_fork(folder: Path, arguments: list[str], plugin: Any, answer: Callable[[], Any], seconds: float) -> Any:
    """What `answer()` gives in a fork where pytest has run in the copy; None if it ran out of time."""

    def run() -> Any:
        in_the_copy(folder, arguments, [plugin])
        return answer()

    return forked(run, seconds)


def changed_functions(path: str, before: str, after: str) -> dict[str, CodeType] | None:
    """The functions (not those inside functions) that differ; None if a class or the module itself does."""

    def inside(code: CodeType) -> list[CodeType]:
        return [each for each in code.co_consts if isinstance(each, CodeType)]

    def own(code: CodeType) -> tuple[Any, ...]:
        """All but line numbers and what is inside."""
        constants = ["code" if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
        variables = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return code.co_code, code.co_exceptiontable, constants, variables

    def same(one: CodeType, other: CodeType) -> bool:
        return own(one) == own(other) and all(map(same, inside(one), inside(other)))

    different: dict[str, CodeType] = {}

    def compare(one: CodeType, other: CodeType) -> bool:
        if one.co_flags & CO_OPTIMIZED:
            if not same(one, other):
                different[one.co_qualname] = other
            return True
        return own(one) == own(other) and all(map(compare, inside(one), inside(other)))

    tidy = ast.unparse(ast.parse(before))
    return different if compare(compile(tidy, path, "exec"), compile(after, path, "exec")) else None


def put_in(module: str, functions: dict[str, CodeType]) -> None:
    """Change functions that live already."""
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__module__ == module and each.__code__.co_qualname in functions:
            each.__code__ = functions[each.__code__.co_qualname]
        elif isinstance(each, functools._lru_cache_wrapper) and each.__module__.startswith("tracekit"):
            each.cache_clear()


@dataclass(frozen=True)
class Job:
    """A mutant, its tests, quickest first, and what to change in memory (None: import it anew)."""

    name: str
    path: str
    mutant: Mutant
    tests: list[str]
    functions: dict[str, CodeType] | None
    seconds: float


class Room:
    """Some files and their tests: which test reaches which line. Kept in a file as long as the tree is the same."""

    def __init__(self, folder: Path, tests: list[str], keep: Path) -> None:
        self.folder = folder
        self.tests = [name for name in tests if (ROOT / name).exists()]
        tree = hashlib.sha256(repr(self.tests).encode())
        for path in sorted(folder.rglob("*.py")):
            tree.update(path.read_bytes())
        kept = keep / f"room-{tree.hexdigest()[:16]}.json"
        if not kept.exists():
            kept.write_text(json.dumps(self._measured()))
        self.seconds, reached = json.loads(kept.read_text())
        self.reached: dict[str, dict[int, list[str]]] = {
            path: {int(line): names for line, names in lines.items()} for path, lines in reached.items()
        }

    def _measured(self) -> tuple[dict[str, float], dict[str, dict[int, list[str]]]]:
        data = self.folder / "coverage"
        data.unlink(missing_ok=True)
        measured = coverage.Coverage(data_file=str(data), source=[str(self.folder / "tracekit")], config_file=False)
        plugin = Recorder(measured)

        def answer() -> Any:
            measured.stop()
            measured.save()
            return [plugin.seconds, plugin.failed]

        given = in_a_fork(self.folder, self.tests, plugin, answer, 3000)
        if not given or not given[0] or given[1]:
            sys.exit(f"{' '.join(self.tests)} must pass first: {given and given[1]}")
        stored = coverage.CoverageData(str(data))
        stored.read()
        files = {str(Path(path).relative_to(self.folder)): path for path in stored.measured_files()}
        return given[0], {name: stored.contexts_by_lineno(path) for name, path in files.items()}

    def job(self, name: str, path: str, mutant: Mutant) -> Job:
        contexts: set[str] = set()
        for line in range(mutant.lines[0], mutant.lines[1] + 1):
            contexts.update(self.reached.get(path, {}).get(line, ()))
        names = {name for name in contexts if name in self.seconds}
        for module in (name.removesuffix("*") for name in contexts if name.endswith("::*")):
            names |= {name for name in self.seconds if name.startswith(module)}
        functions = changed_functions(path, (self.folder / path).read_text(), mutant.source)
        if "import" in contexts:
            functions = None
            names = names or set(self.seconds)
        elif functions is None:
            names = set(self.seconds)
        spent, chosen = 0.0, []
        for test in sorted(names, key=self.seconds.__getitem__):
            if chosen and spent + self.seconds[test] > BUDGET:
                break
            spent += self.seconds[test]
            chosen.append(test)
        return Job(name, path, mutant, chosen, functions, 10 + 4 * spent)


class InMemory:
    """A plugin: when the room's tests are collected, each job runs its own in a fork."""

    def __init__(self, jobs: list[Job], folder: Path, done: Callable[[Job, str, str, float], None]) -> None:
        self.jobs, self.folder, self.done = jobs, folder, done

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        parent = os.getppid()
        for job in self.jobs:
            if os.getppid() != parent:
                break
            began = time.monotonic()
            with written(self.folder / job.path, job.mutant.source):
                failed = forked(functools.partial(self._run, job, items), job.seconds)
            self.done(job, *outcome(failed), time.monotonic() - began)
        return True

    @staticmethod
    def _run(job: Job, items: dict[str, pytest.Item]) -> list[str]:
        put_in(job.path.removesuffix(".py").removesuffix("/__init__").replace("/", "."), job.functions or {})
        files: dict[str, list[pytest.Item]] = defaultdict(list)
        for name in job.tests:
            files[name.split("::")[0]].append(items[name])
        chosen = [item for several in files.values() for item in several]
        plugin = Chosen(None)
        chosen[0].config.pluginmanager.register(plugin)
        for item, following in zip(chosen, [*chosen[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if plugin.failed:
                break
        return [plugin.failed]


@contextlib.contextmanager
def written(target: Path, source: str) -> Iterator[None]:
    original, status = target.read_bytes(), target.stat()
    target.write_text(source)
    os.utime(target, (status.st_atime, status.st_mtime + 1000))  # no compiled file is as new as that
    try:
        yield
    finally:
        target.write_bytes(original)
        os.utime(target, (status.st_atime, status.st_mtime))


def outcome(failed: list[str] | None) -> tuple[str, str]:
    if failed is None:
        return TIMED_OUT, ""
    return (KILLED, failed[0]) if failed[0] else (SURVIVED, "")


def imported_anew(folder: Path, job: Job) -> tuple[str, str]:
    plugin = Chosen(job.tests)
    files = sorted({name.split("::")[0] for name in job.tests})
    with written(folder / job.path, job.mutant.source):
        return outcome(in_a_fork(folder, files, plugin, lambda: [plugin.failed], job.seconds + 20))


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
    parser.add_argument("--tests", nargs="+", metavar="FILE", help="these only, of the rooms' tests")
    parser.add_argument("--again", action="store_true", help="those that survived")
    options = parser.parse_args()
    files = subprocess.run(["git", "ls-files", *ROOMS], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    everything = {
        f"{path} {mutant.name}": (path, mutant)
        for path in sorted(filter(lambda name: name.endswith(".py"), files.split()))
        for mutant in mutants((ROOT / path).read_text("utf-8"))
    }
    # By a hash: a change of the code moves few mutants into the sample or out of it.
    chosen = sorted(everything, key=lambda name: hashlib.sha256(f"{options.seed} {name}".encode()).digest())
    chosen = sorted(name for name in chosen[: options.sample] if name.startswith(options.only))
    print(f"{len(chosen)} of {len(everything)} mutants", flush=True)
    options.results.parent.mkdir(parents=True, exist_ok=True)

    def stored() -> dict[str, dict[str, Any]]:
        lines = options.results.read_text().splitlines() if options.results.exists() else []
        return {row["mutant"]: row for row in map(json.loads, lines)}

    results = stored()
    if options.again:
        tried = {name for name, row in results.items() if row["fate"] == SURVIVED} - equivalents()
    else:
        tried = set(chosen) - set(results)
    for module in HEAVY:
        __import__(module)
    with tempfile.TemporaryDirectory() as temporary, options.results.open("a") as out:

        def done(job: Job, result: str, by: str, seconds: float) -> None:
            row = {"mutant": job.name, "fate": result, "by": by, "seconds": round(seconds, 2)}
            out.write(json.dumps(row) + "\n")
            out.flush()

        folder = Path(temporary)
        tree_copy(folder)
        for place, tests in ROOMS.items():
            names = [name for name in chosen if name.startswith(place) and name in tried]
            if options.tests:
                tests = [name for name in options.tests if name.startswith(tuple(tests))]
            if not names or not tests:
                continue
            room = Room(folder, tests, options.results.parent)
            jobs = [room.job(name, *everything[name]) for name in names]
            in_memory = []
            for job in jobs:
                if not job.tests:
                    done(job, SURVIVED, "no test reaches it", 0)
                elif job.functions is not None:
                    in_memory.append(job)
                else:
                    began = time.monotonic()
                    done(job, *imported_anew(folder, job), time.monotonic() - began)
            plugin = InMemory(in_memory, folder, done)
            in_a_fork(folder, room.tests, plugin, list, 1e6)
    report(stored(), chosen)


if __name__ == "__main__":
    main()
