"""Builds the native core and the recorder, plain shared libraries without Python's API: one wheel for every Python.

Where they cannot be built, tracekit is installed all the same and does without them; TRACEKIT_REQUIRE_NATIVE=1 makes
that an error instead.
"""

import glob
import os
import platform
import sys

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py


class BuildCore(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []


class Modules(build_py):
    """And what lies beside the package: Python reads such files when it starts."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.mkpath(self.build_lib)
            self.copy_file("tracekit_arm.pth", self.build_lib)


class CoreWheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


FILES = (
    "scan",
    "findings",
    "stacks",
    "locks",
    "regions",
    "picture",
    "timeline",
    "gather",
    "pipeline",
    "observe",
    "replay",
    "layouts",
)
SOURCES = [f"tracekit/_native/{name}.c" for name in FILES]
core = Extension(
    "tracekit._native._core",
    SOURCES,
    depends=[
        f"tracekit/_native/{name}.h"
        for name in ("core", "findings", "lists", "locks", "map", "observe", "picture", "regions", "replay", "stacks")
    ],
    extra_compile_args=["-std=gnu11", "-O3", "-fvisibility=hidden", "-pthread"],
    extra_link_args=["-pthread"],
    optional=not os.environ.get("TRACEKIT_REQUIRE_NATIVE"),
)
RECORDER = "tracekit/recorder/native"
recorder = Extension(
    "tracekit.recorder._recorder",
    sorted(glob.glob(f"{RECORDER}/*.c")),
    depends=glob.glob(f"{RECORDER}/*.h"),
    extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden", "-pthread"],
    extra_link_args=["-pthread", "-ldl", "-Wl,-z,now"],
    optional=not os.environ.get("TRACEKIT_REQUIRE_NATIVE"),
)
recordable = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
setup(
    ext_modules=[core, recorder] if recordable else [core],
    cmdclass={"build_ext": BuildCore, "build_py": Modules, "bdist_wheel": CoreWheel},
)
