"""The page's title is text, and shows what a window's bar would obey."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import SAMPLES
from tracekit.analysis import analyze_and_draw
from tracekit.reporters.html import render


def test_control_and_bidi_characters_are_escapes(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\u202eb<i>.log"
    path.write_bytes((SAMPLES / "slide-battle.log").read_bytes())
    page = render([analyze_and_draw(path)])
    found = re.search("<title>(.*?)</title>", page)
    assert found
    assert found[1] == "a\\x1b[31m\\u202eb&lt;i&gt;.log · tracekit"
