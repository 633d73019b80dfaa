"""An analysis as figures: what each shows, as plain values, and the same for plotly."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracekit.errors import OptionError
from tracekit.figures import plotly
from tracekit.figures.content import Drawable
from tracekit.figures.plotly import Figure

FIGURES: Mapping[str, Callable[[Drawable], Figure]] = {
    "timeline": plotly.timeline,
    "blame": plotly.blame,
    "threads": plotly.threads,
    "waits": lambda analysis: plotly.spread(analysis, "contended_wait"),
    "holds": lambda analysis: plotly.spread(analysis, "hold"),
    "handoffs": plotly.handoffs,
    "waiting": plotly.waiting,
}


def figure(analysis: Drawable, name: str) -> Figure:
    """One of `FIGURES`. Raises OptionError for an unknown one."""
    if name not in FIGURES:
        raise OptionError(f"There is no figure {name!r}.", f"There are {', '.join(FIGURES)}.")
    return FIGURES[name](analysis)
