"""A fleet's summary as JSON, for programs: docs/json.md."""

from __future__ import annotations

import json
from dataclasses import asdict

from tracekit.fleet.summary import Summary

SCHEMA = "tracekit.fleet/1"


def render(summary: Summary) -> str:
    """JSON text: one object."""
    return json.dumps({"schema": SCHEMA, **asdict(summary)}, indent=2, allow_nan=False) + "\n"
