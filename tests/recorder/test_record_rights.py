"""Programs that give up what it takes to open the recording's file: their user, their root, descriptors, its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import good, record, script

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up being root")
NAPS = 7000
"""Of three events each: more than a chunk of the file holds."""
PROGRAM = """
import os, resource, sys, time
def nap(times):
    for _ in range(times): time.sleep(0)
nap(100)
%s
nap(7000)
"""
WAYS = {
    "user": "os.setgroups([]); os.setgid(65534); os.setuid(65534)",
    "root": "os.mkdir('empty'); os.chroot('empty')",
    "moved": "os.rename('traces', 'moved')",
    "no descriptors": "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))",
    "no files": "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
    "closed": "os.closerange(3, 1 << 16)",
}


@pytest.mark.parametrize("way", [pytest.param(way, marks=as_root if way in ("user", "root") else ()) for way in WAYS])
def test_nothing_is_lost(way: str, tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir(mode=0o700)
    done = record(tmp_path, script(tmp_path, PROGRAM % WAYS[way]), options=["-o", "traces/out.log"])
    assert done.returncode == 0, done.stderr
    folder = tmp_path / ("moved" if way == "moved" else "traces")
    trace = good(folder / "out.log")
    assert len(trace.events) > 3 * NAPS
    assert [path.name for path in folder.iterdir()] == ["out.log"]
    assert f"tracekit analyze {folder.name}/out.log" in done.stderr


@as_root
def test_ring_after_the_user_is_changed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    options = ["--max-size", "512K", "-o", "out.log"]
    done = record(tmp_path, script(tmp_path, PROGRAM % "os.setuid(65534); nap(12000)"), options=options)
    trace = tracekit.read(tmp_path / "out.log")
    assert trace.metadata["lost"] == "0", done.stderr
    assert int(trace.metadata["overwritten"]) > 0


@as_root
def test_a_child_that_cannot_be_recorded_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    text = PROGRAM % "os.setuid(65534)\nif not os.fork(): nap(1); os._exit(0)\nos.wait()"
    done = record(tmp_path, script(tmp_path, text))
    assert "1 process was not recorded: 1 x forked child (Permission denied)." in done.stderr
    good(tmp_path / "out.log")


@as_root
def test_the_true_reason_of_what_is_lost(tmp_path: Path) -> None:
    """Nobody sees what C code does."""
    tmp_path.chmod(0o700)
    done = record(tmp_path, script(tmp_path, PROGRAM % "import ctypes; ctypes.CDLL(None).setuid(65534)"))
    assert "later ones are lost: the program had given up the right to write there." in done.stderr
    assert int(tracekit.read(tmp_path / "out.log").metadata["lost"]) > 0
