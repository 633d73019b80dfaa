"""What `tracekit record` is to run: from the words that people type to an interpreter and what it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tracekit.errors import OptionError
from tracekit.recorder.launch import Program
from tracekit.recorder.pythons import head_of, is_python, own_python

_SHIM = re.compile(rb'^exec "(?P<pyenv>[^"\n]*pyenv)" exec ', re.MULTILINE)
_OPTIONS_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_NO_FILE = {
    "-c": "a program on the command line cannot be recorded",
    "-": "a program from standard input cannot be recorded",
}


def program_of(words: list[str], module: str | None, python: str | None) -> Program:
    """The program that these words name. python: the interpreter that was asked for. Raises OptionError."""
    if module is not None:
        return Program(python or sys.executable, module, words, is_module=True)
    if not words:
        raise OptionError("There is no program to record.", "Name a script, or a module with -m.")
    name, *arguments = words
    path = Path(name)
    if path.is_dir():
        if not (path / "__main__.py").is_file():
            raise OptionError(f"{name}: is a directory without __main__.py.", "Name a script in it.")
        return Program(python or sys.executable, name, arguments)
    found = name if path.is_file() else _command(name)
    if is_python(found):
        return _as_python_would(python or found, arguments)
    own = own_python(_head(found))
    if own is None and (not path.is_file() or _head(found).startswith((b"#!", b"\x7fELF"))):
        raise OptionError(
            f"{found}: is not a Python script, so it cannot be recorded.", "Name a Python script, or a module with -m."
        )
    by_itself = own is not None and path.suffix not in (".py", ".pyw")  # `python x.py` does not ask x.py either
    return Program(python or (str(own) if by_itself else sys.executable), found, arguments)


def _command(name: str) -> str:
    """The file that a shell would run, behind pyenv's shim for it."""
    command = shutil.which(name)
    if os.sep in name or not command:
        raise OptionError(f"{name}: there is no such script or command.", "Check the path.")
    shim = _SHIM.search(_head(command))
    if not shim:
        return command
    asked = subprocess.run([os.fsdecode(shim["pyenv"]), "which", Path(command).name], capture_output=True, text=True)
    if asked.returncode:
        why = " ".join(asked.stderr.split()) or "pyenv cannot say what it stands for"
        raise OptionError(f"{command}: {why.rstrip('.')}.", "Choose a version with pyenv, or name the file itself.")
    return asked.stdout.strip()


def _as_python_would(python: str, words: list[str]) -> Program:
    """`python [OPTIONS] SCRIPT [ARGS]`, or `-m MODULE [ARGS]`."""
    options: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word in _NO_FILE or word.startswith("-c"):
            raise OptionError(f"{word}: {_NO_FILE.get(word[:2], _NO_FILE['-c'])}.", "Save it as a script first.")
        if word.startswith("-m"):
            module, *arguments = rest if word == "-m" else [word[2:], *rest]
            return Program(python, module, arguments, is_module=True, options=options)
        options.append(word)
        if word in _OPTIONS_WITH_VALUE and rest:
            options.append(rest.pop(0))
    if not rest:
        raise OptionError("There is no program to record.", f"Name one behind {Path(python).name}.")
    if not Path(rest[0]).exists():
        raise OptionError(f"{rest[0]}: there is no such script.", "Check the path.")
    return Program(python, rest[0], rest[1:], options=options)


def _head(file: str) -> bytes:
    try:
        return head_of(file)
    except OSError as error:
        raise OptionError(f"{file}: cannot be read: {error.strerror}.", "Check the file.") from error
