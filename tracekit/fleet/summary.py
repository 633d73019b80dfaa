"""Summarises a fleet's dataset: affected processes, causes, outliers, differences between hosts and versions."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, fields
from itertools import accumulate, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracekit.analyzers import ANALYZERS
from tracekit.analyzers.finding import NAMED
from tracekit.fleet import dataset
from tracekit.model.rows import DISTRIBUTIONS
from tracekit.words import at_line, printable

if TYPE_CHECKING:
    import pandas as pd

LISTED = 100
"""How many processes, causes, errors and so on a summary lists; the tables have all of them."""
BINS = 20
LEAST_FOR_OUTLIERS = 5  # processes; with fewer there are no outliers
_OUTLYING = 3 * 1.4826  # times the median absolute deviation: three standard deviations, were they normal
_LEAST_OUTLYING = 0.1  # above the median, of the trace's duration
SHARES = {
    "lost": "time lost",
    "held": "GIL held",
    "free_wanted": "GIL free while wanted",
}
"""Shares of a trace's duration that are looked at over all processes."""


@dataclass(frozen=True)
class Process:
    """A trace. Shares are of its duration, 0 to 1, None where that is 0; `cause` is its costliest."""

    trace: str
    host: str | None
    pid: int | None
    python: str | None
    command: str | None
    unit: str
    events: int
    duration: int
    lost: float | None
    held: float | None
    free_wanted: float | None
    cause: str | None
    worst_finding: str | None


@dataclass(frozen=True)
class Cause:
    """A kind of finding about the same group of threads, and the number of processes that have it.

    cost: its mean share of these processes' durations; worst: the largest, in `trace`. findings: how many.
    """

    kind: str
    thread: str | None
    hog: str | None
    text: str
    processes: int
    findings: int
    cost: float
    worst: float
    trace: str


@dataclass(frozen=True)
class Waited:
    """What the threads of all processes waited for one cause, as shares of the processes' durations.

    processes: so many in which it is worth naming. share: the mean over all; worst: the largest, in `trace`. group: the
    threads that lost most by it.
    """

    cause: str
    processes: int
    share: float
    worst: float
    trace: str
    group: str


@dataclass(frozen=True)
class Line:
    """A line at which the GIL was held, and what all threads of all processes waited meanwhile, as in `Waited`.

    waiter: the line that waited most, as `function (file:line)`; None: unknown.
    """

    function: str
    file: str
    line: int
    processes: int
    share: float
    worst: float
    trace: str
    waiter: str | None

    @property
    def where(self) -> str:
        return at_line(self.function, self.file, self.line)


@dataclass(frozen=True)
class Outlier:
    """A process whose share is far above the `median` of all."""

    trace: str
    share: str
    value: float
    median: float


@dataclass(frozen=True)
class Spread:
    """A number of each process over all of them. `bins`: of shares, processes in each twentieth from 0 to 1."""

    name: str
    unit: str
    p10: float
    p50: float
    p90: float
    p99: float
    max: float
    bins: tuple[int, ...]


@dataclass(frozen=True)
class Pooled:
    """How long waits, holds or switches took, of all processes whose clock is ns together.

    p50, p90, p99: upper bounds in ns. buckets: (low, high, count), the non-empty ones.
    """

    kind: str
    count: int
    p50: int
    p90: int
    p99: int
    buckets: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Side:
    """The processes of one interpreter version, or host; None: not told. Medians and 90 % quantiles of `lost`."""

    name: str | None
    processes: int
    suffering: int
    p50: float | None
    p90: float | None
    cause: str | None


@dataclass(frozen=True)
class Problem:
    trace: str
    code: str
    message: str
    hint: str


