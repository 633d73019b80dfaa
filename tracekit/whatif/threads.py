"""A trace's threads, as a replay numbers them and as people call them."""

from __future__ import annotations

from dataclasses import dataclass

from tracekit.errors import OptionError
from tracekit.trace import Trace


@dataclass(frozen=True)
class Threads:
    """By their numbers."""

    ids: list[str]
    names: list[str | None]

    @classmethod
    def of(cls, trace: Trace) -> Threads:
        columns = trace.threads.select(["thread", "name"]).to_pydict()
        return cls(columns["thread"], columns["name"])

    def label(self, place: int) -> str:
        return self.names[place] or self.ids[place]

    def place(self, called: str) -> int:
        """The number of the thread with this id, or else this name. Raises OptionError: there is none, or several."""
        if called in self.ids:
            return self.ids.index(called)
        named = [place for place, name in enumerate(self.names) if name == called]
        if len(named) == 1:
            return named[0]
        several = f"{len(named)} threads are" if named else "No thread is"
        raise OptionError(f"{several} called {called!r}.", "Name it by its id; `tracekit analyze` shows the threads.")
