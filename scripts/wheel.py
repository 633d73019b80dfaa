"""Builds the manylinux wheel, which needs no compiler where it is installed, and tries it in bare environments.

    pip install -e '.[wheel]' && python scripts/wheel.py [-o dist] [--try PYTHON]...

It is for all Python versions: the C has no Python API. Which systems it runs on follows from the glibc that it is built
with; auditwheel names the oldest. Each PYTHON (by default this one) gets an environment of its own without a compiler,
installs the wheel with its dependencies from where pip finds packages, reads a trace, and records a program.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRACE = ROOT / "sample_traces" / "slide-battle.log"
PROGRAM = """\
import threading
threads = [threading.Thread(target=sum, args=(range(10**6),)) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def build(out: Path) -> Path:
    """The repaired wheel."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw")
        environment = {**os.environ, "TRACEKIT_REQUIRE_NATIVE": "1"}
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(raw), str(ROOT)]
        subprocess.run(pip, check=True, env=environment)
        (wheel,) = raw.glob("*.whl")
        repaired = Path(folder, "repaired")
        subprocess.run([sys.executable, "-m", "auditwheel", "repair", "-w", str(repaired), str(wheel)], check=True)
        (wheel,) = repaired.glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        return wheel.replace(out / wheel.name)


def try_it(wheel: Path, python: str) -> None:
    """Raises where something does not work that does from source."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        subprocess.run([python, "-m", "venv", "--without-pip", str(room / "env")], check=True)
        own = str(room / "env" / "bin" / "python")
        environment = {**os.environ, "PATH": str(room / "env" / "bin"), "CC": "/bin/false", "PYTHONNOUSERSITE": "1"}
        environment.pop("PYTHONPATH", None)

        def run(*command: str) -> str:
            done = subprocess.run(command, cwd=room, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
            return done.stdout

        # By this Python's pip: Debian's Pythons bring none for an environment.
        run(sys.executable, "-m", "pip", "--python", own, "install", "-q", "--only-binary=:all:", str(wheel))
        version = run(own, "-m", "tracekit", "--version").strip()
        if "native" not in version:
            raise SystemExit(f"{python}: {version}: the wheel has no native core.")
        if "22 events" not in run(own, "-m", "tracekit", "analyze", str(TRACE)):
            raise SystemExit(f"{python}: the sample is not read.")
        (room / "program.py").write_text(PROGRAM)
        run(own, "-m", "tracekit", "record", "-o", "program.log", "program.py")
        run(own, "-m", "tracekit", "analyze", "program.log")
        print(f"{python}: {version}: reads and records")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist", metavar="FOLDER")
    parser.add_argument("--try", dest="pythons", action="append", metavar="PYTHON")
    options = parser.parse_args()
    wheel = build(options.output)
    print(wheel)
    for python in options.pythons or [sys.executable]:
        try_it(wheel, python)


if __name__ == "__main__":
    main()