@dataclass(frozen=True)
class Summary:
    """Of each list the first `LISTED`; `counts` has their lengths in the dataset.

    folder: of the dataset. root: of the traces' paths, what they have in common. suffering: processes with a finding
    worth naming. durations: in all, by unit.
    """

    folder: str
    root: str
    analyzed: int
    suffering: int
    events: int
    durations: dict[str, int]
    processes: tuple[Process, ...]
    causes: tuple[Cause, ...]
    waited: tuple[Waited, ...]
    lines: tuple[Line, ...]
    outliers: tuple[Outlier, ...]
    spreads: tuple[Spread, ...]
    pooled: tuple[Pooled, ...]
    versions: tuple[Side, ...]
    hosts: tuple[Side, ...]
    programs: tuple[Side, ...]
    errors: tuple[Problem, ...]
    counts: dict[str, int]

    def short(self, trace: str) -> str:
        """A trace's path below the root."""
        return trace.removeprefix(self.root)


def summarise(folder: Path) -> Summary:
    """Reads the dataset in this folder; memory grows with the traces in it."""
    traces = _read(folder, "fleet_traces")
    causes = _read(folder, "fleet_causes")
    errors = _read(folder, "fleet_errors").sort_values("trace")
    for share in ("held", "free_wanted"):
        traces[share] = traces[share] / traces["duration"].where(traces["duration"] > 0)
    causes = causes[causes["cost"] >= NAMED]
    causes["text"] = [_text(*row) for row in zip(causes["kind"], causes["thread"], causes["hog"], strict=True)]
    first = causes.sort_values(["cost", "text"], ascending=[False, True]).drop_duplicates("trace")
    traces["cause"] = traces["trace"].map(first.set_index("trace")["text"])
    traces = traces.sort_values(["lost", "trace"], ascending=[False, True]).reset_index(drop=True)
    grouped, outliers = _causes(causes), _outliers(traces)
    lines = _lines(folder, len(traces))
    traces["program"] = traces["command"].str.replace(r"\d+", "*", regex=True)  # of one program, whatever its port
    versions, hosts, programs = (_sides(traces, column) for column in ("python", "host", "program"))
    lists = {
        "processes": len(traces), "causes": len(grouped), "outliers": len(outliers), "versions": len(versions),
        "hosts": len(hosts), "programs": len(programs), "lines": len(lines), "errors": len(errors),
    }  # fmt: skip
    return Summary(
        folder=str(folder),
        root=_root(traces["trace"].tolist()),
        analyzed=len(traces),
        suffering=int((traces["findings"] > 0).sum()),
        events=int(traces["events"].sum()),
        durations={str(unit): int(total) for unit, total in traces.groupby("unit")["duration"].sum().items()},
        processes=tuple(_process(row) for row in _records(traces.head(LISTED))),
        causes=grouped[:LISTED],
        waited=_waited(folder, len(traces)),
        lines=lines[:LISTED],
        outliers=outliers[:LISTED],
        spreads=_spreads(traces, _worst_waits(folder)),
        pooled=_pooled(folder),
        versions=versions[:LISTED],
        hosts=hosts[:LISTED],
        programs=programs[:LISTED],
        errors=tuple(Problem(**row) for row in _records(errors.head(LISTED))),
        counts=lists,
    )


_COLUMNS = {
    "fleet_traces": [
        "trace", "host", "pid", "python", "command", "unit", "events", "duration", "held", "free_wanted", "lost",
        "findings", "worst_finding",
    ],
    "fleet_causes": ["trace", "kind", "thread", "hog", "count", "cost"],
    "fleet_errors": ["trace", "code", "message", "hint"],
}  # fmt: skip


def _read(folder: Path, table: str) -> pd.DataFrame:
    import pandas as pd

    rows = dataset.read(folder, table, _COLUMNS[table])
    frame: pd.DataFrame = rows.to_pandas(strings_to_categorical=False, types_mapper=_nullable().get)
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    return frame


def _nullable() -> dict[Any, Any]:
    import pandas as pd
    import pyarrow as pa

    return {pa.int64(): pd.Int64Dtype()}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    import pandas as pd

    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def _text(kind: str, thread: str | None, hog: str | None) -> str:
    return printable(ANALYZERS[kind].fleet.format(thread=thread or "a thread", hog=hog or "others"))


