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
    """A table is not what its schema in `schemas/` says."""


class OptionError(TracekitError):
    """An option has a value that makes no sense."""


class NotObservedError(TracekitError):
    """A trace does not tell what is asked for."""


class RecordError(TracekitError):
    """A program cannot be recorded, or what was recorded cannot be written."""


class BadLineError(TracekitError):
    """The first bad line of a trace that is read strictly."""

    exit_code = 1
