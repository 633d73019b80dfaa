"""The scripts without a GIL: threads that share some cores."""

from __future__ import annotations

import heapq
from collections import deque

import numpy as np

from tracekit.whatif.programs import NONE, Run, Script

SLICE = 4_000_000
"""ns that a thread computes before another that wants its core gets it."""


def without_gil(script: Script, cores: int) -> Run:
    """When each thread would begin and end. Nobody waits for the GIL; who finds no core is late, and that is all."""
    threads = len(script.start)
    work, outside, needs = script.work.tolist(), script.outside.tolist(), script.needs.tolist()
    first, arrives = script.first.tolist(), script.arrives.tolist()
    piece, left = first[:-1], [0] * threads
    begins, ends = [NONE] * threads, [0] * threads
    ended = [NONE] * len(work)
    blocked: dict[int, list[tuple[int, int]]] = {}  # by the piece that they need: thread, and ns from its end
    ready: deque[int] = deque()
    events: list[tuple[int, int, int, int]] = []
    idle, order = cores, 0

    def at(time: int, thread: int, ran: int) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (time, order, thread, ran))

    for thread, start in enumerate(script.start.tolist()):
        if first[thread] == first[thread + 1]:
            continue
        starter = int(script.started_by[thread])
        if starter == NONE:
            at(start, thread, NONE)
        else:
            blocked.setdefault(starter, []).append((thread, start))
    while events:
        now, _, thread, ran = heapq.heappop(events)
        if ran == NONE:  # wants to compute
            if begins[thread] == NONE:
                begins[thread] = now
            left[thread] = work[piece[thread]]
            ready.append(thread)
        else:
            idle += 1
            left[thread] -= ran
            if left[thread]:
                ready.append(thread)
            else:
                done = piece[thread]
                ended[done] = ends[thread] = now
                for other, delay in blocked.pop(done, ()):
                    at(now + delay, other, NONE)
                if done + 1 < first[thread + 1]:
                    piece[thread] = done + 1
                    away = max(0, outside[done])
                    if needs[done] == NONE:
                        at(max(now + away, arrives[done]), thread, NONE)
                    elif ended[needs[done]] != NONE:
                        at(max(now, ended[needs[done]] + away), thread, NONE)
                    else:
                        blocked.setdefault(needs[done], []).append((thread, away))
        while idle and ready:
            idle -= 1
            runner = ready.popleft()
            slice_ = min(left[runner], SLICE)
            at(now + slice_, runner, slice_)
    none = np.zeros(0, np.int64)
    return Run(np.array(begins), np.array(ends), np.zeros(threads, np.int64), none, none.astype(np.int32), 0)
