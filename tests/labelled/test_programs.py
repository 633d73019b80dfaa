"""Programs whose trouble is known by construction, recorded afresh: the first finding names it, and nobody else.

Each runs until three runs of at most five were right, or three were wrong; a machine that is busy with something else
may spoil one. `python -m tests.labelled.test_programs` prints how often each was right, and what was said instead.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import INTERPRETERS, record
from tracekit.analysis import Analysis
from tracekit.analyzers.finding import Finding

PROGRAMS = Path(__file__).parent / "programs"
VERSIONS = ("2.7", "3.8", "3.11", "3.13")
RUNS = 5
TAKES_TURNS = {"queueing", "convoys"}
HEALTHY: set[str] = set()


@dataclass(frozen=True)
class Label:
    """What a program suffers from: the kinds of which the first finding may be one, none for a healthy one.

    guilty: the threads that the first finding may name, those that are hit included. one_core: it runs on one.
    """

    program: str
    old: set[str]
    new: set[str]
    guilty: set[str] = field(default_factory=set)
    one_core: bool = False


LABELS = {
    "two counters": Label("two_counters", {"battles"}, {"saturation"}, {"counter-0", "counter-1"}),
    "two counters on one core": Label(
        "two_counters", {"saturation"}, {"saturation"}, {"counter-0", "counter-1"}, one_core=True
    ),
    "counters beside strangers": Label(
        "counters_beside_strangers", {"preemption"}, {"preemption"}, {"counter-0", "counter-1"}, one_core=True
    ),
    "echo beside spinner": Label(
        "echo_beside_spinner", {"battles", *TAKES_TURNS}, TAKES_TURNS, {"server", "spinner", "MainThread"}
    ),
    "pool of 32 alike": Label(
        "pool_of_32", {"battles", "saturation", *TAKES_TURNS}, {"saturation", *TAKES_TURNS}, {"MainThread"}
    ),
    "many I/O threads": Label(
        "many_io", {"battles", "saturation", *TAKES_TURNS}, {"saturation", *TAKES_TURNS}, {"MainThread"}
    ),
    "200 threads mostly idle": Label("mostly_idle", HEALTHY, HEALTHY),
    "C call": Label("c_call", {"long_holds"}, {"long_holds"}, {"sorter"}),
    "frozen signals": Label("frozen_signals", {"frozen_signals"}, HEALTHY),
    "healthy server": Label("healthy_server", HEALTHY, HEALTHY),
    "healthy pool": Label("healthy_pool", HEALTHY, HEALTHY),
}


def recorded(label: Label, python: Path, folder: Path) -> Analysis:
    done = record(
        folder, str(PROGRAMS / f"{label.program}.py"), options=["--python", str(python)],
        before=["taskset", "-c", "0"] if label.one_core else [],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tracekit.analyze(folder / "out.log")


def wrong(label: Label, analysis: Analysis) -> str:
    """What is wrong with the verdict; empty if nothing is."""
    expected = label.new if analysis.new_gil else label.old
    if not analysis.findings:
        return "nothing was found" if expected else ""
    first = analysis.findings[0]
    if os.getloadavg()[0] > len(os.sched_getaffinity(0)) and blames_the_machine(first):
        return ""  # others have the cores, and so it is
    said = f"{first.title} {first.explanation} {first.advice}"
    innocent = {str(name) for name in analysis.threads.column("name").to_pylist() if name} - label.guilty
    named = sorted(name for name in innocent if f"({name})" in said)
    if named:
        return f"{', '.join(named)} named: {first.title}"
    return "" if first.kind in expected else first.title


def blames_the_machine(finding: Finding) -> bool:
    """And not a thread, though it says who had the GIL meanwhile."""
    return finding.kind in {"preemption", "scheduling"} or "let it go when asked" in finding.title


def judge(label: Label, python: Path, folder: Callable[[], Path], runs: int) -> tuple[int, list[str]]:
    """How many runs were right, and what was said in the others: no more of both than decide which were more."""
    right, others = 0, []
    while max(right, len(others)) <= runs // 2:
        said = wrong(label, recorded(label, python, folder()))
        others += [said] if said else []
        right += not said
    return right, others


def python_of(version: str) -> Path | None:
    return next((path for path in INTERPRETERS if path.parts[-3].startswith(f"{version}.")), None)


@pytest.mark.soak
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", LABELS)
def test_the_first_finding_names_the_cause(
    name: str, version: str, tmp_path_factory: pytest.TempPathFactory, record_property: Callable[[str, object], None]
) -> None:
    """A wrong verdict is worse than none: whoever follows it changes the wrong thing."""
    python = python_of(version)
    if python is None:
        pytest.skip(f"no Python {version}")
    right, others = judge(LABELS[name], python, lambda: tmp_path_factory.mktemp("run"), RUNS)
    record_property("right", f"{right} of {right + len(others)}")
    assert right > len(others), others


def main() -> None:
    for name, label in LABELS.items():
        for version in VERSIONS:
            if python := python_of(version):
                others: list[str] = []
                for _ in range(RUNS):
                    with tempfile.TemporaryDirectory() as folder:
                        others.append(wrong(label, recorded(label, python, Path(folder))))
                said = "".join(f"\n    {each}" for each in others if each)
                sys.stdout.write(f"{name}, {version}: {others.count('')} of {RUNS} right{said}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
