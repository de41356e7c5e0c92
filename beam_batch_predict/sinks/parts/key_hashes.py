"""Hashes of keys, by which keys that occur more than once are counted.

A hash has 64 bits, and depends only on the text of its key: 7 and "7" are one key. Keys of a part
are joined and hashed together, because this is a cost of each row. Most keys have one length, or
few bytes; of longer keys, each is hashed alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from beam_batch_predict import files
from beam_batch_predict.files import NewFile
from beam_batch_predict.sinks.columns.value_texts import key_text

__all__ = ["BYTES_PER_HASH", "MOST_KEYS", "KeyHashes", "hashes_of", "repeated"]

MOST_KEYS = 10_000_000
"""The most keys that are compared; their hashes take 80 MB."""

BYTES_PER_HASH = 8

_PIECE_BYTES = 128 * 1024
_LONGEST = 64
_READS_AT_ONCE = 32

_Hashes = NDArray[np.uint64]

_FACTOR, _LAST_FACTOR = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_MASKS = np.array([256**size - 1 for size in range(9)], np.uint64)
"""Masks for the first bytes of a word of 8 bytes, by their number."""


class KeyHashes:
    """Writes the hashes of the keys of one part.

    Args:
        new_file: makes the file; it is called if there is a key.
    """

    def __init__(self, new_file: Callable[[], NewFile]) -> None:
        self._new_file = new_file
        self._file: NewFile | None = None
        self._lines: list[bytes] = []
        self._count = self._bytes = 0

    def add(self, keys: Sequence[Any]) -> None:
        """Add the keys of some rows; None is no key."""
        lines, count = _lines_of(keys)
        if not count:
            return
        if lines.count(b"\n") != count - 1:  # a line break in a key
            self._write(hashes_of(keys))
            return
        self._lines.append(lines)
        self._count += count
        self._bytes += len(lines)
        if self._bytes >= _PIECE_BYTES:
            self._flush()

    def close(self) -> NewFile | None:
        """Write the rest; return the file, or None if there was no key."""
        self._flush()
        file, self._file = self._file, None
        return file

    def abandon(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.abandon()
        self._file, self._lines = None, []

    def _flush(self) -> None:
        if self._lines:
            self._write(_hashes_of_lines(b"\n".join([*self._lines, b""]), self._count))
        self._lines, self._count, self._bytes = [], 0, 0

    def _write(self, hashes: _Hashes) -> None:
        self._file = self._file or self._new_file()
        self._file.write(hashes.astype("<u8", copy=False).tobytes())


def repeated(uris: Sequence[str], count: int) -> int | None:
    """Count the keys that occur more than once.

    Args:
        uris: the files of the hashes.
        count: the number of all hashes.

    Returns:
        The number of different keys that several rows have; None if there are more than
        `MOST_KEYS` keys, which are not compared.
    """
    if count > MOST_KEYS:
        return None
    hashes = np.empty(count, "<u8")
    at = 0
    with ThreadPoolExecutor(_READS_AT_ONCE, "key-hashes") as pool:
        for content in pool.map(files.read_file, uris):
            found = np.frombuffer(content, "<u8")
            hashes[at : at + len(found)] = found
            at += len(found)
    hashes.sort()
    same = hashes[1:] == hashes[:-1]
    return int(np.count_nonzero(same[1:] & ~same[:-1])) + int(same[:1].sum())


def hashes_of(keys: Sequence[Any]) -> _Hashes:
    """Return the hash of each key; None is no key.

    Example:
        >>> a, b, c = hashes_of(["7", 7, "7.0"]).tolist()
        >>> a == b, a == c
        (True, False)
    """
    texts = [_encoded(key) for key in keys if key is not None]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths + 1) - 1
    return _hashes(b"\n".join([*texts, b""]), ends - lengths, lengths)


def _lines_of(keys: Sequence[Any]) -> tuple[bytes, int]:
    """Return the texts of keys, joined by line breaks, and the number of keys."""
    try:
        return "\n".join(keys).encode(), len(keys)
    except (TypeError, UnicodeEncodeError):
        keys = [key for key in keys if key is not None]
    if set(map(type, keys)) <= {int, float}:
        try:
            numbers = orjson.dumps(keys)
        except TypeError:  # more than 64 bits
            numbers = b"null"
        if b"null" not in numbers:
            return numbers[1:-1].replace(b",", b"\n"), len(keys)
    return b"\n".join(map(_encoded, keys)), len(keys)


def _encoded(key: Any) -> bytes:
    return (key_text(key) or "").encode("utf-8", "backslashreplace")


def _hashes_of_lines(lines: bytes, count: int) -> _Hashes:
    """Return the hashes of lines, each of which ends with a line break."""
    data = np.frombuffer(lines, np.uint8)
    width = len(lines) // count - 1
    if len(lines) == count * (width + 1) and width <= _LONGEST:
        grid = data.reshape(count, width + 1)
        if (grid[:, width] == ord("\n")).all():
            return _hashes_of_grid(grid[:, :width])
    ends = np.flatnonzero(data == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    return _hashes(lines, starts, ends - starts)


def _hashes_of_grid(grid: NDArray[np.uint8]) -> _Hashes:
    """Return the hashes of texts of the same length, one in each row."""
    count, width = grid.shape
    words = -(-width // 8)
    padded = np.zeros((count, 8 * words), np.uint8)
    padded[:, :width] = grid
    hashes = np.full(count, width, np.uint64)
    for column in range(words):
        hashes = _mixed(hashes, padded.view("<u8")[:, column])
    return hashes


def _hashes(data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> _Hashes:
    """Return the hashes of texts inside of data, which ends with a line break."""
    words = np.ndarray(len(data), "<u8", data + bytes(8), strides=(1,))  # at each byte
    hashes = lengths.astype(np.uint64)
    for start in range(0, min(int(lengths.max(initial=0)), _LONGEST), 8):
        sizes = np.clip(lengths - start, 0, 8)
        at = np.minimum(starts + start, len(data) - 1)
        hashes = np.where(sizes > 0, _mixed(hashes, words[at] & _MASKS[sizes]), hashes)
    for row in np.flatnonzero(lengths > _LONGEST).tolist():
        text = data[starts[row] : starts[row] + lengths[row]]
        digest = hashlib.blake2b(text, digest_size=BYTES_PER_HASH).digest()
        hashes[row] = int.from_bytes(digest, "little")
    return hashes


def _mixed(hashes: _Hashes, words: _Hashes) -> _Hashes:
    words = words * _FACTOR
    words ^= words >> np.uint64(32)
    words ^= hashes
    words *= _LAST_FACTOR
    words ^= words >> np.uint64(29)
    return words
