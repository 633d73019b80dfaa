"""The command line as its users see it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import tracekit
from tests.conftest import SAMPLES, require_native, trace_file
from tracekit.words import duration, printable, share

BATTLE = str(SAMPLES / "slide-battle.log")


def run(*arguments: str, env: dict[str, str] | None = None, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tracekit", *arguments],
        input=stdin, capture_output=True, env={**os.environ, **(env or {})}, timeout=60,
    )  # fmt: skip
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def on_a_terminal(*arguments: str, env: dict[str, str]) -> str:
    """What it writes to a terminal, standard output and error together."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tracekit", *arguments],
        stdout=theirs, stderr=theirs, stdin=theirs, env={**os.environ, "COLUMNS": "100", **env},
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return written.decode()


def test_version() -> None:
    require_native()
    assert run("--version").stdout == f"tracekit {tracekit.__version__} (native core)\n"
    assert run("--version", env={"TRACEKIT_CORE": "python"}).stdout.endswith("(python core)\n")


def test_text() -> None:
    done = run("analyze", BATTLE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "521 ticks, 22 events, 2 threads, 1 switch, 5 checks" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith((" t1", " t2"))]
    assert rows == [
        ["t2", "19.2", "%", "80.8", "%", "50.0", "%", "4", "4", "1", "0"],
        ["t1", "80.8", "%", "0.0", "%", "0.0", "%", "0", "0", "4", "0"],
    ]
    assert "t2 waited 80.8 % of the trace (421 ticks) while t1 held the GIL: 100.0 % of all its waiting." in done.stdout
    assert "missing-entry, first at line 6" in done.stdout
    assert "\x1b" not in done.stdout


def test_colours() -> None:
    assert "\x1b[1m" in on_a_terminal("analyze", BATTLE, env={"TERM": "xterm-256color"})
    assert "\x1b[3" not in on_a_terminal("analyze", BATTLE, env={"TERM": "xterm-256color", "NO_COLOR": "1"})


def test_json() -> None:
    found = json.loads(run("analyze", BATTLE, "--json").stdout)
    assert list(found) == [
        "schema", "trace", "threads", "blame", "causes", "lines", "lines_known", "locks",
        "regions", "requests", "requests_left_out", "battles", "convoys",
        "frozen_signals", "long_holds", "distributions",
        "utilisation", "waiting", "handoffs", "fairness", "found", "diagnostics", "findings",
    ]  # fmt: skip
    assert found["schema"] == "tracekit.analysis/1"
    assert list(found["trace"]) == [
        "path", "events", "counts", "unit", "duration", "switches", "checks", "badness", "bad_lines", "metadata",
        "unobserved",
    ]  # fmt: skip
    assert list(found["threads"][0]) == [
        "thread", "name", "entries", "acquires", "releases", "contended_waits", "failed_retries", "lost_rounds",
        "check_releases", "blocking_releases", "held", "waited",
    ]  # fmt: skip
    assert found["trace"]["badness"] == pytest.approx(4 / 5)


def test_several() -> None:
    both = json.loads(run("analyze", BATTLE, str(SAMPLES / "py311-longhold.log"), "--json").stdout)
    assert [one["trace"]["unit"] for one in both] == ["ticks", "ns"]
    done = run("analyze", BATTLE, "missing.log", "--json")
    assert done.returncode == 2
    assert [one["trace"]["path"] for one in json.loads(done.stdout)] == [BATTLE]
    assert "missing.log: there is no such file" in done.stderr


