"""Names are UTF-8, and nothing else is: both cores take what Python's decoder takes, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracekit
from tests.conftest import examples, require_native
from tests.timeline.test_properties import flat, outcome
from tracekit.parsers.native_text import NativeText
from tracekit.parsers.text import PlainText
from tracekit.timeline.native import NativeMachine
from tracekit.timeline.plain import PlainMachine

EDGES = {
    b"\xc2\x80": True, b"\xdf\xbf": True, b"\xe0\xa0\x80": True, b"\xed\x9f\xbf": True, b"\xee\x80\x80": True,
    b"\xef\xbf\xbf": True, b"\xf0\x90\x80\x80": True, b"\xf4\x8f\xbf\xbf": True,
    b"\xc0\x80": False, b"\xc1\xbf": False, b"\xe0\x9f\xbf": False, b"\xed\xa0\x80": False, b"\xed\xbf\xbf": False,
    b"\xf0\x8f\xbf\xbf": False, b"\xf4\x90\x80\x80": False, b"\xf5\x80\x80\x80": False, b"\x80": False,
    b"\xbf": False, b"\xff": False, b"\xc2": False, b"\xe1\x80": False, b"\xf1\x80\x80": False, b"\xe1\x80A": False,
}  # fmt: skip
"""Where the ranges of UTF-8 begin and end. ED A0 to ED BF would be surrogates, which no text has."""


@pytest.mark.parametrize(("name", "valid"), EDGES.items(), ids=[name.hex() for name in EDGES])
def test_the_edges_of_utf_8(name: bytes, valid: bool, core: str, tmp_path: Path) -> None:
    """A name that is not valid would make tables that Arrow, pandas and every JSON parser refuse."""
    path = tmp_path / "t.log"
    path.write_bytes(b"t1 1 1 ENTRY\nx" + name + b" 1 1 ENTRY\nt2 1 1 ENTRY\n")
    trace = tracekit.read(path)
    trace.threads.validate(full=True)
    seen = trace.threads.column("thread").to_pylist()
    assert seen == (["t1", (b"x" + name).decode(), "t2"] if valid else ["t1", "t2"])
    assert trace.bad_lines == (not valid)


parts = st.one_of(
    st.binary(min_size=1, max_size=4), st.sampled_from(list(EDGES)), st.text(min_size=1, max_size=3).map(str.encode)
)


@settings(max_examples=examples(200))
@given(st.lists(st.lists(parts, min_size=1, max_size=4).map(b"".join), min_size=1, max_size=5))
def test_both_cores_take_the_same_bytes(words: list[bytes]) -> None:
    require_native()
    text = b"".join(word + b" 1 1 ENTRY\n" for word in words)
    native = outcome(text, NativeText, NativeMachine, False)
    assert flat(native) == flat(outcome(text, PlainText, PlainMachine, False))


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("t1 -- 1 ENTRY", "bad-ticks"), ("t1 1 -- ENTRY", "bad-checks"), ("t1 1 1 ENTRYS", "unknown-event"),
        ("t1 1: 1 ENTRY", "bad-ticks"), ("t1 1 1/ ENTRY", "bad-checks"), ("t1 1 1 ENTRY 5:", None),
        ("t1 1 1 ENTR", "unknown-event"), ("t1 1 1 RELEASED 5", "unknown-event"), ("t1 1 1", "too-few-columns"),
        ("t1 1 1 ENTRY -", None), ("t1 1 1 ENTRY --5", None), ("t1 1 1 ENTRY 5-", None), ("t1 - - entry 07", None),
    ],
)  # fmt: skip
def test_what_is_almost_a_word_or_a_number_is_none(row: str, code: str | None, core: str, tmp_path: Path) -> None:
    """A minus alone is no time but the beginning of an annotation, and no event's name is longer than its own."""
    (tmp_path / "t.log").write_text(f"t0 1 1 ENTRY\n{row}\n")
    trace = tracekit.read(tmp_path / "t.log")
    assert [found.code for found in trace.summary if found.code == code] == ([code] if code else [])
    assert trace.events.column("time").to_pylist()[1:] == ([] if code else [7 if row.endswith("07") else None])
