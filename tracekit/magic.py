"""`%%gil` in a notebook: runs the cell recorded, and shows what the trace tells."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from tracekit.analysis import analyze
from tracekit.recorder.recording import record
from tracekit.trace import read


def register(shell: Any) -> None:
    """Gives an IPython shell the cell magic `%%gil`; a path behind it keeps the trace there."""

    def gil(line: str, cell: str) -> None:
        display = import_module("IPython.display").display
        with tempfile.TemporaryDirectory(prefix="tracekit-") as room:
            path = line.strip() or str(Path(room) / "cell.gil.log")
            with record(path):
                result = shell.run_cell(cell)
            if result.error_before_exec or result.error_in_exec:
                return  # the shell has shown it
            analysis = analyze(read(path))
            display(analysis)
            display(analysis.figure("timeline"))

    shell.register_magic_function(gil, magic_kind="cell", magic_name="gil")