def _root(traces: list[str]) -> str:
    """The folder, with its slash, that all of them lie in; nothing for one alone in the root."""
    folders = [trace[: trace.rfind("/") + 1].split("/") for trace in traces]
    first, last = min(folders, default=[""]), max(folders, default=[""])
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    common = "/".join(part for part, _ in same)
    return f"{common}/" if common and not common.endswith("/") else common


def _process(row: dict[str, Any]) -> Process:
    return Process(**{field.name: row[field.name] for field in fields(Process)})


def _causes(causes: pd.DataFrame) -> tuple[Cause, ...]:
    """Sorted by total cost over all processes, highest first."""
    grouped = []
    for key, rows in causes.groupby(["kind", "thread", "hog"], dropna=False, sort=True):
        kind, thread, hog = (None if name != name or name is None else str(name) for name in key)
        worst = rows.sort_values(["cost", "trace"], ascending=[False, True]).iloc[0]
        cost, count = float(rows["cost"].mean()), int(rows["count"].sum())
        text = str(worst["text"])
        grouped.append(
            Cause(str(kind), thread, hog, text, len(rows), count, cost, float(worst["cost"]), str(worst["trace"]))
        )
    return tuple(sorted(grouped, key=lambda cause: (-cause.cost * cause.processes, cause.text)))


def _waited(folder: Path, processes: int) -> tuple[Waited, ...]:
    """The cause first that costs the fleet most."""
    of_trace: dict[str, Counter[str]] = {}
    of_group: dict[str, Counter[str]] = {}
    for part in dataset.parts(folder, "fleet_waited", ["trace", "group", "cause", "share"]):
        for row in part.to_pylist():
            of_trace.setdefault(row["cause"], Counter())[row["trace"]] += row["share"]
            of_group.setdefault(row["cause"], Counter())[row["group"]] += row["share"]
    waited = []
    for cause, shares in of_trace.items():
        trace = min(shares, key=lambda trace: (-shares[trace], trace))
        group = min(of_group[cause], key=lambda group: (-of_group[cause][group], group))
        named = sum(share >= NAMED for share in shares.values())
        waited.append(Waited(cause, named, sum(shares.values()) / processes, shares[trace], trace, group))
    return tuple(sorted((one for one in waited if one.processes), key=lambda one: (-one.share, one.cause)))


_PLACE = ("function", "file", "line")


def _lines(folder: Path, processes: int) -> tuple[Line, ...]:
    """The line first that costs the fleet most; those named by at least one process."""
    of_trace: dict[tuple[str, str, int], Counter[str]] = {}
    of_waiter: dict[tuple[str, str, int], Counter[str | None]] = {}
    columns = [f"{side}_{name}" for side in ("holder", "waiter") for name in _PLACE]
    for part in dataset.parts(folder, "fleet_lines", ["trace", "share", *columns]):
        for row in part.to_pylist():
            holder, waiter = ([row[f"{side}_{name}"] for name in _PLACE] for side in ("holder", "waiter"))
            if None not in holder:
                place = holder[0], holder[1], holder[2]
                of_trace.setdefault(place, Counter())[row["trace"]] += row["share"]
                of_waiter.setdefault(place, Counter())[None if None in waiter else at_line(*waiter)] += row["share"]
    lines = []
    for place, shares in of_trace.items():
        trace = min(shares, key=lambda trace: (-shares[trace], trace))
        waits = of_waiter[place]
        most = min(waits, key=lambda one: (-waits[one], one or ""))
        named = sum(share >= NAMED for share in shares.values())
        lines.append(Line(*place, named, sum(shares.values()) / processes, shares[trace], trace, most))
    return tuple(sorted((one for one in lines if one.processes), key=lambda one: (-one.share, one.where)))


