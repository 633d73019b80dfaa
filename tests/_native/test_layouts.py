"""The structs that C and Python share: a change of one side alone must not become silent garbage."""

from __future__ import annotations

import re

import pytest

from tracekit import _native
from tracekit.model.rows import C_STRUCTS, HOLD_ROW

pytestmark = pytest.mark.skipif(not _native.library, reason="no native core")

FIELDS = {name: (at[1], at[0].itemsize) for name, at in (HOLD_ROW.fields or {}).items()}


def test_the_layout_that_the_core_has_is_accepted() -> None:
    _native.check_layout("tk_hold", HOLD_ROW.itemsize, FIELDS)


@pytest.mark.parametrize(
    ("size", "fields", "odd"),
    [
        pytest.param(HOLD_ROW.itemsize + 8, FIELDS, "size", id="grown"),
        pytest.param(HOLD_ROW.itemsize, FIELDS | {"cost": (0, 8)}, "cost", id="a field that C does not have"),
        pytest.param(
            HOLD_ROW.itemsize, {k: v for k, v in FIELDS.items() if k != "open"}, "open", id="one that C alone has"
        ),
        pytest.param(
            HOLD_ROW.itemsize,
            FIELDS | {"start_seq": FIELDS["end_seq"], "end_seq": FIELDS["start_seq"]},
            "end_seq, start_seq",
            id="two that changed places",
        ),
    ],
)
def test_another_layout_is_refused_and_says_where(size: int, fields: dict[str, tuple[int, int]], odd: str) -> None:
    with pytest.raises(ImportError, match=re.escape(f"tk_hold ({odd}). Build it again")):
        _native.check_layout("tk_hold", size, fields)


def test_a_struct_that_the_core_does_not_list_is_refused() -> None:
    with pytest.raises(ImportError, match="tk_new"):
        _native.check_layout("tk_new", 8, {"seq": (0, 8)})


def test_every_struct_that_comes_out_of_the_core_is_checked() -> None:
    """What its functions take and return pointers to, but for the handles."""
    headers = sorted(_native.Path(_native.__file__).parent.glob("*.h"))
    header = "\n".join(path.read_text(encoding="utf-8") for path in headers)
    exported = " ".join(re.findall(r"^TK_EXPORT [^;]*;", header, re.MULTILINE))
    shared = set(re.findall(r"\b(tk_\w+) \*", exported)) - {"tk_timeline", "tk_pipeline", "tk_field"}
    assert shared == {*_native.STRUCTS, *C_STRUCTS} - {"tk_finding_totals", "tk_seen"}
