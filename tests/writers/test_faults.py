"""Output is old, absent or whole, whatever happens to the process or its disk; what a killed one left is cleared."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tracekit
from tests.conftest import SAMPLES
from tracekit.errors import TracekitError
from tracekit.files import beside

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and locks")
TRACEKIT = [sys.executable, "-m", "tracekit"]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough that there is time to interrupt."""
    path = tmp_path_factory.mktemp("long") / "trace.log"
    path.write_text((SAMPLES / "py311-io4.log").read_text() * 8)
    return path


def is_trace(path: Path) -> bool:
    return tracekit.analyze(path).events > 0


def is_folder_of_tables(path: Path) -> bool:
    return len(list(path.glob("*.parquet"))) == len(os.listdir(path)) > 10 and is_trace(path)


COMMANDS: dict[str, tuple[Callable[[Path, Path], list[str]], Callable[[Path], bool]]] = {
    "text": (lambda trace, out: ["convert", str(trace), "-o", str(out), "--to", "text"], is_trace),
    "tables": (lambda trace, out: ["convert", str(trace), "-o", str(out), "--to", "parquet"], is_folder_of_tables),
    "report": (
        lambda trace, out: ["report", str(trace), "-o", str(out)],
        lambda path: path.read_text().rstrip().endswith("</html>"),
    ),
    "query": (
        lambda trace, out: ["query", str(trace), "from waits", "-o", str(out), "--format", "csv"],
        lambda path: path.read_text().endswith("\n"),
    ),
}


def interrupted(kind: str, trace: Path, folder: Path, times: int) -> None:
    """At moments from before the beginning to behind the end; the last run is left alone."""
    arguments, is_whole = COMMANDS[kind]
    out = folder / "out"
    chance = random.Random(kind)
    command = [*TRACEKIT, *arguments(trace, out)]
    begin = time.monotonic()
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    whole = time.monotonic() - begin
    for _ in range(times):
        number = chance.choice(SIGNALS)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(chance.uniform(0.3, 1.1) * whole)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        if "Traceback" in said and "/tracekit/" not in said:
            continue  # Python itself was still starting
        assert process.returncode in (0, 2, -number), said
        assert is_whole(out)
        if number != signal.SIGKILL and process.returncode == 2:
            assert "Traceback" not in said, said
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    assert os.listdir(folder) == ["out"]
    assert is_whole(out)


@pytest.mark.parametrize("kind", ["text", *(pytest.param(kind, marks=pytest.mark.slow) for kind in [*COMMANDS][1:])])
def test_interrupted(kind: str, trace: Path, tmp_path: Path) -> None:
    interrupted(kind, trace, tmp_path, 3)


@pytest.mark.soak
@pytest.mark.parametrize("kind", COMMANDS)
def test_interrupted_a_hundred_times(kind: str, trace: Path, tmp_path: Path) -> None:
    interrupted(kind, trace, tmp_path, 100)


@pytest.mark.parametrize("kind", COMMANDS)
def test_no_room(kind: str, trace: Path, tmp_path: Path) -> None:
    """A file may not be longer than 10 KB: as on a full disk, writing fails in the middle."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    command = [*TRACEKIT, *COMMANDS[kind][0](trace, tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert "cannot be written: " in done.stderr
    assert "File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_what_others_use_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / ".out.notrooms").mkdir()  # 8 letters, but no lock in it
    (tmp_path / ".out.config").mkdir()
    with beside(out) as first:
        first.write_text("first")
        with beside(out) as second:
            second.write_text("second")
        assert first.read_text() == "first"
        assert out.read_text() == "second"
    assert out.read_text() == "first"
    assert sorted(os.listdir(tmp_path)) == [".out.config", ".out.notrooms", "out"]


def test_the_folder_goes_away(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    def write() -> None:
        with beside(tmp_path / "a" / "out"):
            shutil.rmtree(tmp_path / "a")

    with pytest.raises(TracekitError, match="cannot be written"):
        write()
