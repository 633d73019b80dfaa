"""What sampling profilers say of who kept the GIL, beside what a recording says, on the same programs.

    python benchmarks/samplers.py [--python EXE] [--seconds 2] [--only NAME]

py-spy (`pip install py-spy`) samples stacks from outside and can tell which thread has the GIL (`--gil`), with C
functions too (`--native`). Python 3.15's `profiling.sampling --mode gil` is the same in the standard library; it is run
where `--python` has it. giltracer gets its data from perf's probes on take_gil and drop_gil, which need root and an
interpreter with symbols; they are recorded where `perf probe --list` has them (docs/viewers.md says how to set them).

Each program (tests/recorder/programs/guilty.py) marks the line that keeps the GIL while another thread, `victim`,
waits: told is the share of each tool's time that is on such a line. The cost is the CPU time of program and tool
against the program alone, in the same seconds.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import tracekit
from tracekit.recorder import BOOTSTRAP, require_library

GUILTY = Path(__file__).parents[1] / "tests" / "recorder" / "programs" / "guilty.py"
MARKED = {n for n, line in enumerate(GUILTY.read_text().splitlines(), 1) if line.endswith("# guilty")}
PROGRAMS = ("from_json", "sort", "regex", "big_integer", "c_call", "loop", "before_blocking", "packing")
_PLACE = re.compile(r"(?:^|[ (;])([^ ():;]*guilty\.py):(?:[^;:]+:)?(\d+)")
Lines = Counter[int]


def cpu(command: list[str]) -> tuple[float, float]:
    """CPU time of it and its children, and how long it took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - began


def collapsed(text: str) -> Lines:
    """Samples by the innermost line of the program, from lines `outermost;...;innermost N`."""
    found: Lines = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        places = _PLACE.findall(stack)
        found[int(places[-1][1]) if places else 0] += int(count)
    return found


def by_tracekit(python: str, program: list[str], folder: Path) -> tuple[str, float, Lines]:
    record = [python, str(BOOTSTRAP), require_library(), str(folder / "t"), "2", "0", "1", "none", "1", "script"]
    used, _ = cpu([*record, *program])
    analysis = tracekit.analyze(folder / "t.raw")
    waited: Lines = Counter()
    for frame, spent in analysis.places.by_own_line().items():
        waited[frame.line if frame.file == str(GUILTY) else 0] += spent
    return f"the other waited {sum(waited.values()) / analysis.duration:.0%} of the time", used, waited


def by_py_spy(python: str, program: list[str], folder: Path, *more: str) -> tuple[str, float, Lines]:
    out = folder / "py-spy.txt"
    record = [
        str(shutil.which("py-spy")),
        "record",
        "--gil",
        *more,
        "--rate",
        "1000",
        "--format",
        "raw",
        "-o",
        str(out),
    ]
    used, _ = cpu([*record, "--", python, *program])
    found = collapsed(out.read_text())
    return f"{sum(found.values())} samples with the GIL", used, found


def by_sampling(python: str, program: list[str], folder: Path) -> tuple[str, float, Lines]:
    out = folder / "sampling.txt"
    profile = [
        python,
        "-m",
        "profiling.sampling",
        "run",
        "--mode",
        "gil",
        "--all-threads",
        "--collapsed",
        "-o",
        str(out),
    ]
    used, _ = cpu([*profile, *program])
    found = collapsed(out.read_text())
    return f"{sum(found.values())} samples with the GIL", used, found


def by_py_spy_native(python: str, program: list[str], folder: Path) -> tuple[str, float, Lines]:
    return by_py_spy(python, program, folder, "--native")


def by_probes(python: str, program: list[str], folder: Path) -> tuple[str, float, Lines]:
    data, text = folder / "perf.data", folder / "perf.txt"
    used, _ = cpu(
        ["perf", "record", "-q", "-k", "CLOCK_MONOTONIC", "-o", str(data), "-e", "python:*", "--", python, *program]
    )
    with text.open("wb") as out:
        subprocess.run(["perf", "script", "--ns", "-i", str(data)], stdout=out, stderr=subprocess.DEVNULL, check=True)
    analysis = tracekit.analyze(text)
    waited = max(row["waited"] for row in analysis.threads.to_pylist())
    return f"the other waited {waited / analysis.duration:.0%} of the time; no lines", used, Counter()


def has_probes() -> bool:
    listed = shutil.which("perf") and subprocess.run(["perf", "probe", "--list"], capture_output=True, check=False)
    return bool(listed and b"python:take_gil" in listed.stdout)


def tools(python: str) -> dict[str, object]:
    has = subprocess.run([python, "-c", "import profiling.sampling"], capture_output=True, check=False).returncode == 0
    return (
        {"tracekit": by_tracekit}
        | ({"py-spy --gil": by_py_spy, "py-spy --gil --native": by_py_spy_native} if shutil.which("py-spy") else {})
        | ({"profiling.sampling": by_sampling} if has else {})
        | ({"perf's probes, as giltracer": by_probes} if has_probes() else {})
    )


def main() -> None:
    options = argparse.ArgumentParser(description="Samplers beside a recording.")
    options.add_argument("--python", default=sys.executable)
    options.add_argument("--seconds", default="2")
    options.add_argument("--only", action="append", default=[])
    given = options.parse_args()
    print("| program | tool | on the guilty line | what else it says | CPU time against the program alone |")
    print("| --- | --- | ---: | --- | ---: |")
    for name in given.only or PROGRAMS:
        program = [str(GUILTY), name, given.seconds]
        alone, _ = cpu([given.python, *program])
        for tool, run in tools(given.python).items():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    said, used, found = run(given.python, program, Path(folder))  # type: ignore[operator]
                except (subprocess.CalledProcessError, OSError) as error:
                    print(f"| {name} | {tool} | | failed: {type(error).__name__} | |", flush=True)
                    continue
            whole = sum(found.values())
            right = sum(count for line, count in found.items() if line in MARKED)
            told = f"{right / whole:.0%}" if whole else "-"
            print(f"| {name} | {tool} | {told} | {said} | {100 * (used / alone - 1):+.0f} % |", flush=True)


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    main()
