"""Long holds: the GIL kept for a whole switch interval and more while others wait, as C code does that keeps it.

Definition: docs/analyses.md. In a `FoundRow`: more (timeouts, CPU time or 0, whether it is known, whether the thread
answered), other the thread itself where the hold was preempted: those are rows of the table, and in no finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from tracekit.analyzers.finding import NAMED, Analyzer, Finding, Group, Loss, Story, ToArrow, span
from tracekit.analyzers.waited import shares_of, subject_of, who_are
from tracekit.model.arrays import flags, integers
from tracekit.model.rows import NOBODY, FoundRow, Hold, Options, Rows
from tracekit.words import count, duration, percent

KIND = "long_holds"
CAUSE = "long_hold"
ANSWER = 1_000_000
"""ns; a hold that ends within so much of the first request was not kept from anybody who had asked for it."""


def long_hold(hold: Hold, end_seq: int, end: int, timed_waiters: bool, options: Options) -> FoundRow | None:
    """The long hold that this one, ended now, was. `timed_waiters`: the trace is timed and others' waits contended."""
    held = end - hold.start
    asked_in_vain = max(hold.timeouts.values(), default=0) >= options.min_timeouts
    answered = bool(hold.timeouts) and not asked_in_vain and end - hold.asked < ANSWER
    if not asked_in_vain and not (timed_waiters and held >= options.long_hold):
        return None
    more = hold.timeouts.total(), hold.cpu or 0, int(hold.cpu is not None), int(answered)
    other = hold.thread if hold.preempted else NOBODY
    return FoundRow(held, hold.seq, end_seq, hold.start, end, more, hold.thread, other)


def columns(rows: Rows, to: ToArrow) -> dict[str, pa.Array]:
    """The table `long_holds`."""
    return span(rows, to) | {
        "thread": to.thread(rows["thread"]),
        "duration": integers(rows["cost"]),
        "timeouts": integers(rows["more"][:, 0]),
        "cpu": integers(rows["more"][:, 1], rows["more"][:, 2] == 0),
        "preempted": flags(rows["other"] != NOBODY),
    }


def kept(story: Story) -> list[Group]:
    """The holds whose threads kept the GIL themselves, not the operating system that had taken the CPU away."""
    return [group for group in story.groups[KIND] if group.other is None]


def losses(story: Story) -> Iterator[Loss]:
    """To the threads that keep the GIL; who waited for it is not told apart."""
    for group in kept(story):
        yield Loss(None, group.thread, group.count, group.lost, story.called[group.thread])


def measure(story: Story) -> tuple[int, int]:
    """How many there are; what one thread held, or the thread hit hardest waited for them, whichever is more."""
    groups = kept(story)
    return sum(group.count for group in groups), _cost(story, groups)


def explain(story: Story) -> list[Finding]:
    """One finding for each thread that keeps the GIL; for all those of a pool that do."""
    alike: dict[str, list[Group]] = {}
    for group in kept(story):
        alike.setdefault(subject_of(story, str(group.thread)), []).append(group)
    findings = [_finding(story, groups) for groups in alike.values() if story.share(_cost(story, groups)) >= NAMED]
    together = [group for groups in alike.values() for group in groups]
    if not findings and story.share(_cost(story, together)) >= NAMED:
        findings.append(_finding(story, together))
    return findings


def _waited(story: Story, groups: Sequence[Group]) -> tuple[int, str]:
    """What the thread waited for these that was hit hardest, and who that is."""
    keepers = {group.thread for group in groups}
    waited = [
        (sum(spent for holder, spent in each.holders.items() if holder in keepers), thread)
        for thread, each in story.causes[CAUSE].items()
    ]
    return max(waited, key=lambda each: each[0], default=(0, ""))


def _cost(story: Story, groups: Sequence[Group]) -> int:
    return max([group.cost for group in groups] + [_waited(story, groups)[0]], default=0)


