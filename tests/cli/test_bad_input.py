"""What `tracekit analyze` makes of input that is broken, missing, endless or hostile: an exit code and a sentence."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import termios
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tracekit
from tracekit import zstd

VALID = b"t1 100 1 ENTRY\nt1 100 1 ACQUIRE\nt1 40 1 RELEASE\n"
LATER = b"t1 100 2 ENTRY\nt1 100 2 ACQUIRE\nt1 40 2 RELEASE\n"
NO_SUCH_FILE = "there is no such file"
COMMAND = [sys.executable, "-m", "tracekit", "analyze"]
Compress = Callable[[bytes], bytes]
compressions = pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])


@pytest.fixture(params=["native", pytest.param("python", marks=pytest.mark.slow)])
def core(request: pytest.FixtureRequest) -> str:
    if request.param == "native" and not (Path(tracekit.__file__).parent / "_native" / "_core.so").exists():
        pytest.skip("the native core is not built")
    return str(request.param)


def environment(core: str) -> dict[str, str]:
    return {**os.environ, "TRACEKIT_CORE": core}


def analyze(core: str, *arguments: str | Path, given: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs the command; never may a stack trace come out."""
    command = [*COMMAND, *map(str, arguments)]
    ran = subprocess.run(command, input=given, capture_output=True, env=environment(core), timeout=120)
    done = subprocess.CompletedProcess(command, ran.returncode, ran.stdout.decode(), ran.stderr.decode())
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr
    return done


def as_json(core: str, *arguments: str | Path, given: bytes = b"") -> Any:
    done = analyze(core, "--json", *arguments, given=given)
    return told(done.stdout, done.stderr)


def told(stdout: str, stderr: str) -> Any:
    """The JSON; standard error has a line for each kind of fault in it, with the file, its first line, and no more."""
    analysis = json.loads(stdout)
    faults = [d for d in analysis["diagnostics"] if d["severity"] == "error"]
    lines = stderr.splitlines()
    assert len(lines) == len(faults), stderr
    for line, fault in zip(lines, faults, strict=True):
        where = f":{fault['first_line']}" if fault["first_line"] else ""
        assert line.startswith(f"{analysis['trace']['path']}{where}: {fault['count']:,} {fault['code']}: ")
    return analysis


def found(analysis: Any, code: str) -> Any:
    """Its one diagnostic with this code."""
    (diagnostic,) = (d for d in analysis["diagnostics"] if d["code"] == code)
    return diagnostic


def written(folder: Path, content: bytes) -> Path:
    path = folder / "trace.log"
    path.write_bytes(content)
    return path


def events(count: int) -> bytes:
    """So many events with times, which do not compress well."""
    chance = random.Random(1)
    return b"".join(
        b"t%d %d %d ENTRY %d\n" % (chance.randrange(9), chance.randrange(100), seq, seq * 997) for seq in range(count)
    )


