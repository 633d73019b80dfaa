"""JSON of any length, read event by event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Events = Iterator[tuple[str, Any]]
"""(event, value) as ijson gives them: start_map, map_key, end_map, start_array, end_array, string, number, ..."""


def events(pieces: Iterable[bytes]) -> Events:
    """The events of one JSON text. Raises ijson.JSONError while it is iterated."""
    import ijson

    parsed: Events = ijson.basic_parse(ijson.from_iter(iter(pieces)), use_float=True)
    return parsed


def members(parsed: Events) -> Iterator[tuple[str, str, Any]]:
    """(key, event, value) of each member of the object that has just begun.

    A value that is an object or array must be read or skipped before the next member.
    """
    for event, key in parsed:
        if event == "end_map":
            return
        yield key, *next(parsed)


def elements(parsed: Events) -> Iterator[tuple[str, Any]]:
    """(event, value) of each element of the array that has just begun; else as `members`."""
    for event, value in parsed:
        if event == "end_array":
            return
        yield event, value


def skip(parsed: Events, event: str) -> None:
    """Reads the rest of a value whose first event this is."""
    depth = int(event.startswith("start"))
    while depth:
        event, _ = next(parsed)
        depth += event.startswith("start") - event.startswith("end")
