"""Octets of a capture as they come: from a file, from one that still grows, or from a pipe.

Memory is bounded by the largest record a reader asks for. What was looked at with `peek` is still there afterwards,
so that a reader that lost its way in a damaged file can search for the next record.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Protocol

CHUNK = 1 << 18
_GZIP = b"\x1f\x8b"


class Stream(Protocol):
    """Whatever has octets: an unbuffered file, a pipe, `io.BytesIO`."""

    def read(self, size: int, /) -> bytes | None:
        """At most `size` octets; nothing at the end."""


class Source:
    """A stream with a place to stand on.

    `wait` is called at the end of the stream: it returns whether it is worth trying again, after it slept.
    """

    def __init__(self, stream: Stream, wait: Callable[[], bool] | None = None) -> None:
        self._stream = stream
        self._wait = wait
        self._buffer = b""
        self._at = 0
        self._before = 0
        self.failure = ""
        """Why reading ended early: the system's or the decompressor's words."""

    @property
    def position(self) -> int:
        """Octets taken so far."""
        return self._before + self._at

    def peek(self, size: int) -> bytes:
        """The next `size` octets, fewer only at the end; they are not taken."""
        if self._at + size > len(self._buffer):
            self._fill(size)
        return self._buffer[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """The next `size` octets, fewer only at the end."""
        octets = self.peek(size)
        self._at += len(octets)
        return octets

    def skip(self, size: int) -> int:
        """Pass over `size` octets; answers how many there were."""
        passed = 0
        while passed < size and (octets := self.take(min(size - passed, CHUNK))):
            passed += len(octets)
        return passed

    def _fill(self, size: int) -> None:
        chunks = [self._buffer[self._at :]]
        held = len(chunks[0])
        self._before += self._at
        self._at = 0
        while held < size:
            chunk = self._read(max(CHUNK, size - held))
            if chunk:
                chunks.append(chunk)
                held += len(chunk)
            elif self.failure or self._wait is None or not self._wait():
                break
        self._buffer = b"".join(chunks)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size) or b""
        except (OSError, EOFError, zlib.error) as error:
            self.failure = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return b""


class _Taken(io.RawIOBase):
    """A source as a file, for the decompressor."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        octets = self._source.take(min(len(buffer), CHUNK))
        buffer[: len(octets)] = octets
        return len(octets)


def unpacked(source: Source) -> Source:
    """The source itself, or what it holds in compressed form (gzip)."""
    if source.peek(2) != _GZIP:
        return source
    return Source(gzip.GzipFile(fileobj=io.BufferedReader(_Taken(source))))