def _outliers(traces: pd.DataFrame) -> tuple[Outlier, ...]:
    """Sorted by distance from the median, largest first. The median, because outliers shift the mean."""
    outliers: list[Outlier] = []
    if len(traces) < LEAST_FOR_OUTLIERS:
        return ()
    for share in SHARES:
        values = traces[share].astype(float)
        median = float(values.median())
        far = max(_LEAST_OUTLYING, _OUTLYING * float((values - median).abs().median()))
        rows = traces[values > median + far]
        outliers += [
            Outlier(str(trace), share, float(value), median)
            for trace, value in zip(rows["trace"], rows[share], strict=True)
        ]
    return tuple(sorted(outliers, key=lambda outlier: (outlier.median - outlier.value, outlier.trace)))


def _worst_waits(folder: Path) -> list[int]:
    """Of each process whose clock is ns: the 99 % quantile of its worst thread's contended waits."""
    worst: list[int] = []
    for part in dataset.parts(folder, "fleet_distributions", ["trace", "unit", "kind", "p99"]):
        rows = part.to_pandas()
        rows = rows[(rows["kind"] == "contended_wait") & (rows["unit"] == "ns")]
        worst += rows.groupby("trace", observed=True)["p99"].max().tolist()
    return worst


def _pooled(folder: Path) -> tuple[Pooled, ...]:
    sums: dict[str, Counter[tuple[int, int]]] = {}
    for part in dataset.parts(folder, "fleet_histograms", ["unit", "kind", "low", "high", "count"]):
        rows = part.to_pandas()
        counts = rows[rows["unit"] == "ns"].groupby(["kind", "low", "high"], observed=True)["count"].sum()
        for (kind, low, high), count in counts.items():
            sums.setdefault(kind, Counter())[int(low), int(high)] += int(count)
    pooled = []
    for kind in (kind for kind in DISTRIBUTIONS if kind in sums):
        buckets = tuple((low, high, count) for (low, high), count in sorted(sums[kind].items()))
        ends = list(accumulate(count for _, _, count in buckets))
        p50, p90, p99 = (buckets[bisect_left(ends, share * ends[-1])][1] - 1 for share in (0.5, 0.9, 0.99))
        pooled.append(Pooled(kind, ends[-1], p50, p90, p99, buckets))
    return tuple(pooled)


def _spreads(traces: pd.DataFrame, worst_waits: list[int]) -> tuple[Spread, ...]:
    import numpy as np

    spreads = []
    for share, name in SHARES.items():
        values = traces[share].dropna().astype(float).to_numpy()
        if len(values):
            bins = np.histogram(values.clip(0, 1), BINS, (0, 1))[0].tolist()
            spreads.append(_spread(name, "share", values, tuple(bins)))
    if worst_waits:
        spreads.append(_spread("contended waits: p99 of the worst thread", "ns", worst_waits, ()))
    return tuple(spreads)


def _spread(name: str, unit: str, values: Any, bins: tuple[int, ...]) -> Spread:
    import numpy as np

    p10, p50, p90, p99, most = np.quantile(values, (0.1, 0.5, 0.9, 0.99, 1), method="inverted_cdf").tolist()
    return Spread(name, unit, p10, p50, p90, p99, most, bins)


def _sides(traces: pd.DataFrame, column: str) -> tuple[Side, ...]:
    """Those with the most processes first."""
    sides = []
    for name, rows in traces.groupby(column, dropna=False, sort=True):
        lost = rows["lost"].dropna().astype(float)
        causes = rows["cause"].dropna().mode()
        sides.append(
            Side(
                name=None if name != name else str(name),
                processes=len(rows),
                suffering=int((rows["findings"] > 0).sum()),
                p50=float(lost.quantile(0.5)) if len(lost) else None,
                p90=float(lost.quantile(0.9)) if len(lost) else None,
                cause=str(causes.iloc[0]) if len(causes) else None,
            )
        )
    return tuple(sorted(sides, key=lambda side: (-side.processes, side.name or "")))
