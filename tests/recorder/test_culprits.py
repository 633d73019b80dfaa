"""What is told of functions that keep the GIL, against recordings of them; and the page that lists them."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import PROGRAMS, record
from tracekit.analyzers.culprits import matching

PROGRAM = PROGRAMS / "culprits.py"
KEEPS = {
    "json_loads": "json", "json_dumps": "json", "re_match": "re", "re_compiled": "re", "sort": "Sorting",
    "search": "Searching", "multiply": "Arithmetic", "summed": "Going through", "join_texts": "bytes.join",
    "hash_small": "hashlib", "checksum_small": "zlib.crc32", "encode": "base64", "encode_base64": "base64",
    "unpickle": "pickle", "pickled": "pickle", "collect": "gc.collect", "compiled": "Compiling",
    "c_call": "ctypes.PyDLL", "rows": "csv", "deepcopy": "copy.deepcopy",
    "objects": "numpy", "orjson_loads": "orjson", "unpack": "msgpack",
}  # fmt: skip
LETS_GO = {
    "hash_large": "hashlib", "checksum_large": "zlib.crc32", "pack": "zlib", "pack_bz2": "zlib", "select": "sqlite3",
    "resolve": "socket", "numbers": "numpy", "regex_match": "regex", "join_bytes": "bytes.join",
}  # fmt: skip
NEEDS = {"objects": "numpy", "numbers": "numpy", "orjson_loads": "orjson", "unpack": "msgpack", "regex_match": "regex"}


@pytest.mark.soak
@pytest.mark.parametrize("name", [*KEEPS, *LETS_GO])
def test_a_recording_shows_what_is_told(name: str, tmp_path: Path) -> None:
    if name in NEEDS and not find_spec(NEEDS[name]):
        pytest.skip(f"{NEEDS[name]} is not installed")
    done = record(tmp_path, str(PROGRAM), name, "1")
    assert done.returncode == 0, done.stderr
    analysis = tracekit.analyze(tmp_path / "out.log")
    (victim,) = [row for row in analysis.threads.to_pylist() if row["name"] == "victim"]
    if name in LETS_GO:
        assert victim["waited"] < 0.2 * analysis.duration
        return
    assert victim["waited"] > 0.2 * analysis.duration
    told: dict[str, int] = {}
    for row in analysis.stack_blame.to_pylist():
        frames = analysis.places.frames(row["holder_stack"] or -1)
        for leaf in frames[:1]:
            frame = f"{leaf.module}.{leaf.function}" if leaf.module else None
            for culprit in matching(frame, (leaf.calls or "").split(", "), in_c=True):
                told[culprit.name] = told.get(culprit.name, 0) + row["duration"]
    expected = next((spent for each, spent in told.items() if each.startswith(KEEPS[name])), 0)
    assert expected == max(told.values()) > 0, told


def test_every_program_is_tried() -> None:
    there = set(re.findall(r"^def (\w+)\(", PROGRAM.read_text(), re.MULTILINE)) - {"victim"}
    assert {*KEEPS, *LETS_GO} <= there
    assert sys.version_info >= (3, 11)
