"""What several reporters say in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tracekit.analyzers import ANALYZERS
from tracekit.words import count, duration, share, whole_number

if TYPE_CHECKING:
    from tracekit.analysis import Analysis

LEAST_WAITED = 0.001
"""Shares below this are not told."""
LEAST_BEHIND = 0.01
"""Of the trace: less waiting for a lock whose unlocker waits for the GIL is not told."""
LEAST_NOT_RUNNING = 0.05
"""Of the trace: a thread that was not yet running for less is not told of."""


def facts(analysis: Analysis) -> list[str]:
    """What the trace is: interpreter, cores, duration, how much there is of everything."""
    about, totals = analysis.metadata, analysis.totals
    told = []
    if "python" in about:
        told.append(f"Python {about['python']}")
    if about.get("gil") in ("old", "new"):
        told.append(f"{about['gil']} GIL")
    if "cores" in about:
        told.append(f"{about['cores']} core{'' if about['cores'] == '1' else 's'}")
    told += [
        duration(analysis.duration, analysis.unit),
        count(analysis.events, "event"),
        count(analysis.threads.num_rows, "thread"),
        count(totals.switches, "switch", "switches"),
    ]
    if totals.checks is not None:
        told.append(count(totals.checks, "check") if about.get("gil") != "new" else f"{totals.checks:,} forced")
    if "window" in about:
        told.append(f"only what happened from {about['window']}")
    if "sampled-every-us" in about:
        told.append(f"sampled every {about['sampled-every-us']} µs: what is shorter is not in it")
    if about.get("lost", "0") != "0":
        told.append(f"{about['lost']} events lost by the recorder")
    return told


def beside(analysis: Analysis) -> str:
    """Which other processes there are, in the trace of the first; else empty."""
    processes = (whole_number(analysis.metadata.get("processes", ""), 10**6) or 1) - 1
    interpreters = whole_number(analysis.metadata.get("interpreters", ""), 10**6) or 0
    if processes + interpreters < 1:
        return ""
    told = [count(processes, "other process", "other processes")] if processes else []
    told += [count(interpreters, "other interpreter") + " with a GIL of its own"] if interpreters else []
    are = "the trace of" if processes + interpreters == 1 else "the traces of"
    stand = "stands" if processes + interpreters == 1 else "stand"
    first = "the program's first process" if processes else "the program's main interpreter"
    return (
        f"This is {first}; {are} {' and '.join(told)} {stand} beside it. Which of them matter: tracekit analyze FOLDER."
    )


class Reason(NamedTuple):
    """A cause of waiting: its share of all waiting, what it is, and who was hit hardest for what share of the trace."""

    share: str
    kind: str
    why: str
    hardest: str


def waiting(analysis: Analysis) -> tuple[str, list[Reason]]:
    """Where the time of the threads that wait went: in a sentence, and by cause, the largest first."""
    waited = dict(zip(analysis.threads["thread"].to_pylist(), analysis.threads["waited"].to_pylist(), strict=True))
    whole, longest = sum(waited.values()), max(waited, key=lambda thread: waited[thread])
    of_trace = "of the trace" if analysis.unit == "ns" else "of the trace's ticks"
    if not analysis.duration or waited[longest] < LEAST_WAITED * analysis.duration:
        return f"No thread waited for the GIL for even {100 * LEAST_WAITED:g} % {of_trace}.", []
    waiters = sum(spent >= LEAST_WAITED * analysis.duration for spent in waited.values())
    told = (
        f"One thread at a time can hold the GIL and run Python code. {waiters:,} of {count(len(waited), 'thread')} "
        f"waited for it, {analysis.names[longest]} the longest: {share(waited[longest], analysis.duration)} "
        f"{of_trace}."
    )
    reasons = []
    for analyzer in ANALYZERS.values():
        spent = analysis.waited[analyzer.cause] if analyzer.cause else {}
        total = sum(each.duration for each in spent.values())
        if total >= LEAST_WAITED * whole:
            thread, hit = next(iter(spent.items()))
            hardest = f"{analysis.names[thread]}, {share(hit.duration, analysis.duration)}"
            reasons.append((total, Reason(share(total, whole), analyzer.words, analyzer.reason, hardest)))
    return told, [reason for _, reason in sorted(reasons, key=lambda each: -each[0])]


def not_running(analysis: Analysis) -> str:
    """The time that no wait counts, from a forced release to the next ENTRY; empty where no thread has much of it."""
    spent = {row["thread"]: row["not_running"] or 0 for row in analysis.threads.to_pylist()}
    worst = max(spent, key=lambda thread: spent[thread], default="")
    many = [thread for thread, length in spent.items() if length >= max(1, LEAST_NOT_RUNNING * analysis.duration)]
    if not many:
        return ""
    others = (
        f", and {count(len(many) - 1, 'other thread')} for at least {100 * LEAST_NOT_RUNNING:g} %" if many[1:] else ""
    )
    of_trace = "of the trace" if analysis.unit == "ns" else "of the trace's ticks"
    return (
        f"Not counted as waiting: {analysis.names[worst]} was not yet running for "
        f"{share(spent[worst], analysis.duration)} {of_trace}{others}. It had been made to let go of the GIL, and the "
        "operating system had not yet let it run on, to ask for it again."
    )


def locks_behind_the_gil(analysis: Analysis) -> str:
    """Who waited for a lock whose unlocker waited for the GIL meanwhile; empty where that is of no weight."""
    sums: dict[tuple[str, str], list[int]] = {}
    for row in analysis.locks.to_pylist():
        if row["releaser"] is not None:
            pair = sums.setdefault((row["waiter"], row["releaser"]), [0, 0])
            pair[0] += row["duration"]
            pair[1] += row["releaser_waited"]
    if not sums:
        return ""
    (waiter, releaser), (waited, behind) = max(sums.items(), key=lambda item: item[1][1])
    if behind < max(1, LEAST_BEHIND * analysis.duration):
        return ""
    of_trace = "of the trace" if analysis.unit == "ns" else "of the trace's ticks"
    one, other = analysis.names[waiter], analysis.names[releaser]
    return (
        f"{one} waited for {share(waited, analysis.duration)} {of_trace} for locks, until {other} unlocked them; "
        f"for {share(behind, analysis.duration)} {other} itself waited for the GIL meanwhile. "
        f"So {one} waits behind the GIL too, though not for it: what helps {other} helps both."
    )


def healthy(analysis: Analysis) -> str:
    """What to say of a trace without findings."""
    if not analysis.duration:
        return "No time passes in this trace, so nothing can be said of how long anything took."
    used = {row["state"]: share(row["duration"], analysis.duration) for row in analysis.utilisation.to_pylist()}
    waits = sum(analysis.threads.column("contended_waits").to_pylist())
    seen = [analyzer.words for kind, analyzer in ANALYZERS.items() if analysis.observed(kind)]
    what = f"No {', '.join(seen)}" if analysis.unobserved else "No contention"
    return (
        f"{what} worth naming: the GIL was held {used['held']} of the time, and free while somebody waited "
        f"{used['free_wanted']}; {count(waits, 'wait')} found it taken."
    )


def not_observed(analysis: Analysis) -> str:
    """What cannot be said of this trace; empty where everything can."""
    if not analysis.unobserved:
        return ""
    kinds = [analyzer.words for kind, analyzer in ANALYZERS.items() if not analysis.observed(kind)]
    return (
        f"Not observed in this trace: {', '.join(sorted(analysis.unobserved))}, which "
        f"{analysis.metadata.get('source', 'its source')} does not tell. So nothing can be said of {', '.join(kinds)}."
    )
