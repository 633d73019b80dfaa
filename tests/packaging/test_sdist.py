"""The source distribution: whoever has only that can build, test and read tracekit."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

BUILD = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"


def test_the_sdist_has_every_file(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        if "CI" in os.environ:
            pytest.fail("not a git checkout")
        pytest.skip("not a git checkout: there is nothing to compare with")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    copy = tmp_path / "copy"
    for name in listed.splitlines():
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "out").mkdir()
    subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path / "out")], cwd=copy, capture_output=True, check=True, timeout=120
    )
    (archive,) = (tmp_path / "out").iterdir()
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    missing = sorted(name for name in listed.splitlines() if name not in packed and (ROOT / name).exists())
    assert not missing
