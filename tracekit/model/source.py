"""Where the bytes of a trace come from: a file or standard input, compressed or not, with its beginning at hand."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol

from tracekit.errors import SourceError

if TYPE_CHECKING:
    from typing_extensions import Buffer

HEAD_BYTES = 1 << 16
_COMPRESSED_PIECE = 1 << 10  # small: of a piece with damage in it nothing comes out, and of a good one up to 32 MiB
_PIECE = 1 << 18
UNPACKED_LIMIT = 1 << 30
_PATIENCE = 100  # ms between looks whether anybody still wants what a silent pipe may bring


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip() -> _Decompressor:
    return zlib.decompressobj(wbits=31)


def _zstd() -> _Decompressor:
    from tracekit import zstd

    return zstd.decompressor()


_MAGIC = {b"\x1f\x8b": _gzip, b"\x28\xb5\x2f\xfd": _zstd}


class Source:
    """An open trace. `head` is its beginning, decompressed; `chunks` and `descriptor` go on behind it, once.

    Attributes:
        path: as the user named it; `-` is standard input.
        size: bytes of the file as it lies on disk; None for a pipe.
        truncated: once all is read: why the input ended too early, else None.
    """

    def __init__(self, path: str | os.PathLike[str], shown: str | None = None, file: BinaryIO | None = None) -> None:
        """shown: the name for messages. file: read this open file instead, and let its owner close it.

        Raises SourceError: it is missing, a directory, not readable, or empty.
        """
        self._on_disk = os.fspath(path)
        self.path = shown or self._on_disk
        self.truncated: str | None = None
        self._file = file
        self._error: SourceError | None = None
        self._pump: threading.Thread | None = None
        self._closing = False
        self._pipe: int | None = None
        self._fd = -1 if file else _open(self._on_disk)
        try:
            status = None if file else os.fstat(self._fd)
            self.size = status.st_size if status and stat.S_ISREG(status.st_mode) else None
            start = self._read(HEAD_BYTES)
            while start and len(start) < 4:
                more = self._read(HEAD_BYTES)
                if not more:
                    break
                start += more
            new = next((new for magic, new in _MAGIC.items() if start.startswith(magic)), None)
            if not start:
                raise SourceError(f"{self.path}: the file is empty.", "Record a trace into it, or name another file.")
            self._decompressed = self._decompress(new, start) if new else None
            self.head = self._unpacked_head() if self._decompressed else start
        except BaseException:
            self.close()
            raise

    def _unpacked_head(self) -> bytes:
        assert self._decompressed
        head = b""
        while len(head) < HEAD_BYTES and (piece := next(self._decompressed, b"")):
            head += piece
        if rest := head[HEAD_BYTES:]:
            self._decompressed = chain((rest,), self._decompressed)
        return head[:HEAD_BYTES]

    def _read(self, size: int) -> bytes:
        if self._file:
            return b"" if self._closing else self._read_file(self._file, size)
        try:
            while self._pump and not self._poll.poll(_PATIENCE):
                if self._closing:
                    return b""
            return os.read(self._fd, size)
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror}.", "Check the file.") from error

    def _read_file(self, file: BinaryIO, size: int) -> bytes:
        try:
            return file.read(size)
        except Exception as error:  # each store has exceptions of its own
            raise SourceError(f"{self.path}: cannot be read: {error}.", "Check the store, and run it again.") from error

    def _decompress(self, new: Callable[[], _Decompressor], start: bytes) -> Iterator[bytes]:
        pieces = chain(
            (start[at : at + _COMPRESSED_PIECE] for at in range(0, len(start), _COMPRESSED_PIECE)),
            iter(lambda: self._read(_COMPRESSED_PIECE), b""),
        )
        damaged: tuple[type[Exception], ...] = (zlib.error,)
        if new is _zstd:
            from tracekit import zstd

            damaged = (zstd.DAMAGED,)
        decompressor, finished = new(), False
        for piece in pieces:
            rest = piece
            while rest:
                try:
                    out = decompressor.decompress(rest)
                except damaged as error:
                    self.truncated = f"the compressed data is damaged ({error})"
                    return
                yield from (out[at : at + _PIECE] for at in range(0, len(out), _PIECE))
                finished = decompressor.eof
                rest = decompressor.unused_data if finished else b""
                if finished:
                    decompressor = new()
        if not finished:
            self.truncated = "the compressed data ends before its end mark"

    @property
    def plain_file(self) -> str | None:
        """The path of a file with these very bytes, if there is one: they come neither from a pipe nor compressed."""
        plain = self.size is not None and self._on_disk != "-" and self._decompressed is None
        return self._on_disk if plain else None

    def chunks(self) -> Iterator[bytes]:
        """What stands behind `head`."""
        if self._decompressed is not None:
            yield from self._decompressed
        else:
            while piece := self._read(_PIECE):
                yield piece

    def file(self, format_name: str) -> str:
        """The file's path, for formats in which a reader must jump about. Raises SourceError: it is no plain file."""
        if self.plain_file is None and self._decompressed is not None:
            raise SourceError(f"{self.path}: {format_name} inside gzip or zstd cannot be read.", "Unpack it first.")
        if self.plain_file is None:
            raise SourceError(f"{self.path}: {format_name} cannot be read from a pipe.", "Name a file.")
        return self.plain_file

    def unpacked(self) -> IO[bytes]:
        """What comes from a pipe or is compressed, as a file, for formats in which a reader must jump about.

        The caller closes it, and then it is gone. Where there are only zeros it takes no room. Raises SourceError.
        """
        file = tempfile.NamedTemporaryFile(prefix="tracekit-")  # noqa: SIM115
        try:
            size = 0
            for chunk in chain((self.head,), self.chunks()):
                size += len(chunk)
                if size > UNPACKED_LIMIT:
                    raise SourceError(
                        f"{self.path}: is more than {UNPACKED_LIMIT >> 30} GiB once it is unpacked.",
                        "If that is how it should be, unpack it into a file, and name that.",
                    )
                if chunk.count(0) == len(chunk):
                    file.seek(len(chunk), os.SEEK_CUR)
                else:
                    file.write(chunk)
            file.truncate(size)
            file.flush()
        except BaseException:
            file.close()
            raise
        return file

    def reader(self) -> io.BufferedReader:
        """All of it from `head` on, as a file, for a library's reader."""
        return io.BufferedReader(_Reader(chain((self.head,), self.chunks())), _PIECE)

    def descriptor(self) -> int:
        """A file descriptor from which what stands behind `head` can be read; it stays this object's."""
        if self._decompressed is None and not self._file:
            return self._fd
        if not self._file:
            self._poll = select.poll()
            self._poll.register(self._fd, select.POLLIN)
        self._pipe, write_end = os.pipe()
        self._pump = threading.Thread(target=self._fill, args=(write_end,), name="tracekit-read", daemon=True)
        self._pump.start()
        return self._pipe

    def _fill(self, write_end: int) -> None:
        try:
            for piece in self.chunks():
                view = memoryview(piece)
                while view:
                    view = view[os.write(write_end, view) :]
        except BrokenPipeError:
            pass  # the reader has had enough
        except SourceError as error:
            self._error = error
        finally:
            os.close(write_end)

    def finish(self, bytes_read: int) -> None:
        """Call when all is read; settles `truncated`. `bytes_read` counts `head` too. Raises SourceError."""
        if self._pump:
            self._pump.join()
        if self._error:
            raise self._error
        if self._decompressed is None and self.size is not None and bytes_read < self.size:
            self.truncated = f"the file shrank to {bytes_read} bytes while it was read"

    def position(self) -> int | None:
        """Bytes of the file, as it lies on disk, that have been read; None for a pipe."""
        if self._fd < 0:  # closed, so all of it
            return self.size
        return None if self.size is None else os.lseek(self._fd, 0, os.SEEK_CUR)

    def close(self) -> None:
        self._closing = True
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        if self._pump and self._pump.ident is not None:  # interrupted, it may not even have started
            self._pump.join()
        if self._fd > 0:
            os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def lines(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The lines of all chunks without LF and CR; of one that is longer than `limit` only so much that this shows."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
        rest = rest[: limit + 2]
    if rest:
        yield rest.removesuffix(b"\r")


class _Reader(io.RawIOBase):
    """Chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        room = memoryview(buffer).cast("B")
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(room), len(self._rest))
        room[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _open(path: str) -> int:
    if path == "-":
        if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
            what = "a terminal" if sys.stdin and not sys.stdin.closed else "closed"
            raise SourceError(f"-: standard input is {what}.", "Pipe a trace into it, or name a file.")
        return sys.stdin.fileno()
    hint = "Check the path; a trace is a text file as docs/format.md describes, or `-` for standard input."
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file.", hint) from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be opened: {error.strerror}.", hint) from None
    except ValueError:
        raise SourceError(f"{path!r}: is not a file name.", hint) from None
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise SourceError(f"{path}: is a directory.", "Name the trace files in it.")
    return fd
