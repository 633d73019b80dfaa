"""The words that the API takes, for type checkers: a typo is an error before it runs."""

from typing import Literal, TypedDict

Table = Literal[
    "events",
    "threads",
    "holds",
    "waits",
    "switches",
    "blame",
    "failed_retries",
    "stacks",
    "regions",
    "diagnostics",
]
AnalysisTable = Literal[
    "threads",
    "blame",
    "causes",
    "battles",
    "convoys",
    "frozen_signals",
    "long_holds",
    "distributions",
    "histograms",
    "utilisation",
    "waiting",
    "handoffs",
    "locks",
    "fairness",
    "stacks",
    "regions",
    "stack_blame",
    "lines",
    "requests",
    "request_blame",
    "request_split",
]
Kind = Literal[
    "battles",
    "convoys",
    "frozen_signals",
    "long_holds",
    "saturation",
    "queueing",
    "preemption",
    "scheduling",
    "failed_retries",
]
Figure = Literal["timeline", "blame", "threads", "waits", "holds", "handoffs", "waiting"]
Theme = Literal["auto", "light", "dark"]

class Thresholds(TypedDict, total=False):
    min_rounds: int
    ratio: float
    min_cycles: int
    max_gap: int
    min_frozen: int
    min_timeouts: int
    long_hold: int
    worst: int
    distinct_values: int