def _finding(story: Story, groups: Sequence[Group]) -> Finding:
    """Of these threads' long holds."""
    groups = sorted(groups, key=lambda group: -group.cost)
    threads = [str(group.thread) for group in groups]
    number, timeouts, known, answers = (
        sum(column) for column in zip(*((group.count, group.more[0], *group.more[2:]) for group in groups), strict=True)
    )
    answered = story.new_gil and 2 * answers > number
    longest = duration(max(group.worst_cost for group in groups), story.unit)
    holds = f"one hold of {longest}" if number == 1 else f"{number:,} long holds of up to {longest}"
    if answered:
        asked = ", and let it go when asked"
    else:
        asked = f" and asked {count(timeouts, 'time')} in vain" if timeouts else ""
    who, each = " and ".join(who_are(story, threads)), " each" if len(threads) > 1 else ""
    shares = shares_of(story, [group.cost for group in groups])
    title = f"{who} kept the GIL for {shares} {story.of_trace}{each}, in {holds}, while others waited{asked}."
    waited, hit = _waited(story, groups)
    if waited > groups[0].cost:
        title += f" {story.names[hit]} waited {percent(story.share(waited))} {story.of_trace} for that."
    subject = subject_of(story, threads[0]) if len(threads) > 1 else story.called[threads[0]]
    in_c = 2 * known >= number
    told = story.places.of(CAUSE, holders=threads)
    if answered:
        explanation = _NEW + _ANSWERED.format(
            answers=answers, holds=count(number, "hold"), interval=story.shown_interval
        )
        advice = _ASK_SOONER.format(thread=who)
        told = replace(told, advice=())
    else:
        explanation = (_NEW if story.new_gil else _OLD) + _why(story, bool(timeouts), in_c)
        advice = "" if told.mostly and in_c else (("F" if in_c else _MACHINE) + _C_CODE).format(thread=who)
    cost = max(groups[0].cost, waited)
    return story.finding(KIND, cost, title, explanation, advice, groups, threads, subject, told)


def _why(story: Story, asked: bool, in_c: bool) -> str:
    if story.new_gil and not asked:
        return (
            " Here others waited at the end of holds of 10 ms and more, but none had asked twice: the switch "
            f"interval is {story.shown_interval}."
        )
    if in_c:
        return _RAN
    return _UNKNOWN


_OLD = (
    "A thread gives the GIL up after 100 ticks unless sys.setcheckinterval says otherwise, but a tick can be a long "
    "call into C code."
)
_NEW = "A waiting thread asks for the GIL once per switch interval, and Python code answers within microseconds."
_ANSWERED = (
    " So did these: {answers:,} of {holds} ended within a millisecond of the first request, so it is no C code that "
    "keeps the GIL. They were asked late: a thread asks only after it has waited for a switch interval ({interval}), "
    "and later still if the operating system has no core for it."
)
_ASK_SOONER = (
    "Move the computing of {thread} to a process, or lower sys.setswitchinterval, so that those who wait ask sooner. "
    "If other programs keep the cores busy, give this one more CPU first."
)
_RAN = " These holds went on, and the thread used the CPU meanwhile: it was inside C code that keeps the GIL."
_UNKNOWN = (
    " These holds went on. Either the thread was inside C code that keeps the GIL, or the operating system had taken "
    "the CPU away from it: the CPU time of these holds is not known."
)
_C_CODE = (
    "ind the long calls of {thread}: sorting, json, re, pickle and arithmetic on huge numbers keep the GIL until "
    "they are done. Split them, or move them to a process; C code of your own can release the GIL "
    "(Py_BEGIN_ALLOW_THREADS)."
)
_MACHINE = "Look at the machine's load and the process's CPU quota first. If there was CPU to spare, f"

ANALYZER = Analyzer(
    kind=KIND,
    label="Long holds",
    cause=CAUSE,
    reason="wanted the GIL while another kept it for very long without a break",
    fleet="{hog} keeps the GIL in long holds",
    losses=losses,
    measure=measure,
    explain=explain,
    columns=columns,
    colour="mark4",
)
