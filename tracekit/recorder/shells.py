"""Pythons that a shell starts and that cannot be told that they are to be recorded."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from tracekit.recorder.pythons import is_python

_SHELLS = ("sh", "bash", "dash", "ash", "ksh", "zsh")
_GOES_ON = {";", "|", "&"}
"""Behind these a command runs whatever the one before did."""
_CLOSED = re.compile(r"-[a-zA-Z]*[IES][a-zA-Z]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_MOST_BYTES = 240
"""Of a command that is known whole."""


def closed_pythons(words: Sequence[str]) -> list[list[str]]:
    """The commands of `sh -c COMMAND` that surely run, and are a Python with -I, -E or -S.

    words: the shell's path and its arguments.
    """
    if Path(words[0]).name not in _SHELLS or "-c" not in words[2:-1] or sum(map(len, words)) > _MOST_BYTES:
        return []
    command = [word for word in words[words.index("-c", 2) + 1 :] if word != "--"][:1]
    lexer = shlex.shlex("".join(command), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = []
    current: list[str] = []
    try:
        tokens = [*lexer, ";"]
    except ValueError:
        return []
    for token in tokens:
        if not set(token) <= set(lexer.punctuation_chars):
            if current or not _ASSIGNMENT.fullmatch(token):
                current.append(token)
            continue
        if current[:1] == ["exec"]:
            del current[0]
        if current and is_python(current[0]) and _is_closed(current[1:]):
            found.append([current[0], *current])
        current = []
        if token not in _GOES_ON:
            break
    return found


def _is_closed(arguments: Sequence[str]) -> bool:
    for word in arguments:
        if not word.startswith("-") or word in ("-c", "-m"):
            return False
        if _CLOSED.fullmatch(word):
            return True
    return False
