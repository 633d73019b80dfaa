"""How long tracekit takes to start, beside what it cannot do without: a table of medians and their ratios.

    python benchmarks/startup.py [--runs 15] [--plugin]

The commands take turns, so that what else the machine does hits all of them alike. CPU is user and system time.
`--plugin` measures the pytest plugin instead: a run of one test with and without it.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRACE = str(Path(__file__).parent.parent / "sample_traces" / "slide-battle.log")
TRACEKIT = ["-m", "tracekit"]


def commands(room: Path) -> dict[str, tuple[list[str], str | None]]:
    """By a name: the arguments of a Python, and what it is compared with."""
    empty = room / "empty.py"
    empty.write_text("")
    return {
        "python -c pass": (["-c", "pass"], None),
        "import typer": (["-c", "import typer"], None),
        "import pyarrow, typer": (["-c", "import pyarrow, typer"], None),
        "import tracekit": (["-c", "import tracekit"], "python -c pass"),
        "tracekit --version": ([*TRACEKIT, "--version"], "import typer"),
        "tracekit --help": ([*TRACEKIT, "--help"], "import typer"),
        "tracekit analyze (22 lines)": ([*TRACEKIT, "analyze", TRACE], "import pyarrow, typer"),
        "tracekit record (empty script)": (
            [*TRACEKIT, "record", "-o", str(room / "empty.log"), str(empty)], "python -c pass",
        ),
    }  # fmt: skip


def plugin_commands(room: Path) -> dict[str, tuple[list[str], str | None]]:
    test = room / "test_nothing.py"
    test.write_text("def test_nothing():\n    pass\n")
    plain = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(room), str(test)]
    return {
        "pytest without the plugin": ([*plain, "-p", "no:tracekit"], None),
        "pytest with it": (plain, "pytest without the plugin"),
    }


def run(arguments: list[str], room: Path) -> tuple[float, float]:
    """Seconds that passed, and of CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    environment = {**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPYCACHEPREFIX": str(room / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=room, env=environment)
    passed = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return passed, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--plugin", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        chosen = plugin_commands(room) if options.plugin else commands(room)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
        for turn in range(options.runs + 1):
            for name, (arguments, _) in chosen.items():
                measured = run(arguments, room)
                if turn:  # the first fills the caches
                    taken[name].append(measured)
    medians = {
        name: [statistics.median(column) for column in zip(*timings, strict=True)] for name, timings in taken.items()
    }
    print(f"{'':32}{'passed':>10}{'CPU':>10}{'beside':>27}{'ratio':>8}{'beyond':>10}{'CPU':>10}")
    for name, (_, beside) in chosen.items():
        passed, cpu = medians[name]
        line = f"{name:32}{1000 * passed:7.0f} ms{1000 * cpu:7.0f} ms"
        if beside:
            other, other_cpu = medians[beside]
            beyond = f"{1000 * (passed - other):7.0f} ms{1000 * (cpu - other_cpu):7.0f} ms"
            line += f"{beside:>27}{passed / other:8.2f}{beyond}"
        print(line)


if __name__ == "__main__":
    main()
