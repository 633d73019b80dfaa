"""Compares tracekit with other readers on large traces, and prints markdown tables.

    python benchmarks/compare.py [--events 25000000] [--dir DIR] [--runs 3] [--quick] [--full]

Needs `pip install tracekit[bench]`. The traces are made once and kept in DIR. Each run is a process of its own, the
contenders take turns, the files lie in the page cache; figures are medians over the runs. Nothing fails for being slow:
each goal is met or missed, and that is printed. `--full` takes 100 million events too (a file of 2.2 GB).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "sample_traces"
PLAIN_SOURCE = SAMPLES / "py27-cpu2.log"
TIMED_SOURCE = SAMPLES / "py27-echo-convoy-timed.log"
SHORT_TRACE = SAMPLES / "slide-sample.log"
TIMEOUT = 300

STREAMING = {
    "tracekit: batches, none kept": "tracekit_scan",
    "pyarrow open_csv": "pyarrow_stream",
    "pyarrow open_csv, UTF-8 unchecked": "pyarrow_stream_unchecked",
    "polars scan_csv, streaming sums": "polars_sums",
    "polars scan_csv, batches": "polars_batches",
    "duckdb read_csv, sums": "duckdb_sums",
    "pandas, engine c, chunks": "pandas_chunks",
}
TABLE = {
    "tracekit: Arrow table": "tracekit_table",
    "pyarrow read_csv": "pyarrow_table",
    "pyarrow read_csv, UTF-8 unchecked": "pyarrow_table_unchecked",
    "polars read_csv": "polars_table",
    "duckdb read_csv to Arrow": "duckdb_table",
    "pandas, engine c": "pandas_table",
    "pandas, engine pyarrow": "pandas_pyarrow_table",
}
ANALYSIS = {
    "tracekit.analyze": "tracekit_analyze",
    "polars, held and waited only": "polars_analyze",
    "duckdb, held and waited only": "duckdb_analyze",
    "tracekit.analyze without analyzers": "tracekit_without_analyzers",
}
QUERIES = {
    "one thread's waits, counted and summed": (
        "select count(*), sum(duration), max(duration) from waits where thread = 't2'"
    ),
    "its ten longest waits, all columns": "select * from waits where thread = 't2' order by duration desc limit 10",
    "all waits, by thread": "select thread, count(*), sum(duration) from waits group by thread",
    "all events, by kind": "select event, count(*) from events group by event",
}
LIMITS = {"read in 256 KB pieces": "raw_read", "read, and count newlines": "raw_newlines"}
FLOORS = {"timed": 25e6, "blanks": 25e6, "threads512": 3e6, "bad1": 20e6, "attributes": 20e6}
FLOOR_EVENTS = {
    "timed": 10_000_000,
    "blanks": 10_000_000,
    "threads512": 2_000_000,
    "bad1": 10_000_000,
    "attributes": 10_000_000,
}
SCAN_GOAL, TABLE_GOAL, ANALYSIS_GOAL, ANALYZERS_GOAL, PEAK_GOAL, START_GOAL, QUERY_GOAL = 8, 5, 10, 0.8, 200, 0.5, 1


@dataclass(frozen=True)
class Run:
    """One process: `seconds` of its job, `process` from start to end, peak memory in MB."""

    seconds: float
    process: float
    peak: float
    amount: int
    detail: Any


@dataclass(frozen=True)
class Runs:
    runs: Sequence[Run]
    events: int

    @property
    def rates(self) -> list[float]:
        return [self.events / run.seconds for run in self.runs]

    @property
    def rate(self) -> float:
        return median(self.rates)

    @property
    def peak(self) -> float:
        return median(run.peak for run in self.runs)

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs)

    @property
    def process(self) -> float:
        return median(run.process for run in self.runs)

    @property
    def spread(self) -> str:
        return f"{min(self.rates) / 1e6:.1f} to {max(self.rates) / 1e6:.1f}"


def execute(command: Sequence[str]) -> tuple[str, float, float]:
    """What it printed, its wall time and its peak memory in MB. Raises RuntimeError."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        alarm = threading.Timer(TIMEOUT, process.kill)
        alarm.start()
        try:
            assert process.stdout
            printed = process.stdout.read()
            process.stdout.close()
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            alarm.cancel()
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            told = errors.read().strip().splitlines()
            raise RuntimeError(told[-1] if told else f"ended with {process.returncode}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return printed, seconds, usage.ru_maxrss / unit


def run_contender(name: str, trace: Path) -> Run:
    printed, process, peak = execute([sys.executable, str(HERE / "contenders.py"), name, str(trace)])
    told = json.loads(printed.splitlines()[-1])
    return Run(told["seconds"], process, peak, told["amount"], told["detail"])


def take_turns(contenders: Mapping[str, str], trace: Path, events: int, runs: int) -> dict[str, Runs]:
    """Runs A B C A B C ...; a contender that fails is reported and left out."""
    warm(trace)
    runs_of: dict[str, list[Run]] = {label: [] for label in contenders}
    for turn in range(runs):
        for label, name in contenders.items():
            if label not in runs_of:
                continue
            note(f"{trace.name}: {label}, run {turn + 1} of {runs}")
            try:
                runs_of[label].append(run_contender(name, trace))
            except RuntimeError as error:
                del runs_of[label]
                print(f"{label}: left out, {error}\n")
    return {label: Runs(done, events) for label, done in runs_of.items()}


def warm(trace: Path) -> None:
    buffer = bytearray(1 << 20)
    with open(trace, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"### {title}\n")
    print("| " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * (len(heads) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


class Goals:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def add(self, what: str, goal: str, measured: str, met: bool) -> None:
        self.rows.append((what, goal, measured, "meets" if met else "misses"))


class Bench:
    def __init__(self, folder: Path, events: int, runs: int) -> None:
        self.folder, self.events, self.runs = folder, events, runs
        self.goals = Goals()
        folder.mkdir(parents=True, exist_ok=True)

    def trace(self, shape: str, events: int) -> Path:
        """Made where it is missing, or older than what makes it."""
        path = self.folder / f"{shape}-{events}.log"
        source, script = TIMED_SOURCE if shape in ("timed", "attributes") else PLAIN_SOURCE, HERE / "make_trace.py"
        if not path.exists() or path.stat().st_mtime < max(source.stat().st_mtime, script.stat().st_mtime):
            note(f"{path}: being made")
            execute([sys.executable, str(script), str(source), str(path), "--events", str(events), "--shape", shape])
        return path

    def limits(self, trace: Path) -> None:
        measured = take_turns(LIMITS, trace, self.events, self.runs)
        rows = [
            (label, f"{runs.runs[0].amount / runs.seconds / 1e9:.2f}", f"{runs.rate / 1e6:.0f}")
            for label, runs in measured.items()
        ]
        print_table("The limit: one thread, from the page cache", ["", "GB/s", "million events/s"], rows)

    def reading(self, trace: Path, title: str, contenders: Mapping[str, str], goal: float) -> None:
        measured = take_turns(contenders, trace, self.events, self.runs)
        own_label = next(iter(contenders))
        own = measured.get(own_label)
        rows = [
            (
                label,
                f"{runs.rate / 1e6:.1f}",
                runs.spread,
                f"{runs.peak:,.0f}",
                f"{own.rate / runs.rate:.1f}" if own and label != own_label else "",
            )
            for label, runs in measured.items()
        ]
        heads = ["", "million events/s", "least to most", "peak MB", "tracekit is × as fast"]
        print_table(f"{title}, {self.events:,} events", heads, rows)
        for label, runs in measured.items():
            if any(run.amount != self.events for run in runs.runs):
                print(f"{label}: read {runs.runs[0].amount:,} events, not {self.events:,}\n")
        others = {label: runs.rate for label, runs in measured.items() if label != own_label}
        if own and others:
            best = max(others, key=others.__getitem__)
            ratio = own.rate / others[best]
            self.goals.add(f"{title}: × the fastest other ({best})", f">= {goal}", f"{ratio:.1f}", ratio >= goal)

    def analysis(self, trace: Path, full: bool) -> None:
        measured = take_turns(ANALYSIS, trace, self.events, self.runs)
        own, without = (measured.get(label) for label in ("tracekit.analyze", "tracekit.analyze without analyzers"))
        others = {label: runs for label, runs in measured.items() if runs not in (own, without)}
        sized = [(label, runs) for label, runs in measured.items()]
        if full:
            sized += take_turns(
                {"tracekit.analyze": "tracekit_analyze"}, self.trace("plain", 100_000_000), 100_000_000, self.runs
            ).items()
        rows = [
            (
                label,
                f"{runs.events:,}",
                f"{runs.rate / 1e6:.1f}",
                runs.spread,
                f"{runs.seconds:.2f}",
                f"{runs.process:.2f}",
                f"{runs.peak:,.0f}",
                f"{own.rate / runs.rate:.1f}" if own and label in others else "",
            )
            for label, runs in sized
        ]
        heads = ["", "events", "million events/s", "least to most", "seconds", "whole process, s", "peak MB",
                 "tracekit is × as fast"]  # fmt: skip
        print_table("Analysing", heads, rows)
        if own and others:
            worst = max(largest_difference(own.runs[0].detail, other.runs[0].detail) for other in others.values())
            verdict = "they agree" if worst < 0.01 else "THEY DISAGREE: the comparison is not fair"
            print(
                f"The pipelines' held and waited differ from tracekit's by at most {worst:.4%} of a thread's "
                f"({verdict}). They leave out what is open at the end, do not follow faulty rows, and find "
                "nothing else.\n"
            )
            best = max(others, key=lambda label: others[label].rate)
            ratio = own.rate / others[best].rate
            self.goals.add(f"Analysing: × the fastest pipeline ({best})", f">= {ANALYSIS_GOAL}", f"{ratio:.1f}",
                           ratio >= ANALYSIS_GOAL)  # fmt: skip
        if own and without:
            kept = own.rate / without.rate
            self.goals.add("Analysing: speed kept with all analyzers on", f">= {ANALYZERS_GOAL}", f"{kept:.2f}",
                           kept >= ANALYZERS_GOAL)  # fmt: skip
        for label, runs in sized:
            if label == "tracekit.analyze":
                peak = max(run.peak for run in runs.runs)
                self.goals.add(f"Analysing {runs.events:,} events: peak memory, MB", f"< {PEAK_GOAL}", f"{peak:.0f}",
                               peak < PEAK_GOAL)  # fmt: skip

    def queries(self, events: int) -> None:
        """Of a trace as Parquet: making it, and asking it, each time in a process of its own."""
        trace = self.trace("plain", events)
        folder = trace.with_suffix(".parquet")
        warm(trace)
        note(f"{trace.name}: convert")
        _, seconds, peak = execute([sys.executable, "-m", "tracekit", "convert", str(trace), "-o", str(folder)])
        size = sum(file.stat().st_size for file in folder.iterdir())
        rows = [("convert the text to the folder", f"{seconds:.2f}", "", f"{peak:,.0f}")]
        for label, sql in QUERIES.items():
            note(f"{folder.name}: {label}")
            runs = [execute([sys.executable, "-m", "tracekit", "query", str(folder), sql]) for _ in range(self.runs)]
            times = [run[1] for run in runs]
            spread = f"{min(times):.2f} to {max(times):.2f}"
            rows.append((label, f"{median(times):.2f}", spread, f"{max(run[2] for run in runs):,.0f}"))
            if label == next(iter(QUERIES)):
                self.goals.add(f"{events:,} events as Parquet: {label}, whole process, s", f"< {QUERY_GOAL}",
                               f"{median(times):.2f}", median(times) < QUERY_GOAL)  # fmt: skip
        title = (
            f"A trace as Parquet, {events:,} events: {size / 1e6:,.0f} MB, as text {trace.stat().st_size / 1e6:,.0f} MB"
        )
        print_table(title, ["", "whole process, s", "least to most", "peak MB"], rows)

    def floors(self) -> None:
        rows = []
        for shape, goal in FLOORS.items():
            events = min(self.events, FLOOR_EVENTS[shape])
            contender = {shape: "tracekit_analyze"}
            for runs in take_turns(contender, self.trace(shape, events), events, self.runs).values():
                met = runs.rate >= goal
                rows.append((shape, f"{events:,}", f"{runs.rate / 1e6:.1f}", runs.spread, f"{runs.peak:,.0f}",
                             f"{goal / 1e6:.0f}"))  # fmt: skip
                self.goals.add(f"Floor: {shape}, million events/s", f">= {goal / 1e6:.0f}", f"{runs.rate / 1e6:.1f}",
                               met)  # fmt: skip
        heads = ["tracekit.analyze", "events", "million events/s", "least to most", "peak MB", "goal"]
        print_table("Floors: traces that are harder", heads, rows)

    def short(self) -> None:
        command = [sys.executable, "-m", "tracekit", "analyze", str(SHORT_TRACE)]
        try:
            runs = [execute(command)[1] for _ in range(5)]
        except RuntimeError as error:
            print(f"`tracekit analyze` of a short trace: left out, {error}\n")
            return
        seconds = median(runs)
        print_table(
            "A trace of 22 events",
            ["", "whole process, s", "least to most"],
            [("tracekit analyze", f"{seconds:.2f}", f"{min(runs):.2f} to {max(runs):.2f}")],
        )
        self.goals.add("22 events: whole process, s", f"< {START_GOAL}", f"{seconds:.2f}", seconds < START_GOAL)


def largest_difference(own: Mapping[str, list[int]], other: Mapping[str, list[int]]) -> float:
    """Of held or waited, relative to tracekit's; 1 for a thread that is missing."""
    if own.keys() != other.keys():
        return 1.0
    return max(abs(a - b) / max(a, 1) for thread in own for a, b in zip(own[thread], other[thread], strict=True))


def print_setting() -> None:
    packages = []
    for name in ("polars", "duckdb", "pandas", "pyarrow", "numpy"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"no {name}")
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    own = execute([sys.executable, "-m", "tracekit", "--version"])[0].strip()
    print(f"{own}, Python {platform.python_version()}, {', '.join(packages)}; {cores} cores, {platform.machine()}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=25_000_000)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()) / "tracekit-benchmarks")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="2 million events, one run: does it work at all?")
    parser.add_argument("--full", action="store_true", help="100 million events too")
    wanted = parser.parse_args()
    bench = Bench(wanted.dir, 2_000_000 if wanted.quick else wanted.events, 1 if wanted.quick else wanted.runs)
    trace = bench.trace("plain", bench.events)
    print_setting()
    bench.limits(trace)
    bench.reading(trace, "Reading as a stream", STREAMING, SCAN_GOAL)
    bench.reading(trace, "Reading to a table in memory", TABLE, TABLE_GOAL)
    bench.analysis(trace, wanted.full)
    bench.queries(100_000_000 if wanted.full else bench.events)
    bench.floors()
    bench.short()
    print_table("Goals", ["", "goal", "found", ""], bench.goals.rows)


if __name__ == "__main__":
    main()
