"""For pytest: `@pytest.mark.gil(no=["convoys"], max_wait_share=0.5)` records a test's GIL and checks the trace.

The marker takes what `tracekit.check` takes. The trace lies in the test's own temporary folder.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "gil(max_wait_share=..., no=[...], ...): record the GIL while the test runs, and fail if the trace is not so; "
        "see tracekit.check",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    __tracebackhide__ = True
    marker = item.get_closest_marker("gil")
    if marker is None:
        return (yield)
    if sys.platform != "linux":
        pytest.skip("recording the GIL needs Linux")
    from tracekit.checks import check
    from tracekit.recorder.recording import record_or_cut

    trace = _folder(item) / "gil.log"
    with record_or_cut(trace):
        result = yield
    check(trace, *marker.args, **marker.kwargs)
    return result


def _folder(item: pytest.Item) -> Path:
    factory: pytest.TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]
    return factory.mktemp("gil")
