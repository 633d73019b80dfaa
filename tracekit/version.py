"""Which tracekit this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("tracekit")
except PackageNotFoundError:  # run from a checkout that is not installed
    VERSION = "unknown"
