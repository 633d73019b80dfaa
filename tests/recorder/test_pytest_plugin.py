"""The marker, in runs of pytest of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recorder.recorded import good, need_recorder

TESTS = """
import threading, time
import pytest

def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end: pass

def beside_a_spinner(work):
    spinner = threading.Thread(target=spin, args=(0.3,), name="spinner")
    spinner.start(); work(); spinner.join()

def naps():
    for _ in range(20): time.sleep(0.0001)

@pytest.mark.gil(no=["long_holds", "preemption"])  # where others have the cores it is the latter
def test_long_hold():
    thread = threading.Thread(target=lambda: sum(range(5_000_000)), name="in C code")
    thread.start(); naps(); thread.join()

@pytest.mark.gil(max_wait_share=0.02)
def test_waits(): beside_a_spinner(lambda: spin(0.2))

@pytest.mark.gil(no=["convoys", "battles"], max_wait_share=0.5)
def test_quiet(): naps()

@pytest.mark.gil(no=["convoys"])
def test_own_failure(): assert 1 == 2

@pytest.mark.gil(no=["convoys"])
@pytest.mark.parametrize("number", [1, 2])
class TestClass:
    def test_method(self, number): naps()

def test_unmarked(): pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("by", [[], ["tracekit", "record", "-o", "all.log", "-m"]], ids=["alone", "all is recorded"])
def test_marked_tests_are_recorded_and_checked(by: list[str], tmp_path: Path) -> None:
    need_recorder()
    (tmp_path / "test_marked.py").write_text(TESTS)
    done = subprocess.run(
        [
            *[sys.executable, "-m", *by, "pytest", "-q", "--strict-markers", "-W", "error"],
            *["--basetemp", str(tmp_path / "temp")],
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "3 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    for name in ("test_long_hold", "test_waits", "test_own_failure"):
        assert f"FAILED test_marked.py::{name}" in done.stdout
    assert "in C code (" in done.stdout
    assert re.search(r"The GIL was held at: .*spin \(test_marked\.py:\d+", done.stdout)
    assert "waited" in done.stdout
    assert "assert 1 == 2" in done.stdout
    traces = sorted((tmp_path / "temp").glob("gil[0-9]/gil.log"))
    assert len(traces) == 6
    for trace in traces:
        good(trace, cut=True)


def test_the_marker_is_documented(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--markers"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "@pytest.mark.gil(max_wait_share=" in done.stdout