def test_output_file(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert run("analyze", BATTLE, "--json", "-o", str(out)).stdout == ""
    assert json.loads(out.read_text())["trace"]["events"] == 22
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_output_never_destroys(tmp_path: Path) -> None:
    trace, link, real = tmp_path / "trace.log", tmp_path / "link.json", tmp_path / "real.json"
    trace.write_bytes(Path(BATTLE).read_bytes())
    for command in (["analyze", str(trace)], ["compare", str(trace), BATTLE]):
        done = run(*command, "-o", str(trace))
        assert done.returncode == 2
        assert "-o names the trace itself" in done.stderr
        assert trace.read_bytes() == Path(BATTLE).read_bytes()
    real.write_text("old")
    link.symlink_to(real)
    assert run("analyze", BATTLE, "--json", "-o", str(link)).returncode == 0
    assert link.is_symlink()
    assert json.loads(real.read_text())["trace"]["events"] == 22
    assert run("analyze", BATTLE, "-o", "/dev/null").returncode == 0
    assert not Path("/dev/null").is_file()


def test_faults_reach_the_terminal_beside_json() -> None:
    done = run("analyze", str(trace_file("bad-lines.log")), "--json")
    assert done.returncode == 0
    assert "bad-lines.log:6: 1 too-few-columns" in done.stderr
    assert json.loads(done.stdout)["trace"]["bad_lines"] == 9


def test_standard_input() -> None:
    found = json.loads(run("analyze", "-", "--json", stdin=Path(BATTLE).read_bytes()).stdout)
    assert (found["trace"]["path"], found["trace"]["events"]) == ("-", 22)


def test_strict() -> None:
    path = str(trace_file("bad-lines.log"))
    done = run("analyze", path, "--strict")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{path}:6: the line has fewer than the four columns")


def test_many_threads(tmp_path: Path) -> None:
    path = tmp_path / "many.log"
    path.write_text("".join(f"t{i} - 0 ENTRY {i}\nt{i} - 0 BUSY {i}\n" for i in range(500)))
    done = run("analyze", str(path))
    assert "the 480 others" in done.stdout
    assert len(json.loads(run("analyze", str(path), "--json").stdout)["threads"]) == 500


def test_hostile_names(tmp_path: Path) -> None:
    path = tmp_path / "hostile.log"
    path.write_text("# thread: [red]x = \x1b[2Jgone[/red]\n[red]x 1 1 ENTRY\n[red]x 1 1 ACQUIRE\n")
    done = run("analyze", str(path))
    assert "\\x1b[2Jgone[/red] ([red]x)" in done.stdout


@pytest.mark.parametrize("name", ["no-clock.log", "one-line.log", "interval-zero.log", "clock-starts-late.log"])
def test_no_nonsense_numbers(name: str) -> None:
    shown = run("analyze", str(trace_file(name))).stdout
    assert "nan" not in shown.lower()
    assert all(float(word) <= 100 for word, unit in zip(shown.split(), shown.split()[1:], strict=False) if unit == "%")


def test_words() -> None:
    assert [duration(ns, "ns") for ns in (0, 999, 1500, 22_000, 999_999, 5_100_000, 31_000_000_000)] == [
        "0 ns", "999 ns", "1.50 µs", "22.0 µs", "1.00 ms", "5.10 ms", "31.0 s",
    ]  # fmt: skip
    assert duration(1234, "ticks") == "1,234 ticks"
    assert (share(1, 0), share(1, 3)) == ("-", "33.3 %")
    assert printable("a\x1b\n") == "a\\x1b\\n"


ECHO = str(SAMPLES / "py311-echo-convoy.log")
QUIET = str(SAMPLES / "py311-io4.log")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--fail-on", "convoys"], 1),
        (["--fail-on", "frozen_signals,long_holds"], 0),
        (["--fail-on", "battles, convoys", "--max-cost", "50"], 1),
        (["--fail-on", "battles", "--max-cost", "50"], 0),
        (["--fail-on", "failed_retries"], 1),
        (["--fail-on", "convoys", "--min-cycles", "500"], 0),
        (["--fail-on", "convoys", "--ratio", "1000000"], 0),
        (["--fail-on", "long_holds", "--long-hold", "4ms"], 1),
        (["--fail-on", "long_holds", "--long-hold", "4000000"], 1),
        (["--fail-on", "queues"], 2),
        (["--only", "queues"], 2),
        (["--fail-on", ""], 2),
        (["--fail-on", "battles", "--max-cost", "nan"], 2),
        (["--fail-on", "battles", "--max-cost", "-1"], 2),
        (["--max-cost", "5"], 2),
        (["--min-rounds", "0"], 2),
        (["--max-gap", "-1"], 2),
        (["--ratio", "0"], 2),
        (["--ratio", "nan"], 2),
        (["--worst", "0"], 2),
        (["--long-hold", "long"], 2),
    ],
)
def test_thresholds_and_fail_on(options: list[str], code: int) -> None:
    done = run("analyze", ECHO, *options)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == (code != 0)
    if code == 1:
        assert "(--fail-on)" in done.stderr
    assert bool(done.stdout) == (code != 2)


