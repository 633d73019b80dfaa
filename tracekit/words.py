"""Numbers and names as people read them."""

from __future__ import annotations

import re

INTERRUPTED = "Interrupted before the end. Run it again for all of it."


def printable(text: str) -> str:
    """Without what a terminal would obey instead of show."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(value: int, unit: str) -> str:
    """`12.3 ms`, or `1,234 ticks`."""
    if unit == "ticks":
        return count(value, "tick")
    for size, name in ((10**9, "s"), (10**6, "ms"), (10**3, "µs")):
        if value >= 0.9995 * size:
            shown = value / size
            return f"{shown:,.{0 if shown >= 100 else 1 if shown >= 10 else 2}f} {name}"
    return f"{value} ns"


def fold(name: str) -> str:
    """A thread's name without its numbers: the same for all threads of a pool, in every process."""
    return re.sub(r"\d+", "*", name)


def whole_number(text: str, most: int) -> int | None:
    """The integer from 0 to `most` that these digits are, else None."""
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit()) or len(digits) > len(str(most)):  # Python refuses thousands of digits
        return None
    value = int(digits or "0")
    return value if value <= most else None


def share(part: int, whole: int) -> str:
    return "-" if not whole else f"{100 * part / whole:.1f} %"


def percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def at_line(function: str, file: str, line: int | None) -> str:
    """How a frame of Python is named: `parse (app.py:42)`."""
    return f"{function} ({file}:{line})"


def size_in_bytes(text: str) -> int | None:
    """`100M`, `2G`, or bytes; None for what is not a size."""
    match = re.fullmatch(r"(\d{1,15})\s*([KMG]?)i?B?", text.strip(), re.IGNORECASE)
    return int(match[1]) * 1024 ** ("", "K", "M", "G").index(match[2].upper()) if match else None


NS_IN = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9}
"""The units that people write times in."""


def duration_in_ns(text: str) -> int | None:
    """`10ms`, `500us`, `1.5s`, or whole ns; None for what is not a duration, or one that 64 bits cannot hold."""
    found = re.fullmatch(r"(\d{1,19})(?:\.(\d{1,9}))?\s*(ns|us|µs|ms|s)?", text.strip(), re.ASCII)
    if not found or (found[2] and not found[3]):
        return None
    unit = NS_IN[found[3] or "ns"]
    ns = int(found[1]) * unit + int((found[2] or "").ljust(9, "0")) * unit // 10**9
    return ns if ns < 2**63 else None
