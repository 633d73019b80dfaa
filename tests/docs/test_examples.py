"""The examples of README.md and the docs run as they stand there, on small traces of the names that they use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT, SAMPLES
from tracekit import zstd
from tracekit.cli import app
from tracekit.recorder import LIBRARY

_PYTHON = re.compile(r"```python\n(.*?)```", re.S)
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [line.strip() for line in README.splitlines() if line.startswith("    tracekit ")]
FOR_PEOPLE = re.compile(r"tracekit (query trace\.log +#|fleet )")
"""A prompt needs a terminal, and Dask has tests of its own."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    (folder / "sample_traces").symlink_to(SAMPLES, target_is_directory=True)
    (folder / "tests").symlink_to(ROOT / "tests", target_is_directory=True)
    text = (SAMPLES / "py311-echo-convoy.log").read_bytes()
    for name in ("trace.log", "before.log", "after.log", "a.log"):
        (folder / name).write_bytes(text)
    for name in ("b.log.gz", "huge.log.zst"):  # recognised by what is in them
        (folder / name).write_bytes(zstd.compress(text))
    return folder


@pytest.fixture(autouse=True)
def _there(room: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(room)
    if not (room / "huge.parquet").exists():
        assert CliRunner().invoke(app, ["convert", "huge.log.zst", "-o", "huge.parquet"]).exit_code == 0
    return


def python_of(page: str) -> list[str]:
    return _PYTHON.findall((ROOT / page).read_text("utf-8"))


@pytest.mark.parametrize(
    ("page", "which"), [("README.md", 0), ("docs/whatif.md", 0), ("docs/recording.md", 0)], ids=lambda value: str(value)
)
def test_python(page: str, which: int) -> None:
    if page == "docs/recording.md" and not LIBRARY.exists():
        pytest.skip("the recorder was not built")
    code = python_of(page)[which]
    assert "import tracekit\n" in code
    exec(compile(code, page, "exec"), {})


def test_every_page_of_the_docs_with_python_is_known() -> None:
    """What does not run here is part of a program that is not there: a web server, a test, a cluster's results."""
    here = {"README.md", "docs/whatif.md", "docs/recording.md"}
    elsewhere = {"docs/cookbook.md", "docs/services.md", "docs/fleet.md"}  # tests/docs/test_cookbook.py, tests/live
    pages = ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    assert {page for page in pages if python_of(page)} == here | elsewhere
    for page in elsewhere:
        for code in python_of(page):
            compile(code, page, "exec")


@pytest.mark.parametrize("line", [line for line in COMMANDS if not FOR_PEOPLE.match(line)])
def test_commands(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)
    assert name == "tracekit"
    arguments = ["select count(*) from events" if word == "..." else word for word in arguments]
    if arguments[0] == "flame":
        arguments[1] = str(ROOT / "tests" / "data" / "golden" / "attributes" / "plain.log")  # no sample tells stacks
    done = CliRunner().invoke(app, arguments)
    gate = "--fail-on" in arguments
    assert done.exit_code == (1 if gate else 0), done.output


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 12
