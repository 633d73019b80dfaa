"""What analyzers say of threads that waited for one cause: who, how much of the trace, and behind whom.

One holder is named only where it has at least half of that cause's time; else the smallest group that has 80 % of it.
Threads whose names differ in their numbers alone are told as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracekit.analyzers.finding import NAMED, Finding, Loss, Story, Waited
from tracekit.words import count, fold, percent

ONE = 0.5
"""Share of a cause's time from which on one thread is named as the holder,"""
GROUP = 0.8
"""and that of a group."""
NEARLY_ALL = 0.95
LISTED = 2
"""So many threads are listed by name; more are a group."""


@dataclass(frozen=True)
class Holders:
    """Whom a sentence names as those who held the GIL meanwhile. thread: the one, if it is one. share: theirs."""

    text: str
    share: float
    thread: str | None = None


def holders(story: Story, waited: Sequence[Waited], waiters: Sequence[str] = ()) -> Holders:
    """Those behind whom these threads waited; `waiters` may have waited for each other."""
    held: Counter[str] = Counter()
    for each in waited:
        for holder, duration in each.holders.items():
            if holder is not None:
                held[holder] += duration
    whole = held.total()
    if not whole:
        return Holders("nobody", 1.0)
    first_seen = {thread: place for place, thread in enumerate(story.names)}
    costliest = sorted(held, key=lambda thread: (-held[thread], first_seen[thread]))
    most, among = held[costliest[0]] / whole, sum(held[waiter] for waiter in waiters) / whole
    if most < GROUP <= among and len(waiters) > 1:
        return Holders("each other", among)
    if most >= ONE:
        return Holders(story.names[costliest[0]], most, costliest[0])
    folded: dict[str, list[str]] = {}
    for thread in costliest:
        folded.setdefault(subject_of(story, thread), []).append(thread)
    for name, members in folded.items():
        share = sum(held[member] for member in members) / whole
        if share >= GROUP:
            return Holders(group_of(name, len(members)), share)
    part, number = 0, 0
    while part < GROUP * whole:
        part += held[costliest[number]]
        number += 1
    return Holders(count(number, "thread"), part / whole)


def group_of(folded: str, number: int) -> str:
    """`32 worker-* threads`"""
    return count(number, "thread") if folded == "*" else f"{number:,} {folded} thread{'' if number == 1 else 's'}"


def who_are(story: Story, threads: Sequence[str]) -> list[str]:
    """A sentence's subjects: a few threads by name, more as groups of those whose names are alike."""
    if len(threads) <= LISTED:
        return [story.names[thread] for thread in threads]
    groups: dict[str, list[str]] = {}
    for thread in threads:
        groups.setdefault(subject_of(story, thread), []).append(thread)
    if len(groups) > LISTED:
        return [count(len(threads), "thread")]
    return [story.names[alike[0]] if len(alike) == 1 else group_of(name, len(alike)) for name, alike in groups.items()]


def shares_of(story: Story, durations: Sequence[int]) -> str:
    """`41.0 to 53.0 %`"""
    least, most = percent(story.share(min(durations))), percent(story.share(max(durations)))
    return most if least == most else f"{least.removesuffix(' %')} to {most}"


def subject_of(story: Story, thread: str) -> str:
    return fold(story.called[thread])


def cause_losses(story: Story, cause: str) -> Iterator[Loss]:
    """What each thread lost by this cause; the hog is who has half of it."""
    for thread, waited in story.causes[cause].items():
        holder, most = waited.holders.most_common(1)[0]
        hog = holder if most >= ONE * waited.duration else None
        yield Loss(thread, hog, waited.waits, waited.duration, subject_of(story, thread))


def cause_measure(story: Story, cause: str) -> tuple[int, int]:
    """The waits that have this cause, and what the thread hit hardest waited for it: nothing below what is named."""
    waited = story.causes[cause].values()
    hardest = max((each.duration for each in waited), default=0)
    return (sum(each.waits for each in waited), hardest) if story.share(hardest) >= NAMED else (0, 0)


@dataclass(frozen=True)
class Hit:
    """Threads of one folded name that waited for one cause, each worth naming, those hit hardest first."""

    threads: tuple[str, ...]
    waited: tuple[Waited, ...]

    @property
    def cost(self) -> int:
        return self.waited[0].duration


def hits(story: Story, waited: Mapping[str, Waited], split: Callable[[Waited], object]) -> list[Hit]:
    """The threads worth naming, as one where their names are the same but for numbers, and `split` says the same of
    them; hit hardest first."""
    named = [thread for thread, each in waited.items() if story.share(each.duration) >= NAMED]
    named.sort(key=lambda thread: -waited[thread].duration)
    alike: dict[tuple[str, object], list[str]] = {}
    for thread in named:
        alike.setdefault((subject_of(story, thread), split(waited[thread])), []).append(thread)
    return [Hit(tuple(threads), tuple(waited[thread] for thread in threads)) for threads in alike.values()]


Words = Callable[[Story, Hit, str, str, Holders], tuple[str, str, str]]
"""Of a story and those hit, who they are, their shares, and who held the GIL: title, explanation, advice."""


def cause_findings(
    story: Story, kind: str, cause: str, words: Words, split: Callable[[Waited], object] = lambda waited: None
) -> list[Finding]:
    """One finding for all threads of one folded name of which `split` says the same."""
    findings = []
    for hit in hits(story, story.causes[cause], split):
        behind = holders(story, hit.waited, hit.threads)
        who, shares = (
            " and ".join(who_are(story, hit.threads)),
            shares_of(story, [each.duration for each in hit.waited]),
        )
        title, explanation, advice = words(story, hit, who, shares, behind)
        threads = list(dict.fromkeys([*hit.threads, *([behind.thread] if behind.thread else [])]))
        subject = subject_of(story, hit.threads[0])
        told = story.places.of(cause, waiters=hit.threads)
        findings.append(story.finding(kind, hit.cost, title, explanation, advice, (), threads, subject, told))
    return findings


def behind_whom(behind: Holders) -> str:
    """`behind t3`, with their share of that time unless it is nearly all."""
    share = "" if behind.share >= NEARLY_ALL else f" ({percent(behind.share)} of that time)"
    return f"behind {behind.text}{share}"
