"""What recording costs: the same workloads without the recorder, with it, and with it but without stacks, in turn.

    python benchmarks/overhead.py [--runs 15] [--python EXE]... [--only NAME]

Each run is a process of its own that reports its own figure, so starting the recorder and writing the trace afterwards
are not counted. A workload's cost is the median, over the rounds, of recorded against not recorded; beside it the best
run of all against the best, and the median of recorded with stacks against recorded without. Memory is the most that
the process had, size that of the raw recording's records and definitions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tracekit
from tracekit.model.source import Source
from tracekit.parsers.raw import RawRecording
from tracekit.recorder import BOOTSTRAP, require_library

WORKLOADS = Path(__file__).with_name("overhead_workloads.py")


@dataclass(frozen=True)
class Workload:
    name: str
    what: str
    unit: str
    goal: float | None
    per_release: bool = False


CASES = (
    Workload("cpu2", "two CPU-bound threads: CPU time", "s", 1),
    Workload("echo", "UDP echo server beside a CPU-bound thread: time per request", "µs", 3),
    Workload("echo_p50", "the same: the median request's latency", "µs", 3),
    Workload("echo_alone", "UDP echo server and its client alone: time per request", "µs", 3),
    Workload("echo_alone_p50", "the same: the median request's latency", "µs", 3),
    Workload("io4", "four threads that sleep 0.2 ms", "s", 3),
    Workload("pool", "a thread pool, short tasks: CPU time", "s", 3),
    Workload("single", "single-threaded (n-body, JSON, dictionaries, strings): CPU time", "s", 1),
    Workload("server", "two threads 20 calls deep that release the GIL every 50 µs: CPU time", "s", 3),
    Workload("pipe", "worst case, one byte through a pipe: CPU time per release", "ns", 20, per_release=True),
)
ALSO = {"echo_p50": "echo", "echo_alone_p50": "echo_alone"}


PLAIN, STACKS, NO_STACKS = "plain", "stacks", "no stacks"
Round = dict[str, dict[str, float]]


def run(python: str, workload: str, folder: Path, how: str) -> dict[str, float]:
    command = [python]
    told = os.open(os.devnull, os.O_WRONLY)
    if how != PLAIN:
        base = folder / "overhead"
        with_stacks = str(int(how == STACKS))
        command += [str(BOOTSTRAP), require_library(), str(base), str(told), "0", with_stacks, "none", "1", "script"]
    done = subprocess.run(
        [*command, str(WORKLOADS), workload], capture_output=True, text=True, check=True, timeout=300, pass_fds=[told]
    )
    os.close(told)
    figures: dict[str, float] = json.loads(done.stdout)
    if how != PLAIN:
        raw = folder / "overhead.raw"
        figures["events"] = tracekit.analyze(raw).events
        figures["bytes"] = used_bytes(raw)
        raw.unlink()
    return figures


def used_bytes(raw: Path) -> int:
    """What its records take; the file has room for more."""
    recording = RawRecording(Source(str(raw)))
    sizes = {1: 16, 2: 128, 3: 16}
    return sum(int(head["count"]) * sizes[int(head["kind"])] for _, head in recording._chunks)


def measure(python: str, case: Workload, runs: int, folder: Path) -> list[Round]:
    """Rounds of one run each way, their order turning."""
    ways = [PLAIN, STACKS, NO_STACKS]
    return [
        {way: run(python, case.name, folder, way) for way in ways[number % 3 :] + ways[: number % 3]}
        for number in range(runs)
    ]


def row(case: Workload, rounds: list[Round]) -> str:
    key = "p50" if case.name.endswith("_p50") else "figure"
    off, on, bare = ([one[way][key] for one in rounds] for way in (PLAIN, STACKS, NO_STACKS))
    costs = sorted(100 * (b / a - 1) for a, b in zip(off, on, strict=True))
    low, high = costs[len(costs) // 4], costs[-1 - len(costs) // 4]
    of_stacks = statistics.median(100 * (b / a - 1) for a, b in zip(bare, on, strict=True))
    events = statistics.median(one[STACKS]["events"] for one in rounds)
    memory = statistics.median((one[STACKS]["memory"] - one[NO_STACKS]["memory"]) / 1024 for one in rounds)
    size = statistics.median(
        100
        * ((one[STACKS]["bytes"] / one[STACKS]["events"]) / (one[NO_STACKS]["bytes"] / one[NO_STACKS]["events"]) - 1)
        for one in rounds
    )
    per_event = (
        f"{statistics.median(b - a for a, b in zip(off, on, strict=True)) / 3:.0f} ns" if case.per_release else ""
    )
    goal = f"< {case.goal:g} %" if case.goal is not None else ""
    return (
        f"| {case.what} | {statistics.median(off):.4g} {case.unit} | {statistics.median(on):.4g} {case.unit} "
        f"| {statistics.median(costs):+.1f} % | {low:+.1f} to {high:+.1f} % | {100 * (min(on) / min(off) - 1):+.1f} % "
        f"| {goal} | {events:,.0f} | {per_event} | {of_stacks:+.1f} % | {memory:+.1f} MB | {size:+.0f} % |"
    )


def main() -> None:
    options = argparse.ArgumentParser(description="What recording costs.")
    options.add_argument("--runs", type=int, default=15)
    options.add_argument("--python", action="append", default=[])
    options.add_argument("--only", action="append", default=[])
    options.add_argument("--folder", type=Path, default=None, help="where the raw recordings go")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for python in given.python or [sys.executable]:
            version = subprocess.run(
                [python, "-c", "import sys; print(sys.version.split()[0])"], capture_output=True, text=True, check=True
            ).stdout.strip()
            print(
                f"\nPython {version}, {len(os.sched_getaffinity(0))} cores, {platform.machine()}, {given.runs} rounds\n"
            )
            print(
                "|  | off | recorded | cost | middle half of the rounds | best to best | goal | events | an event "
                "| stacks alone | memory | size |"
            )
            print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
            measured: dict[str, list[Round]] = {}
            for case in CASES:
                source = ALSO.get(case.name, case.name)
                if given.only and source not in given.only:
                    continue
                if source not in measured:
                    measured[source] = measure(python, case, given.runs, Path(folder))
                print(row(case, measured[source]), flush=True)


if __name__ == "__main__":
    main()
