"""`import tracekit.pandas` gives every DataFrame of events the accessor `df.gil`.

tracekit does the same when it first makes or takes a DataFrame, but not on `import tracekit`: importing pandas takes
longer than everything else.
"""

from tracekit.frames import register
from tracekit.trace import from_pandas

register(from_pandas)
