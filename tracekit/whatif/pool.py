"""Which size of a pool of threads would serve a trace's requests best: the same requests, replayed with fewer and more
threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.model.arrays import NULL, int64_values
from tracekit.model.rows import CHECK, RELEASE_KINDS, Options
from tracekit.trace import Trace
from tracekit.whatif.prediction import Pool
from tracekit.whatif.preparing import Prepared
from tracekit.whatif.programs import CONTINUES, NONE, Behaviour, Integers, Programs, Script
from tracekit.whatif.replaying import replay
from tracekit.words import count, duration, fold, percent, printable

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Those that are tried, up to twice as many as there were; and that one."""
DRAWS = (1, 2, 3)
"""Replays of each of them, by their seeds."""
FEWEST_REQUESTS = 30
SATURATED = 0.7
"""Share of its threads' time that a pool is at work; below it some thread was always free."""
AS_GOOD = 0.05
"""A pool that takes so little longer is as good."""
MOST_ERROR = 0.15
"""So far off, replayed with as many threads as there were, and nothing is told."""


@dataclass
class _Request:
    """What it does: for so long with the GIL held, then for so long outside, in turns; and when it was served."""

    begin: int
    end: int = 0
    work: list[int] = field(default_factory=list)
    outside: list[int] = field(default_factory=list)

    def add(self, work: int, outside: int) -> None:
        self.work.append(work)
        self.outside.append(outside)


@dataclass(frozen=True)
class _Timeline:
    """Of one thread, by its holds: the region that each is told as, for which it came back, since when it wanted the
    GIL, its beginning and end, and whether it was made to stop."""

    region: Integers
    comes_for: Integers
    wanted: Integers
    start: Integers
    end: Integers
    forced: npt.NDArray[np.bool_]


def best_pool(trace: Trace, prepared: Prepared) -> Pool | None:
    """None where no pool of threads serves enough requests (regions) to tell anything."""
    if trace.unit != "ns" or not trace.regions.num_rows:
        return None
    requests = trace.run(Options()).tables["requests"]
    called = [fold(name or thread) for thread, name in zip(prepared.threads.ids, prepared.threads.names, strict=True)]
    codes = [prepared.threads.ids.index(thread) for thread in requests.column("thread").to_pylist()]
    served = Counter(called[code] for code in codes).most_common(1)
    if not served or served[0][1] < FEWEST_REQUESTS:
        return None
    name = served[0][0]
    members = sorted({code for code in codes if called[code] == name})
    if len(members) < 2:
        return None
    own = {
        region
        for region, code in zip(requests.column("region").to_pylist(), codes, strict=True)
        if called[code] == name
    }
    served_by = [_requests(timeline) for timeline in _timelines(trace, members, own)]
    asked = sorted((one for requests, _ in served_by for one in requests), key=lambda one: one.begin)
    if len(asked) < FEWEST_REQUESTS:
        return None
    begin, end = asked[0].begin, max(one.end for one in asked)
    edges = [(requests[0].begin - begin) + (end - requests[-1].end) for requests, _ in served_by if requests]
    idle = sum(edges) + sum(idle for _, idle in served_by)
    at_work = 1 - idle / max(1, len(members) * (end - begin))
    best, sentence = _told(name, members, asked, at_work, prepared)
    return Pool(name, len(members), len(asked), best, sentence)


def _told(
    name: str, members: list[int], asked: list[_Request], at_work: float, prepared: Prepared
) -> tuple[int | None, str]:
    size = len(members)
    pool = f"the pool of {size} {printable(name)} threads"
    traced = max(1, max(one.end for one in asked) - asked[0].begin)
    if at_work < SATURATED:
        most = _most_at_once(asked)
        fewer = f", and {most} would have served them as well" if most < size else ""
        return (most if most < size else None), (
            f"Of {pool} at most {most} had a request at once, and they were at work for {percent(at_work)} of the "
            f"time{fewer}. What more threads would do cannot be told: no request had to wait for one."
        )
    if prepared.programs is None:
        return None, f"Which size of {pool} would be best cannot be told. {prepared.gate.reason}"
    took = {tried: _took(prepared.programs, members, asked, tried) for tried in _sizes(size)}
    if abs(took[size] / traced - 1) > MOST_ERROR:
        return None, (
            f"Which size of {pool} would be best cannot be told: replayed with as many, these {len(asked):,} requests "
            f"take {duration(took[size], 'ns')} instead of {duration(traced, 'ns')}."
        )
    best = min(tried for tried, ns in took.items() if ns <= (1 + AS_GOOD) * min(took.values()))
    told = f"Where requests always wait, the {count(len(asked), 'request')} of {pool}"
    if best == size:
        return best, f"{told} are served best by as many threads as there are, of {_listed(sorted(took))}."
    return best, (
        f"{told} would be served best by {best}: in {duration(took[best], 'ns')} instead of "
        f"{duration(took[size], 'ns')}, and one in {duration(took[best] * best // len(asked), 'ns')} on average "
        f"instead of {duration(took[size] * size // len(asked), 'ns')}."
    )


def _listed(sizes: Sequence[int]) -> str:
    return f"{', '.join(map(str, sizes[:-1]))} and {sizes[-1]}"


def _sizes(size: int) -> list[int]:
    return sorted({size, *(tried for tried in SIZES if tried <= 2 * size)})


