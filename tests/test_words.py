from __future__ import annotations

import pytest

from tracekit.words import whole_number


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
