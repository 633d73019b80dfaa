"""Which files are Python interpreters, and which scripts name one."""

from __future__ import annotations

import os
import re
from pathlib import Path

PYTHON = re.compile(r"(python|pypy)[\d.]*t?")
_PYTHON_LINE = re.compile(rb"#!\s*(?:\S*/env\s+)?(?P<python>\S*python[\d.]*)[ \t]*(-\S+)?\r?\n")
_LONG_PYTHON_LINE = re.compile(rb"""#!/bin/sh\n'''exec' "?(?P<python>[^"\n]*python[\d.]*)"? """)


def is_python(path: str) -> bool:
    """By its name."""
    return PYTHON.fullmatch(Path(path).name) is not None


def head_of(file: str) -> bytes:
    """Raises OSError."""
    with Path(file).open("rb") as opened:
        return opened.read(4096)


def own_python(head: bytes) -> str | None:
    """The interpreter that the first line of a script with this head names."""
    line = _PYTHON_LINE.match(head) or _LONG_PYTHON_LINE.match(head)
    return os.fsdecode(line["python"]) if line else None
