"""What the files of a trace's code are: the user's own or a library's, and how their names are shortened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_PACKAGES = re.compile(r"(?:^|(?<=/))(?:site|dist)-packages/")
_STANDARD = re.compile(r"(?:^|(?<=^lib/)|(?<=/lib/)|(?<=/lib64/))python[23]\.\d+t?/|(?:^|(?<=/))python\d+\.zip/")
_INSIDE_WORD = r"(?<![\w.~-])"


def library(file: str) -> tuple[str, str] | None:
    """Of a file of the standard library or of an installed package: what leads to it, and its name from the folder on
    that makes it one (`python3.12/json/decoder.py`). None for the user's own. Frozen code is the standard library's."""
    if file.startswith("<frozen "):
        return "", file
    mark = _PACKAGES.search(file) or _STANDARD.search(file)
    return (file[: mark.start()], file[mark.start() :]) if mark else None


def as_prefixes(prefixes: str | Sequence[str]) -> tuple[str, ...]:
    """The longest first, each without a slash at its end."""
    given = [prefixes] if isinstance(prefixes, str) else prefixes
    return tuple(sorted({prefix.rstrip("/") for prefix in given} - {""}, key=len, reverse=True))


def shorten(file: str, prefixes: Sequence[str]) -> str:
    """A file's name without the first of these folders that it begins with; a library can still be told as one."""
    for prefix in prefixes:
        if file.startswith(f"{prefix}/"):
            of = library(file)
            return of[1] if of and len(of[0]) <= len(prefix) else file[len(prefix) + 1 :]
    return file


def shorten_words(metadata: Mapping[str, str], prefixes: Sequence[str]) -> dict[str, str]:
    """Without these folders wherever a path in a value begins with one."""
    shortened = dict(metadata)
    for prefix in prefixes:
        prefixed = re.compile(rf"{_INSIDE_WORD}{re.escape(prefix)}/")
        shortened = {key: prefixed.sub("", value) for key, value in shortened.items()}
    return shortened
