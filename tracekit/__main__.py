"""The command: from its first moment on, Ctrl-C and SIGTERM end it with a sentence."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from tracekit.words import INTERRUPTED


def _end(number: int, frame: FrameType | None) -> None:
    """While what the command needs is being loaded: nothing has been done yet."""
    print(INTERRUPTED, file=sys.stderr, flush=True)
    os._exit(2)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    from tracekit.cli import main as run

    run()


if __name__ == "__main__":
    main()
