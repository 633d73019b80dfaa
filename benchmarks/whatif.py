"""How right a what-if is: each workload recorded as it is and changed, in alternation; predicted against measured.

    python benchmarks/whatif.py [--runs 3] [--python EXE] [--only NAME]

A cell is a workload and a change. Beside the prediction stands the noise: how far the changed runs are from each other.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tracekit

WORKLOADS = Path(__file__).with_name("whatif_workloads.py")
INTERVALS = (50, 500, 20_000)
BASE = 5000


@dataclass(frozen=True)
class Workload:
    name: str
    watched: str
    process: bool = False
    parts: str | None = None


CASES = (
    Workload("echo", "server", process=True),
    Workload("echo-rate", "server", process=True),
    Workload("sleepers", "sleeper-"),
    Workload("many-sleepers", "sleeper-"),
    Workload("c-calls", "beat", parts="load"),
    Workload("two-computing", "worker-"),
    Workload("four-computing", "worker-"),
    Workload("locked", "worker-"),
    Workload("queue", "side-"),
    Workload("queue-hog", "side-"),
    Workload("pool", "side-"),
    Workload("baton", "side-"),
)
"""Those that the model was made with."""
UNSEEN = (
    Workload("echo-within", "side-"),
    Workload("echo-half-rate", "server", process=True),
    Workload("files", "side-", process=True),
    Workload("packed", "side-"),
    Workload("sorting", "beat", parts="load"),
    Workload("limited", "side-"),
    Workload("notified", "side-"),
    Workload("timers", "side-", process=True),
    Workload("half", "side-"),
    Workload("two-hogs", "side-"),
    Workload("asked", "side-", process=True),
    Workload("logged", "side-"),
)
"""Those that it was only checked with."""
Figures = tuple[float, float]
"""The mean duration of the watched threads, in ms, and what they waited, in per cent of it."""


def recorded(python: str, folder: Path, *arguments: str) -> Path:
    path = folder / f"{'-'.join(arguments)}.log"
    command = [sys.executable, "-m", "tracekit", "record", "-o", str(path), "--python", python, str(WORKLOADS)]
    subprocess.run([*command, *arguments], check=True, capture_output=True, timeout=120)
    return path


def measured(path: Path, watched: str) -> Figures:
    trace = tracekit.read(path)
    clocks = trace.to_pandas("events").groupby("thread", observed=True).clock.agg(["min", "max"])
    rows = [row for row in trace.threads.to_pylist() if (row["name"] or "").startswith(watched)]
    durations = [int(clocks.loc[row["thread"], "max"] - clocks.loc[row["thread"], "min"]) for row in rows]
    shares = [100 * row["waited"] / max(1, took) for row, took in zip(rows, durations, strict=True)]
    return statistics.mean(durations) / 1e6, statistics.mean(shares)


def predicted(path: Path, watched: str, change: dict[str, Any]) -> Figures | str:
    scenario = tracekit.what_if(path, **change).scenarios[0]
    if scenario.confidence == "refused":
        return scenario.reason or ""
    rows = [t.after for t in scenario.threads if (t.name or "").startswith(watched)]
    return (
        statistics.mean(row.duration for row in rows) / 1e6,
        statistics.mean(100 * row.waited / max(1, row.duration) for row in rows),
    )


def changes(case: Workload) -> list[tuple[str, list[str], dict[str, Any]]]:
    listed: list[tuple[str, list[str], dict[str, Any]]] = [
        (f"{us / 1000:g} ms", [str(us)], {"interval": us / 1e6}) for us in INTERVALS
    ]
    if case.process:
        listed.append(("process", [str(BASE), "process"], {"move": "hog"}))
    if case.parts:
        listed.append(("parts", [str(BASE), "parts"], {"split": case.parts}))
    return listed


def middle(figures: list[Figures]) -> Figures:
    return statistics.median(f[0] for f in figures), statistics.median(f[1] for f in figures)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--python", default=sys.executable)
    options.add_argument("--only")
    asked = options.parse_args()
    errors: tuple[list[tuple[float, float, float]], ...] = ([], [])
    cells = [0, 0]
    print(f"{'workload':<16}{'change':<10}{'predicted':>20}{'measured':>20}{'noise':>8}  nothing changes")
    with tempfile.TemporaryDirectory() as room:
        for case in (*CASES, *UNSEEN):
            if asked.only and case.name != asked.only:
                continue
            bases: list[Path] = []
            runs: dict[str, list[Figures]] = {}
            for number in range(asked.runs):
                folder = Path(room) / str(number)
                folder.mkdir(exist_ok=True)
                bases.append(recorded(asked.python, folder, case.name, str(BASE)))
                for name, arguments, _ in changes(case):
                    path = recorded(asked.python, folder, case.name, *arguments)
                    runs.setdefault(name, []).append(measured(path, case.watched))
            before = middle([measured(path, case.watched) for path in bases])
            for name, _, change in changes(case):
                truth = middle(runs[name])
                noise = (max(f[0] for f in runs[name]) - min(f[0] for f in runs[name])) / max(1e-9, truth[0])
                for base in bases:
                    cells[case in UNSEEN] += 1
                    result = predicted(base, case.watched, change)
                    told = result if isinstance(result, str) else f"{result[0]:.0f} ms {result[1]:.1f} %"
                    print(
                        f"{case.name:<16}{name:<10}{told[:60]:>20}{f'{truth[0]:.0f} ms {truth[1]:.1f} %':>20}"
                        f"{noise:>8.0%}  {before[0]:.0f} ms {before[1]:.1f} %"
                    )
                    if not isinstance(result, str):
                        errors[case in UNSEEN].append(
                            (abs(result[0] / truth[0] - 1), abs(result[1] - truth[1]), truth[1])
                        )
    for which, known, all_cells in zip(("made with", "only checked with"), errors, cells, strict=True):
        if all_cells:
            print(f"\nWorkloads that the model was {which}:")
            tell(known, all_cells)


def tell(errors: list[tuple[float, float, float]], cells: int) -> None:
    print(f"{len(errors)} of {cells} cells predicted")
    if not errors:
        return
    off = statistics.median(error for error, _, _ in errors)
    print(f"median error of the duration {off:.1%}")
    for least in (0.1, 0.2, 0.5):
        durations = sum(error <= least for error, _, _ in errors) / len(errors)
        shares = sum(error <= max(3, 100 * least * share / 100) for _, error, share in errors) / len(errors)
        print(f"within {least:.0%}: duration {durations:.0%}, share waited (or 3 points) {shares:.0%}")


if __name__ == "__main__":
    main()
