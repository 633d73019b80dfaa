"""What can go wrong, each with what to do about it. The command line prints both and exits with `exit_code`."""

from __future__ import annotations


class TracekitError(Exception):
    """Something could not be done. `message` says what, `hint` says what to do."""

    exit_code = 2

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint


class SourceError(TracekitError):
    """A trace cannot be opened or read."""


class NoEventsError(TracekitError):
    """A file holds no valid event."""


class SchemaError(TracekitError):
    """A table does not match its schema in `schemas/`."""


class OptionError(TracekitError):
    """An option has an invalid value."""


class NotObservedError(TracekitError):
    """The trace did not record what is asked for."""


class RecordError(TracekitError):
    """A program cannot be recorded, or the recording cannot be written."""


class BadLineError(TracekitError):
    """The first bad line of a trace read with `strict`."""

    exit_code = 1
