from __future__ import annotations

import pytest

from tracekit.words import duration_in_ns, whole_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("100", 100),
        ("101", None),
        ("000100", 100),
        ("0" * 9999, 0),
        ("9" * 9999, None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1_0", None),
        (" 1", None),
        ("²", None),
        ("٣", None),
    ],
)
def test_only_plain_digits_up_to_the_limit_are_a_whole_number(text: str, expected: int | None) -> None:
    assert whole_number(text, 100) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10ms", 10_000_000),
        (" 1.5 s ", 1_500_000_000),
        ("0.000000001s", 1),
        ("4611686018.427387904s", 2**62),  # a float has no room for these
        ("9007199254740993", 2**53 + 1),
        ("2µs", 2000),
        ("1.5", None),  # of what?
        ("99999999999s", None),
        ("9" * 25, None),
        ("٣ms", None),
        ("-1ms", None),
        ("1e3ms", None),
        ("ms", None),
    ],
)
def test_a_duration_is_exact_or_none(text: str, expected: int | None) -> None:
    assert duration_in_ns(text) == expected