def _most_at_once(asked: list[_Request]) -> int:
    edges = sorted([(one.begin, 1) for one in asked] + [(one.end, -1) for one in asked])
    return int(np.cumsum([step for _, step in edges]).max())


def _timelines(trace: Trace, members: list[int], own: set[int]) -> list[_Timeline]:
    """Of each of these threads."""
    events, holds, waits = trace.events, trace.holds, trace.waits
    told = int64_values(events.column("region").combine_chunks())
    told = np.where(np.isin(told, list(own)), told, 0)
    thread = np.asarray(holds.column("thread").combine_chunks().indices)
    kinds = holds.column("release_kind").combine_chunks()
    forced = np.asarray(kinds.indices) == kinds.dictionary.to_pylist().index(RELEASE_KINDS[CHECK])
    start_seq, start, end, seq = (_column(holds, name) for name in ("start_seq", "start_clock", "end_clock", "end_seq"))
    asked = _column(waits, "end_seq") != NULL
    acquired, entry, since = (_column(waits, name)[asked] for name in ("end_seq", "entry_seq", "entry_clock"))
    order = np.argsort(acquired)
    timelines = []
    for member in members:
        rows = np.flatnonzero((thread == member) & (seq != NULL))
        places = order[np.minimum(np.searchsorted(acquired, start_seq[rows], sorter=order), len(order) - 1)]
        known = (acquired[places] == start_seq[rows]) & (entry[places] != NULL)
        comes = np.where(known, told[entry[places]], 0), np.where(known, since[places], start[rows])
        timelines.append(_Timeline(told[seq[rows]], comes[0], comes[1], start[rows], end[rows], forced[rows]))
    return timelines


def _column(table: pa.Table, name: str) -> Integers:
    return int64_values(table.column(name).combine_chunks())


def _requests(of: _Timeline) -> tuple[list[_Request], int]:
    """In their order, and for how long the thread had none. What it did between two of them belongs to the next.

    A hold in which one ends and the next begins is told as that of one of them: each gets half.
    """
    asked: list[_Request] = []
    current, held, idle = 0, 0, 0
    for place in range(len(of.region)):
        held += int(of.end[place] - of.start[place])
        region = int(of.region[place])
        if region and region != current:
            current = region
            asked.append(_Request(int(of.wanted[place])))
        last = place + 1 == len(of.region)
        following = 0 if last else int(of.comes_for[place + 1])
        outside = 0 if last else max(0, int(of.wanted[place + 1] - of.end[place]))
        if current and (of.forced[place] and following == current):
            continue
        if current:
            asked[-1].end = int(of.end[place])
        if following and following != current:
            if current:
                asked[-1].add(held // 2, CONTINUES)
                held -= held // 2
            current = following
            asked.append(_Request(int(of.end[place])))
        elif not current:
            idle += outside
            continue
        asked[-1].add(held, outside if following else CONTINUES)
        held = 0
        if not following:
            current = 0
            idle += outside
    return asked, idle


def _took(programs: Programs, members: list[int], asked: list[_Request], size: int) -> int:
    """ns from the first request to the end of the last, all of them there from the beginning."""
    script, behaviour = _with_pool(programs, members, asked, size)
    runs = [replay(script, behaviour, seed) for seed in DRAWS]
    return int(np.median([int(run.ends[:size].max() - run.begins[:size].min()) for run in runs]))


def _with_pool(programs: Programs, members: list[int], asked: list[_Request], size: int) -> tuple[Script, Behaviour]:
    """The pool's threads come first, each with its share of the requests; then the others, as they were."""
    script = programs.script
    shares: list[list[_Request]] = [[] for _ in range(size)]
    load = [0] * size
    for one in asked:
        least = load.index(min(load))
        shares[least].append(one)
        load[least] += sum(one.work) + sum(ns for ns in one.outside if ns > 0)
    shares = [share for share in shares if share] or [[]]
    others = [place for place in range(len(script.atomic)) if place not in members]
    pieces = [np.arange(script.first[place], script.first[place + 1]) for place in others]
    kept = np.concatenate([np.empty(0, np.int64), *pieces])
    work = [np.array([ns for one in share for ns in one.work], np.int64) for share in shares]
    outside = [np.array([ns for one in share for ns in one.outside], np.int64) for share in shares]
    first = np.cumsum([0, *map(len, work), *map(len, pieces)], dtype=np.int64)
    own = int(first[len(shares)])
    moved = np.full(len(script.work) + 1, NONE, np.int64)
    moved[kept] = own + np.arange(len(kept))
    alike = [members[place % len(members)] for place in range(len(shares))] + others
    none = np.full(own, NONE, np.int64)
    begins = programs.traced.begins - min(int(programs.traced.begins[member]) for member in members)
    needs = moved[script.needs[kept]]
    made = Script(
        start=np.concatenate([np.zeros(len(shares), np.int64), np.maximum(0, begins[others])]),
        first=first,
        started_by=np.full(len(alike), NONE, np.int64),
        work=np.concatenate([*work, script.work[kept]]),
        outside=np.concatenate([*outside, script.outside[kept]]),
        needs=np.concatenate([none, needs]),
        arrives=np.concatenate([none, script.arrives[kept]]),
        atomic=script.atomic[alike],
        free=script.free[alike],
    )
    behaviour = programs.behaviour
    return made, replace(
        behaviour,
        answers=tuple(behaviour.answers[place] for place in alike),
        stalls=tuple(behaviour.stalls[place] for place in alike),
        returns=tuple(behaviour.returns[place] for place in alike),
    )
