"""The docs as a site: what is public is in it, and every page has a place."""

from __future__ import annotations

import re

import tracekit
from tests.conftest import ROOT


def test_the_api_page_has_every_public_name() -> None:
    named = re.findall(r"^::: tracekit\.[\w.]*?(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    extras = ["Collector", "instrument"]  # of modules that need an extra
    assert sorted(named) == sorted([*tracekit.__all__, *extras])


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text().partition("nav:")[2]))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert listed == pages


def test_the_glossary_has_the_words_of_the_reports() -> None:
    words = re.findall(r"^\*\*([\w -]+)\*\*", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert {
        "Hold", "Wait", "Check", "Forced switch", "Lost round", "Convoy", "Hog", "Badness", "Frozen signals",
        "Battle", "Long hold", "Failed retry", "Switch interval",
    } <= set(words)  # fmt: skip
