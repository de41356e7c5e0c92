"""Objects with `Content-Encoding: gzip`, read as their content."""

from __future__ import annotations

import errno
import io
import os
import zlib
from typing import Any, BinaryIO

__all__ = ["GzipContent"]

_PRESSED_BYTES = 64 * 1024
_MOST_BYTES = 1024 * 1024
"""The most bytes of content from one step: a few stored bytes may be a thousand times as many."""


class GzipContent(io.RawIOBase):
    """The content of a file that is compressed with gzip, in one or more members.

    The content before a fault is read before the error is raised. Reading backwards begins again
    at the start of the file.

    Args:
        file: the file, at its start; `close` closes it.
        uri: its URI, for errors.
    """

    def __init__(self, file: BinaryIO, uri: str) -> None:
        self._file, self._uri = file, uri
        self._restart()

    def _restart(self) -> None:
        self._file.seek(0)
        self._member: Any = None
        self._pressed = b""
        self._waiting = bytearray()
        self._at = self._members = 0
        self._problem = ""
        self._has_ended = False

    def readable(self) -> bool:
        """True: this can be read."""
        return True

    def tell(self) -> int:
        """Return the position in the content."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position in the content.

        Raises:
            OSError: it is counted from the end, which is not known; or reading fails.
        """
        if whence == os.SEEK_END:
            raise self._error("is read from its beginning only; upload the file without it")
        target = offset + (self._at if whence == os.SEEK_CUR else 0)
        if target < self._at:
            self._restart()
        while self._at < target and self.read(min(target - self._at, _MOST_BYTES)):
            pass
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        """Read the rest of the content."""
        return b"".join(iter(lambda: self.read(_MOST_BYTES), b""))

    def read(self, size: int | None = -1) -> bytes:
        """Read bytes; fewer only at the end, or before a fault.

        Raises:
            OSError: the stored bytes are damaged, cut short or unreadable.
        """
        if size is None or size < 0:
            return self.readall()
        while len(self._waiting) < size and not (self._has_ended or self._problem):
            self._step()
        if size and self._problem and not self._waiting:
            raise self._error(self._problem)
        content = bytes(self._waiting[:size])
        del self._waiting[:size]
        self._at += len(content)
        return content

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._file.close()

    def _step(self) -> None:
        """Decompress some more bytes, or find the end or a fault."""
        if not self._pressed:
            self._pressed = self._file.read(_PRESSED_BYTES)
            if not self._pressed:
                self._has_ended = self._member is None and self._members > 0
                self._problem = "" if self._has_ended else "is cut short; upload the file again"
                return
        if self._member is None:
            if self._members:
                self._pressed = self._pressed.lstrip(b"\0")  # gzip pads members
                if not self._pressed:
                    return
            self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            self._waiting += self._member.decompress(self._pressed, _MOST_BYTES)
        except zlib.error as error:
            self._problem = f"is damaged, or not compressed with gzip: {error}"
            return
        if self._member.eof:
            self._pressed = self._member.unused_data
            self._member, self._members = None, self._members + 1
        else:
            self._pressed = self._member.unconsumed_tail

    def _error(self, problem: str) -> OSError:
        message = f"its content, stored with Content-Encoding gzip, {problem}"
        return OSError(errno.EIO, message, self._uri)
