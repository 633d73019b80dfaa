"""Which tracekit this is: `VERSION`, looked up when it is first asked for, since that takes 10 ms."""

from __future__ import annotations

VERSION: str


def __getattr__(name: str) -> str:
    if name != "VERSION":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("tracekit")
    except PackageNotFoundError:  # run from a checkout that is not installed
        installed = "unknown"
    globals()["VERSION"] = installed
    return installed
