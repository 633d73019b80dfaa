"""Measures `tracekit fleet`: throughput, what Dask adds to a trace, memory of a worker and of the client.

    python benchmarks/fleet.py [--traces 1000] [--events 100000] [--dir DIR] [--giant 25000000] [--runs 3] [--keep]

Needs `pip install tracekit[fleet]`. The traces are real samples repeated (benchmarks/make_trace.py), in DIR; they are
removed again unless --keep. Scheduler and workers are processes of their own, started by their command lines. Prints
markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "sample_traces"
SOURCES = ("py311-echo-convoy", "py311-cpu2", "py311-longhold", "py311-io4", "py27-cpu2", "py27-echo-convoy-timed")
GOAL_MS = 10
PLAIN = """
import json, sys, time
from pathlib import Path
from tracekit import _native
from tracekit.analysis import analyze
_native.at_most.set(1)
paths = sorted(map(str, Path(sys.argv[1]).iterdir()))
analyze(paths[0])
start, cpu = time.perf_counter(), time.process_time()
for path in paths:
    analyze(path)
print(json.dumps([time.perf_counter() - start, time.process_time() - cpu]))
"""


@dataclass(frozen=True)
class Run:
    """Seconds from the first task to the last result, peak memory in MB of the client and of the largest worker, and
    seconds of CPU of the workers together, the scheduler and the client."""

    seconds: float
    client: float
    worker: float
    worker_cpu: float
    scheduler_cpu: float
    client_cpu: float


def make_traces(folder: Path, traces: int, events: int) -> None:
    """One of each source is made; the others are the same with another process's metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, source in enumerate(SOURCES):
        made = folder / f"{source}.made"
        script = [sys.executable, str(HERE / "make_trace.py"), str(SAMPLES / f"{source}.log"), str(made)]
        subprocess.run([*script, "--events", str(events)], check=True, stderr=subprocess.DEVNULL)
        text = made.read_bytes()
        for process in range(number, traces, len(SOURCES)):
            about = f"# host: web-{process % 40}\n# pid: {process}\n# command: python serve.py\n".encode()
            (folder / f"{process:06}.log").write_bytes(about + text)
        made.unlink()


@contextmanager
def cluster(workers: int) -> Iterator[tuple[str, list[int]]]:
    """The address of a scheduler, and the process ids of it and its workers."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "scheduler.json"
        loopback = ("--host", "127.0.0.1")
        dask = [sys.executable, "-m", "dask"]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        scheduler = [*dask, "scheduler", *loopback, "--port", "0", "--no-dashboard", "--scheduler-file", str(told)]
        processes = [subprocess.Popen(scheduler, **quiet)]
        try:
            address = wait_for(lambda: told.exists() and json.loads(told.read_text() or "{}").get("address"))
            worker = [*dask, "worker", address, *loopback, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            processes += [subprocess.Popen(worker, **quiet) for _ in range(workers)]
            wait_for_workers(address, workers)
            yield address, [process.pid for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def wait_for(condition: Callable[[], Any]) -> Any:
    while not (answer := condition()):
        time.sleep(0.05)
    return answer


def wait_for_workers(address: str, workers: int) -> None:
    from distributed import Client

    with Client(address) as client:
        client.wait_for_workers(workers)


def peak(pid: int) -> float:
    """Most memory that this process ever had, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def cpu(pid: int) -> float:
    """Seconds of CPU that this process has had."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


CLIENT = """
import json, resource, sys, time
from pathlib import Path
from tracekit.fleet.run import Watcher, run
from tracekit.fleet.summary import summarise
seen = []
start = time.perf_counter()
out = Path(sys.argv[2])
run([sys.argv[1]], out, scheduler=sys.argv[3],
    watcher=Watcher(progress=lambda done, named: seen.append((time.perf_counter(), time.process_time()))))
