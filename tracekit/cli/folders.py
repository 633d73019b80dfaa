"""Folders in which the traces of a program's processes stand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tracekit.cli.common import say
from tracekit.errors import OptionError, SourceError
from tracekit.words import count, printable

_BESIDE = (".html", ".md", ".json", ".csv")


def traces_in(named: Sequence[str]) -> list[str]:
    """The files that are meant: of a folder those in it that are traces. Raises OptionError: a folder has none.

    A folder of tables is one trace. What is left out of a folder is told on standard error.
    """
    found: list[str] = []
    for name in named:
        found += _traces_of(name) if is_folder_of_traces(name) else [name]
    return found


def is_folder_of_traces(name: str) -> bool:
    from tracekit.parsers import events_of

    return os.path.isdir(name) and events_of(name) == name


def _traces_of(folder: str) -> list[str]:
    from tracekit.parsers import open_trace

    traces, others = list[Path](), list[Path]()
    for path in sorted(path for path in Path(folder).iterdir() if path.is_file() and not path.name.startswith(".")):
        if path.suffix.lower() in _BESIDE:
            continue
        try:
            with open_trace(path) as stream:
                is_trace = next(iter(stream), None) is not None
        except SourceError:
            is_trace = False
        (traces if is_trace else others).append(path)
    if not traces:
        raise OptionError(f"{folder}: has no traces in it.", "Name a trace, or the folder that one was recorded into.")
    if others:
        shown = ", ".join(path.name for path in others[:3]) + (", ..." if len(others) > 3 else "")
        say(printable(f"{folder}: {count(len(others), 'file is not a trace', 'files are not traces')}: {shown}."))
    return [str(path) for path in traces]
