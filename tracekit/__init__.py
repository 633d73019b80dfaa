"""Who waited for whom at the GIL, how long, and why: traces of CPython's global interpreter lock as tables."""

from tracekit.analysis import Analysis, analyze
from tracekit.checks import CheckFailed, check
from tracekit.comparison import Comparison, compare
from tracekit.errors import (
    BadLineError,
    NoEventsError,
    NotObservedError,
    OptionError,
    RecordError,
    SchemaError,
    SourceError,
    TracekitError,
)
from tracekit.querying import query
from tracekit.recorder.recording import Recording, record
from tracekit.sql import QueryError
from tracekit.trace import Trace, from_pandas, read
from tracekit.version import VERSION

__version__ = VERSION

__all__ = [
    "Analysis",
    "BadLineError",
    "CheckFailed",
    "Comparison",
    "NoEventsError",
    "NotObservedError",
    "OptionError",
    "QueryError",
    "RecordError",
    "Recording",
    "SchemaError",
    "SourceError",
    "Trace",
    "TracekitError",
    "analyze",
    "check",
    "compare",
    "from_pandas",
    "query",
    "read",
    "record",
]
