from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tracekit import _native

# Started in the background, a shell ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def examples(many: int) -> int:
    """How many of them a property tries: all in CI, a fifth while one edits."""
    return many if "CI" in os.environ else many // 5


settings.register_profile(
    "tracekit", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=examples(100)
)
settings.load_profile("tracekit")

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_traces"
GOLDEN = ROOT / "tests" / "data" / "golden"
TRACES = (SAMPLES, GOLDEN, GOLDEN / "edge", GOLDEN / "attributes")


def trace_file(name: str) -> Path:
    """A trace by its name, wherever it lies."""
    return next(path for folder in TRACES if (path := folder / name).exists())


@pytest.fixture(params=["native", "python"])
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs with each core."""
    if request.param == "python":
        monkeypatch.setattr(_native, "library", None)
    else:
        require_native()
    return str(request.param)


LARGE = 200_000
"""Bytes of a trace from which on a test of the plain-Python core, `core`, is slow."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        given = getattr(getattr(item, "callspec", None), "params", {})
        name = str(given.get("name"))
        if given.get("core") == "python" and name.endswith(".log"):
            path = next((path for folder in TRACES if (path := folder / name).exists()), None)
            if path and path.stat().st_size > LARGE:
                item.add_marker("slow")


def require_native() -> None:
    if _native.library is None:
        if "CI" in os.environ:
            pytest.fail("the native core was not built")
        pytest.skip("the native core was not built")


NEEDS = {"tests/fleet": ("distributed", "fleet"), "tests/reporters/html/browser": ("playwright", "browser")}
"""Which tests need a package of which extra: who works on a parser needs neither a cluster nor a browser."""


class _Missing(pytest.Module):
    """The tests of a file that cannot run here."""

    reason = ""

    def collect(self) -> Iterator[Any]:
        if "CI" in os.environ:
            pytest.fail(self.reason)
        pytest.skip(self.reason, allow_module_level=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    for folder, (package, extra) in NEEDS.items():
        if module_path.is_relative_to(ROOT / folder) and find_spec(package) is None:
            missing: _Missing = _Missing.from_parent(parent, path=module_path)
            missing.reason = f"{package} is not installed: pip install -e '.[{extra}]'"
            return missing
    return None
