"""Finds traces in folders, globs and object stores, and opens them."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tracekit.errors import OptionError, SourceError
from tracekit.words import printable

STORES = ("s3", "gs", "gcs")
"""Addresses that Arrow reads itself: their first part names a bucket."""
BESIDE = (".html", ".md")
"""Endings of notes and reports in a folder of traces: skipped unless named explicitly."""
_MAGIC = "*?["
_NAME_HINT = "Check the path; a folder, a glob in quotes or an address such as s3://bucket/folder is fine."


class Place(NamedTuple):
    """A trace: its absolute path, or its address. Size in bytes; modified: ns since 1970, UTC."""

    trace: str
    size: int | None = None
    modified: int | None = None


class Failure(NamedTuple):
    """What the table `errors` tells of a trace."""

    code: str
    message: str
    hint: str


def find(named: Iterable[str], leave_out: Path) -> tuple[list[Place], dict[str, Failure]]:
    """All traces that are named, by their paths, and what of it could not be found.

    named: files, folders (all files in and below them, but hidden ones and those `BESIDE`), globs, and addresses of
    these that fsspec understands. leave_out: a folder whose files are not meant.
    Raises OptionError for an address of a kind that is not known, or not installed.
    """
    places: dict[str, Place] = {}
    missing: dict[str, Failure] = {}
    for name in named:
        if name == "-":
            raise OptionError("-: a fleet cannot be read from standard input.", "Name files, folders or addresses.")
        matched = 0
        try:
            for place in _below(name, leave_out.resolve()):
                matched += 1
                if _encodes(place.trace):
                    places[place.trace] = place
                else:
                    missing[printable(place.trace)] = Failure(
                        "unreadable", f"{printable(place.trace)}: its name is not valid UTF-8.", "Rename it."
                    )
        except OptionError:
            raise
        except Exception as error:  # each store has exceptions of its own
            missing[name] = Failure("unreadable", f"{printable(name)}: cannot be read: {reason(error)}.", _NAME_HINT)
            continue
        if not matched:
            missing[name] = Failure("not-found", f"{printable(name)}: there is no such file.", _NAME_HINT)
    return sorted(places.values()), {name: failure for name, failure in missing.items() if name not in places}


def reason(error: BaseException) -> str:
    """An exception's message, on one line, without a trailing full stop."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(said.split())).removesuffix(".") or type(error).__name__


def _encodes(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def local_path(name: str) -> str | None:
    """The path that a name means, or None for an address in some store."""
    if name.startswith("file://"):
        return name.removeprefix("file://")
    return None if "://" in name else name


def _below(name: str, leave_out: Path) -> Iterator[Place]:
    path = local_path(name)
    if path is None:
        yield from _stored(name)
    elif os.path.isdir(path):
        yield from _folder(os.path.abspath(path), leave_out)
    elif os.path.lexists(path):
        yield _file(os.path.abspath(path))
    elif any(sign in path for sign in _MAGIC):
        from glob import iglob

        for match in iglob(path, recursive=True):
            if os.path.isfile(match) and leave_out not in Path(os.path.abspath(match)).parents:
                yield _file(os.path.abspath(match))


def _folder(path: str, leave_out: Path) -> Iterator[Place]:
    for folder, below, files in os.walk(path):
        below[:] = [one for one in below if not one.startswith(".") and Path(folder, one).resolve() != leave_out]
        paths = (os.path.join(folder, file) for file in files if not _beside(file))
        yield from (_file(path) for path in paths if os.path.isfile(path) or not os.path.exists(path))


def _beside(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(BESIDE)


def _file(path: str) -> Place:
    try:
        status = os.stat(path)
    except OSError:
        return Place(path)  # opening it will tell why
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device")  # which would be waited for
    return Place(path, status.st_size, status.st_mtime_ns)


def _stored(address: str) -> Iterator[Place]:
    system, path = _file_system(address)
    if any(sign in path for sign in _MAGIC):
        matches = system.glob(path, detail=True)
    elif system.isdir(path):
        matches = {
            where: about
            for where, about in system.find(path, detail=True).items()
            if not any(map(_beside, where.removeprefix(path).split("/")))
        }
    elif system.exists(path):
        matches = {path: system.info(path)}
    else:
        return
    begins, inside, _ = address.partition(path)  # what stands before the path may name a server
    begins = begins if inside else f"{address.split('://')[0]}://"
    for where, about in matches.items():
        if about["type"] == "file":
            yield Place(begins + where, about.get("size"), _modified(about))


def _modified(about: Mapping[str, Any]) -> int | None:
    """When a file of a store was modified; the stores call it by different names."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = about.get(key)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return round(value.timestamp() * 10**6) * 1000
        if isinstance(value, (int, float)):
            return round(value * 10**6) * 1000
    return None


def _file_system(address: str) -> tuple[Any, str]:
    """An fsspec file system, and the path of this address in it."""
    import fsspec

    scheme, _, path = address.partition("://")
    try:
        if scheme not in (*STORES, "hdfs"):
            system, path = fsspec.core.url_to_fs(address)
            return system, path
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow.fs import FileSystem

        # Only what stands before the path is taken as an address: `?` in a glob would begin its options.
        root, _, inside = path.partition("/")
        patience = "?retry_limit_seconds=30" if scheme.startswith("g") else ""  # else it tries for 15 minutes
        arrow_system, _ = FileSystem.from_uri(f"{scheme}://{root}{patience}")
        return ArrowFSWrapper(arrow_system), path if scheme in STORES else f"/{inside}"
    except ImportError as error:
        raise OptionError(
            f"{scheme}:// cannot be read here: {reason(error)}.", "Install what fsspec needs for it."
        ) from error
    except (ValueError, OSError) as error:  # hdfs:// where there is no Hadoop is an OSError
        raise OptionError(f"{address}: {reason(error)}.", "Name a path, or an address such as s3://...") from error


@contextmanager
def stored(address: str) -> Iterator[BinaryIO]:
    """The file of an address in a store, to be read as a stream."""
    system, path = _file_system(address)
    with system.fs.open_input_file(path) if hasattr(system, "fs") else system.open(path, "rb") as file:
        yield file


@contextmanager
def fetched(trace: str) -> Iterator[str]:
    """A path where the trace lies, for as long as this is open. Raises SourceError."""
    path = local_path(trace)
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / (Path(trace).name or "trace")
        try:
            with stored(trace) as file, copy.open("wb") as to:
                shutil.copyfileobj(file, to)
        except Exception as error:  # each store has exceptions of its own
            raise SourceError(f"{trace}: cannot be fetched: {reason(error)}.", "Check the store.") from error
        yield str(copy)
