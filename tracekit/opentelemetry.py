"""Counters as OpenTelemetry instruments: the extra `opentelemetry`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter

from tracekit.live.counting import Counters, by_name, count, counters

_SECOND = 10**9


def instrument(meter: Meter | None = None) -> None:
    """Adds instruments of what this process' threads do with the GIL, by their names, digits as `*`.

    meter: without it the one named `tracekit`. It starts to count; where the interpreter cannot be recorded there is a
    warning, and nothing is observed.
    """
    count()
    meter = meter or get_meter("tracekit")

    def observed(
        values: Callable[[Counters], dict[str | None, float]],
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            return [
                Observation(value, {"threads": name} | ({"cause": cause} if cause else {}))
                for name, one in by_name(counters()).items()
                for cause, value in values(one).items()
            ]

        return observe

    def add(name: str, unit: str, what: str, values: Callable[[Counters], dict[str | None, float]]) -> None:
        meter.create_observable_counter(f"python.gil.{name}", [observed(values)], unit, what)

    add(
        "held_time",
        "s",
        "Time in which threads of this name held the GIL.",
        lambda one: {None: one["held_ns"] / _SECOND},
    )
    add(
        "wait_time", "s", "Time that they waited for it, by cause.",
        lambda one: {cause: ns / _SECOND for cause, ns in one["causes"].items()},
    )  # fmt: skip
    add(
        "off_cpu_held_time", "s", "Time in which they held it and did not run, where that is known.",
        lambda one: {None: one["off_cpu_held_ns"] / _SECOND},
    )  # fmt: skip
    add("contended_waits", "{wait}", "How often they found it in use.", lambda one: {None: one["contended_waits"]})
    add(
        "forced_releases",
        "{release}",
        "How often they were made to let go.",
        lambda one: {None: one["forced_releases"]},
    )
    add(
        "blocking_releases",
        "{release}",
        "How often they let go, to block.",
        lambda one: {None: one["blocking_releases"]},
    )
