"""What threads are called: names as a trace gives them, and when it gives others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

EARLIER = " -> "
"""Stands between a thread's earlier names, where they are one text."""


class Names(dict[str, str]):
    """Thread id -> the name to show, the last one that it was given.

    Attributes:
        renames: (seq, thread, name): this thread, which had a name before, is called so from this event on; by seq.
        first: the first names of those.
    """

    def __init__(self, first: Mapping[str, str] = {}, renames: Iterable[tuple[int, str, str]] = ()) -> None:
        super().__init__(first)
        self.renames: list[tuple[int, str, str]] = []
        self.first: dict[str, str] = {}
        for seq, thread, name in renames:
            self.take(seq, thread, name)

    def take(self, seq: int, thread: str, name: str) -> None:
        """seq: of the next event; 0: it is no rename, the trace begins like that."""
        before = self.get(thread, name)
        self[thread] = name
        if seq and before != name:
            self.first.setdefault(thread, before)
            self.renames.append((seq, thread, name))

    def at_first(self) -> dict[str, str]:
        """What each was called before it was renamed."""
        return {**self, **self.first}

    def earlier(self) -> dict[str, str]:
        """The names that renamed threads had before, the first one first."""
        told: dict[str, list[str]] = {thread: [name] for thread, name in self.first.items()}
        for _, thread, name in self.renames:
            told[thread].append(name)
        return {thread: EARLIER.join(names[:-1]) for thread, names in told.items()}

    def since(self, seq: int) -> Names:
        """In a trace that begins with this event."""
        return Names(self.at_first(), ((max(0, renamed - seq), thread, name) for renamed, thread, name in self.renames))
