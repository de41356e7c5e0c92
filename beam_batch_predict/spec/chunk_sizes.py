"""The size of the chunks into which an input is cut."""

from __future__ import annotations

from beam_batch_predict.spec.checks import check_positive

__all__ = ["LIST_CHUNK_BYTES", "MOST_CHUNK_BYTES", "check_chunk_bytes", "default_chunk_bytes"]

LEAST_CHUNK_BYTES, MOST_CHUNK_BYTES = 8 * 1024 * 1024, 64 * 1024 * 1024
"""The range of the size of chunks, if no option names one."""

CHUNKS_FOR_BALANCE = 64
"""The chunks between these sizes: several workers then end at about the same time."""

LIST_CHUNK_BYTES = 16 * 1024
"""Bytes of a file list in one chunk: each line names a whole file."""


def default_chunk_bytes(total: int) -> int:
    """Return the bytes of a chunk, by the size of the input alone.

    The number of workers must not decide: a run that is resumed has the same chunks.

    Args:
        total: the bytes of the whole input.

    Example:
        >>> [default_chunk_bytes(size << 20) >> 20 for size in (1, 100, 1024, 100_000)]
        [8, 8, 16, 64]
    """
    return min(MOST_CHUNK_BYTES, max(LEAST_CHUNK_BYTES, -(-total // CHUNKS_FOR_BALANCE)))


def check_chunk_bytes(value: int | None) -> None:
    """Check the bytes of a chunk; None lets the size of the input decide.

    Raises:
        InvalidArgument: they are no positive whole number.
    """
    if value is not None:
        check_positive(value, "chunk_bytes")
