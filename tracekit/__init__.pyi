from tracekit import opentelemetry as opentelemetry
from tracekit import prometheus as prometheus
from tracekit.analysis import Analysis as Analysis
from tracekit.analysis import analyze as analyze
from tracekit.checks import CheckFailed as CheckFailed
from tracekit.checks import check as check
from tracekit.comparison import Comparison as Comparison
from tracekit.comparison import compare as compare
from tracekit.errors import BadLineError as BadLineError
from tracekit.errors import NoEventsError as NoEventsError
from tracekit.errors import NotObservedError as NotObservedError
from tracekit.errors import OptionError as OptionError
from tracekit.errors import RecordError as RecordError
from tracekit.errors import SchemaError as SchemaError
from tracekit.errors import SourceError as SourceError
from tracekit.errors import TracekitError as TracekitError
from tracekit.live.counting import count as count
from tracekit.live.counting import counters as counters
from tracekit.live.middleware import ASGIMiddleware as ASGIMiddleware
from tracekit.live.middleware import WSGIMiddleware as WSGIMiddleware
from tracekit.live.regions import Region as Region
from tracekit.live.regions import region as region
from tracekit.querying import query as query
from tracekit.recorder.recording import Recording as Recording
from tracekit.recorder.recording import record as record
from tracekit.recorder.recording import recorded as recorded
from tracekit.sql import QueryError as QueryError
from tracekit.timeline.flame import Flame as Flame
from tracekit.timeline.flame import Frame as Frame
from tracekit.trace import Trace as Trace
from tracekit.trace import from_pandas as from_pandas
from tracekit.trace import read as read
from tracekit.whatif import WhatIf as WhatIf
from tracekit.whatif import what_if as what_if

__version__: str

def load_ipython_extension(shell: object) -> None: ...
