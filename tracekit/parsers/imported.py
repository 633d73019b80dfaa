"""What the readers of other tracers' files share: events that follow from what those tell, and how they become batches.

Nothing is guessed. An event is added where only that can have happened: the GIL has one holder at a time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice

import numpy as np
import pyarrow as pa

from tracekit.errors import NoEventsError, SourceError
from tracekit.model.arrays import categories, integers, no_integers, strings
from tracekit.model.source import Source
from tracekit.model.stream import ACQUIRE, BATCH_SCHEMA, BUSY, ENTRY, EventStream, event_column

Row = tuple[int, int, int]
"""Time in ns, thread (any number that tells it from the others), event."""
UNTOLD = {"busy": "inferred", "retries": "unknown", "ticks": "unknown", "checks": "unknown"}
"""The metadata of a source that tells when a thread wants, gets and gives up the GIL, and no more."""
_BATCH_EVENTS = 1 << 16


class ImportedEvents(EventStream):
    """Another tracer's file as events."""

    def __init__(self, source: Source, written_by: str, untold: dict[str, str]) -> None:
        super().__init__(source.path)
        self.metadata = {"source": written_by, **untold}
        self._source = source
        self._read = 0
        self._codes: dict[int, int] = {}

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """The events in order."""

    @property
    @abstractmethod
    def missing(self) -> tuple[str, str]:
        """What is to be said where there is no event, and what to do then."""

    def chunks(self) -> Iterator[bytes]:
        """All bytes of the source."""
        for chunk in chain((self._source.head,), self._source.chunks()):
            self._read += len(chunk)
            yield chunk
        self._source.finish(self._read)
        self.truncated = self._source.truncated

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        codes = self._codes
        rows = self.rows()
        while piece := list(islice(rows, _BATCH_EVENTS)):
            times, threads, events = zip(*piece, strict=True)
            for thread in threads:
                if thread not in codes:
                    codes[thread] = self.add_thread(str(thread))
            yield pa.RecordBatch.from_arrays(
                [
                    categories(np.array([codes[thread] for thread in threads]), strings(self.threads)),
                    no_integers(len(piece)),
                    no_integers(len(piece)),
                    event_column(np.array(events, np.int8)),
                    integers(np.array(times, np.int64)),
                ],
                schema=BATCH_SCHEMA,
            )
        if not codes:
            what, hint = self.missing
            left_out = self.metadata.get("records-left-out")
            odd = left_out and f"{left_out} records have no thread or no sensible time"
            why = "; ".join(reason for reason in (odd, self.truncated) if reason)
            raise NoEventsError(f"{self.path}: {what}{f' ({why})' if why else ''}.", hint)

    def line_numbers(self) -> Callable[[int], int | None]:
        return lambda seq: None

    def position(self) -> tuple[int, int | None]:
        position = self._source.position()
        return (self._read, None) if position is None else (position, self._source.size)

    def close(self) -> None:
        self._source.close()

    @contextmanager
    def json_may_end(self) -> Iterator[None]:
        """JSON that is cut short or damaged is so much as came before."""
        import ijson

        try:
            yield
        except ijson.JSONError as error:
            why = " ".join(str(error).split())[:80]
            self.truncated = self.truncated or f"the JSON is damaged or ends too early: {why}"

    def damaged(self, what: str, hint: str = "Export it again; docs/viewers.md tells what is read.") -> SourceError:
        return SourceError(f"{self.path}: {what}.", hint)


def with_busy(rows: Iterable[Row]) -> Iterator[Row]:
    """Adds the BUSY of each wait during which another thread is seen to hold the GIL, when it first does."""
    holder: int | None = None
    unmarked: dict[int, None] = {}
    for row in rows:
        time, thread, event = row
        yield row
        if event == ENTRY:
            if holder is None or holder == thread:
                unmarked[thread] = None
            else:
                yield time, thread, BUSY
        elif event == ACQUIRE:
            unmarked.pop(thread, None)
            for waiter in unmarked:
                yield time, waiter, BUSY
            unmarked.clear()
            holder = thread
        elif holder == thread:
            holder = None
