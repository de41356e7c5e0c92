"""The frame of a TFRecord: length and checksums around the data of a record.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord: each record is its length
(8 bytes, little endian), the masked CRC-32C of that, the data, and the masked CRC-32C of
the data.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain

import google_crc32c
import numpy as np
from numpy.typing import NDArray

__all__ = ["HEAD", "TAIL", "framed", "length_of_record", "masked"]

HEAD = struct.Struct("<QI")
TAIL = struct.Struct("<I")


def framed(records: Sequence[bytes]) -> bytes:
    """Return the bytes of records in a file.

    Example:
        >>> framed([b"hi"]).hex()
        '020000000000000078270b34686913d60856'
    """
    sizes = list(map(len, records))
    lengths = {size: struct.pack("<Q", size) for size in set(sizes)}  # most have one of a few
    crcs = _tails(list(lengths.values()))
    heads = {size: lengths[size] + crc for size, crc in zip(lengths, crcs, strict=True)}
    pieces = zip(map(heads.__getitem__, sizes), records, _tails(records), strict=True)
    return b"".join(chain.from_iterable(pieces))


def masked(crcs: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return checksums in the masked form that the format stores, modulo 2 ** 32."""
    return ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(0xA282EAD8)


def length_of_record(head: bytes) -> int | None:
    """The length in the head of a record; None if it does not match its checksum.

    Example:
        >>> length_of_record(framed([b"hi"])[: HEAD.size]), length_of_record(b"not a head..")
        (2, None)
    """
    if len(head) < HEAD.size:
        return None
    length, expected = HEAD.unpack(head)
    crc = np.array([google_crc32c.value(head[:8])], dtype=np.uint32)
    return int(length) if int(masked(crc)[0]) == expected else None


def _tails(texts: Sequence[bytes]) -> list[bytes]:
    crcs = np.fromiter(map(google_crc32c.value, texts), np.uint32, len(texts))
    tails: list[bytes] = masked(crcs).astype("<u4").view("V4").tolist()
    return tails
