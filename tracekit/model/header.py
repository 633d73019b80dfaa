"""A trace's header (metadata, thread names, bad lines) as one JSON object, stored in converted formats."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tracekit.errors import SchemaError
from tracekit.model.definitions import Definitions
from tracekit.model.naming import Names
from tracekit.model.stream import BAD_LINE_TEXTS, BadLine, BadLines, EventStream, Ignored
from tracekit.words import whole_number

VERSION = 1
KEY = "tracekit.trace"
"""Where a format of tables has it in its metadata."""
LATER = "Update tracekit: a later version wrote this."


@dataclass(frozen=True)
class Header:
    """Of a trace that is all read; the attributes are those of `EventStream`.

    unit: of its clock, `ns` or `ticks`.
    """

    unit: str
    metadata: dict[str, str] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    bad_lines: BadLines = field(default_factory=BadLines)
    fault_lines: dict[tuple[str, str], int] = field(default_factory=dict)
    truncated: str | None = None
    ignored: Ignored = field(default_factory=Ignored)
    definitions: Definitions = field(default_factory=Definitions)

    def without_definitions(self) -> Header:
        """For what has no ids in it: definitions may take much room."""
        return replace(self, definitions=Definitions())

    def to_json(self) -> str:
        """One line."""
        told = {name: value for name, value in vars(self).items() if name not in ("ignored", "definitions")} | {
            "version": VERSION,
            "fault_lines": [[*fault, line] for fault, line in self.fault_lines.items()],
            "bad_lines": {
                "counts": self.bad_lines.counts,
                "first": self.bad_lines.first,
                "lines": [[bad.line, bad.code, bad.text] for bad in self.bad_lines.lines[:BAD_LINE_TEXTS]],
            },
        }
        if self.names.renames:
            told["first_names"], told["renames"] = self.names.at_first(), self.names.renames
        if self.ignored.counts:
            told["ignored"] = asdict(self.ignored)
        if self.definitions:
            told["definitions"] = list(self.definitions.lines())
        return json.dumps(told, ensure_ascii=False)

    def tell(self, stream: EventStream) -> None:
        """Gives a stream what is known here."""
        stream.metadata = dict(self.metadata)
        stream.names = self.names
        stream.bad_lines = self.bad_lines
        stream.fault_lines = dict(self.fault_lines)
        stream.truncated = self.truncated
        stream.ignored = self.ignored
        stream.definitions = self.definitions


def from_json(text: str | bytes, path: str) -> Header:
    """Raises SchemaError: it is of a later version, or no header."""
    try:
        told: dict[str, Any] = json.loads(text)
        if told["version"] > VERSION:
            raise SchemaError(
                f"{path}: its header has version {told['version']}; this tracekit reads {VERSION}.", LATER
            )
        bad = told["bad_lines"]
        return Header(
            unit=str(told["unit"]),
            metadata=_words(told["metadata"]),
            names=Names(_words(told.get("first_names", told["names"])), _renames(told.get("renames", []))),
            bad_lines=BadLines(
                {str(code): int(count) for code, count in bad["counts"].items()},
                {str(code): int(line) for code, line in bad["first"].items()},
                [BadLine(int(line), str(code), text) for line, code, text in bad["lines"]],
            ),
            fault_lines={(str(code), str(severity)): int(line) for code, severity, line in told["fault_lines"]},
            truncated=told["truncated"],
            ignored=_ignored(told.get("ignored", {"counts": {}, "first": {}})),
            definitions=Definitions.read(told.get("definitions", [])),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise SchemaError(f"{path}: its tracekit header is damaged ({error}).", "Convert the trace again.") from error
    except RecursionError as error:
        raise SchemaError(f"{path}: its tracekit header is nested too deep.", "Convert the trace again.") from error


def _words(told: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in told.items()}


def _renames(told: list[tuple[Any, ...]]) -> list[tuple[int, str, str]]:
    return [(int(seq), str(thread), str(name)) for seq, thread, name in told]


def _ignored(told: dict[str, dict[str, int]]) -> Ignored:
    counts, first = ({str(code): int(number) for code, number in told[what].items()} for what in ("counts", "first"))
    return Ignored(counts, first)


def check_stamp(stamp: str | None, table: str, path: str) -> None:
    """Whether this is schema `table` in a version that can be read; no stamp is any. Raises SchemaError."""
    if stamp is None:
        return
    name, _, version = stamp.partition("/")
    if name != table:
        raise SchemaError(
            f"{path}: this is the table {name}, not {table}.", "Name the folder or the file of the events."
        )
    if whole_number(version, VERSION) is None:
        raise SchemaError(f"{path}: its schema is {stamp}; this tracekit reads {table}/{VERSION}.", LATER)
