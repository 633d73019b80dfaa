"""zstd, of the standard library from Python 3.14 on, of the package zstandard before."""

from __future__ import annotations

import sys
from typing import BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd

    DAMAGED: type[Exception] = zstd.ZstdError
    decompressor = zstd.ZstdDecompressor
    compress, decompress = zstd.compress, zstd.decompress

    def writer(out: BinaryIO) -> BinaryIO:
        """A file that packs what is written into `out`, which stays open."""
        return zstd.ZstdFile(out, "wb")
else:
    from typing import cast

    import zstandard

    DAMAGED = zstandard.ZstdError
    compress, decompress = zstandard.compress, zstandard.decompress

    def decompressor() -> zstandard.ZstdDecompressionObj:
        """Of one frame: `decompress`, and when it has all of it `eof` and `unused_data`."""
        return zstandard.ZstdDecompressor().decompressobj()

    def writer(out: BinaryIO) -> BinaryIO:
        """A file that packs what is written into `out`, which stays open."""
        return cast(BinaryIO, zstandard.ZstdCompressor().stream_writer(out, closefd=False))
