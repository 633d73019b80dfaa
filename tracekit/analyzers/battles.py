"""Battles: waits that lose round after round to a thread that releases the GIL and takes it again at once.

Beazley, "Inside the Python GIL" (2009). Definition: docs/analyses.md. In a `FoundRow`: thread the waiter, other the
rival, more (lost rounds, failed retries, passes, 0).
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tracekit.analyzers.finding import NAMED, Analyzer, Finding, Loss, Story, ToArrow, span
from tracekit.analyzers.waited import holders, shares_of, who_are
from tracekit.model.arrays import integers
from tracekit.model.rows import FoundRow, Options, Rows, Wait
from tracekit.words import count, percent

KIND = "battles"
CAUSE = "battle"


def battle(wait: Wait, end_seq: int, end: int, options: Options) -> FoundRow | None:
    """The battle that this wait, closed at `end`, was."""
    if wait.lost_rounds < options.min_rounds:
        return None
    more = (wait.lost_rounds, wait.failed_retries, wait.passes, 0)
    return FoundRow(end - wait.busy, wait.busy_seq, end_seq, wait.busy, end, more, wait.thread, wait.rival)


def columns(rows: Rows, to: ToArrow) -> dict[str, pa.Array]:
    """The table `battles`."""
    return span(rows, to) | {
        "waiter": to.thread(rows["thread"]),
        "rival": to.thread(rows["other"]),
        "rounds": integers(rows["more"][:, 0]),
        "failed_retries": integers(rows["more"][:, 1]),
        "passes": integers(rows["more"][:, 2]),
        "duration": integers(rows["cost"]),
    }


def losses(story: Story) -> Iterator[Loss]:
    for group in story.groups[KIND]:
        yield Loss(group.thread, group.other, group.count, group.lost)


def explain(story: Story) -> list[Finding]:
    """One finding for all battles. It costs what the thread waited in them that waited most."""
    lost, groups = story.causes[CAUSE], story.groups[KIND]
    if not lost:
        return []
    hit, waited = next(iter(lost.items()))
    if story.share(waited.duration) < NAMED:
        return []
    number, rounds = sum(group.count for group in groups), sum(group.more[0] for group in groups)
    behind = holders(story, [waited])
    if behind.thread:
        fighters = dict.fromkeys((hit, behind.thread, *lost))
        others = len(fighters) - 2
        more = f", and {count(others, 'other thread')} too" if others else ""
        who = f"{story.names[hit]} and {behind.text} fight for the GIL{more}"
        who_spent = f"{story.names[hit]} spent {percent(story.share(waited.duration))}"
    else:
        fighters = dict.fromkeys(lost)
        among = holders(story, list(lost.values()), list(lost))
        with_whom = "" if among.text == "each other" else f" with {among.text}"
        hard = [each.duration for each in lost.values() if story.share(each.duration) >= NAMED]
        who_spent = f"{'Those hit hard' if len(hard) > 1 else 'The one hit hardest'} spent {shares_of(story, hard)}"
        who = f"{' and '.join(who_are(story, list(fighters)))} fight for the GIL{with_whom}"
    title = (
        f"{who}: in {count(number, 'battle')} the waiter woke up {count(rounds, 'time')} only to find that the GIL had "
        f"been taken again. {who_spent} {story.of_trace} in such waits."
    )
    explanation, advice = _NEW if story.new_gil else _OLD
    told = story.places.of(CAUSE, waiters=list(lost))
    return [story.finding(KIND, waited.duration, title, explanation, advice, groups, list(fighters), told=told)]


_OLD = (
    "On the old GIL a running thread gives the GIL up at every check, signals, and at once tries to take it again. "
    "With two or more cores it has taken it before the thread that was signalled is awake. That one sleeps again, and "
    "each lost round costs two switches to the operating system for nothing.",
    "Run on Python 3.2 or newer, where the GIL is handed over. Else pin the process to one core, raise "
    "sys.setcheckinterval, or move CPU-bound work to processes.",
)
_NEW = (
    "The rival gives the GIL up around a short blocking call and has it again before the waiter, whom that wakes, is "
    "running. The new GIL makes a thread wait for the switch only when it was asked to drop the GIL, not around "
    "blocking calls.",
    "Do fewer and larger blocking calls in the rival (batch them, buffer them), or move one of the two to a process.",
)

ANALYZER = Analyzer(
    kind=KIND,
    label="Battles",
    cause=CAUSE,
    reason="was woken for a free GIL again and again, and found it taken each time",
    fleet="{thread} loses battles to {hog}",
    losses=losses,
    explain=explain,
    needs=frozenset({"retries"}),
    columns=columns,
    colour="mark1",
)
