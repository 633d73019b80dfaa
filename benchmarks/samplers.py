"""What sampling profilers say of who kept the GIL, beside what a recording says, on the same programs.

    python benchmarks/samplers.py [--python EXE] [--seconds 2] [--only NAME]

py-spy (`pip install py-spy`) samples stacks from outside and can tell which thread has the GIL (`--gil`). Python 3.15's
`profiling.sampling --mode gil` is the same in the standard library; it is run where `--python` has it. giltracer needs
perf's probes, and so root and a kernel that allows them; it is run where its command is there. Each program
(tests/recorder/programs/guilty.py) marks the line that keeps the GIL while another thread, `victim`, waits: told is the
share of each tool's time that is on such a line. The cost is the CPU time of the program and the tool against the
program alone, in the same seconds.
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
_PLACE = re.compile(r"(?:^|[ (])([^ ():;]*guilty\.py):(\d+)")
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


def by_py_spy(python: str, program: list[str], folder: Path) -> tuple[str, float, Lines]:
    out = folder / "py-spy.txt"
    spy = str(shutil.which("py-spy"))
    used, _ = cpu([spy, "record", "--gil", "--rate", "1000", "--format", "raw", "-o", str(out), "--", python, *program])
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


def by_giltracer(python: str, program: list[str], folder: Path) -> tuple[str, float, Lines]:
    used, _ = cpu([str(shutil.which("giltracer")), "--output", str(folder / "giltracer.json"), *program])
    return "threads, no lines", used, Counter()


def tools(python: str) -> dict[str, object]:
    has = subprocess.run([python, "-c", "import profiling.sampling"], capture_output=True, check=False).returncode == 0
    return (
        {"tracekit": by_tracekit}
        | ({"py-spy --gil": by_py_spy} if shutil.which("py-spy") else {})
        | ({"profiling.sampling": by_sampling} if has else {})
        | ({"giltracer": by_giltracer} if shutil.which("giltracer") else {})
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
