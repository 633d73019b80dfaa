"""Who waited for whom at the GIL, how long, and why: traces of CPython's global interpreter lock as tables.

Its names are loaded when they are first used: `import tracekit` alone takes a few milliseconds. `__init__.pyi` tells
type checkers what there is.
"""

from importlib import import_module

_WHERE = {
    "analysis": ("Analysis", "analyze"),
    "checks": ("CheckFailed", "check"),
    "comparison": ("Comparison", "compare"),
    "errors": (
        "BadLineError", "NoEventsError", "NotObservedError", "OptionError", "RecordError", "SchemaError", "SourceError",
        "TracekitError",
    ),
    "live.counting": ("count", "counters"),
    "live.flight": ("Flight", "flight"),
    "live.middleware": ("ASGIMiddleware", "WSGIMiddleware"),
    "live.regions": ("Region", "region"),
    "querying": ("query",),
    "recorder.arming": ("arm",),
    "recorder.recording": ("Recording", "record", "recorded"),
    "sql": ("QueryError",),
    "timeline.flame": ("Flame", "Frame"),
    "trace": ("Trace", "from_pandas", "read"),
    "whatif": ("WhatIf", "what_if"),
}  # fmt: skip
"""The public names by the modules that have them."""
_EXTRAS = ("opentelemetry", "prometheus")
"""Modules that need an extra."""
_MODULES = {name: module for module, names in _WHERE.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from tracekit.version import VERSION

        return VERSION
    if name in _EXTRAS:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_EXTRAS, "__version__"})


def load_ipython_extension(shell: object) -> None:
    """`%load_ext tracekit`: the cell magic `%%gil`."""
    import_module("tracekit.magic").register(shell)