tables = time.perf_counter()
summarise(out)
print(json.dumps({"seconds": seen[-1][0] - seen[0][0], "cpu": seen[-1][1] - seen[0][1],
                  "tables": tables - seen[-1][0], "summary": time.perf_counter() - tables,
                  "client": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def measure(traces: Path, workers: int) -> tuple[Run, dict[str, float]]:
    with cluster(workers) as (address, pids), tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, "-c", CLIENT, str(traces), str(Path(folder) / "out"), address]
        before = [cpu(pid) for pid in pids]
        told = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
        scheduler, *used = (cpu(pid) - then for pid, then in zip(pids, before, strict=True))
        size = sum(path.stat().st_size for path in (Path(folder) / "out").glob("*/*.parquet"))
        spool = (Path(folder) / "out" / ".results.sqlite").stat().st_size
        told |= {"parquet": size, "spool": spool}
        most = max(map(peak, pids[1:]))
        return Run(told["seconds"], told["client"], most, sum(used), scheduler, told["cpu"]), told


def plain(traces: Path) -> tuple[float, float]:
    """Seconds, and seconds of CPU, of the analyses alone: one process, one thread, no Dask."""
    told = subprocess.run([sys.executable, "-c", PLAIN, str(traces)], check=True, capture_output=True).stdout
    seconds, used = json.loads(told)
    return seconds, used


def giant(folder: Path, events: int) -> None:
    """One large trace by one thread and by all."""
    path = folder / "giant.log"
    script = [sys.executable, str(HERE / "make_trace.py"), str(SAMPLES / "py27-cpu2.log"), str(path)]
    subprocess.run([*script, "--events", str(events)], check=True, stderr=subprocess.DEVNULL)
    program = """
import sys, time
from tracekit import _native, analyze
_native.at_most.set(int(sys.argv[2]) or None)
analyze(sys.argv[1])
start = time.perf_counter()
analyze(sys.argv[1])
print(time.perf_counter() - start)
"""
    for threads, label in ((1, "one thread"), (0, f"all {os.cpu_count()} cores")):
        command = [sys.executable, "-c", program, str(path), str(threads)]
        seconds = median(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3))
        print(f"| one trace of {events:,} events, {label} | {seconds:.2f} | {events / seconds / 1e6:.0f} |")
    path.unlink()


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * (len(heads) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=1000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--giant", type=int, default=25_000_000, help="events of one large trace; 0: none")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()) / "tracekit-fleet")
    parser.add_argument("--keep", action="store_true")
    wanted = parser.parse_args()
    folder = wanted.dir / "traces"
    try:
        make_traces(folder, wanted.traces, wanted.events)
        size = sum(path.stat().st_size for path in folder.iterdir())
        events = wanted.traces * wanted.events
        print(f"{wanted.traces:,} traces of {wanted.events:,} events, {size / 1e9:.2f} GB, {os.cpu_count()} cores\n")
        alone, used = min(plain(folder) for _ in range(wanted.runs))
        each = 1000 / wanted.traces
        rows = [("analysis alone", f"{alone:.1f}", f"{events / alone / 1e6:.1f}", "", f"{used * each:.1f}", *[""] * 4)]
        for workers in (1, 2):
            measured = [measure(folder, workers) for _ in range(wanted.runs)]
            run, told = min(measured, key=lambda pair: pair[0].seconds)
            beyond = each * (run.seconds * workers - alone)
            rows.append((
                f"fleet, {workers} worker{'s' if workers > 1 else ''}", f"{run.seconds:.1f}",
                f"{events / run.seconds / 1e6:.1f}", f"{beyond:.1f}", f"{run.worker_cpu * each:.1f}",
                f"{run.scheduler_cpu * each:.1f}", f"{run.client_cpu * each:.1f}",
                f"{run.worker:.0f}", f"{run.client:.0f}",
            ))  # fmt: skip
        heads = (
            "", "s", "million events/s", "ms a trace beyond", "ms CPU a trace: worker", "scheduler", "client",
            "worker, peak MB", "client, peak MB",
        )  # fmt: skip
        table(heads, rows)
        beyond = each * (run.worker_cpu - used)
        print(
            f"After the last result: tables {told['tables']:.2f} s, summary {told['summary']:.2f} s. "
            f"Parquet {told['parquet'] / 1e6:.1f} MB, spool {told['spool'] / 1e6:.1f} MB. "
            f"CPU of a worker beyond the analysis: {beyond:.1f} ms a trace, goal {GOAL_MS}.\n"
        )
        if wanted.giant:
            print("| | s | million events/s |\n| --- | ---: | ---: |")
            giant(wanted.dir, wanted.giant)
    finally:
        if not wanted.keep:
            shutil.rmtree(wanted.dir, ignore_errors=True)


if __name__ == "__main__":
    main()
