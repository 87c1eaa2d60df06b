"""A zip file written in one pass with flat memory, the same bytes for the same content.

Python's `zipfile` keeps every entry's name in memory and knows no Zstandard before 3.14. Entries here have the date of the
format's beginning, and the directory waits in a temporary file. Format: PKWARE APPNOTE 6.3.10, with Zip64 where needed.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterable
from types import TracebackType
from typing import IO, Literal, Self

Compression = Literal["zstd", "deflate"]

_METHODS: dict[Compression, int] = {"zstd": 93, "deflate": 8}
_VERSIONS: dict[Compression, int] = {"zstd": 63, "deflate": 45}
_LEVEL = 3
"""Zstandard's own default, which Inspect AI uses too."""
_BLOCK = 32 << 20
"""Bytes of an entry that make one frame, where it is larger."""
_UTF8 = 0x0800
_DATE = 0x21
"""1 January 1980."""
_BIG = 0xFFFFFFFF
_UNIX = 0x0300
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")


class ZipWriter:
    """Writes entries one after the other into a stream that can be sought."""

    def __init__(self, stream: IO[bytes], compression: Compression = "zstd") -> None:
        self._stream = stream
        self._method = _METHODS[compression]
        self._version = _VERSIONS[compression]
        self._squeeze = _zstd if compression == "zstd" else _deflate
        self._end = b"" if compression == "zstd" else _DEFLATE_END
        self._directory = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._entries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._directory.close()

    def add(self, name: str, content: bytes) -> None:
        """Write an entry."""
        if len(content) > _BLOCK:
            self.add_stream(name, (content,))
            return
        encoded, check, made = name.encode(), zlib.crc32(content), self._squeeze(content) + self._end
        at = self._stream.tell()
        self._stream.write(self._head(encoded, check, len(made), len(content)) + encoded + made)
        self._list(encoded, check, len(made), len(content), at)

    def add_stream(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write an entry out of its pieces."""
        encoded = name.encode()
        at = self._stream.tell()
        self._stream.write(self._large(encoded, 0, 0, 0))
        check, size, squeezed = 0, 0, 0
        for block in _blocks(pieces):
            check = zlib.crc32(block, check)
            size += len(block)
            squeezed += self._stream.write(self._squeeze(block))
        squeezed += self._stream.write(self._end)
        end = self._stream.tell()
        self._stream.seek(at)
        self._stream.write(self._large(encoded, check, squeezed, size))
        self._stream.seek(end)
        self._list(encoded, check, squeezed, size, at)

    def _head(self, name: bytes, check: int, squeezed: int, size: int, extra: int = 0) -> bytes:
        return _LOCAL.pack(
            b"PK\x03\x04", self._version, _UTF8, self._method, 0, _DATE, check, squeezed, size, len(name), extra
        )

    def _large(self, name: bytes, check: int, squeezed: int, size: int) -> bytes:
        """Return a header with room for sizes that are not known yet."""
        extra = struct.pack("<2H2Q", 1, 16, size, squeezed)
        return self._head(name, check, _BIG, _BIG, len(extra)) + name + extra

    def _list(self, name: bytes, check: int, squeezed: int, size: int, at: int) -> None:
        big = [value for value in (size, squeezed, at) if value >= _BIG]
        extra = struct.pack(f"<2H{len(big)}Q", 1, 8 * len(big), *big) if big else b""
        head = _CENTRAL.pack(
            b"PK\x01\x02", _UNIX | self._version, self._version, _UTF8, self._method, 0, _DATE, check,
            min(squeezed, _BIG), min(size, _BIG), len(name), len(extra), 0, 0, 0, 0o600 << 16, min(at, _BIG),
        )  # fmt: skip
        self._directory.write(head + name + extra)
        self._entries += 1

    def _finish(self) -> None:
        start = self._stream.tell()
        self._directory.seek(0)
        while piece := self._directory.read(1 << 20):
            self._stream.write(piece)
        end = self._stream.tell()
        if self._entries >= 0xFFFF or end >= _BIG:
            self._stream.write(
                _END64.pack(
                    b"PK\x06\x06", _END64.size - 12, _UNIX | self._version, self._version, 0, 0, self._entries,
                    self._entries, end - start, start,
                )
            )  # fmt: skip
            self._stream.write(_LOCATOR.pack(b"PK\x06\x07", 0, end, 1))
        count = min(self._entries, 0xFFFF)
        self._stream.write(_END.pack(b"PK\x05\x06", 0, 0, count, count, min(end - start, _BIG), min(start, _BIG), 0))


_DEFLATE_END = zlib.compressobj(wbits=-15).flush()


def _deflate(block: bytes) -> bytes:
    squeezer = zlib.compressobj(6, wbits=-15)
    return squeezer.compress(block) + squeezer.flush(zlib.Z_FULL_FLUSH)


def _zstd(block: bytes) -> bytes:
    import pyarrow as pa

    made: bytes = pa.Codec("zstd", compression_level=_LEVEL).compress(block, asbytes=True)
    return made


def _blocks(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """Yield the pieces as blocks of at most `_BLOCK` bytes or one piece; one block where there are none."""
    held: list[bytes] = []
    size = 0
    empty = True
    for piece in pieces:
        if held and size + len(piece) > _BLOCK:
            yield b"".join(held)
            empty = False
            held, size = [], 0
        held.append(piece)
        size += len(piece)
    if held or empty:
        yield b"".join(held)
