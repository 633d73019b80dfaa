"""`tracekit snapshot`."""

from __future__ import annotations

from typing import Annotated

import typer

from tracekit.cli.common import outcome, standard_output
from tracekit.words import printable

EXAMPLES = """\
tracekit snapshot 4711
tracekit analyze $(tracekit snapshot 4711)
"""


def snapshot(
    pid: Annotated[int, typer.Argument(metavar="PID", help="A process that called tracekit.flight(...).")],
) -> None:
    """Make a running program write what its flight recorder holds. Prints the trace's path; the program goes on."""
    with outcome():
        from tracekit.live.asking import snapshot_of

        path = snapshot_of(pid)
        with standard_output():
            print(printable(str(path)))
