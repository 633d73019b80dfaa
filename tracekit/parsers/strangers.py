"""What people give tracekit that is no trace, and what they may have meant."""

from __future__ import annotations

from tracekit.errors import SourceError

_PROGRAMS = (".py", ".pyw", ".pyc", ".ipynb")
_BEGIN = 400
_PROFILE = 8192
_ITS_TRACE = "Name the trace itself; it is read as it was recorded."


def refuse(head: bytes, path: str) -> None:
    """Raises SourceError for a file that begins so where it is known to be no trace."""
    begin = head[:_BEGIN].lstrip(b"\xef\xbb\xbf \t\r\n")
    if begin.startswith((b"{", b"[")):
        if b'"schema": "tracekit.' in begin:
            raise SourceError(f"{path}: this is what tracekit printed with --json, not a trace.", _ITS_TRACE)
        if begin.startswith(b'{"displayTimeUnit":"ns","otherData":{"source":'):
            raise SourceError(
                f"{path}: tracekit wrote this for Chrome's viewer, and it leaves out too much to be read again.",
                _ITS_TRACE,
            )
        if b'"importedFrom": "tracekit"' in head[:_PROFILE]:
            raise SourceError(f"{path}: tracekit wrote this for the Firefox Profiler; it is not a trace.", _ITS_TRACE)
    elif begin[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise SourceError(f"{path}: this is a page, not a trace.", "Open it in a browser, and name the trace here.")


def refuse_program(path: str) -> None:
    """Raises SourceError where the name is that of a program, once nothing else could be made of it."""
    if path.lower().endswith(_PROGRAMS):
        raise SourceError(f"{path}: this is a program, not a trace.", f"Record it first: tracekit record {path}")
