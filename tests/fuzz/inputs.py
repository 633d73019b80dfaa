"""Every input that is tried has a number."""

from __future__ import annotations

import random

from tests.fuzz import formats
from tests.fuzz.parquet import parquet

FORMATS: dict[str, formats.Make] = {
    "text": formats.text,
    "perf": formats.perf,
    "jsonl": formats.json_lines,
    "json": formats.json_of_others,
    "csv": formats.comma_separated,
    "arrow": formats.arrow,
    "parquet": parquet,
    "sqlite": formats.sqlite,
    "raw": formats.recording,
}


def make(number: int) -> tuple[str, bytes]:
    """The format, and the bytes."""
    chance = random.Random(number)
    name = chance.choice(list(FORMATS))
    return name, FORMATS[name](chance)
