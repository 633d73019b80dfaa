"""Counters for Prometheus, by `prometheus_client`: the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from tracekit.live.counting import by_name, count, counters
from tracekit.live.regions import sums

_FIRST, _LAST = 10, 34  # binary digits of ns: buckets from 1 us to 17 s
_SECOND = 10**9


class Collector:
    """What this process' threads do with the GIL, by their names, digits as `*`, and its regions by theirs:

        prometheus_client.REGISTRY.register(tracekit.prometheus.Collector())

    It starts to count. Where the interpreter cannot be recorded there is a warning, and no metric has a sample.
    """

    def __init__(self) -> None:
        count()

    def describe(self) -> list[Metric]:
        """Its metrics, without samples."""
        return list(_metrics())

    def collect(self) -> Iterator[Metric]:
        """Its metrics as they are now."""
        held, waited, off_cpu, forced, blocking, waits, regions, spent = _metrics()
        for name, one in by_name(counters()).items():
            held.add_metric([name], one["held_ns"] / _SECOND)
            for cause, ns in one["causes"].items():
                waited.add_metric([name, cause], ns / _SECOND)
            off_cpu.add_metric([name], one["off_cpu_held_ns"] / _SECOND)
            forced.add_metric([name], one["forced_releases"])
            blocking.add_metric([name], one["blocking_releases"])
            waits.add_metric([name], _buckets(one["wait_histogram"]), sum(one["causes"].values()) / _SECOND)
        for region in sums():
            regions.add_metric([region["name"]], region["regions"])
            known = {"held": region["held_ns"], "waited": region["waited_ns"]}
            for state, ns in (known | {"off": max(0, region["wall_ns"] - sum(known.values()))}).items():
                spent.add_metric([region["name"], state], ns / _SECOND)
        yield from (held, waited, off_cpu, forced, blocking, waits, regions, spent)


def _metrics() -> tuple[
    CounterMetricFamily, CounterMetricFamily, CounterMetricFamily, CounterMetricFamily, CounterMetricFamily,
    HistogramMetricFamily, CounterMetricFamily, CounterMetricFamily,
]:  # fmt: skip
    def counter(name: str, what: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"python_gil_{name}", what, labels=["threads", *labels])

    return (
        counter("held_seconds", "Time in which threads of this name held the GIL."),
        counter("waited_seconds", "Time that they waited for it, by cause.", "cause"),
        counter("off_cpu_held_seconds", "Time in which they held it and did not run, where that is known."),
        counter("forced_releases", "How often they were made to let go of it."),
        counter("blocking_releases", "How often they let go of it, to block."),
        HistogramMetricFamily("python_gil_wait_seconds", "How long each wait for it took.", labels=["threads"]),
        CounterMetricFamily("python_gil_regions", "Regions of this name that have ended.", labels=["region"]),
        CounterMetricFamily(
            "python_gil_region_seconds", "What they spent: held, waited for it, off.", labels=["region", "state"]
        ),
    )


def _buckets(histogram: list[int]) -> list[tuple[str, float]]:
    """Cumulative: below 2**n ns each."""
    bounds = range(_FIRST, _LAST + 1)
    told: list[tuple[str, float]] = [(str(2**digits / _SECOND), sum(histogram[: digits + 1])) for digits in bounds]
    return [*told, ("+Inf", sum(histogram))]
