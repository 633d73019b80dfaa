"""The command line takes what people type, and says what they may have meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import run
from tests.conftest import SAMPLES, trace_file
from tests.recorder.recorded import need_recorder

BATTLES, CONVOYS = str(SAMPLES / "py27-cpu2.log"), str(SAMPLES / "py311-echo-convoy.log")
SLIDE = str(SAMPLES / "slide-battle.log")


@pytest.mark.parametrize("first", ["convoys", "battles"])
def test_a_repeated_option_adds(first: str) -> None:
    second = "battles" if first == "convoys" else "convoys"
    for trace in (BATTLES, CONVOYS):
        assert run("analyze", trace, "--fail-on", first, "--fail-on", second).returncode == 1
    both = json.loads(run("analyze", CONVOYS, "--json", "--only", first, "--only", f"{second}, {first}").stdout)
    assert both["battles"]
    assert both["convoys"]
    assert not both["long_holds"]
    assert run("analyze", BATTLES, "--fail-on", "battles", "--fail-on", "").returncode == 2


@pytest.mark.parametrize(("limit", "code"), [("5%", 1), ("5 %", 1), ("5", 1), ("99%", 0), ("101%", 2), ("five", 2)])
def test_percentages(limit: str, code: int) -> None:
    assert run("analyze", BATTLES, "--fail-on", "battles", "--max-cost", limit).returncode == code
    onecore = str(SAMPLES / "py27-cpu2-onecore.log")
    assert run("compare", onecore, BATTLES, "--fail-on-regression", limit).returncode == code


def test_short_help_and_completion() -> None:
    assert run("-h").stdout == run("--help").stdout
    assert "╭─ Examples" in run("analyze", "-h").stdout
    command = str(Path(sys.executable).with_name("tracekit"))
    for typed, offered in (("com", "compare"), ("compare --min-", "--min-rounds"), ("report --theme ", "dark")):
        asked = {"_TRACEKIT_COMPLETE": "complete_bash", "COMP_WORDS": f"tracekit {typed}"}
        asked["COMP_CWORD"] = str(asked["COMP_WORDS"].count(" "))
        done = subprocess.run([command], env={**os.environ, **asked}, capture_output=True, text=True, timeout=60)
        assert offered in done.stdout.split(), (typed, done)


def test_compare_takes_thresholds() -> None:
    many = json.loads(run("compare", BATTLES, BATTLES, "--json").stdout)
    few = json.loads(run("compare", BATTLES, BATTLES, "--json", "--min-rounds", "1000").stdout)
    counts = [{m["name"]: m["before"] for m in found["metrics"]}["battles"] for found in (many, few)]
    assert counts == [156, 0]


def test_compare_of_ticks_and_time_says_why_it_is_meaningless() -> None:
    done = run("compare", SLIDE, CONVOYS)
    assert done.returncode == 0
    assert f"{SLIDE} counts ticks (bytecodes), {CONVOYS} nanoseconds" in done.stdout.replace("\n", " ")
    gate = run("compare", SLIDE, CONVOYS, "--fail-on-regression", "5%")
    assert (gate.returncode, gate.stdout, gate.stderr.count("\n")) == (2, "", 1)
    assert json.loads(run("compare", SLIDE, SLIDE, "--json").stdout)["meaningless"] is None


@pytest.mark.parametrize(
    ("name", "made_by", "said"),
    [
        ("program.py", None, "Record it first: tracekit record"),
        ("found.json", ["analyze", SLIDE, "--json", "-o"], "tracekit printed with --json"),
        ("two.json", ["analyze", SLIDE, SLIDE, "--json", "-o"], "tracekit printed with --json"),
        ("a.trace.json", ["convert", SLIDE, "-o"], "tracekit wrote this for Chrome's viewer"),
        ("a.firefox.json", ["convert", SLIDE, "-o"], "tracekit wrote this for the Firefox Profiler"),
        ("page.html", ["report", SLIDE, "-o"], "this is a page"),
    ],
)
def test_what_is_no_trace_is_told_apart(name: str, made_by: list[str] | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("import threading\n")
    if made_by:
        assert run(*made_by, str(path)).returncode == 0
    done = run("analyze", str(path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_a_trace_may_be_called_as_it_likes(tmp_path: Path) -> None:
    trace = tmp_path / "trace.py"
    trace.write_bytes(trace_file("slide-battle.log").read_bytes())
    assert run("analyze", str(trace)).returncode == 0


def test_a_page_is_what_report_writes(tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    done = run("analyze", SLIDE, "-o", str(page))
    assert done.returncode == 2
    assert f"tracekit report -o {page}" in done.stderr
    assert not page.exists()


def test_a_table_that_is_nearly_there() -> None:
    said = run("query", SLIDE, "from wait").stderr
    assert 'Did you mean "waits"?' in said
    assert "pg_" not in run("query", SLIDE, "from qqqqqqq").stderr


def test_doctor() -> None:
    done = run("doctor")
    assert done.returncode == 0
    lines = {line[4:].partition(":")[0]: line[:2] for line in done.stdout.splitlines()}
    assert list(lines) == [
        "tracekit",
        "core",
        "recorder",
        "interpreters",
        "attach",
        "SQL",
        "fleet",
        "Perfetto",
        "browser",
    ]
    without = run("doctor", env={"TRACEKIT_CORE": "python"}).stdout
    assert "NO  core:         TRACEKIT_CORE=python is set" in without


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


TELL = "import sys; print(sys.executable, *sys.argv[1:], sys.flags.dev_mode)\n"


@pytest.mark.parametrize(
    "words",
    [
        ["PYTHON", "x.py", "a", "-b"],
        ["PYTHON", "-X", "dev", "-W", "ignore", "x.py", "a", "-b"],
        ["--", "PYTHON", "-m", "x", "a", "-b"],
        ["PYTHON", "-mx", "a", "-b"],
        ["./x.py", "a", "-b"],
    ],
)
def test_record_takes_a_python_command_line(words: list[str], tmp_path: Path) -> None:
    need_recorder()
    script(tmp_path, "x.py", TELL)
    typed = [sys.executable if word == "PYTHON" else word for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "tracekit", "record", *typed], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{sys.executable} a -b {'dev' in words}\n"
    assert (tmp_path / "x.gil.log").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["PYTHON", "-c", "print(1)"], "a program on the command line cannot be recorded"),
        (["PYTHON"], "There is no program to record"),
        (["PYTHON", "missing.py"], "missing.py: there is no such script"),
        (["/bin/sh"], "is not a Python script"),
        (["./shell"], "is not a Python script"),
    ],
)
def test_record_refuses_in_a_sentence(words: list[str], said: str, tmp_path: Path) -> None:
    need_recorder()
    script(tmp_path, "shell", "#!/bin/sh\necho ran\n")
    typed = [sys.executable if word == "PYTHON" else word for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "tracekit", "record", *typed], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_script_runs_on_its_own_python(tmp_path: Path) -> None:
    """As `venv/bin/gunicorn` does, named by its path or found on the PATH, there behind pyenv's shim too."""
    need_recorder()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    own = tmp_path / "venv" / "bin" / "python"
    served = script(tmp_path / "venv" / "bin", "serve", f"#!{own}\n{TELL}")
    shims = tmp_path / "shims"
    shims.mkdir()
    pyenv = script(tmp_path, "pyenv", f'#!/bin/sh\n[ "$1 $2" = "which serve" ] && echo {served}\n')
    script(shims, "serve", f'#!/usr/bin/env bash\nset -e\nprogram="${{0##*/}}"\nexec "{pyenv}" exec "$program" "$@"\n')
    for path, word in (("/bin", str(served)), (str(served.parent), "serve"), (str(shims), "serve")):
        done = subprocess.run(
            [sys.executable, "-m", "tracekit", "record", "--", word, "app:app"],
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env={**os.environ, "PATH": f"{path}:/usr/bin:/bin"},
        )  # fmt: skip
        assert done.stdout == f"{own} app:app False\n", done.stderr
