"""Whose code a file is, and how its name is shortened: `--strip-prefix`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tracekit
from tests.cli.test_cli import run
from tests.timeline.test_flame import story
from tracekit.errors import OptionError
from tracekit.model.code import as_prefixes, library, shorten

SHORTENED = [
    ("/srv/app/web.py", "/srv/app", "web.py"),
    ("/srv/app/web.py", "/srv/app/", "web.py"),
    ("/srv/application/web.py", "/srv/app", "/srv/application/web.py"),
    ("/srv/app", "/srv/app", "/srv/app"),
    ("/v/lib/python3.12/site-packages/lib/x.py", "/v/lib/python3.12/site-packages/lib", "site-packages/lib/x.py"),
    ("/srv/v/lib/python3.12/site-packages/lib/x.py", "/srv", "v/lib/python3.12/site-packages/lib/x.py"),
    ("/usr/lib/python3.12/json/decoder.py", "/usr/lib/python3.12/json", "python3.12/json/decoder.py"),
    ("/usr/lib/python3.12/json/decoder.py", "/usr", "lib/python3.12/json/decoder.py"),
    ("<frozen importlib._bootstrap>", "/", "<frozen importlib._bootstrap>"),
]  # fmt: skip
LIBRARIES = [
    "/usr/lib/python3/dist-packages/x.py",
    "/v/lib/python2.7/re.py",
    "/v/lib64/python3.13t/re.py",
    "<frozen x>",
]
OWN = ["/srv/app.py", "<string>", "/srv/python3.12/app.py", "app.py", "/home/lib/x.py"]


@pytest.mark.parametrize(("file", "prefix", "short"), SHORTENED)
def test_a_folder_is_left_out_and_a_library_stays_one(file: str, prefix: str, short: str) -> None:
    assert shorten(file, as_prefixes(prefix)) == short
    assert (library(file) is None) == (library(short) is None)


def test_libraries_are_told_from_the_users_code() -> None:
    assert [file for file in LIBRARIES + OWN if library(file)] == LIBRARIES


def test_the_longest_folder_counts() -> None:
    assert shorten("/srv/app/web.py", as_prefixes(["/srv", "/srv/app"])) == "web.py"


@pytest.mark.slow
def test_every_command_that_tells_lines_leaves_folders_out(tmp_path: Path) -> None:
    trace = story(tmp_path)
    trace.write_text("# command: python /srv/app.py --x=/srv/y /home/srv/z\n" + trace.read_text())
    outputs = {
        "analyze": ["analyze", str(trace), "--json", "-o", "a.json"],
        "report": ["report", str(trace), "-o", "a.html"],
        "flame": ["flame", str(trace), "-o", "a.speedscope.json"],
        "convert": ["convert", str(trace), "-o", "a.log"],
        "compare": ["compare", str(trace), str(trace), "--json", "-o", "c.json"],
        "query": ["query", str(trace), "from stacks", "--format", "csv", "-o", "q.csv"],
    }
    for name, arguments in outputs.items():
        out = tmp_path / arguments.pop()
        done = run(*arguments, str(out), "--strip-prefix", "/srv")
        assert done.returncode == 0, done.stderr
        assert "app.py" in out.read_text(), name
        assert "/srv/" not in out.read_text().replace("/home/srv/z", ""), name
    metadata = json.loads((tmp_path / "a.json").read_text())["trace"]["metadata"]
    assert metadata["command"] == "python app.py --x=y /home/srv/z"
    assert tracekit.read(tmp_path / "a.log").stacks == tracekit.read(trace, strip_prefix="/srv").stacks


def test_a_trace_in_memory_was_read_with_its_names() -> None:
    trace = tracekit.read(Path(__file__).parents[2] / "sample_traces" / "slide-battle.log")
    with pytest.raises(OptionError, match=r"tracekit\.read"):
        tracekit.analyze(trace, strip_prefix="/srv")
