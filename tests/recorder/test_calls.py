"""What a line of source calls, where its file tells it, and in what the recorder writes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import PROGRAMS, record
from tracekit.recorder.calls import MOST_NAMES, Source

TEXT = """
import json as j, os.path, zlib
from hashlib import sha256
from . import mine
import re
PATTERN = re.compile("x")
NAMES = [1, 2]
MIXED = []
MIXED = {}
class C:
    def __init__(self, given):
        self.db = re.compile("y")
        self.given = given
def f(): pass
def work(given, sort=len):
    j.loads(given)
    zlib.compress(zlib.decompress(given))
    PATTERN.match(given)
    NAMES.sort()
    if 3 in NAMES: pass
    if 3 in given: pass
    if 3 in MIXED: pass
    if "x" in "xyz": pass
    f(); mine(); sort(given); given()
    given.execute()
    b",".join(given)
    h = sha256(); h.update(given)
    2 ** given
    "%d" % given
    sorted(given)[0]
    os.path.join(given)
    C(1)
    for sorted_ in given: sorted_.x()
    self.db.findall(given)
    (given
        .first()
        .second())
"""
EXPECTED = {
    "j.loads": ["json.loads"], "zlib.compress": ["zlib.compress", "zlib.decompress"],
    "PATTERN.match": ["re.compile().match"], "NAMES.sort": ["list.sort"], "3 in NAMES": ["list.__contains__"],
    "3 in given": ["in"], "3 in MIXED": ["in"], '"x" in': ["str.__contains__"], "f(); mine()": [],
    "given.execute": [".execute"], 'b","': ["bytes.join"], "h = sha256": ["hashlib.sha256", "hashlib.sha256().update"],
    "2 **": ["**"], '"%d"': [], "sorted(given)": ["sorted"], "os.path.join": ["os.path.join"], "    C(1)": [],
    "for sorted_": [".x"], "self.db.findall": ["re.compile().findall"], ".second()": [".second"],
}  # fmt: skip


def source(tmp_path: Path, text: str | bytes) -> Source:
    path = tmp_path / "s.py"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Source(str(path), time.time() + 10)


def test_a_name_is_told_where_the_file_says_what_it_is(tmp_path: Path) -> None:
    found = source(tmp_path, TEXT)
    lines = TEXT.splitlines()
    for words, names in EXPECTED.items():
        (number,) = [number for number, line in enumerate(lines, 1) if words in line and number > 14]
        assert found.calls(number) == names, words


@pytest.mark.parametrize(
    "text", [b"\0", b"print 1", b"x = (" * 500, b"\xff", b"a = a\nb = a\na.f()", b"a = b.c\nb = a.d\na.f()"]
)
def test_any_source_is_borne(text: bytes, tmp_path: Path) -> None:
    assert source(tmp_path, text).calls(len(text.splitlines())) in ([], [".f"])


def test_what_cannot_be_what_ran_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "s.py"
    path.write_text("sorted(x)\n" * 2 + "f.a(); " * 20)
    assert Source(str(path), time.time() + 10).calls(1) == ["sorted"]
    assert Source(str(path), path.stat().st_mtime).calls(1) == []
    for file in ("<string>", str(tmp_path), "/dev/zero", str(tmp_path / "none.py")):
        assert Source(file, time.time() + 10).calls(1) == []
    path.write_text("".join(f"a.f{n}(); " for n in range(20)))
    assert len(Source(str(path), time.time() + 10).calls(1)) == MOST_NAMES


def test_the_trace_tells_what_the_lines_call_that_held_the_gil(tmp_path: Path) -> None:
    for out in ("out.log", "out.parquet"):
        done = record(tmp_path, str(PROGRAMS / "guilty.py"), "packing", "0.3", options=["-o", out])
        assert done.returncode == 0, done.stderr
        rows = tracekit.read(tmp_path / out).stacks.to_pylist()
        calls = {row["calls"] for row in rows if row["function"] == "packing" and row["calls"]}
        assert calls <= {"zlib.decompress, zlib.compress"}
        assert {row["calls"] for row in rows if row["function"] == "victim"} <= {None, "time.sleep"}
        if calls:
            return
    pytest.skip(f"nobody waited for that line on {sys.platform}")
