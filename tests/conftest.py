from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tracekit import _native

# Started in the background, a shell ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_traces"
GOLDEN = ROOT / "tests" / "data" / "golden"


def trace_file(name: str) -> Path:
    """A trace by its name, wherever it lies."""
    folders = (SAMPLES, GOLDEN, GOLDEN / "edge", GOLDEN / "attributes")
    return next(path for folder in folders if (path := folder / name).exists())


@pytest.fixture(params=["native", "python"])
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs with each core."""
    if request.param == "python":
        monkeypatch.setattr(_native, "library", None)
    else:
        require_native()
    return str(request.param)


def require_native() -> None:
    if _native.library is None:
        if "CI" in os.environ:
            pytest.fail("the native core was not built")
        pytest.skip("the native core was not built")
