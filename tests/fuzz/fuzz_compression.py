"""Compressed files: the content or a fault, in bounded pieces, never something else."""

import bz2
import gzip
import io

import zstandard

from beam_batch_predict.sources.compression import BLOCK_BYTES, READ_ERRORS, blocks
from beam_batch_predict.sources.file_kinds import compression_of
from fuzz.choices import Choices

TEXT = b'{"a": 1}\n{"a": 2}\n' * 3
KINDS = [".gz", ".bz2", ".zst", ".jsonl"]

SEEDS = [
    b"\x00" + gzip.compress(TEXT, mtime=0) + gzip.compress(b"", mtime=0) + b"\0\0",
    b"\x00" + gzip.compress(b"\n" * 300_000, mtime=0),
    b"\x01" + bz2.compress(TEXT) + bz2.compress(TEXT),
    b"\x02" + zstandard.compress(TEXT),
    b"\x02" + zstandard.ZstdCompressor().compressobj().compress(TEXT) + zstandard.compress(TEXT),
    b"\x02" + bytes.fromhex("28b52ffd0088") + b"\x01\x00\x00",
    b"\x03" + TEXT,
    b"\x03" + gzip.compress(TEXT, mtime=0),
    b"\x00" + bz2.compress(TEXT),
]


def check(data: bytes) -> None:
    """Read bytes of a file that has the extension of a compression."""
    choices = Choices(data)
    kind = choices.one_of(KINDS)
    stored, content = choices.rest, bytearray()
    found = compression_of(stored, f"a{kind}")
    try:
        for block in blocks(io.BytesIO(stored), f"a{kind}"):
            assert 0 < len(block) <= BLOCK_BYTES
            content += block
            if len(content) > 2**26:
                return
    except READ_ERRORS as error:
        str(error).encode()
        assert found
        return
    if not found:
        assert content == stored
    elif found == "gzip":
        assert content == gzip.decompress(stored)
    elif found == "bzip2":
        assert content == bz2.decompress(stored)