# ---- nothing to analyze ----


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"# python: 3.13.0\n  #\n", "it has only blank lines and comments", id="comments"),
        pytest.param(b"\n \r\n\t \n", "it has only blank lines and comments", id="blanks"),
        pytest.param(b"\n", "it has only blank lines and comments", id="one line feed"),
        pytest.param(b"a\n", "none of its 1 lines is an event; line 1: ", id="two bytes"),
        pytest.param(random.Random(1).randbytes(100_000), "is an event; line 1: ", id="random"),
        pytest.param(bytes(100_000), "line 1: the line has a NUL byte", id="NULs"),
        pytest.param(gzip.compress(VALID)[:9], "nothing in it could be read", id="gzip cut in its header"),
        pytest.param(zstd.compress(VALID)[:6], "nothing in it could be read", id="zstd cut in its header"),
        pytest.param(b"\x1f\x8b" + b"\xff" * 50, "the compressed data is damaged", id="no gzip"),
        pytest.param(gzip.compress(b""), "it has only blank lines and comments", id="gzip of nothing"),
    ],
)
def test_without_an_event(core: str, tmp_path: Path, content: bytes, sentence: str) -> None:
    path = written(tmp_path, content)
    done = analyze(core, path, "--json", code=2)
    assert done.stdout == ""
    assert done.stderr.startswith(f"{path}: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_file(core: str, tmp_path: Path) -> None:
    done = analyze(core, tmp_path / "none.log", code=2)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert done.stderr.startswith(f"{tmp_path}/none.log: {NO_SUCH_FILE}")


def test_directory(core: str, tmp_path: Path) -> None:
    assert analyze(core, tmp_path, code=2).stderr.startswith(f"{tmp_path}: has no traces in it. ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(core: str, tmp_path: Path) -> None:
    path = written(tmp_path, VALID)
    path.chmod(0)
    assert analyze(core, path, code=2).stderr.startswith(f"{path}: cannot be opened: Permission denied. ")


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file whose reading fails")
def test_failing_read(core: str) -> None:
    assert analyze(core, "/proc/self/mem", code=2).stderr.startswith("/proc/self/mem: cannot be read: ")


# ---- bad lines between good ones ----

BAD_LINES = [
    pytest.param(b"t1 \0 1 BUSY", "nul-byte", id="NUL"),
    pytest.param(b"t1 100 2", "too-few-columns", id="three columns"),
    pytest.param(b"t\xff 100 2 BUSY", "bad-encoding", id="invalid UTF-8"),
    pytest.param(b"t1 \xd9\xa1 2 BUSY", "bad-ticks", id="other digits"),
    pytest.param(b"t1 100 2.5 BUSY", "bad-checks", id="fraction"),
    pytest.param(b"t1 100 2 WAIT", "unknown-event", id="unknown event"),
    pytest.param(b"t1 100 18446744073709551616 BUSY", "integer-range", id="beyond 64 bits"),
    pytest.param(b"t1 %b 2 BUSY" % (b"9" * 5000), "integer-range", id="5000 digits"),
    pytest.param(b"t1 100 2 BUSY 4611686018427387905", "integer-range", id="time beyond 2^62"),
    pytest.param(b"t1 100 2 BUSY " + b"x" * 10_000_000, "line-too-long", id="10 MB"),
    pytest.param(b" " * (1 << 21) + b"# late", "line-too-long", id="comment behind 2 MB of blanks"),
]


@pytest.mark.parametrize(("line", "code"), BAD_LINES)
def test_bad_line_is_counted_and_skipped(core: str, tmp_path: Path, line: bytes, code: str) -> None:
    path = written(tmp_path, VALID + line + b"\n" + LATER)
    analysis = as_json(core, path)
    assert analysis["trace"]["events"] == 6
    assert analysis["trace"]["bad_lines"] == 1
    assert analysis["diagnostics"] == [{"code": code, "severity": "error", "count": 1, "first_line": 4}]


@pytest.mark.parametrize(("line", "code"), BAD_LINES)
def test_strict_refuses_a_bad_line(core: str, tmp_path: Path, line: bytes, code: str) -> None:
    path = written(tmp_path, VALID + line + b"\n" + LATER)
    done = analyze(core, path, "--strict", "--json", code=1)
    assert done.stdout == ""
    assert done.stderr.startswith(f"{path}:4: ")
    assert f"({code})" in done.stderr
    assert len(done.stderr) < 1000 + len(str(path))
    assert done.stderr.count("\n") == 1


def test_strict_takes_a_good_trace(core: str, tmp_path: Path) -> None:
    assert "3 events" in analyze(core, written(tmp_path, VALID), "--strict").stdout


def test_invalid_utf_8_in_an_annotation_is_fine(core: str, tmp_path: Path) -> None:
    analysis = as_json(core, written(tmp_path, VALID.replace(b"\n", b" <- \xff\xfe\n")))
    assert (analysis["trace"]["events"], analysis["diagnostics"]) == (3, [])


def test_many_bad_lines(core: str, tmp_path: Path) -> None:
    path = written(tmp_path, VALID + b"no event\n" * 100_000 + LATER)
    assert "100,000 × too-few-columns, first at line 4: " in " ".join(analyze(core, path).stdout.split())
    analysis = as_json(core, path)
    assert analysis["trace"]["events"] == 6
    assert found(analysis, "too-few-columns") == {
        "code": "too-few-columns", "severity": "error", "count": 100_000, "first_line": 4,
    }  # fmt: skip


@pytest.mark.slow
def test_a_million_threads(tmp_path: Path) -> None:
    path = written(tmp_path, b"".join(b"a-thread-with-a-name-%d 100 %d ENTRY\n" % (n, n // 9) for n in range(10**6)))
    start = time.monotonic()
    done = analyze("native", path)
    assert time.monotonic() - start < 60
    assert "1,000,000 threads" in done.stdout


# ---- metadata that means harm ----


@pytest.mark.parametrize(
    "comment",
    [
        b"check-interval: 0000000001" + b"0" * 5000,
        b"check-interval: 0000000001" + b"9" * 30,
        b"check-interval: -1",
        b"check-interval: 1_0",
        b"cores: \xc2\xb2",
        b"cores: " + b"9" * 5000,
        b"lost: \xff",
        b"workload: \x1b[31mred\x07",
        b"python: \x1b]0;title\x07",
        b"thread: t1 = \x1b[31mred",
    ],
    ids=lambda comment: repr(comment[:30]),
)
def test_odd_metadata(core: str, tmp_path: Path, comment: bytes) -> None:
    path = written(tmp_path, b"# " + comment + b"\n" + VALID)
    done = analyze(core, path)
    assert "60 ticks, 3 events" in done.stdout  # the interval is 100 all the same
    assert not {"\x1b", "\x07"} & set(done.stdout)
    assert as_json(core, path)["trace"]["duration"] == 60


# ---- streams that end early ----


@compressions
def test_cut_short(core: str, tmp_path: Path, compress: Compress) -> None:
    whole = compress(events(60_000))
    path = written(tmp_path, whole[: len(whole) // 2])
    analysis = as_json(core, path)
    assert 10_000 < analysis["trace"]["events"] < 60_000
    assert analysis["trace"]["bad_lines"] <= 1  # the last
    assert found(analysis, "truncated-input") == {
        "code": "truncated-input", "severity": "error", "count": 1, "first_line": None,
    }  # fmt: skip
    assert "ends before its end mark" in " ".join(analyze(core, path).stdout.split())


def test_small_and_cut_short(core: str, tmp_path: Path) -> None:
    analysis = as_json(core, written(tmp_path, gzip.compress(VALID)[:-1]))
    assert analysis["trace"]["events"] == 3
    assert found(analysis, "truncated-input")


@compressions
def test_damaged(core: str, tmp_path: Path, compress: Compress) -> None:
    whole = bytearray(compress(events(60_000)))
    middle = len(whole) // 2
    whole[middle : middle + 64] = bytes(64)
    analysis = as_json(core, written(tmp_path, whole))
    assert 0 < analysis["trace"]["events"] < 60_000
    assert found(analysis, "truncated-input")


def test_shrinking_file(core: str, tmp_path: Path) -> None:
    path = written(tmp_path, VALID)
    os.truncate(path, 1 << 26)  # a hole, so there is always something left to read
    script = """
import os, sys
from tracekit import analysis, cli
open_trace = analysis.open_trace
def open_and_shrink(path, **options):
    stream = open_trace(path, **options)
    os.truncate(path, 0)
    return stream
analysis.open_trace = open_and_shrink
sys.argv = ["tracekit", "analyze", "--json", sys.argv[1]]
cli.main()
"""
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(core), timeout=60)
    assert done.returncode == 0
    analysis = told(done.stdout, done.stderr)
    assert analysis["trace"]["events"] == 3
    assert found(analysis, "truncated-input")["severity"] == "error"


# ---- standard input and output ----


def test_standard_input(core: str) -> None:
    analysis = as_json(core, "-", given=VALID)
    assert (analysis["trace"]["path"], analysis["trace"]["events"]) == ("-", 3)


def test_empty_standard_input(core: str) -> None:
    assert analyze(core, "-", code=2).stderr.startswith("-: ")


def test_strict_names_standard_input(core: str) -> None:
    assert analyze(core, "-", "--strict", given=VALID + b"no\n", code=1).stderr.startswith("-:4: ")


def test_several_of_which_one_is_missing(core: str, tmp_path: Path) -> None:
    path, missing = written(tmp_path, VALID), tmp_path / "none.log"
    done = analyze(core, "--json", path, missing, path, code=2)
    assert [analysis["trace"]["events"] for analysis in json.loads(done.stdout)] == [3, 3]
    assert done.stderr.startswith(f"{missing}: {NO_SUCH_FILE}")


def test_reader_that_stops_early(core: str, tmp_path: Path) -> None:
    path = written(tmp_path, b"".join(b"t%d 100 1 ENTRY\n" % n for n in range(20_000)))
    command = [*COMMAND, "--json", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(core)) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"{\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_full_disk(core: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    command = [*COMMAND, str(written(tmp_path, VALID)), *options]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment(core), timeout=60)
    assert b"Traceback" not in done.stderr
    assert b"No space left on device" in done.stderr
    assert done.returncode == 2


def sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def unread(pipe: int) -> int:
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(VALID, id="few lines"),
        pytest.param(events(100_000), id="many lines"),
        pytest.param(gzip.compress(VALID)[:-1], id="gzip"),
        pytest.param(gzip.compress(events(100_000))[:-1], id="long gzip"),
    ],
)
def test_interrupt(core: str, content: bytes) -> None:
    """Ctrl-C while it waits for more from a pipe."""
    with subprocess.Popen(
        [*COMMAND, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(core),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # if it is ignored here
    ) as process:
        try:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            process.stdin.write(content)
            process.stdin.flush()
            deadline = time.monotonic() + 60
            while unread(process.stdin.fileno()) or not sleeps(process.pid):  # modules are still being loaded
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert process.wait(5) == 2
            said = process.stderr.read().decode()
            assert process.stdout.read() == b""
            assert "Traceback" not in said
            assert said.startswith("Interrupted")
            assert said.count("\n") == 1
        finally:
            process.kill()


# ---- -o FILE ----


def test_output_into_a_missing_folder(core: str, tmp_path: Path) -> None:
    out = tmp_path / "none" / "out.json"
    done = analyze(core, written(tmp_path, VALID), "-o", out, code=2)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert done.stderr.startswith(f"{out}: cannot be written: ")


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize(
    ("content", "options", "code"), [(b"", (), 2), (VALID + b"no\n", ("--strict",), 1)], ids=["empty", "strict"]
)
def test_output_of_a_failure(
    core: str, tmp_path: Path, before: str | None, content: bytes, options: tuple[str, ...], code: int
) -> None:
    path, out = written(tmp_path, content), tmp_path / "out.txt"
    if before:
        out.write_text(before)
    analyze(core, path, "-o", out, *options, code=code)
    assert {p.name for p in tmp_path.iterdir()} == ({path.name, out.name} if before else {path.name})
    if before:
        assert out.read_text() == before


def test_output_over_a_folder(core: str, tmp_path: Path) -> None:
    path, out = written(tmp_path, VALID), tmp_path / "out"
    out.mkdir()
    assert analyze(core, path, "-o", out, code=2).stderr.startswith(f"{out}: cannot be written: ")
    assert {p.name for p in tmp_path.iterdir()} == {path.name, out.name}


def test_output_replaces_a_file(core: str, tmp_path: Path) -> None:
    path, out = written(tmp_path, VALID), tmp_path / "out.json"
    out.write_text("old")
    out.chmod(0o640)
    assert analyze(core, path, "--json", "-o", out).stdout == ""
    assert json.loads(out.read_text())["trace"]["events"] == 3
    assert out.stat().st_mode & 0o777 == 0o640
    assert {p.name for p in tmp_path.iterdir()} == {path.name, out.name}
