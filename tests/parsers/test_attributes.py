"""Attributes and definitions in the text format, one reading a case; and what an independent program found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracekit
from tests.conftest import GOLDEN, require_native, trace_file
from tracekit.model import definitions
from tracekit.model.attributes import FIELDS, SPARSE, Attributes, columns, of_rows
from tracekit.model.definitions import BAD_DEFINITION, TOO_MANY, Code, Definitions, Stack
from tracekit.model.source import Source
from tracekit.model.stream import EventStream
from tracekit.parsers.native_text import NativeText
from tracekit.parsers.text import PlainText

EXPECTED: dict[str, Any] = json.loads((GOLDEN / "attributes" / "expected.json").read_text())


Core = type[PlainText] | type[NativeText]


@pytest.fixture(params=[PlainText, NativeText])
def parser(request: pytest.FixtureRequest) -> Any:
    if request.param is NativeText:
        require_native()
    return request.param


def read(path: Path, parser: Core) -> tuple[EventStream, dict[int, Attributes]]:
    with Source(path) as source:
        stream = parser(source)
        found: dict[int, Attributes] = {}
        seq = 0
        for batch in stream:
            found |= {seq + row: attributes for row, attributes in of_rows(batch).items()}
            seq += batch.num_rows
        return stream, found


def attributes(parser: Core, folder: Path, *lines: str) -> tuple[list[Attributes], dict[str, int]]:
    """Of each line, and what was counted."""
    path = folder / "trace.log"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    stream, found = read(path, parser)
    assert not stream.bad_lines.total
    return [found.get(row, Attributes()) for row in range(len(lines))], stream.ignored.counts


@pytest.mark.parametrize("name", EXPECTED)
def test_what_an_independent_program_found(name: str, core: str) -> None:
    found = tracekit.analyze(trace_file(name))
    told: dict[str, dict[str, int]] = {}
    for diagnostic in found.diagnostics:
        told.setdefault(diagnostic.code, {})[diagnostic.severity] = diagnostic.count
    assert told == EXPECTED[name]["diagnostics"]
    assert found.metadata == EXPECTED[name]["metadata"]


MOST = 2**62
CASES = {
    "t 0 0 RELEASE 5 cpu=0 stack=1 region=2 lock=3 unlocks=3,9": (Attributes(0, 1, None, 2, 3, (3, 9)), 0),
    "t 0 0 BUSY 5 sample=2 stack=1": (Attributes(stack=1, sample=2), 0),
    "t 0 0 retry 5\tsample=2 \t stack=1 \t": (Attributes(stack=1, sample=2), 0),
    "t 0 0 ENTRY 5 region=1": (Attributes(region=1), 0),
    "t 0 0 ENTRY 5 stack=1 sample=1 cpu=1 lock=1 unlocks=1": (Attributes(), 0),
    "t 0 0 ACQUIRE 5 stack=1 sample=1 cpu=1 lock=1 unlocks=1 region=1": (Attributes(), 0),
    "t 0 0 BUSY 5 region=1 lock=1 unlocks=1 cpu=1": (Attributes(), 0),
    "t 0 0 ENTRY 5 cpu=-1 stack=0": (Attributes(), 2),
    "t 0 0 RELEASE 5 sample=1": (Attributes(), 0),
    "t 0 0 RELEASE 5 cpu=5 cpu=x": (Attributes(cpu=5), 1),
    "t 0 0 RELEASE 5 cpu=x cpu=5 cpu=7": (Attributes(cpu=7), 1),
    "t 0 0 RELEASE 5 unlocks=1,2 unlocks=3": (Attributes(unlocks=(3,)), 0),
    "t 0 0 RELEASE 5 zz=1 z-z=x cpu=5": (Attributes(cpu=5), 0),
    "t 0 0 RELEASE 5 cpu=5 note cpu=6": (Attributes(cpu=5), 0),
    "t 0 0 RELEASE 5 cpu= cpu=6": (Attributes(), 0),
    "t 0 0 RELEASE 5 =1 cpu=6": (Attributes(), 0),
    "t 0 0 RELEASE 5 Cpu=1 cpu=6": (Attributes(), 0),
    "t 0 0 RELEASE 5 -a=1 cpu=6": (Attributes(), 0),
    "t 0 0 RELEASE 5 c1=1 cpu=6": (Attributes(), 0),
    "t 0 0 RELEASE 5 cpu=1=2": (Attributes(), 1),
    "t 0 0 RELEASE cpu=1": (Attributes(), 0),
    "t 0 0 RELEASE note 5 cpu=1": (Attributes(), 0),
    f"t 0 0 RELEASE 5 cpu={MOST} stack={MOST}": (Attributes(cpu=MOST, stack=MOST), 0),
    f"t 0 0 RELEASE 5 cpu={MOST + 1} stack={MOST + 1}": (Attributes(), 2),
    f"t 0 0 RELEASE 5 cpu={'9' * 5000} stack={'0' * 5000}7": (Attributes(stack=7), 1),
    "t 0 0 RELEASE 5 cpu=00042 stack=+1 region=1_0": (Attributes(cpu=42), 2),
    "t 0 0 RELEASE 5 cpu=\u0661 region=\udcff": (Attributes(), 2),
    "t 0 0 RELEASE 5 unlocks=1,2,3,4,5,6,7,8": (Attributes(unlocks=(1, 2, 3, 4, 5, 6, 7, 8)), 0),
    "t 0 0 RELEASE 5 unlocks=1,2,3,4,5,6,7,8,9": (Attributes(), 1),
    "t 0 0 RELEASE 5 unlocks=1,,2 unlocks=, unlocks=1, unlocks=0 unlocks=07,07": (Attributes(unlocks=(7, 7)), 4),
}


@pytest.mark.parametrize("line", CASES, ids=lambda line: line[:60])
def test_a_row(line: str, parser: Core, tmp_path: Path) -> None:
    expected, bad = CASES[line]
    assert attributes(parser, tmp_path, line) == ([expected], {"bad-attribute": bad} if bad else {})


def test_columns_are_copies() -> None:
    """The core uses its memory again, also that of one single value."""
    found = np.array([(1, list(FIELDS).index("unlocks"), 4)], SPARSE)
    made = columns(found, 2)
    found["value"] = 5
    assert made["unlocks"].to_pylist() == [None, [4]]


def test_a_batch_without_attributes_has_no_such_columns(tmp_path: Path) -> None:
    path = tmp_path / "trace.log"
    path.write_text("t 0 0 ENTRY 5\nt 0 0 ACQUIRE 6\nt 0 0 RELEASE 7 cpu=1\n")
    with Source(path) as source:
        first, second = PlainText(source, batch_events=2)
    assert first.schema.names == ["thread", "ticks", "checks", "event", "time"]
    assert second.schema.names == ["thread", "ticks", "checks", "event", "time", "cpu"]


def test_attributes_of_a_bad_line_count_for_nothing(parser: Core, tmp_path: Path) -> None:
    path = tmp_path / "trace.log"
    path.write_text("t 0 0 ENTRY 5\nt 0 0 RELEASE 99999999999999999999 cpu=x\nt 0 x RELEASE 5 cpu=x\n")
    stream, found = read(path, parser)
    assert (stream.bad_lines.total, stream.ignored.counts, found) == (2, {}, {})


def test_where_each_was_first(parser: Core, tmp_path: Path) -> None:
    path = tmp_path / "trace.log"
    path.write_text("# gil: new\n# code: 1 = x\n\nt 0 0 ENTRY 5\nt 0 0 RELEASE 5 cpu=x\n# region: 0 = x\n")
    stream, _ = read(path, parser)
    assert stream.ignored.first == {"bad-definition": 2, "bad-attribute": 5}
    assert stream.ignored.counts == {"bad-definition": 2, "bad-attribute": 1}


def defined(*lines: str) -> tuple[Definitions, list[str | None]]:
    found = Definitions()
    return found, [found.take(*line.split(": ", 1)) for line in lines]


def test_definitions() -> None:
    found, why = defined(
        "code: 7 = 0 C.f /a b/c d.py",
        "code: 8 = 2147483647 <module> x",
        "stack: 1 = 0 7 11",
        "stack: 9 = 1 8 0",
        "stack: 4000000000000000000 = 9 7 2147483647",
        "region: 1 = GET /a?b = c",
    )
    assert why == [None] * 6
    assert found.codes == {7: Code(0, "C.f", "/a b/c d.py"), 8: Code(2**31 - 1, "<module>", "x")}
    assert found.stack(9) == Stack(1, 8, 0, 2)
    assert found.stack(4 * 10**18) == Stack(9, 7, 2**31 - 1, 3)
    assert found.stack(2) is None
    assert [(code.function, line) for code, line in found.frames(9)] == [("<module>", 0), ("C.f", 11)]
    assert found.frames(2) == []
    assert found.regions == {1: "GET /a?b = c"}
    ids, parents, codes, lines, depths = (column.tolist() for column in found.stack_columns())
    assert (ids, parents) == ([1, 9, 4 * 10**18], [-1, 0, 1])
    assert (codes, lines, depths) == ([7, 8, 7], [11, 0, 2**31 - 1], [1, 2, 3])


@pytest.mark.parametrize(
    "line",
    [
        "code: 1 = 2 g h.py", "code: 0 = 1 f x.py", "code: 4611686018427387905 = 1 f x.py", "code: x = 1 f x.py",
        "code: 2 = f x.py", "code: 2 = -1 f x.py", "code: 2 = 2147483648 f x.py", "code: 2 = 1 f", "code: 2 = 1",
        "stack: 1 = 0 1 1", "stack: 2 = 2 1 1", "stack: 2 = 3 1 1", "stack: 2 = 0 9 1", "stack: 2 = 0 1",
        "stack: 2 = 0 1 1 1", "stack: 2 = 0 1 2147483648", "stack: 3 = 2 1 1", "stack: 2 = 0 0 1", "stack: 2 = a 1 1",
        "region: 1 = b", "region: 0 = a", "region: a = a",
        "calls: 1 = 2", "calls: 1 = f", "calls: 2 = 2 f", "calls: 1 = -1 f",
    ],
)  # fmt: skip
def test_bad_definitions(line: str) -> None:
    found, why = defined("code: 1 = 1 f x.py", "stack: 1 = 0 1 1", "region: 1 = a", line)
    assert why == [None, None, None, BAD_DEFINITION]
    assert (len(found.codes), found.stacks, found.regions) == (1, 1, {1: "a"})


def test_calls_are_told_once_for_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ["calls: 1 = 2 zlib.compress  in", "calls: 1 = 3 f", "calls: 1 = 2 g"]
    found, why = defined("code: 1 = 1 f x.py", *told)
    assert (found.calls, why[1:]) == ({(1, 2): ("zlib.compress", "in"), (1, 3): ("f",)}, [None, None, BAD_DEFINITION])
    monkeypatch.setattr(definitions, "CALLS_LIMIT", 1)
    assert defined("code: 1 = 1 f x.py", *told)[1][1:] == [None, TOO_MANY, BAD_DEFINITION]


def test_a_rejected_definition_leaves_its_id_free() -> None:
    assert defined("code: 1 = x", "code: 1 = 1 f x.py", "stack: 1 = 0 2 1", "stack: 1 = 0 1 1")[1] == [
        BAD_DEFINITION, None, BAD_DEFINITION, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "name"),
    [("a\\x20b", "a b"), ("\\x0a\\x7f\\x9F", "\n\x7f\x9f"), ("a\\x41\\n", "a\\x41\\n"), ("\\x5cx20", "\\x20")],
)
def test_escapes(written: str, name: str) -> None:
    found, why = defined(f"code: 1 = 1 {written} {written}", f"region: 1 = {written}")
    assert why == [None, None]
    assert (found.codes[1], found.regions[1]) == (Code(1, name, name), name)


@pytest.mark.parametrize("name", [" ", " a ", "a  b", "\\", "\\x20", "\\x5cx20", "\t\r\n\0", "\x85\u2028é", "= # ="])
def test_every_name_is_written_so_that_it_is_read_again(name: str) -> None:
    found, _ = defined("code: 1 = 1 f x", "stack: 1 = 0 1 1", "region: 1 = y")
    found.codes[1] = Code(1, name, name)
    found.regions[1] = name
    assert found.define_calls(1, 7, [name, "zlib.compress"])
    again, why = defined(*found.lines())
    assert why == [None, None, None, None]
    assert again == found
    assert (again.codes, again.regions, again.calls) == (found.codes, found.regions, found.calls)


@pytest.mark.parametrize("extra", [0, 1])
def test_a_line_of_attributes_may_be_as_long_as_any(extra: int, parser: Core, tmp_path: Path) -> None:
    line = b"t 0 0 RELEASE 5" + b" cpu=1" * ((2**20 + extra - 15) // 6)
    line = line.ljust(2**20 + extra, b" ")
    (tmp_path / "trace.log").write_bytes(b"t 0 0 ENTRY 5\n" + line + b"\n")
    stream, found = read(tmp_path / "trace.log", parser)
    assert (stream.bad_lines.counts, found) == (({"line-too-long": 1}, {}) if extra else ({}, {1: Attributes(cpu=1)}))


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("STACK_LIMIT", "CODE_LIMIT", "REGION_LIMIT"):
        monkeypatch.setattr(definitions, limit, 2)
    found, why = defined(
        "code: 1 = 1 f x", "code: 2 = 1 g x", "code: 3 = 1 h x",  # the third is dropped
        "code: 1 = 1 f x", "code: 4 = x",  # a second one, and one that cannot be read
        "stack: 1 = 0 3 1", "stack: 2 = 1 1 1",  # both use what was dropped
        "stack: 3 = 0 9 1",  # this one what never was
        "stack: 4 = 0 1 1", "stack: 5 = 4 2 2", "stack: 6 = 5 1 1", "stack: 7 = 6 9 1", "stack: 4 = 0 1 1",
        "region: 1 = a", "region: 2 = b", "region: 3 = c", "region: 2 = c",
    )  # fmt: skip
    bad, many = BAD_DEFINITION, TOO_MANY
    codes, stacks, regions = [None, None, many, bad, bad], [many, many, bad, None, None, many, many, bad], [None, None]
    assert why == [*codes, *stacks, *regions, many, bad]
    assert (len(found.codes), found.stacks, len(found.regions)) == (2, 2, 2)


def test_names_have_a_limit_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "TEXT_LIMIT", 10)
    assert defined("code: 1 = 1 abc def", "region: 1 = abcde", "region: 2 = abcd", "code: 2 = 1 a b")[1] == [
        None, TOO_MANY, None, TOO_MANY,
    ]  # fmt: skip


def test_the_real_limits() -> None:
    assert (definitions.STACK_LIMIT, definitions.CODE_LIMIT, definitions.REGION_LIMIT) == (2**20, 2**16, 2**16)
    assert definitions.CALLS_LIMIT == 2**16
