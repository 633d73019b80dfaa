"""What the recorder's tests share: interpreters, runs, and what every good trace is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import tracekit
from tracekit.errors import RecordError
from tracekit.recorder import require_library

PROGRAMS = Path(__file__).parent / "programs"


def interpreters() -> list[Path]:
    """CPython 2.7 and 3.6 to 3.15, where pyenv or the system has them, or TRACEKIT_INTERPRETERS tells their paths."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(root.glob("versions/*/bin/python"), key=lambda path: _numbers(path.parts[-3]))
    system = Path("/usr/bin/python3")  # of a distribution: often the executable contains the interpreter
    more = [Path(path) for path in os.environ.get("TRACEKIT_INTERPRETERS", "").split(":") if path]
    return [path for path in found if _numbers(path.parts[-3]) < [3, 16]] + [system] * system.exists() + more


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


INTERPRETERS = interpreters()
NEWEST = next((path for path in reversed(INTERPRETERS) if "versions" in path.parts), None)
every_interpreter = pytest.mark.parametrize(
    "python",
    [
        pytest.param(
            str(path),
            id=path.parts[-3] if "versions" in path.parts else path.name,
            marks=() if path in (INTERPRETERS[0], NEWEST) else pytest.mark.slow,
        )
        for path in INTERPRETERS
    ],
)
"""The oldest and the newest of pyenv's while you edit, all of them in CI."""


def need_recorder() -> None:
    try:
        require_library()
    except RecordError as error:
        if "CI" in os.environ:
            pytest.fail(str(error))
        pytest.skip(str(error))


def record(
    folder: Path,
    *words: str,
    options: Sequence[str] = (),
    env: dict[str, str] | None = None,
    timeout: float = 120,
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """`tracekit record OPTIONS WORDS` in this folder, into `out.log` if no option says otherwise.

    before: e.g. `taskset`.
    """
    need_recorder()
    where = [] if "-o" in options else ["-o", "out.log"]
    return subprocess.run(
        [*before, sys.executable, "-m", "tracekit", "record", *where, *options, *words],
        cwd=folder, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=timeout,
    )  # fmt: skip


def script(folder: Path, text: str) -> str:
    path = folder / "program.py"
    path.write_text(text)
    return str(path)


def good(path: Path, *, cut: bool = False) -> tracekit.Trace:
    """The trace, which is flawless: nothing lost, one holder at a time, time that never goes back.

    cut: it may start in mid-execution.
    """
    trace = tracekit.read(path)
    assert trace.unit == "ns"
    assert trace.metadata["lost"] == "0"
    faults = [found for found in trace.summary if not (cut and found.severity == "info")]
    assert not faults
    times = trace.events["time"].to_numpy()
    assert (times[1:] >= times[:-1]).all()
    return trace


def names(trace: tracekit.Trace) -> dict[str, str]:
    """Name -> id of the threads."""
    return {row["name"]: row["thread"] for row in trace.threads.to_pylist() if row["name"]}
