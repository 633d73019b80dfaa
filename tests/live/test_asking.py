"""Who may answer for a process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tracekit.errors import RecordError
from tracekit.live.asking import snapshot_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets")


@contextmanager
def somebody() -> Iterator[int]:
    """A process of this user that has no flight recorder."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid


def answering(pid: int, answer: bytes, times: int) -> socket.socket:
    """In that process's name, one who asks."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"\0tracekit-{pid}")
    listening.listen()

    def answer_one() -> None:
        try:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)
                for _ in range(times):
                    connection.sendall(answer)
        except OSError:  # the other side has heard enough, or did not ask
            pass

    threading.Thread(target=answer_one, daemon=True).start()
    return listening


def test_an_answer_without_end_is_none() -> None:
    with somebody() as pid, answering(pid, b"/" * (1 << 16), 1 << 20), pytest.raises(RecordError, match="wrote no"):
        snapshot_of(pid)


def test_its_own_user_answers() -> None:
    with somebody() as pid, answering(pid, b"/there", 1):
        assert str(snapshot_of(pid)) == "/there"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="becomes another user")
def test_another_user_answers_for_nobody_else() -> None:
    with somebody() as pid:
        os.seteuid(65534)
        try:
            listening = answering(pid, b"/etc/passwd", 1)
        finally:
            os.seteuid(0)
        with listening, pytest.raises(RecordError, match=f"Process {pid} does not answer"):
            snapshot_of(pid)