def test_where_the_waiting_went_comes_first_then_the_findings() -> None:
    shown = run("analyze", ECHO).stdout
    lines = shown.splitlines()
    assert lines[4].startswith(
        "One thread at a time can hold the GIL and run Python code. 3 of 3 threads waited for it"
    )
    assert [" ".join(line.split())[:18] for line in lines[8:9]] == ["96.3 % convoys cam"]
    assert shown.index("96.3 %  convoys") < shown.index("HIGH  t2") < shown.index("lower sys.setswitchinterval")
    assert shown.index("lower sys.setswitchinterval") < shown.index("held   waited")
    quiet = run("analyze", QUIET).stdout
    assert "No contention worth naming: the GIL was held 2.6 % of the time, and free while somebody waited" in quiet
    only_battles = run("analyze", ECHO, "--only", "battles").stdout
    assert "HIGH" not in only_battles
    assert "Nothing worth naming of battles. 3 findings of other kinds not shown." in only_battles
    only = json.loads(run("analyze", ECHO, "--only", "battles", "--json").stdout)
    assert (only["convoys"], only["findings"]) == ([], [])
    assert len(only["battles"]) == 4


def test_the_worst_are_kept_and_the_rest_counted() -> None:
    path = str(SAMPLES / "py27-cpu2.log")
    every = json.loads(run("analyze", path, "--json").stdout)["battles"]
    few = json.loads(run("analyze", path, "--json", "--worst", "3").stdout)
    costliest = sorted(every, key=lambda b: (-b["duration"], b["start_seq"]))[:3]
    assert few["battles"] == sorted(costliest, key=lambda b: int(b["start_seq"]))
    assert few["found"]["battles"]["count"] == len(every) == 156
    shown = run("analyze", path, "--worst", "3").stdout
    assert "--json lists the 3 costliest of 156 battles" in shown
    assert "in 156 battles the waiter woke up 527 times" in shown.replace("\n", " ")


def test_compare() -> None:
    two, one = str(SAMPLES / "py27-cpu2.log"), str(SAMPLES / "py27-cpu2-onecore.log")
    better = run("compare", two, one, "--fail-on-regression", "1")
    assert better.returncode == 0
    assert "GONE  battles" in better.stdout
    worse = run("compare", one, two, "--json", "--fail-on-regression", "10")
    assert worse.returncode == 1
    found = json.loads(worse.stdout)
    assert found["schema"] == "tracekit.comparison/1"
    assert [(change["change"], change["kind"]) for change in found["findings"]] == [
        ("new", "battles"),
        ("worse", "saturation"),
    ]
    assert "(--fail-on-regression)" in worse.stderr
    metrics = {metric["name"]: metric for metric in found["metrics"]}
    assert metrics["failed retries"] == {
        "name": "failed retries", "unit": "count", "before": 0, "after": 702, "change": 702,
    }  # fmt: skip
    assert run("compare", one, one, "--fail-on-regression", "0").returncode == 0
    assert run("compare", one, one, "--fail-on-regression", "nan").returncode == 2
    assert run("compare", one, "missing.log").returncode == 2


TO_STANDARD_OUTPUT = [
    pytest.param(["convert", "TRACE", "-o", "-", "--to", "csv"], id="convert"),
    pytest.param(["query", "TRACE", "select * from events", "--format", "csv"], id="query"),
    pytest.param(["query", "TRACE", "select * from events"], id="query, a table"),
    pytest.param(["report", "TRACE", "-o", "-"], id="report"),
    pytest.param(["compare", "TRACE", "TRACE"], id="compare"),
]


@pytest.mark.parametrize("words", TO_STANDARD_OUTPUT)
@pytest.mark.parametrize("where", ["> /dev/full", ">&-"])
def test_standard_output_that_cannot_be_written(words: list[str], where: str) -> None:
    trace = str(SAMPLES / "slide-battle.log")
    command = [sys.executable, "-m", "tracekit", *(trace if word == "TRACE" else word for word in words)]
    done = subprocess.run(["sh", "-c", f'exec "$@" {where}', "sh", *command], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("standard output")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough() -> None:
    trace = str(SAMPLES / "py27-cpu2.log")
    for words in TO_STANDARD_OUTPUT[:2]:
        command = [sys.executable, "-m", "tracekit", *(trace if word == "TRACE" else word for word in words.values[0])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stderr
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(60) == 0


def test_it_starts_where_posix_has_nothing_to_offer() -> None:
    """Everything but recording works on other systems: nothing of theirs may be missed at start-up."""
    code = """
import signal, sys
for module in ("resource", "fcntl", "termios", "pwd", "grp"):
    sys.modules[module] = None
for name in ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGSTOP"):
    delattr(signal, name)
import tracekit.cli
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
