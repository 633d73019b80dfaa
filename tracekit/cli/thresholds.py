"""The thresholds of docs/analyses.md as options of every command that analyzes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from tracekit.cli.common import outcome
from tracekit.errors import OptionError
from tracekit.model.rows import Options
from tracekit.words import duration_in_ns

_HELP = {
    "min_rounds": "Lost rounds that make a wait a battle.",
    "ratio": "How many times longer than itself a short hold must wait to count as delayed.",
    "min_cycles": "Delayed short holds that make a convoy.",
    "max_gap": "Undelayed short holds in a row that do not end a convoy.",
    "min_frozen": "Checks at 0 ticks in a row that count as frozen signals.",
    "min_timeouts": "Timeouts of one waiter that make a hold long.",
    "long_hold": "A hold this long is one too if a thread waits at its end: 500us, 10ms, or ns.",
    "worst": "List only so many findings of each kind, the costliest; totals count all.",
}


def with_thresholds(command: Callable[..., None]) -> Callable[..., None]:
    """A command that gets `thresholds`, for `tracekit.analyze`, from an option for each."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "thresholds"]

    @wraps(command)
    def run(**options: Any) -> None:
        thresholds = {name: options.pop(name) for name in _HELP}
        with outcome():
            thresholds["long_hold"] = nanoseconds("--long-hold", thresholds["long_hold"])
        command(**options, thresholds=thresholds)

    run.__signature__ = signature.replace(parameters=[*own, *map(_option, _HELP)])  # type: ignore[attr-defined]
    return run


def _option(name: str) -> inspect.Parameter:
    default: Any = f"{Options.long_hold // 10**6}ms" if name == "long_hold" else getattr(Options, name)
    option = typer.Option(help=_HELP[name], rich_help_panel="Thresholds (docs/analyses.md)")
    kind: Any = Annotated[type(default), option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def nanoseconds(option: str, text: str) -> int:
    """What a duration like `500us` is in ns. Raises OptionError."""
    ns = duration_in_ns(text)
    if ns is None:
        raise OptionError(f"{option}: {text!r} is not a duration.", "Write e.g. 10ms, 500us, or nanoseconds.")
    return ns
