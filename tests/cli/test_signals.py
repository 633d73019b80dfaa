"""Ctrl-C and SIGTERM before, while and after a command does its work: a sentence, exit code 2, no stack trace."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SAMPLES
from tracekit.words import INTERRUPTED

SCRIPT = """
import os, sys

class At:
    def find_spec(self, name, path=None, target=None):
        if name == {moment!r}:
            os.kill(os.getpid(), {number})

import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, At())
sys.argv = ["tracekit", "analyze", {trace!r}]
from tracekit.__main__ import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["tracekit.cli", "typer", "tracekit.analysis", "tracekit.reporters.console"])
def test_at_any_moment(moment: str, number: signal.Signals) -> None:
    """These modules are loaded one after the other as the command goes on."""
    script = SCRIPT.format(moment=moment, number=int(number), trace=str(SAMPLES / "slide-battle.log"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{INTERRUPTED}\n")


def test_at_the_very_end() -> None:
    script = SCRIPT.format(moment="", number=0, trace=str(SAMPLES / "slide-battle.log")).replace(
        "main()\n", "try:\n    main()\nfinally:\n    os.kill(os.getpid(), signal.SIGINT)\n    print('later')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, f"{INTERRUPTED}\n")
    assert "later" not in done.stdout


def test_within_code_that_c_runs(tmp_path: Path) -> None:
    """Modules in C may run Python on their own. What Ctrl-C ends there, Python would end by the signal itself later."""
    script = SCRIPT.format(moment="tracekit.analysis", number=0, trace=str(SAMPLES / "slide-battle.log"))
    run = "run(b'import os\\nos.kill(os.getpid(), 2)\\nfor _ in range(99): pass', 257, {}, {})"
    (tmp_path / "script.py").write_text(f"""
import ctypes
run = ctypes.pythonapi.PyRun_String
run.restype = ctypes.py_object
run.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.py_object, ctypes.py_object]
{script.replace("os.kill(os.getpid(), 0)", run)}""")
    command = [sys.executable, "-m", "script"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{INTERRUPTED}\n")
