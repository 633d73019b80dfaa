"""A folder of traces, as `tracekit record` leaves one of a program with several processes."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.test_cli import run
from tests.conftest import SAMPLES

QUIET = "# pid: 7\n# started-by: 5\n# command: python worker.py\na - - ENTRY 0\na - - ACQUIRE 5\na - - RELEASE 9000\n"


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir()
    battle = (SAMPLES / "slide-battle.log").read_text()
    (folder / "out.log").write_text(f"# pid: 5\n# command: python server.py\n# processes: 3\n{battle}")
    (folder / "out.log.7").write_text(QUIET)
    (folder / "out.log.8").write_text(QUIET.replace("pid: 7", "pid: 8"))
    (folder / "notes.md").write_text("of no interest")
    return folder


def test_which_processes_matter(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    done = run("analyze", str(folder))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[1] == "1 of the 3 processes matters. In the 2 processes left there is nothing worth naming."
    rows = [line.split() for line in lines if "python " in line]
    assert [row[:2] for row in rows] == [["5", "-"], ["7", "5"], ["8", "5"]]
    assert f"tracekit analyze {folder}/out.log" in done.stdout.replace("\n", "")
    told = json.loads(run("analyze", str(folder), "--json").stdout)
    assert [Path(trace["trace"]["path"]).name for trace in told] == ["out.log", "out.log.7", "out.log.8"]
    quiet = folder / "quiet"
    quiet.mkdir()
    (quiet / "a").write_text(QUIET)
    assert "The one process there is does not matter: no thread waited" in run("analyze", str(quiet)).stdout


def test_the_page_of_a_folder(tmp_path: Path) -> None:
    done = run("report", str(folder_of(tmp_path)), "-o", str(tmp_path / "page.html"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    assert "1 of the 3 processes matters." in page
    assert "<title>traces" in page


def test_the_first_process_tells_of_the_others(tmp_path: Path) -> None:
    told = " ".join(run("analyze", str(folder_of(tmp_path) / "out.log")).stdout.split())
    assert "the traces of 2 other processes stand beside it. Which of them matter: tracekit analyze FOLDER." in told


def test_what_else_is_in_a_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "app.py").write_text("import os\n")
    (folder / ".hidden").write_text("x")
    done = run("analyze", str(folder))
    assert done.returncode == 0
    assert done.stderr == f"{folder}: 1 file is not a trace: app.py.\n"
    (tmp_path / "empty").mkdir()
    done = run("analyze", str(tmp_path / "empty"))
    assert done.returncode == 2
    assert done.stderr == (
        f"{tmp_path}/empty: has no traces in it. Name a trace, or the folder that one was recorded into.\n"
    )
