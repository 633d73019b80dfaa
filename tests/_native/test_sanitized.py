"""Random traces through the C core, built with sanitizers: fuzz.c says what is checked.

A failure names its round's seed; build fuzz.c as below and run `fuzz SEED 1 0` to repeat it. For a long run with new
seeds: `TRACEKIT_FUZZ_SECONDS=600 pytest -m slow tests/_native`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "tracekit" / "_native"
ADDRESS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD = ("-fsanitize=thread",)
LIMITS = ("-DTK_STACK_LIMIT=900", "-DTK_STACK_ROWS=200", "-DTK_SET_MEMBERS=300")
"""Of stacks.c: low enough to be met."""
BY_HAND = os.environ.get("TRACEKIT_FUZZ_SECONDS")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fuzz.c uses memfd_create")


def build(folder: Path, flags: tuple[str, ...]) -> Path:
    """The driver and the core in one program. Without a compiler that has these sanitizers: skips, or fails in CI."""
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not shutil.which(compiler[0]):
        give_up(f"there is no C compiler {compiler[0]!r}")
    empty = folder / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    if subprocess.run([*compiler, *flags, str(empty), "-o", str(folder / "empty")], capture_output=True).returncode:
        give_up(f"the C compiler cannot link {' '.join(flags)}")
    program = folder / "fuzz"
    sources = [HERE / "fuzz.c", *sorted(NATIVE.glob("*.c"))]
    command = [
        *compiler, "-std=gnu11", "-g", "-O1", "-fno-omit-frame-pointer", *flags, f"-I{NATIVE}",
        *LIMITS, *map(str, sources), "-o", str(program), "-pthread",
    ]  # fmt: skip
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return program


def fuzz(program: Path, seed: int, seconds: float) -> None:
    if BY_HAND:
        seed, seconds = time.time_ns() // 1000, float(BY_HAND)
    command = [str(program), str(seed), str(2**62), str(seconds)]
    limit = seconds + 60  # a hang is a failure too
    ran = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    if "unexpected memory mapping" in ran.stderr and shutil.which("setarch"):  # TSan and address randomisation
        ran = subprocess.run(["setarch", "-R", *command], capture_output=True, text=True, timeout=limit)
    assert ran.returncode == 0, ran.stderr[-8000:]
    assert int(ran.stdout.split()[0]) > 0


@pytest.mark.slow
def test_addresses_and_behaviour(tmp_path: Path) -> None:
    fuzz(build(tmp_path, ADDRESS), seed=1, seconds=5)


@pytest.mark.slow
def test_addresses_and_behaviour_longer(tmp_path: Path) -> None:
    fuzz(build(tmp_path, ADDRESS), seed=1_000_000, seconds=20)


@pytest.mark.slow
def test_threads(tmp_path: Path) -> None:
    fuzz(build(tmp_path, THREAD), seed=2_000_000, seconds=15)
