"""What a trace says its ids mean: code, stacks of frames, regions. In bounded memory."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tracekit.model.attributes import VALUE_LIMIT, natural
from tracekit.model.code import shorten

KINDS = ("code", "stack", "region", "calls")
BAD_DEFINITION = "bad-definition"
TOO_MANY = "too-many-definitions"
STACK_LIMIT = 1 << 20
CODE_LIMIT = REGION_LIMIT = 1 << 16
TEXT_LIMIT = 1 << 24
"""Bytes kept of all names of functions, files and regions together."""
DROPPED_LIMIT = 1 << 20
"""So many ids that were dropped are remembered; beyond that, what uses an unknown id counts as using one of them."""
LINE_LIMIT = 2**31 - 1
_CODE = re.compile(r"([0-9]+)[ \t]+([^ \t]+)[ \t]+(.+)", re.DOTALL)
CALLS_LIMIT = 1 << 16
"""Lines whose calls are kept."""
_CALLS = re.compile(r"([0-9]+)[ \t]+([^ \t].*)", re.DOTALL)
_STACK = re.compile(r"([0-9]+)[ \t]+([0-9]+)[ \t]+([0-9]+)")
_ESCAPED = re.compile(r"\\x([01][0-9A-Fa-f]|20|5[Cc]|7[Ff]|[89][0-9A-Fa-f])")
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f]|" + _ESCAPED.pattern.replace(r"\\x(", r"\\(?=x(?:", 1) + ")")
_BLANK_OR_CONTROL = re.compile(" |" + _CONTROL.pattern)
_FIELDS = 5  # of a stack: id, place of its parent (-1: none), code, line, depth


class Code(NamedTuple):
    first_line: int
    function: str
    file: str


class Stack(NamedTuple):
    """CODE at LINE, called by the stack `parent` (0: by nobody). depth: frames, this one included."""

    parent: int
    code: int
    line: int
    depth: int


class Definitions:
    """The definitions of a trace, as they are read: an id means what the first definition of it says.

    Attributes:
        codes: by id. At most CODE_LIMIT.
        regions: names by id. At most REGION_LIMIT.
        calls: by code and line, the names of what it calls there. At most CALLS_LIMIT.
    Stacks: `stack(id)`, all at once as `stack_columns()`. At most STACK_LIMIT, 40 bytes each and an entry in a dict.
    """

    def __init__(self) -> None:
        self.codes: dict[int, Code] = {}
        self.regions: dict[int, str] = {}
        self.calls: dict[tuple[int, int], tuple[str, ...]] = {}
        self._places: dict[int, int] = {}
        self._stacks = array("q")
        self._text = 0
        self._dropped_codes: set[int] = set()
        self._dropped_stacks: set[int] = set()

    @classmethod
    def read(cls, lines: Iterable[str]) -> Definitions:
        """From what `lines` gives. Raises ValueError: one of them is none."""
        definitions = cls()
        for line in lines:
            kind, _, told = str(line).partition(": ")
            if definitions.take(kind, told):
                raise ValueError(f"{line!r:.100} is no definition")
        return definitions

    def __bool__(self) -> bool:
        return bool(self.codes or self.regions or self._places)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Definitions) and list(self.lines()) == list(other.lines())

    __hash__ = None  # type: ignore[assignment]

    @property
    def stacks(self) -> int:
        """How many there are."""
        return len(self._places)

    def shorten(self, prefixes: Sequence[str]) -> None:
        """Leaves these folders out of the names of files."""
        for number, code in self.codes.items():
            self.codes[number] = code._replace(file=shorten(code.file, prefixes))

    def stack(self, stack: int) -> Stack | None:
        place = self._places.get(stack)
        if place is None:
            return None
        _, parent, code, line, depth = self._stacks[place * _FIELDS : (place + 1) * _FIELDS]
        return Stack(0 if parent < 0 else self._stacks[parent * _FIELDS], code, line, depth)

    def frames(self, stack: int) -> list[tuple[Code, int]]:
        """The code and the line of each frame, the innermost first; empty for an id without definition."""
        frames = []
        place = self._places.get(stack, -1)
        while place >= 0:
            _, place, code, line, _ = self._stacks[place * _FIELDS : (place + 1) * _FIELDS]
            frames.append((self.codes[code], line))
        return frames

    def stack_ids(self) -> Iterable[int]:
        """In the order of their definitions."""
        return self._places

    def stack_columns(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Of all stacks in the order of their definitions: ids, places of their parents (-1: none), codes, lines,
        depths. A parent stands before what it calls."""
        rows = np.array(self._stacks, np.int64).reshape(-1, _FIELDS)
        return tuple(np.ascontiguousarray(rows[:, column]) for column in range(_FIELDS))

    def take(self, kind: str, told: str) -> str | None:
        """Keeps a definition of one of `KINDS`; `told` is `ID = ...`. What it counts as instead where it is not kept:
        BAD_DEFINITION or TOO_MANY."""
        word, _, what = told.partition(" = ")
        number = natural(word.strip(" \t"), 1, VALUE_LIMIT)
        what = what.strip(" \t")
        if number is None or kind not in KINDS:
            return BAD_DEFINITION
        if kind == "code":
            return self._take_code(number, what)
        if kind == "stack":
            return self._take_stack(number, what)
        if kind == "calls":
            return self._take_calls(number, what)
        return self._take_region(number, what)

    def _take_code(self, number: int, what: str) -> str | None:
        match = _CODE.fullmatch(what)
        first_line = natural(match[1], 0, LINE_LIMIT) if match else None
        if not match or first_line is None or number in self.codes:
            return BAD_DEFINITION
        code = Code(first_line, _unescaped(match[2]), _unescaped(match[3]))
        if len(self.codes) >= CODE_LIMIT or not self._has_room(code.function + code.file):
            _remember(self._dropped_codes, number)
            return TOO_MANY
        self.codes[number] = code
        return None

    def _take_stack(self, number: int, what: str) -> str | None:
        match = _STACK.fullmatch(what)
        parent = natural(match[1], 0, number - 1) if match else None
        code = natural(match[2], 1, VALUE_LIMIT) if match else None
        line = natural(match[3], 0, LINE_LIMIT) if match else None
        if parent is None or code is None or line is None or number in self._places:
            return BAD_DEFINITION
        known = code in self.codes and (parent == 0 or parent in self._places)
        if len(self._places) >= STACK_LIMIT or (not known and self._uses_dropped(parent, code)):
            _remember(self._dropped_stacks, number)
            return TOO_MANY
        if not known:
            return BAD_DEFINITION
        above = self._places[parent] if parent else -1
        depth = self._stacks[above * _FIELDS + _FIELDS - 1] + 1 if parent else 1
        self._places[number] = len(self._places)
        self._stacks.extend((number, above, code, line, depth))
        return None

    def _uses_dropped(self, parent: int, code: int) -> bool:
        return (code not in self.codes and _is_in(self._dropped_codes, code)) or (
            parent != 0 and parent not in self._places and _is_in(self._dropped_stacks, parent)
        )

    def _take_region(self, number: int, what: str) -> str | None:
        if not what or number in self.regions:
            return BAD_DEFINITION
        name = _unescaped(what)
        if len(self.regions) >= REGION_LIMIT or not self._has_room(name):
            return TOO_MANY
        self.regions[number] = name
        return None

    def _take_calls(self, code: int, what: str) -> str | None:
        match = _CALLS.fullmatch(what)
        line = natural(match[1], 0, LINE_LIMIT) if match else None
        if not match or line is None or (code, line) in self.calls:
            return BAD_DEFINITION
        if code not in self.codes:
            return TOO_MANY if _is_in(self._dropped_codes, code) else BAD_DEFINITION
        return None if self.define_calls(code, line, map(_unescaped, re.findall(r"[^ \t]+", match[2]))) else TOO_MANY

    def define_calls(self, code: int, line: int, names: Iterable[str]) -> bool:
        """What a line of a known code calls. False: there are too many."""
        kept = tuple(names)
        if len(self.calls) >= CALLS_LIMIT or not self._has_room("".join(kept)):
            return False
        self.calls[code, line] = kept
        return True

    def _has_room(self, text: str) -> bool:
        size = len(text.encode())
        fits = self._text + size <= TEXT_LIMIT
        self._text += size if fits else 0
        return fits

    def lines(self) -> Iterator[str]:
        """Each as it stands in a comment behind the `#`; what one uses comes before it."""
        for number, told in self.codes.items():
            yield f"code: {number} = {code_words(told)}"
        stacks = self._stacks
        for start in range(0, len(stacks), _FIELDS):
            number, above, code_number, line, _ = stacks[start : start + _FIELDS]
            yield f"stack: {number} = {0 if above < 0 else stacks[above * _FIELDS]} {code_number} {line}"
        for (code, line), names in self.calls.items():
            yield f"calls: {code} = {line} {' '.join(_BLANK_OR_CONTROL.sub(_escape, name) for name in names)}"
        for number, name in self.regions.items():
            yield f"region: {number} = {region_words(name)}"


def code_words(code: Code) -> str:
    """What stands behind the `ID = ` of a code's definition."""
    return f"{code.first_line} {_BLANK_OR_CONTROL.sub(_escape, code.function)} {_escaped(code.file)}"


def region_words(name: str) -> str:
    """What stands behind the `ID = ` of a region's definition."""
    return _escaped(name)


def _remember(dropped: set[int], number: int) -> None:
    if len(dropped) < DROPPED_LIMIT:
        dropped.add(number)


def _is_in(dropped: set[int], number: int) -> bool:
    return number in dropped or len(dropped) >= DROPPED_LIMIT


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def _escaped(text: str) -> str:
    """Control characters, blanks at the ends, and a backslash that would be read as the beginning of one of these."""
    inner = text.strip(" ")
    before = len(text) - len(text.lstrip(" ")) if inner else len(text)
    after = len(text) - before - len(inner)
    return "\\x20" * before + _CONTROL.sub(_escape, inner) + "\\x20" * after


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
